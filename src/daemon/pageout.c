/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/batch.h"
#include "daemon/pageout.h"

int
pageout_init(struct pageout *po, struct pager *pg, struct blkq *q)
{
	KASSERT(blkq_depth(q) >= PAGEOUT_IO, "queue too shallow");
	*po = (struct pageout){.pg = pg, .q = q, .async_max = PAGEOUT_IO};
	po->all = mem_map(PAGEOUT_IO * sizeof(struct pgio));
	po->batch = mem_map(sizeof(struct batch));
	po->copy = mem_map(ptoa(CLUSTER_MAX));
	if (po->all == NULL || po->batch == NULL || po->copy == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < PAGEOUT_IO; i++) {
		po->all[i].next = po->io;
		po->io = &po->all[i];
	}
	return 0;
}

static void
give_memory_back(struct pageout *po)
{
	mem_unmap(po->all, PAGEOUT_IO * sizeof(struct pgio));
	mem_unmap(po->batch, sizeof(struct batch));
	mem_unmap(po->copy, ptoa(CLUSTER_MAX));
}

void
pageout_destroy(struct pageout *po)
{
	blkq_destroy(po->q);
	give_memory_back(po);
}

void
pageout_forget(struct pageout *po)
{
	blkq_forget(po->q);
	give_memory_back(po);
	*po = (struct pageout){0};
}

/* ---- deactivate: out of the program -------------------------------------- */

/* Where streams are come back for, each queue loses as many as it has. */
static enum page_queue
by_length(struct pageout *po)
{
	const struct pageq *q = po->pg->pages.q;
	uint32_t all = q[PQ_ACTIVE].count + q[PQ_STREAM].count;

	po->due += q[PQ_STREAM].count;
	if (po->due < all)
		return PQ_ACTIVE;
	po->due %= all;
	return PQ_STREAM;
}

/*
 * Which queue's oldest pages leave: see STREAM_TURNS.  The last pages of
 * streams stay, for they may have been entered and not been read so far.
 */
static enum page_queue
victims(struct pageout *po, uint32_t want)
{
	struct pager *pg = po->pg;
	struct page *p;

	if (pg->pages.q[PQ_ACTIVE].count == 0)
		return PQ_STREAM;
	if (pg->pages.q[PQ_STREAM].count <= pg->inactive_goal)
		return PQ_ACTIVE;
	if (ghosts_worth(&pg->ghosts, true))
		return by_length(po);
	if (po->turn++ % STREAM_TURNS != 0)
		return PQ_STREAM;
	while (want-- > 0 && (p = pageq_first(&pg->pages, PQ_STREAM)) != NULL) {
		page_dequeue(&pg->pages, p);
		page_enqueue(&pg->pages, p, PQ_ACTIVE);
	}
	return PQ_ACTIVE;
}

static uint32_t
deactivate(struct pageout *po, uint32_t want)
{
	struct pager *pg = po->pg;
	struct page *p, *next;
	uint32_t looked = 0, gone;
	enum page_queue queue;

	po->batch->n = po->batch->sealed = 0;
	want = US_MIN(want, CLUSTER_MAX);
	queue = victims(po, want);
	p = pageq_first(&pg->pages, queue);
	for (; p != NULL && po->batch->n < want && looked < 2 * CLUSTER_MAX;
	     p = next, looked++) {
		next = pageq_next(&pg->pages, p);
		if ((p->flags & PG_WRITING) == 0)
			batch_add(po, p);
	}
	if (po->batch->n == 0)
		return 0;
	want = po->batch->n;
	gone = batch_deactivate(po, queue == PQ_STREAM ? PASSED : OLDEST);
	po->stayed = gone > 0 ? 0 : po->stayed + want;
	return gone;
}

/* ---- clean: what need not be written ------------------------------------- */

