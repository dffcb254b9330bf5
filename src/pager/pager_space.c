/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object has in swap space, and how it comes and goes.  No I/O here.
 */
#include <errno.h>

#include "pager/pager.h"

struct object *
pager_alloc(struct pager *pg, uintptr_t va, pindex_t npages)
{
	mtx_assert(&pg->lock);
	return object_create(&pg->objects, va, npages);
}

void
pager_dealloc(struct pager *pg, struct object *o)
{
	pager_settle(pg, o, 0, o->npages);
	pager_purge(pg, o, 0, o->npages);
	object_destroy(&pg->objects, o);
}

/* How far slots stay empty from i on (exclusive), in steps of dir. */
static uint32_t
empty_slots(const struct pager *pg, const struct object *o, pindex_t i, int dir,
    uint32_t max)
{
	uint32_t n = 0;

	while (n < max && object_slot(&pg->objects, o,
			      (pindex_t)((int64_t)i +
					 dir * (int64_t)(n + 1))) == SLOT_NONE)
		n++;
	return n;
}

bool
pager_haspage(const struct pager *pg, const struct object *o, pindex_t i,
    uint32_t *before, uint32_t *after)
{
	uint32_t maxb = *before, maxa = *after;

	*before = *after = 0;
	if (!swblk_valid(swmap_get(&o->swmap, i)) ||
	    object_slot(&pg->objects, o, i) != SLOT_NONE)
		return false;
	swmap_extent(&o->swmap, i, maxb, maxa, before, after);
	*before = empty_slots(pg, o, i, -1, *before);
	*after = empty_slots(pg, o, i, 1, *after);
	return true;
}

/*
 * Frees a block; adjacent ones in a row are gathered, for the tree of the
 * bitmap is walked once per call.
 */
struct gather {
	swblk_t blk;
	uint32_t n;
};

static void
gather_flush(struct pager *pg, struct gather *g)
{
	if (g->n > 0)
		swspace_free(&pg->space, g->blk, g->n);
	g->n = 0;
}

static void
gather_free(struct pager *pg, struct gather *g, swblk_t blk)
{
	if (g->n > 0 && !swblk_eq(blk, swblk_add(g->blk, g->n)))
		gather_flush(pg, g);
	if (g->n == 0)
		g->blk = blk;
	g->n++;
}

/* Space came back: a pager that had to grow may page out again. */
static void
space_freed(struct pager *pg)
{
	if (!pg->grow || pg->space.avail < swspace_lowat(&pg->space))
		return;
	pg->grow = false;
	if (pg->need_pageout != NULL)
		pg->need_pageout(pg->event_arg);
}

/* The page's frame is not what a block of its own holds any more (O7). */
static void
not_clean(struct pager *pg, uint32_t slot)
{
	if (slot_is_page(slot))
		page_of(&pg->pages, slot)->flags &= (uint8_t)~PG_CLEAN;
}

void
pager_unswapped(struct pager *pg, struct object *o, pindex_t i)
{
	swblk_t blk = swmap_clear(&o->swmap, i);

	if (!swblk_valid(blk))
		return;
	not_clean(pg, object_slot(&pg->objects, o, i));
	swspace_free(&pg->space, blk, 1);
	space_freed(pg);
}

/* In one window; the object's leaves tell where blocks can be (O4). */
static void
free_window(struct pager *pg, struct object *o, pindex_t i, pindex_t end,
    struct gather *g)
{
	for (; swmap_next(&o->swmap, i, end, &i); i++) {
		uint32_t slot = object_slot(&pg->objects, o, i);

		if (slot == SLOT_RESERVED)
			(void)object_set_slot(&pg->objects, o, i, SLOT_NONE);
		not_clean(pg, slot);
		gather_free(pg, g, swmap_clear(&o->swmap, i));
	}
}

void
pager_freespace(
    struct pager *pg, struct object *o, pindex_t first, pindex_t end)
{
	struct gather g = {.n = 0};
	pindex_t i = first, stop;

	for (; object_window(o, i, end, &i); i = stop) {
		stop = object_stop(i, end);
		free_window(pg, o, i, stop, &g);
	}
	gather_flush(pg, &g);
	space_freed(pg);
}

void
pager_purge(struct pager *pg, struct object *o, pindex_t first, pindex_t end)
{
	pindex_t i;

	for (i = first; object_next(&pg->objects, o, i, end, &i); i++) {
		uint32_t slot = object_slot(&pg->objects, o, i);
		struct page *p;

		if (!slot_is_page(slot)) {
			(void)object_set_slot(&pg->objects, o, i, SLOT_NONE);
			continue;
		}
		p = page_of(&pg->pages, slot);
		if (p->queue != PQ_NONE)
			page_dequeue(&pg->pages, p);
		if (p->wired > 0) {
			p->wired = 0;
			pg->wired--;
		}
		pager_busy(pg, p);
		pager_junk(pg, pager_page_gone(pg, p, SLOT_NONE));
	}
	pager_freespace(pg, o, first, end);
	object_trim(&pg->objects, o, first, end);
	pager_have_memory(pg);
}

