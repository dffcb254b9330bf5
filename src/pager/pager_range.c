/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to a range of the program's addresses, whichever objects are
 * behind it.
 *
 * The order is the same everywhere: settle first, for a page in progress
 * belongs to somebody else; then the kernel's pages and our record of them,
 * without sleeping between.
 */
#include "pager/pager.h"

/* The pages of an object that the part [start, end) of an entry shows. */
static void
part_pages(const struct object *o, uintptr_t start, uintptr_t end,
    pindex_t *first, pindex_t *last)
{
	*first = (pindex_t)atop(start - o->base);
	*last = (pindex_t)atop(end - o->base);
}

/*
 * The entry may move in the table while we sleep, so that it is not looked at
 * again; the object cannot go.
 */
uintptr_t
pager_dontneed(struct pager *pg, uintptr_t va, uintptr_t end)
{
	struct map_entry *e = map_first(&pg->map, va);
	struct object *o;
	pindex_t first, last;

	mtx_assert(&pg->lock);
	if (e == NULL || e->start >= end)
		return end;
	o = e->object;
	va = US_MAX(va, e->start);
	end = US_MIN(end, e->end);
	part_pages(o, va, end, &first, &last);
	pager_settle(pg, o, first, last);
	(void)pmap_drop(pg->pmap, va, atop(end - va));
	pager_purge(pg, o, first, last);
	return end;
}

/*
 * Out of the map first: what is not there cannot be brought in again while we
 * sleep.  A thread that touches the range meanwhile is woken and faults again
 * until it is memory like any other.
 */
bool
pager_forget(struct pager *pg, uintptr_t start, uintptr_t end)
{
	struct map_entry part;
	pindex_t first, last;

	mtx_assert(&pg->lock);
	while (map_remove(&pg->map, start, end, &part)) {
		struct object *o = part.object;

		if (o == NULL)
			return false;
		part_pages(o, part.start, part.end, &first, &last);
		pager_settle(pg, o, first, last);
		pager_purge(pg, o, first, last);
		if (o->mappings == 0)
			pager_dealloc(pg, o);
		mtx_unlock(&pg->lock);
		(void)pmap_unmanage(
		    pg->pmap, part.start, atop(part.end - part.start));
		mtx_lock(&pg->lock);
	}
	return true;
}