/* Lock held, and released meanwhile.  Returns how many pages are gone. */
static uint32_t
clean(struct pageout *po, uint32_t want)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	struct page *p;

	b->n = 0;
	want = US_MIN(want, CLUSTER_MAX);
	while (
	    b->n < want && (p = pageq_first(&pg->pages, PQ_INACTIVE)) != NULL)
		batch_add_inactive(po, p);
	return batch_clean(po, false);
}

/* ---- launder: write ------------------------------------------------------ */

static void
full_message(struct pageout *po, const char *what)
{
	char total[16];

	if (po->said_full)
		return;
	po->said_full = true;
	log_msg(LOG_ERROR, "swap space is full (%s): %s",
	    size_text(total, ptoa(po->pg->space.total)), what);
}

/*
 * Swap space is full, or absent.  Growing begins a little before it must, for
 * then nobody waits; stopping and killing, when the budget is really used.
 */
static void
space_is_full(struct pageout *po)
{
	struct pager *pg = po->pg;

	if (po->when_full == FULL_GROW) {
		pager_grow(pg);
		full_message(po,
		    "memory now grows beyond the budget; give the program more "
		    "with --swap SPEC");
		return;
	}
	if (pager_free(pg) > 0)
		return;
	if (po->when_full == FULL_STOP) {
		full_message(po,
		    "the program waits; it goes on when it has more, or frees "
		    "some");
		return;
	}
	full_message(
	    po, "the program ends here; give it more with --swap SPEC");
	(void)kill(getpid(), SIGKILL);
}

/*
 * Devices may hold pages for as long as they like: more of them registered with
 * io_uring than the budget has would be waited for until the program ends.
 */
static void
all_is_held(struct pageout *po)
{
	struct pager *pg = po->pg;
	uint32_t all =
	    pg->pages.q[PQ_ACTIVE].count + pg->pages.q[PQ_STREAM].count;

	if (pager_free(pg) > 0 || all == 0 || po->stayed < all)
		return;
	po->held = true;
	pager_grow(pg);
	log_msg(LOG_ERROR,
	    "no page can leave memory: devices or io_uring hold all %u; memory "
	    "grows beyond the budget until they let go",
	    all);
}

/* Lock held, and released meanwhile.  Returns how many writes were started. */
static uint32_t
launder(struct pageout *po)
{
	struct pager *pg = po->pg;
	uint32_t started = 0;

	while (po->io != NULL && blkq_inflight(po->q) < po->async_max &&
	       pg->pages.q[PQ_LAUNDRY].count > 0) {
		struct pgio *io = po->io;

		if (pager_putpages(pg, po->q, io) != PAGER_PEND) {
			if (pager_reclaim_blocks(pg, CLUSTER_MAX) > 0)
				continue;
			break;
		}
		po->io = io->next;
		po->writing += io->n;
		started++;
		mtx_unlock(&pg->lock);
		blkq_flush(po->q);
		pager_put_tags(pg, io, po->copy);
		mtx_lock(&pg->lock);
	}
	return started;
}

/* Lock not held. */
static bool
reap(struct pageout *po)
{
	struct pager *pg = po->pg;
	struct blkreq *req;
	bool any = false;

	while ((req = blkq_poll(po->q)) != NULL) {
		struct pgio *io = req->arg;
		uint32_t n;

		mtx_lock(&pg->lock);
		po->writing -= io->n;
		n = pager_put_done(pg, io, po->batch->loose);
		pager_discard(pg, po->batch->loose, n);
		mtx_unlock(&pg->lock);
		io->next = po->io;
		po->io = io;
		any = true;
	}
	return any;
}

/* ---- the step ------------------------------------------------------------ */

/*
 * How many pages must still be found, beyond those already on their way.  A
 * batch at least: a page takes one system call alone and a two hundred and
 * fiftieth part of one in company, and a program that takes pages as fast as
 * they are freed would otherwise keep us just below the upper mark, page by
 * page, for ever.
 *
 * While swap space is full the budget itself is the mark: keeping pages free
 * would take from the program, again and again, the few that can still leave.
 */
