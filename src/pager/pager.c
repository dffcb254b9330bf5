/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager's life, and the life of a page descriptor: charged, busy, gone.
 */
#include <errno.h>

#include "base/log.h"
#include "base/sort.h"
#include "pager/pager.h"

static void
take_shares(struct pager *pg, const struct pager_params *p)
{
	KASSERT(p->free_high < p->budget, "absurd budget");
	pg->budget = p->budget;
	pg->free_low = p->free_low;
	pg->free_high = p->free_high;
	pg->inactive_goal = p->inactive_goal;
}

int
pager_init(struct pager *pg, const struct pager_params *p)
{
	uint64_t descriptors = US_MIN(p->total_pages, UINT64_C(1) << 30);
	int error;

	*pg = (struct pager){.clock = p->clock, .pmap = p->pmap};
	KASSERT(p->buffers > 0, "absurd budget");
	take_shares(pg, p);
	pg->read_window = CLUSTER_MAX;
	pg->write_cluster = CLUSTER_MAX;
	mtx_init(&pg->lock, RANK_VM);
	cv_init(&pg->unbusied);
	swspace_init(&pg->space);
	error = objects_init(&pg->objects, p->total_pages);
	if (error == 0)
		error = map_init(&pg->map);
	if (error == 0)
		error = pages_init(
		    &pg->pages, (uint32_t)US_MAX(descriptors, pg->budget));
	if (error == 0)
		error = frames_init(&pg->frames, p->pmap->frames,
		    p->pmap->n_frames, p->buffers);
	if (error != 0)
		pager_destroy(pg);
	return error;
}

void
pager_destroy(struct pager *pg)
{
	KASSERT(pg->map.n == 0, "objects are still mapped");
	if (pg->frames.in != NULL)
		frames_destroy(&pg->frames);
	pages_destroy(&pg->pages);
	map_destroy(&pg->map);
	objects_destroy(&pg->objects);
	swspace_destroy(&pg->space);
	cv_destroy(&pg->unbusied);
	mtx_destroy(&pg->lock);
}

int64_t
pager_free(const struct pager *pg)
{
	return (int64_t)pg->budget - pg->resident - pg->loose;
}

/* ---- fork ---------------------------------------------------------------- */

void
pager_set_budget(struct pager *pg, const struct pager_params *p)
{
	mtx_assert(&pg->lock);
	take_shares(pg, p);
	if (pg->need_pageout != NULL)
		pg->need_pageout(pg->event_arg);
	pager_have_memory(pg);
}

void
pager_tidy(struct pager *pg)
{
	struct page *p;

	mtx_assert(&pg->lock);
	while ((p = pageq_first(&pg->pages, PQ_AHEAD)) != NULL)
		pager_ahead_gone(pg, p);
	/* Not all are: a fault of who forks goes on, and may have one in hand. */
	pager_sweep(pg);
}

int
pager_forked(struct pager *pg, const struct pager_params *p)
{
	mtx_init(&pg->lock, RANK_VM);
	cv_init(&pg->unbusied);
	pg->sleepers = 0;
	pg->need_pageout = pg->have_memory = NULL;
	pg->still = pg->grow = false;
	pg->moving = pg->careful = 0;
	pg->ctr = (struct pager_counters){.ram_peak = pg->resident};
	take_shares(pg, p);
	return frames_forked(&pg->frames, p->buffers);
}

/* ---- pages --------------------------------------------------------------- */

static void
note_peak(struct pager *pg)
{
	uint64_t used = (uint64_t)pg->resident + pg->loose;

	pg->ctr.ram_peak = US_MAX(pg->ctr.ram_peak, used);
	/* A budget that was lowered is passed until page-out is done. */
	if (used > pg->budget && pg->grow)
		pg->ctr.over_budget =
		    US_MAX(pg->ctr.over_budget, used - pg->budget);
}

void
pager_grow(struct pager *pg)
{
	pg->grow = true;
	note_peak(pg); /* the budget may have been passed before */
	pager_have_memory(pg);
}

struct page *
pager_page_new(struct pager *pg, struct object *o, pindex_t i)
{
	if (pager_free(pg) <= 0 && !pg->grow && !pg->still)
		return NULL;
	return pager_page_adopt(pg, o, i);
}

/*
 * A fault that finds no room in the tables waits until something is unmapped,
 * for ever perhaps; not in silence.
 */
static void
note_tables_full(struct pager *pg)
{
	char all[16];

	if (pg->said_tables)
		return;
	pg->said_tables = true;
	log_msg(LOG_ERROR,
	    "the pager's tables are full: memory was touched all over %s; "
	    "further accesses wait until some of it is unmapped",
	    size_text(
		all, ptoa((uint64_t)pg->objects.leaves.max * OBJECT_LEAF)));
}