/* ---- moving between objects ---------------------------------------------- */

/* The leaf that a slot or tag needs, of a page that has neither.  0 or -ENOMEM. */
static int
make_leaf(struct pager *pg, struct object *o, pindex_t i)
{
	int error = object_set_slot(&pg->objects, o, i, SLOT_ZERO);

	if (error == 0)
		(void)object_set_slot(&pg->objects, o, i, SLOT_NONE);
	return error;
}

/* One page with everything it has.  0 or -ENOMEM, and nothing moved. */
static int
copy_one(struct pager *pg, struct object *src, pindex_t from,
    struct object *dst, pindex_t to)
{
	uint32_t slot = object_slot(&pg->objects, src, from);
	swblk_t blk = swmap_get(&src->swmap, from);
	int error;

	if (slot == SLOT_NONE && !swblk_valid(blk))
		return 0;
	error = make_leaf(pg, dst, to);
	if (error != 0)
		return error;
	(void)object_set_slot(&pg->objects, dst, to, slot);
	if (swblk_valid(blk)) {
		(void)swmap_set(&dst->swmap, to, blk, &error);
		if (error != 0) {
			(void)object_set_slot(&pg->objects, dst, to, SLOT_NONE);
			return error;
		}
		(void)swmap_clear(&src->swmap, from);
	}
	object_set_tag(
	    &pg->objects, dst, to, object_tag(&pg->objects, src, from));
	if (slot_is_page(slot)) {
		struct page *p = page_of(&pg->pages, slot);

		KASSERT((p->flags & (PG_BUSY | PG_WRITING)) == 0,
		    "moving a page in progress");
		p->object = dst->id;
		p->pindex = to;
		/* Until it is managed anew a write to it may have told nobody,
		 * and Linux before 6.14 leaves the protection's mark. */
		p->flags &= (uint8_t)~PG_SEALED;
		src->resident--;
		dst->resident++;
	}
	(void)object_set_slot(&pg->objects, src, from, SLOT_NONE);
	return 0;
}

int
pager_copy(struct pager *pg, struct object *src, pindex_t first,
    struct object *dst, pindex_t to, pindex_t n)
{
	pindex_t i = first, end = first + n, stop;

	for (; object_window(src, i, end, &i); i = stop) {
		stop = object_stop(i, end);
		for (; i < stop; i++) {
			int error = copy_one(pg, src, i, dst, to + (i - first));

			if (error != 0)
				return error;
		}
	}
	dst->reserved |= src->reserved;
	object_trim(&pg->objects, src, first, first + n);
	return 0;
}

/* ---- sharing ------------------------------------------------------------- */

int
pager_share(struct pager *pg, const struct object *src, pindex_t i,
    struct object *dst, pindex_t k)
{
	uint32_t slot = object_slot(&pg->objects, src, i);
	swblk_t blk = swmap_get(&src->swmap, i);
	int error;

	KASSERT(!slot_is_page(slot) || swblk_valid(blk), "page %u changes", i);
	if (slot == SLOT_LOST)
		return object_set_slot(&pg->objects, dst, k, slot);
	if (!swblk_valid(blk) || slot == SLOT_ZERO || slot == SLOT_RESERVED)
		return 0; /* zeros */
	error = make_leaf(pg, dst, k);
	if (error != 0)
		return error;
	if (!swspace_share(&pg->space, blk, 1))
		return -EMLINK;
	(void)swmap_set(&dst->swmap, k, blk, &error);
	if (error != 0) {
		swspace_free(&pg->space, blk, 1);
		return error;
	}
	object_set_tag(&pg->objects, dst, k, object_tag(&pg->objects, src, i));
	return 0;
}

bool
pager_spares(const struct pager *pg, const struct object *o, pindex_t i)
{
	swblk_t blk = swmap_get(&o->swmap, i);

	return swblk_valid(blk) && !o->reserved &&
	       !swspace_shared(&pg->space, blk);
}

/* From the pages of one queue. */
static uint32_t
reclaim_from(struct pager *pg, enum page_queue queue, uint32_t want)
{
	uint32_t freed = 0;
	struct page *p;

	for (p = pageq_first(&pg->pages, queue); p != NULL && freed < want;
	     p = pageq_next(&pg->pages, p)) {
		struct object *o = pager_object(pg, p);

		if ((p->flags & PG_WRITING) != 0 ||
		    !pager_spares(pg, o, p->pindex) ||
		    swspace_closing(
			&pg->space, swmap_get(&o->swmap, p->pindex)))
			continue;
		pager_unswapped(pg, o, p->pindex);
		freed++;
	}
	return freed;
}

uint32_t
pager_reclaim_blocks(struct pager *pg, uint32_t want)
{
	uint32_t freed = reclaim_from(pg, PQ_STREAM, want);

	return freed + reclaim_from(pg, PQ_ACTIVE, want - freed);
}
