/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to a range of the program's addresses, whichever objects are
 * behind it.
 *
 * The order is the same everywhere: settle first, for a page in progress
 * belongs to somebody else; then the kernel's pages and our record of them,
 * without sleeping between.
 */
#include <errno.h>

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

bool
pager_settle_range(struct pager *pg, uintptr_t start, uintptr_t end)
{
	struct map_entry *e;
	pindex_t first, last;
	bool slept = false;

	while (start < end && (e = map_first(&pg->map, start)) != NULL &&
	       e->start < end) {
		struct object *o = e->object;

		start = US_MAX(start, e->start);
		part_pages(o, start, US_MIN(end, e->end), &first, &last);
		start = US_MIN(end, e->end);
		if (!pager_in_progress(pg, o, first, last))
			continue;
		pager_settle(pg, o, first, last);
		slept = true;
	}
	return slept;
}

void
pager_replaced(struct pager *pg, uintptr_t start, uintptr_t end)
{
	struct map_entry part;
	pindex_t first, last;

	mtx_assert(&pg->lock);
	while (map_remove(&pg->map, start, end, &part)) {
		KASSERT(part.object != NULL, "the map has no room");
		part_pages(part.object, part.start, part.end, &first, &last);
		pager_purge(pg, part.object, first, last);
		if (part.object->mappings == 0)
			pager_dealloc(pg, part.object);
	}
}

/* ---- reservation --------------------------------------------------------- */

/*
 * What is lacking is counted first, so that from the first assignment on
 * nothing can fail and nothing has to be taken back: a block assigned here and
 * one that a page had before look the same.
 */

/* Leaves of slots and leaves of blocks are each for so many pages. */
#define WINDOW OBJECT_LEAF
_Static_assert(OBJECT_LEAF == SWMAP_LEAF, "windows differ");

/* What a range lacks. */
struct lack {
	uint64_t blocks;
	uint64_t windows; /* each may need one leaf of either kind */
	bool shared; /* a block has another owner */
};

static bool
lacks_block(const struct pager *pg, const struct object *o, pindex_t i)
{
	return !swblk_valid(swmap_get(&o->swmap, i)) &&
	       object_slot(&pg->objects, o, i) != SLOT_LOST;
}

/* Ends early where it is too much already. */
static void
count_part(const struct pager *pg, const struct object *o, pindex_t first,
    pindex_t end, struct lack *l)
{
	pindex_t last = PINDEX_MAX;

	for (pindex_t i = first; i < end && l->blocks <= pg->space.avail; i++) {
		if (!lacks_block(pg, o, i)) {
			swblk_t blk = swmap_get(&o->swmap, i);

			l->shared |=
			    swblk_valid(blk) && swspace_shared(&pg->space, blk);
			continue;
		}
		l->blocks++;
		l->windows += i / WINDOW != last;
		last = i / WINDOW;
	}
}

/* A page in memory keeps its slot: the block is where it will go. */
static void
assign(struct pager *pg, struct object *o, pindex_t i, swblk_t blk)
{
	int error = 0;

	if (object_slot(&pg->objects, o, i) == SLOT_NONE)
		error = object_set_slot(&pg->objects, o, i, SLOT_RESERVED);
	if (error == 0)
		(void)swmap_set(&o->swmap, i, blk, &error);
	KASSERT(error == 0, "leaves were counted: %d", error);
	/* No contents have this tag, short of a chance of 2^-64: the block of
	 * a page in memory counts as stale until the page is written. */
	object_set_tag(&pg->objects, o, i, 0);
}

/* *lack: blocks still to be had, for this part and those behind it. */
static void
reserve_part(struct pager *pg, struct object *o, pindex_t first, pindex_t end,
    uint64_t *lack)
{
	swblk_t blk = SWBLK_NONE;
	uint32_t n = 0, used = 0;

	for (pindex_t i = first; i < end; i++) {
		if (!lacks_block(pg, o, i))
			continue;
		if (used == n) {
			n = (uint32_t)US_MIN(*lack, CLUSTER_MAX);
			n = US_MIN(n, end - i);
			used = 0;
			blk = swspace_alloc_seen(&pg->space, &n, 1);
			KASSERT(swblk_valid(blk), "blocks were counted");
		}
		assign(pg, o, i, swblk_add(blk, used++));
		(*lack)--;
	}
	if (used < n)
		swspace_free(&pg->space, swblk_add(blk, used), n - used);
	o->reserved = true;
}

int
pager_reserve(struct pager *pg, uintptr_t start, uintptr_t end)
{
	struct lack l = {0, 0, false};
	struct map_entry *e;
	pindex_t first, last;
	uintptr_t va;

	mtx_assert(&pg->lock);
	swspace_look(&pg->space);
	for (va = start; va < end; va = e->end) {
		e = map_lookup(&pg->map, va);
		if (e == NULL)
			return -ENOMEM;
		part_pages(e->object, va, US_MIN(end, e->end), &first, &last);
		count_part(pg, e->object, first, last, &l);
	}
	if (l.shared)
		return -EBUSY;
	if (l.blocks > pg->space.avail)
		return -ENOSPC;
	if (l.windows > pool_left(&pg->objects.leaves) ||
	    l.windows > pool_left(&pg->objects.swleaves))
		return -ENOMEM;
	for (va = start; va < end; va = e->end) {
		e = map_lookup(&pg->map, va);
		part_pages(e->object, va, US_MIN(end, e->end), &first, &last);
		reserve_part(pg, e->object, first, last, &l.blocks);
	}
	return 0;
}