struct page *
pager_page_adopt(struct pager *pg, struct object *o, pindex_t i)
{
	struct page *p;

	p = page_alloc(&pg->pages, o->id, i);
	if (p == NULL) {
		note_tables_full(pg);
		return NULL;
	}
	if (object_set_slot(&pg->objects, o, i, page_no(&pg->pages, p)) != 0) {
		page_free(&pg->pages, p);
		note_tables_full(pg);
		return NULL;
	}
	pg->resident++;
	o->resident++;
	o->pip++;
	note_peak(pg);
	if (pager_free(pg) < (int64_t)pg->free_low && !pg->grow &&
	    pg->need_pageout != NULL)
		pg->need_pageout(pg->event_arg);
	return p;
}

bool
pager_copies_begin(struct pager *pg, uint32_t n)
{
	/* None, as of what was read ahead, need nothing: not even balance. */
	if (n > 0 && pager_free(pg) < (int64_t)n && !pg->grow && !pg->still)
		return false;
	pg->loose += n;
	note_peak(pg);
	return true;
}

/* What is loose from now on is counted as it is found to be. */
void
pager_copies_end(struct pager *pg, uint32_t n)
{
	pg->loose -= n;
}

uint32_t
pager_page_gone(struct pager *pg, struct page *p, uint32_t slot)
{
	struct object *o = pager_object(pg, p);
	uint32_t frame = p->frame;
	pindex_t i = p->pindex;

	KASSERT((p->flags & PG_BUSY) && !(p->flags & PG_WRITING),
	    "page is not ours to end");
	(void)object_set_slot(&pg->objects, o, i, slot);
	if (frame != FRAME_NONE && frame_is_in(&pg->frames, frame)) {
		frames_free(&pg->frames, frame, 1);
		frame = FRAME_NONE;
	}
	if (frame != FRAME_NONE)
		pg->loose++;
	p->frame = FRAME_NONE;
	pager_unbusy(pg, p);
	p->flags |= PG_BUSY; /* for page_free; nobody can find it any more */
	page_free(&pg->pages, p);
	pg->resident--;
	o->resident--;
	return frame;
}

void
pager_ahead_gone(struct pager *pg, struct page *p)
{
	KASSERT(p->queue == PQ_AHEAD, "the page was asked for");
	page_dequeue(&pg->pages, p);
	pager_busy(pg, p);
	(void)pager_page_gone(pg, p, SLOT_NONE);
}

void
pager_wire(struct pager *pg, struct page *p)
{
	KASSERT(p->state == PS_ACTIVE && (p->flags & PG_BUSY) == 0,
	    "page is not there, or not ours");
	if (p->wired++ > 0)
		return;
	page_dequeue(&pg->pages, p);
	pg->wired++;
	/* It may be protected although it is not sealed any more: see pager_copy. */
	(void)pmap_unprotect(pg->pmap, pager_va(pg, p), 1);
	p->flags &= (uint8_t)~PG_SEALED;
}

void
pager_busy(struct pager *pg, struct page *p)
{
	KASSERT((p->flags & PG_BUSY) == 0, "page is busy already");
	if ((p->flags & PG_WRITING) == 0)
		pager_object(pg, p)->pip++;
	p->flags |= PG_BUSY;
}

void
pager_wake(struct pager *pg)
{
	if (pg->sleepers > 0)
		cv_broadcast(&pg->unbusied);
}

void
pager_unbusy(struct pager *pg, struct page *p)
{
	KASSERT(p->flags & PG_BUSY, "page is not busy");
	if ((p->flags & PG_WRITING) == 0)
		pager_object(pg, p)->pip--;
	if (p->flags & PG_WANTED)
		(void)pmap_wake(pg->pmap, pager_va(pg, p), 1);
	p->flags &= (uint8_t) ~(PG_BUSY | PG_WANTED);
	pager_wake(pg);
}

void
pager_set_writing(struct pager *pg, struct page *p, bool writing)
{
	KASSERT(writing == !(p->flags & PG_WRITING), "P5");
	if ((p->flags & PG_BUSY) == 0)
		pager_object(pg, p)->pip += writing ? 1 : -1;
	p->flags =
	    (uint8_t)(writing ? p->flags | PG_WRITING : p->flags & ~PG_WRITING);
	if (!writing)
		pager_wake(pg);
}

/* ---- loose frames -------------------------------------------------------- */