static int64_t
shortage(struct pageout *po)
{
	struct pager *pg = po->pg;
	int64_t nfree = pager_free(pg);
	int64_t low = pg->grow ? 0 : (int64_t)pg->free_low;
	int64_t high = pg->grow ? 0 : (int64_t)pg->free_high;
	int64_t batch = pg->grow ? 1 : US_MIN((int64_t)CLUSTER_MAX, low);
	int64_t want = high - nfree - po->writing;

	if (po->held && nfree >= 0)
		po->held = pg->grow = false;
	if (nfree < low)
		po->working = true;
	if (nfree >= high)
		po->working = false;
	if (pg->space.avail > swspace_hiwat(&pg->space))
		po->said_full = false;
	if (po->force)
		return CLUSTER_MAX;
	return po->working && want > 0 ? US_MAX(want, batch) : 0;
}

/* Faults will have to wait soon. */
static bool
is_short(const struct pageout *po)
{
	return pager_free(po->pg) < (int64_t)po->pg->free_low / 2;
}

/*
 * How many inactive pages may go: what is more than the goal, so that the others
 * have time to be touched; all, when few are free.
 */
static uint32_t
spare(const struct pageout *po)
{
	const struct pager *pg = po->pg;
	uint32_t n = pg->pages.q[PQ_INACTIVE].count;

	if (po->force || is_short(po))
		return n;
	return n > pg->inactive_goal ? n - pg->inactive_goal : 0;
}

/*
 * Lock held, and released meanwhile.  One batch through each stage.  Nothing
 * left, nothing started and nothing in flight means that swap space is full.
 */
static bool
make_free(struct pageout *po, uint32_t want)
{
	struct pager *pg = po->pg;
	uint32_t done = launder(po), inactive;
	/* What waits to be written is on its way, unless nothing can be. */
	bool enough =
	    blkq_inflight(po->q) > 0 && pg->pages.q[PQ_LAUNDRY].count >= want;

	inactive = pg->pages.q[PQ_INACTIVE].count;
	if (!enough && want > 0 && !po->force &&
	    inactive < pg->inactive_goal + want) {
		done += deactivate(po, pg->inactive_goal + want - inactive);
		want -= US_MIN(want, po->batch->sealed);
	}
	/* But who waits for memory need not wait for that. */
	if (enough && !is_short(po))
		want = 0;
	want = US_MIN(want, spare(po));
	if (want > 0)
		done += clean(po, want);
	done += launder(po);
	if (done > 0 || blkq_inflight(po->q) > 0)
		return done > 0;
	if (pg->grow)
		return false;
	if (pg->pages.q[PQ_LAUNDRY].count > 0)
		space_is_full(po);
	else
		all_is_held(po);
	return false;
}

bool
pageout_step(struct pageout *po)
{
	struct pager *pg = po->pg;
	bool any = reap(po);
	int64_t want;

	mtx_lock(&pg->lock);
	want = shortage(po);
	if (want > 0 && po->first_out != NULL) {
		mtx_unlock(&pg->lock);
		po->first_out(po->first_out_arg);
		po->first_out = NULL;
		mtx_lock(&pg->lock);
	}
	if (pg->njunk >= CLUSTER_MAX || (want > 0 && pg->njunk > 0)) {
		pager_sweep(pg);
		want = shortage(po);
	}
	if (want > 0 && make_free(po, (uint32_t)want))
		any = true;
	mtx_unlock(&pg->lock);
	return any;
}

bool
pageout_launder(struct pageout *po)
{
	bool any = reap(po);

	mtx_lock(&po->pg->lock);
	any |= launder(po) > 0;
	mtx_unlock(&po->pg->lock);
	return any;
}

void
pageout_drain(struct pageout *po)
{
	while (blkq_inflight(po->q) > 0)
		if (!reap(po))
			blkq_wait(po->q, -1);
}
