/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose the blocks of a closing device are.  Nothing leads from a block to its
 * page, so the owners of a window's blocks are looked up by a walk over all
 * objects, a piece at a time: what has changed when a block's turn comes is seen
 * then, for an owner is asked whether it still has the block.
 */
#include <string.h>

#include "pager/pager_off.h"

/* Pages that are passed with the lock held. */
#define LOOKUP_PAGES (1u << 16)

void
owners_begin(struct swapoff *so, uint32_t base, uint32_t size)
{
	so->base = base;
	so->window = US_MIN(so->blocks - base, size);
	so->n_more = 0;
	so->at = 0;
	so->object = 0;
	so->pindex = 0;
	so->looked_up = false;
	memset(so->owner, 0, so->window * sizeof(*so->owner));
}

/* Notes an owner of block k.  False: no room. */
static bool
owner_add(struct swapoff *so, uint32_t k, const struct object *o, pindex_t i)
{
	struct block_owner *w = &so->owner[k];

	if (w->object != 0) {
		if (so->n_more == SWAPOFF_MORE)
			return false;
		so->more[so->n_more++] = *w;
		w->next = so->n_more;
	}
	w->object = o->id + 1;
	w->pindex = i;
	return true;
}

/* Notes the pages of [pindex, end) that have a block in the window. */
static bool
lookup_pages(struct swapoff *so, const struct object *o, pindex_t end)
{
	uint32_t first = so->first.v + so->base;

	for (pindex_t i = so->pindex; swmap_next(&o->swmap, i, end, &i); i++) {
		uint32_t k = swmap_get(&o->swmap, i).v - first;

		if (k < so->window && !owner_add(so, k, o, i))
			return false;
	}
	return true;
}

void
owners_lookup(struct swapoff *so)
{
	const struct objects *os = &so->pg->objects;
	uint32_t left = LOOKUP_PAGES;

	while (left > 0 && so->object < os->pool.fresh) {
		const struct object *o = object_of(os, so->object);
		pindex_t end = 0;

		if (o->root != NULL && so->pindex < o->npages &&
		    o->swmap.count > 0) {
			end = (pindex_t)US_MIN(
			    (uint64_t)so->pindex + left, o->npages);
			if (!lookup_pages(so, o, end)) {
				owners_begin(so, so->base, so->window / 2);
				return;
			}
			left -= US_MIN(left, end - so->pindex);
			so->pindex = end;
		}
		if (end != 0 && end < o->npages)
			continue;
		so->object++;
		so->pindex = 0;
		left -= left > 0; /* so many objects, too */
	}
	so->looked_up = so->object >= os->pool.fresh;
}

struct object *
owner_has(const struct pager *pg, const struct block_owner *w, swblk_t blk)
{
	struct object *o = object_of(&pg->objects, w->object - 1);

	return o->root != NULL && w->pindex < o->npages &&
		       swblk_eq(swmap_get(&o->swmap, w->pindex), blk)
		   ? o
		   : NULL;
}
