/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the pages of a range are, counted one by one.
 */
#include "pager/pager.h"

static void
count_page(const struct pager *pg, uint32_t slot, struct pager_count *c)
{
	const struct page *p = page_of(&pg->pages, slot);

	if (p->state == PS_READING) {
		c->swapped++;
		return;
	}
	c->resident++;
	c->mapped += p->state == PS_ACTIVE;
	c->wired += p->wired > 0;
}

static void
count_one(const struct pager *pg, const struct object *o, pindex_t i,
    struct pager_count *c)
{
	uint32_t slot = object_slot(&pg->objects, o, i);
	swblk_t blk = swmap_get(&o->swmap, i);

	if (swblk_valid(blk)) {
		c->blocks++;
		c->shared += swspace_shared(&pg->space, blk);
		c->on[swspace_device(&pg->space, blk)]++;
		c->swapped += slot == SLOT_NONE;
		c->reserved += slot == SLOT_RESERVED;
	}
	if (slot_is_page(slot))
		count_page(pg, slot, c);
	c->lost += slot == SLOT_LOST;
}

void
pager_count(const struct pager *pg, const struct object *o, pindex_t first,
    pindex_t end, struct pager_count *c)
{
	pindex_t i = first, stop;

	mtx_assert(&pg->lock);
	for (; object_window(o, i, end, &i); i = stop)
		for (stop = object_stop(i, end); i < stop; i++)
			count_one(pg, o, i, c);
}
