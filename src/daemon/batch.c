/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to many pages by few system calls.  The pages of a batch are busy,
 * so the lock is not held around these calls.
 */
#include <errno.h>

#include "daemon/batch.h"
#include "pager/tag.h"

/* What becomes of a page of a batch. */
enum fate { STAYS, MOVED, VANISHED, ZERO, CLEAN, DIRTY };

void
batch_add(struct pageout *po, struct page *p)
{
	struct batch *b = po->batch;

	if (p->queue != PQ_NONE)
		page_dequeue(&po->pg->pages, p);
	pager_busy(po->pg, p);
	b->order[b->n++] = (struct keyed){
	    (uint64_t)p->object << 32 | p->pindex, page_no(&po->pg->pages, p)};
}

static struct page *
batch_page(const struct pageout *po, uint32_t i)
{
	return page_of(&po->pg->pages, po->batch->order[i].value);
}

/*
 * A page reads as zeros, and so must what is remembered of it; a block that it has for
 * good stays.  What its slot is to hold.
 */
static uint32_t
emptied(struct pager *pg, const struct page *p)
{
	struct object *o = pager_object(pg, p);

	if (o->reserved && swblk_valid(swmap_get(&o->swmap, p->pindex)))
		return SLOT_RESERVED;
	pager_unswapped(pg, o, p->pindex);
	return SLOT_NONE;
}

/* ---- sealed: nothing has to be moved or looked at ------------------------ */

/*
 * Whether the page's block holds what was read from it.  A block that it was given
 * since then has a tag that nothing has: see assign() in pager_range.c.
 */
static bool
may_drop(const struct pager *pg, const struct page *p)
{
	const struct object *o = pager_object(pg, p);

	return (p->flags & PG_SEALED) != 0 && !o->kept &&
	       swblk_valid(swmap_get(&o->swmap, p->pindex)) &&
	       object_tag(&pg->objects, o, p->pindex) != 0;
}

/* From i on, adjacent in the program. */
static uint32_t
sealed_run(const struct batch *b, uint32_t i)
{
	uint32_t n = 0;

	while (i + n < b->n && b->order[i + n].key == b->order[i].key + n &&
	       b->has_block[i + n])
		n++;
	return n;
}

/* Gathers what is sealed still; returns in how many runs. */
static uint32_t
find_sealed(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	uint32_t nrun = 0;

	for (uint32_t i = 0, n, sealed; i < b->n; i += US_MAX(n, 1)) {
		uintptr_t va = pager_va(pg, batch_page(po, i));

		n = sealed_run(b, i);
		sealed = n == 0 ? 0 : pmap_sealed(pg->pmap, va, n);
		if (sealed > 0)
			b->run[nrun++] =
			    (struct iovec){(void *)va, ptoa(sealed)};
		for (uint32_t k = 0; k < US_MAX(n, 1); k++)
			b->fate[i + k] = k < sealed ? CLEAN : STAYS;
	}
	return nrun;
}

/*
 * Not all could be dropped.  What is still there is to leave like any page, or not;
 * it need not be the page that it was, for what the program has unmapped behind our
 * back it may have mapped anew.
 */
static void
find_held(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;

	for (uint32_t i = 0; i < b->n; i++) {
		uint8_t there = 0;

		if (b->fate[i] == CLEAN &&
		    pmap_resident(pg->pmap, pager_va(pg, batch_page(po, i)), 1,
			&there) == 0 &&
		    there)
			b->fate[i] = STAYS;
	}
}

/* The lock is not held.  Whoever writes meanwhile waits, for the page is busy. */
static bool
drop_sealed(struct pageout *po)
{
	uint32_t n = find_sealed(po);

	if (n > 0 && pmap_drop_runs(po->pg->pmap, po->batch->run, n) != 0)
		find_held(po);
	return n > 0;
}

/*
 * Pages that were read and only read are dropped at once; the others stay in the
 * batch.  Returns how many are gone.  Lock held, and released meanwhile.
 */
