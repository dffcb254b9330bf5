/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A range of addresses, taken out because somebody asks for it.
 */
#include "daemon/batch.h"

/*
 * Before a range is taken out: a fault whose thread runs on already may still
 * have its page in hand, and what was read ahead is in memory, but not mapped.
 */
static void
make_ready(struct pager *pg, struct object *o, pindex_t i, pindex_t end)
{
	while (object_next(&pg->objects, o, i, end, &i)) {
		uint32_t slot = object_slot(&pg->objects, o, i);
		struct page *p =
		    slot_is_page(slot) ? page_of(&pg->pages, slot) : NULL;

		if (p != NULL && (p->flags & PG_BUSY)) {
			pager_sleep(pg);
			continue; /* it may be gone */
		}
		if (p != NULL && p->queue == PQ_AHEAD)
			pager_ahead_gone(pg, p);
		i++;
	}
}

/* The next piece, from va on, of the range to take out.  Lock held. */
static struct object *
next_piece(const struct pager *pg, uintptr_t va, uintptr_t to, pindex_t *i,
    pindex_t *end)
{
	struct map_entry *e = map_first(&pg->map, va);
	struct object *o;

	if (e == NULL || e->start >= to)
		return NULL;
	o = e->object;
	*i = (pindex_t)atop(US_MAX(va, e->start) - o->base);
	*end = (pindex_t)atop(US_MIN(to, e->end) - o->base);
	return *i < *end ? o : NULL;
}

pindex_t
pageout_piece(
    struct pageout *po, struct object *o, pindex_t first, pindex_t end)
{
	struct pager *pg = po->pg;
	pindex_t i = first;

	if (po->first_out != NULL)
		po->first_out(po->first_out_arg);
	po->first_out = NULL;
	mtx_lock(&pg->lock);
	po->batch->n = 0;
	for (; po->batch->n < CLUSTER_MAX; i++) {
		uint32_t slot;
		struct page *p;

		if (!object_next(&pg->objects, o, i, end, &i)) {
			i = end;
			break;
		}
		slot = object_slot(&pg->objects, o, i);
		if (!slot_is_page(slot))
			continue;
		p = page_of(&pg->pages, slot);
		if (p->state == PS_ACTIVE && p->queue != PQ_NONE &&
		    (p->flags & PG_WRITING) == 0)
			batch_add(po, p);
	}
	if (po->batch->n > 0)
		(void)batch_deactivate(po, FOR_GOOD);
	mtx_unlock(&pg->lock);
	return i;
}

/* Once over the range, whatever objects are behind it. */
static void
page_out(struct pageout *po, uintptr_t start, uintptr_t to)
{
	struct pager *pg = po->pg;
	uintptr_t va = start;
	struct object *o;
	pindex_t i, end;

	mtx_lock(&pg->lock);
	for (; (o = next_piece(pg, va, to, &i, &end)) != NULL;
	     va = object_va(o, end))
		make_ready(pg, o, i, end);
	va = start;
	while ((o = next_piece(pg, va, to, &i, &end)) != NULL) {
		mtx_unlock(&pg->lock);
		i = pageout_piece(po, o, i, end);
		va = object_va(o, i);
		po->force = true;
		while (pageout_step(po) || blkq_inflight(po->q) > 0)
			blkq_wait(po->q, 1);
		po->force = false;
		mtx_lock(&pg->lock);
	}
	mtx_unlock(&pg->lock);
}

/* What was being written the first time stayed. */
void
pageout_range(struct pageout *po, uintptr_t start, uintptr_t end)
{
	page_out(po, start, end);
	page_out(po, start, end);
}
