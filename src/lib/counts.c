/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions in numbers, on the clerk.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "lib/ctx.h"

/* Counted with the lock held: faults wait for less than a millisecond. */
#define COUNT_PAGES (1u << 15)

_Static_assert(SWDEV_MAX == USWAP_DEVICES_MAX, "devices inside and outside");

/* The first part of the range that is managed: its object, or NULL. */
static struct object *
first_part(
    struct pager *pg, const struct call *c, uintptr_t *start, uintptr_t *end)
{
	const struct map_entry *e;
	struct object *o = NULL;

	mtx_lock(&pg->lock);
	e = map_first(&pg->map, c->addr);
	if (e != NULL && e->start < c->addr + c->len) {
		o = e->object;
		*start = US_MAX(c->addr, e->start);
		*end = US_MIN(c->addr + c->len, e->end);
	}
	mtx_unlock(&pg->lock);
	return o;
}

/* The object stays: whatever ends it is done here, on the clerk. */
static void
count(struct pager *pg, const struct object *o, pindex_t i, pindex_t end,
    struct pager_count *k)
{
	while (i < end) {
		pindex_t stop =
		    (pindex_t)US_MIN((uint64_t)i + COUNT_PAGES, end);

		mtx_lock(&pg->lock);
		pager_count(pg, o, i, stop, k);
		mtx_unlock(&pg->lock);
		i = stop;
	}
}

int
do_region_stats(struct uswap *u, struct call *c)
{
	struct pager_count k = {0};
	const struct named *d;
	uintptr_t start, end;
	struct object *o = first_part(&u->pager, c, &start, &end);

	if (o == NULL) {
		strf(c->text, sizeof(c->text), "not managed memory");
		return -ENOENT;
	}
	count(&u->pager, o, (pindex_t)atop(start - o->base),
	    (pindex_t)atop(end - o->base), &k);
	c->region = (struct uswap_region){.addr = start,
	    .length = end - start,
#define SET(name, unit, text) .name = k.name,
	    USWAP_REGION_STATS(SET)
#undef SET
	};
	memcpy(c->region.on, k.on, sizeof(k.on));
	d = names_overlap(&u->names, start, end);
	if (d != NULL)
		strf(c->region.name, sizeof(c->region.name), "%s", d->name);
	return 0;
}