static uint32_t
batch_sealed(struct pageout *po, enum parting parting)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	uint32_t kept = 0, gone;
	bool any = false;

	for (uint32_t i = 0; i < b->n; i++)
		any |= b->has_block[i] = may_drop(pg, batch_page(po, i));
	if (!any)
		return 0;
	mtx_unlock(&pg->lock);
	any = drop_sealed(po);
	mtx_lock(&pg->lock);
	if (!any)
		return 0;
	for (uint32_t i = 0; i < b->n; i++) {
		struct page *p = batch_page(po, i);

		if (b->fate[i] != CLEAN) {
			b->order[kept++] = b->order[i];
			continue;
		}
		object_seen(&pg->objects, pager_object(pg, p), p->pindex, true);
		if (parting != FOR_GOOD)
			ghosts_dropped(&pg->ghosts, p->object, p->pindex,
			    parting == PASSED);
		(void)pager_page_gone(pg, p, SLOT_NONE);
	}
	gone = b->n - kept;
	pg->ctr.clean_drops += gone;
	b->n = kept;
	if (gone > 0) /* without a frame whose end would tell */
		pager_have_memory(pg);
	return gone;
}

/* ---- deactivate: out of the program --------------------------------------- */

/* Frames for the batch, as few runs as there are.  Lock held. */
static uint32_t
batch_frames(struct pageout *po)
{
	struct batch *b = po->batch;
	uint32_t got = 0;

	while (got < b->n) {
		uint32_t n = b->n - got;
		uint32_t frame = frames_alloc_out(&po->pg->frames, &n);

		if (frame == FRAME_NONE)
			break;
		for (uint32_t i = 0; i < n; i++)
			b->frame[got++] = frame + i;
	}
	return got;
}

/* How many from i on are adjacent in the program and in their frames. */
static uint32_t
batch_run(const struct batch *b, uint32_t i)
{
	uint32_t n = 1;

	while (i + n < b->n && b->order[i + n].key == b->order[i].key + n &&
	       b->frame[i + n] == b->frame[i] + n)
		n++;
	return n;
}

/* The lock is not held: the pages are busy. */
static void
batch_remove(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;

	for (uint32_t i = 0; i < b->n;) {
		struct page *p = batch_page(po, i);
		uint32_t run = batch_run(b, i), done;
		int error = 0;

		done = pmap_remove(pg->pmap, pager_va(pg, p),
		    frame_addr(&pg->frames, b->frame[i]), run, &error);
		for (uint32_t k = 0; k < done; k++)
			b->fate[i++] = MOVED;
		if (done == run)
			continue;
		b->fate[i] = error == -ENOENT ? VANISHED : STAYS;
		i++;
	}
}

/*
 * Lock held.  A page that was not there was dropped by the program with a raw
 * system call: it reads as zeros now.
 */
static void
batch_removed(struct pageout *po, enum parting parting, bool chance)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;

	for (uint32_t i = 0; i < b->n; i++) {
		struct page *p = batch_page(po, i);

		if (b->fate[i] == MOVED) {
			p->state = PS_INACTIVE;
			if (!chance)
				p->flags &= (uint8_t)~PG_SEALED;
			if (parting == PASSED)
				p->flags |= PG_PASSED;
			p->frame = b->frame[i];
			pager_unbusy(pg, p);
			page_enqueue(&pg->pages, p, PQ_INACTIVE);
			continue;
		}
		frames_free(&pg->frames, b->frame[i], 1);
		if (b->fate[i] == VANISHED) {
			(void)pager_page_gone(pg, p, emptied(pg, p));
			pager_have_memory(pg);
			continue;
		}
		/* To be moved it may have been unprotected. */
		p->flags &= (uint8_t)~PG_SEALED;
		pager_unbusy(pg, p);
		page_enqueue(&pg->pages, p, PQ_ACTIVE);
	}
}