/* Bounded on the stack, too, which may be one of the program's. */
static void
give_memory_back(struct pager *pg, uint32_t *frames, uint32_t n)
{
	struct iovec runs[CLUSTER_MAX];
	uint32_t nruns = 0;

	KASSERT(n <= JUNK_MAX, "%u frames", n);
	sort_u32(frames, n);
	for (uint32_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n; run++)
			if (frames[i + run] != frames[i] + run)
				break;
		if (nruns == CLUSTER_MAX) {
			pmap_discard(pg->pmap, runs, nruns);
			nruns = 0;
		}
		runs[nruns++] = (struct iovec){
		    frame_addr(&pg->frames, frames[i]), ptoa(run)};
	}
	pmap_discard(pg->pmap, runs, nruns);
}

static void
free_frames(struct pager *pg, const uint32_t *frames, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		frames_free(&pg->frames, frames[i], 1);
	pg->loose -= n;
	pager_have_memory(pg);
}

/*
 * Who calls this relies on the lock, so a full list is emptied under it: a
 * thousand pages in one go, seldom.
 */
void
pager_junk(struct pager *pg, uint32_t frame)
{
	if (frame == FRAME_NONE)
		return;
	if (pg->njunk == JUNK_MAX) {
		give_memory_back(pg, pg->junk, JUNK_MAX);
		free_frames(pg, pg->junk, JUNK_MAX);
		pg->njunk = 0;
	}
	pg->junk[pg->njunk++] = frame;
}

void
pager_sweep(struct pager *pg)
{
	uint32_t frames[CLUSTER_MAX];

	while (pg->njunk > 0) {
		uint32_t n = US_MIN(pg->njunk, CLUSTER_MAX);

		pg->njunk -= n;
		for (uint32_t i = 0; i < n; i++)
			frames[i] = pg->junk[pg->njunk + i];
		pager_discard(pg, frames, n);
	}
}

void
pager_discard(struct pager *pg, uint32_t *frames, uint32_t n)
{
	if (n == 0)
		return;
	mtx_unlock(&pg->lock);
	give_memory_back(pg, frames, n);
	mtx_lock(&pg->lock);
	free_frames(pg, frames, n);
}

/* ---- waiting ------------------------------------------------------------- */

void
pager_sleep(struct pager *pg)
{
	if (pg->sleep != NULL) {
		pg->sleep(pg, pg->event_arg);
		return;
	}
	pg->sleepers++;
	cv_wait(&pg->unbusied, &pg->lock);
	pg->sleepers--;
}

void
pager_doze(struct pager *pg, unsigned ms)
{
	pg->sleepers++;
	(void)cv_timedwait(&pg->unbusied, &pg->lock, ms);
	pg->sleepers--;
}

bool
pager_in_progress(const struct pager *pg, const struct object *o,
    pindex_t first, pindex_t end)
{
	if (o->pip == 0)
		return false;
	for (pindex_t i = first; object_next(&pg->objects, o, i, end, &i);
	     i++) {
		uint32_t slot = object_slot(&pg->objects, o, i);

		if (slot_is_page(slot) && (page_of(&pg->pages, slot)->flags &
					      (PG_BUSY | PG_WRITING)) != 0)
			return true;
	}
	return false;
}

void
pager_settle(
    struct pager *pg, const struct object *o, pindex_t first, pindex_t end)
{
	while (pager_in_progress(pg, o, first, end))
		pager_sleep(pg);
}

void
pager_thaw(struct pager *pg, struct object *o)
{
	o->frozen = false;
	(void)pmap_wake(pg->pmap, o->base, o->npages);
	pager_wake(pg);
}

/* ---- verification -------------------------------------------------------- */

/*
 * With all objects checked: descriptors in use = resident pages of objects,
 * and blocks owned = blocks assigned or held for children, when no page-out is in flight.
 */
void
pager_check(struct pager *pg)
{
	uint64_t resident = 0, blocks = 0, pip = 0;
	uint64_t held = swspace_held(&pg->space);

	map_check(&pg->map);
	pages_check(&pg->pages);
	swspace_check(&pg->space);
	ghosts_check(&pg->ghosts);
	/* By number, not by entry: an object may have entries on both sides of
	 * another one's, mapped into its hole. */
	for (uint32_t i = 0; i < pg->objects.pool.fresh; i++) {
		const struct object *o = object_of(&pg->objects, i);

		if (o->root == NULL)
			continue;
		object_check(&pg->objects, &pg->pages, o);
		resident += o->resident;
		blocks += o->swmap.count;
		pip += o->pip;
	}
	KASSERT(resident == pg->resident && resident == pg->pages.pool.used,
	    "objects hold %ju pages, the pager counts %u", resident,
	    pg->resident);
	if (pip == 0)
		KASSERT(blocks + pg->moving + held == swspace_owned(&pg->space),
		    "blocks leaked: %ju assigned, %u moving, %ju held, %ju "
		    "owned",
		    blocks, pg->moving, held, swspace_owned(&pg->space));
}
