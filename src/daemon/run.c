/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/run.h"

/*
 * Of a run, so many pages are entered first, which wakes the program.  While it
 * reads them the others follow, and faster than it can read.
 */
#define RUN_HEAD 16

void
run_add(struct run *r, struct page *p)
{
	if (r->n == 0)
		r->first = p->pindex;
	r->vanished[r->n] = false;
	r->page[r->n++] = p;
}

/*
 * A page could not be entered, since its range has vanished.  One that is
 * being written stays as it is until that is done: a page in a frame goes
 * then, an active one when it is to be paged out and is not there.
 */
static void
page_vanished(struct pager *pg, struct page *p)
{
	if ((p->flags & PG_WRITING) == 0) {
		pager_junk(pg, pager_page_gone(pg, p, SLOT_NONE));
		return;
	}
	pager_unbusy(pg, p);
	if (p->state == PS_ACTIVE && p->wired == 0)
		page_enqueue(&pg->pages, p, PQ_ACTIVE);
}

void
run_entered(struct pager *pg, struct run *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct page *p = r->page[i];
		uint32_t frame = p->frame;

		if (r->vanished[i]) {
			page_vanished(pg, p);
			continue;
		}
		p->frame = FRAME_NONE;
		p->state = PS_ACTIVE;
		if (frame != FRAME_NONE && frame_is_in(&pg->frames, frame)) {
			frames_free(&pg->frames, frame, 1);
		} else if (frame != FRAME_NONE) {
			pg->loose++;
			/* A frame being written goes when that is done. */
			if ((p->flags & PG_WRITING) == 0)
				pager_junk(pg, frame);
		}
		/* FreeBSD keeps the block after a read; so do we, until space
		 * is short: then memory and swap add up. */
		p->flags &=
		    (uint8_t) ~(PG_STALE | PG_CLEAN | PG_SEALED | PG_PASSED);
		if (r->seal)
			p->flags |= PG_SEALED;
		if (pg->space.almost_full && (p->flags & PG_WRITING) == 0 &&
		    pager_spares(pg, r->o, p->pindex))
			pager_unswapped(pg, r->o, p->pindex);
		pager_unbusy(pg, p);
		if (p->wired == 0)
			page_enqueue(&pg->pages, p, r->queue);
	}
}

/*
 * Copies a run from its frames into the program.  If a part of it has vanished
 * the rest must still arrive: it may be the only copy, so each page is tried
 * again alone.
 */
void
run_enter(struct handler *h, struct run *r)
{
	struct pager *pg = h->pg;

	mtx_unlock(&pg->lock);
	blkq_flush(h->q); /* what was started ahead goes on meanwhile */
	for (uint32_t i = 0, k; i < r->n; i += k) {
		uint32_t frame = r->page[i]->frame;
		pindex_t first = r->page[i]->pindex;
		uintptr_t va = object_va(r->o, first);
		const char *src = frame_addr(&pg->frames, frame);

		for (k = 1; i + k < r->n; k++)
			if (r->page[i + k]->frame != frame + k ||
			    r->page[i + k]->pindex != first + k ||
			    frame + k == pg->frames.n_out ||
			    (i == 0 && k == RUN_HEAD))
				break;
		if (pmap_enter(h->pmap, va, src, k, r->seal) == 0)
			continue;
		for (uint32_t j = 0; j < k; j++)
			r->vanished[i + j] =
			    pmap_enter(h->pmap, va + ptoa(j), src + ptoa(j), 1,
				r->seal) != 0;
	}
	mtx_lock(&pg->lock);
}

/* Those that have become pages of their own are to be written to like any. */
static void
find_own(struct handler *h, struct run *r, uintptr_t va)
{
	pmap_own(h->pmap, va, r->n, r->own);
	for (uint32_t i = 0; i < r->n; i++)
		if (r->own[i] && pmap_unprotect(h->pmap, va + ptoa(i), 1) != 0)
			r->vanished[i] = true;
}

void
run_zero(struct handler *h, struct run *r, bool write)
{
	struct pager *pg = h->pg;
	uintptr_t va = object_va(r->o, r->first);

	mtx_unlock(&pg->lock);
	blkq_flush(h->q);
	if (pmap_zero(h->pmap, va, r->n, write) != 0)
		for (uint32_t i = 0; i < r->n; i++)
			r->vanished[i] =
			    pmap_zero(h->pmap, va + ptoa(i), 1, write) != 0;
	if (!write)
		find_own(h, r, va);
	mtx_lock(&pg->lock);
}