uint32_t
batch_deactivate(struct pageout *po, enum parting parting)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	uint32_t got, gone = 0;
	bool chance =
	    parting != FOR_GOOD && ghosts_worth(&pg->ghosts, parting == PASSED);

	sort_keyed(b->order, b->n);
	if (pg->pmap->seals && !chance)
		gone = b->sealed = batch_sealed(po, parting);
	got = batch_frames(po);
	while (b->n > got) {
		struct page *p = batch_page(po, --b->n);

		pager_unbusy(pg, p);
		page_enqueue(&pg->pages, p, PQ_ACTIVE);
	}
	mtx_unlock(&pg->lock);
	batch_remove(po);
	for (uint32_t i = 0; i < b->n; i++)
		gone += b->fate[i] != STAYS;
	mtx_lock(&pg->lock);
	batch_removed(po, parting, chance);
	if (parting != FOR_GOOD)
		ghosts_left(&pg->ghosts, gone, pg->inactive_goal);
	return gone;
}

/* ---- clean: what need not be written ------------------------------------- */

/* Fetches the contents of all pages.  The lock is not held. */
static void
batch_look(struct pageout *po)
{
	struct batch *b = po->batch;
	uint32_t n = 0;

	for (uint32_t i = 0, k; i < b->n; i += k) {
		for (k = 1; i + k < b->n && b->frame[i + k] == b->frame[i] + k;)
			k++;
		b->run[n++] = (struct iovec){
		    frame_addr(&po->pg->frames, b->frame[i]), ptoa(k)};
	}
	pmap_look(po->pg->pmap, b->run, n, po->copy);
}

/* The lock is not held.  Compares contents with what swap space has. */
static void
batch_classify(struct pageout *po)
{
	struct batch *b = po->batch;

	batch_look(po);
	for (uint32_t i = 0; i < b->n; i++) {
		const void *data = po->copy + ptoa(i);

		if (pager_page_is_zero(data))
			b->fate[i] = ZERO;
		else if (b->has_block[i] && pager_tag(data) == b->tag[i])
			b->fate[i] = CLEAN;
		else
			b->fate[i] = DIRTY;
	}
}

/* Lock held.  Returns how many pages are gone. */
static uint32_t
batch_classified(struct pageout *po, bool keep)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	uint32_t gone = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct page *p = batch_page(po, i);
		struct object *o = pager_object(pg, p);
		bool wanted = (p->flags & PG_WANTED) != 0;
		bool clean = b->fate[i] == CLEAN;
		uint32_t slot = SLOT_NONE;

		if (b->has_block[i] && b->fate[i] != ZERO)
			object_seen(&pg->objects, o, p->pindex, clean);

		if (clean)
			p->flags |= PG_CLEAN;
		if (!wanted && !keep)
			pager_chance(pg, p, false);
		if (b->fate[i] == DIRTY)
			p->flags &= (uint8_t) ~(PG_SEALED | PG_PASSED);
		if (wanted || b->fate[i] == DIRTY || (clean && keep)) {
			/* Wanted: it stays where a soft fault finds it. */
			pager_unbusy(pg, p);
			page_enqueue(&pg->pages, p,
			    wanted || clean ? PQ_INACTIVE : PQ_LAUNDRY);
			continue;
		}
		if (clean) {
			pg->ctr.clean_drops++;
		} else {
			pg->ctr.zero_drops++;
			slot = emptied(pg, p);
		}
		b->loose[gone++] = pager_page_gone(pg, p, slot);
	}
	return gone;
}

void
batch_add_inactive(struct pageout *po, struct page *p)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	struct object *o = pager_object(pg, p);
	uint32_t i = b->n;

	b->frame[i] = p->frame;
	b->has_block[i] = swblk_valid(swmap_get(&o->swmap, p->pindex));
	if (b->has_block[i])
		b->tag[i] = object_tag(&pg->objects, o, p->pindex);
	batch_add(po, p);
}

uint32_t
batch_clean(struct pageout *po, bool keep)
{
	struct pager *pg = po->pg;
	uint32_t gone;

	if (po->batch->n == 0)
		return 0;
	mtx_unlock(&pg->lock);
	batch_classify(po);
	mtx_lock(&pg->lock);
	gone = batch_classified(po, keep);
	pager_discard(pg, po->batch->loose, gone);
	return gone;
}
