/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pageout: makes free pages before they are needed.
 *
 *	active ──deactivate──▶ inactive ──clean──▶ dropped: unchanged, or zeros
 *	            │             │
 *	            │             └─▶ laundry ──launder──▶ written, then gone
 *	            └─▶ dropped: sealed
 *
 * It starts when fewer than free_low pages are free and goes on until there
 * are free_high.  The oldest active pages are taken out of the program, and
 * so become soft faults if they are used; those that are not have their
 * contents compared with what swap space holds, and are dropped or written.
 * Those that entered write-protected and still are need nothing of that.
 *
 * What a stream has read and left behind goes before what is older: see
 * STREAM_TURNS.  Where such pages are come back for, and where pages that were only read
 * are, they leave like any others: see ghosts.h.
 */
#ifndef USWAP_PAGEOUT_H
#define USWAP_PAGEOUT_H

#include "pager/pager.h"

/* Writes in flight at once, at most, of up to 1 MiB each. */
#define PAGEOUT_IO 8

/*
 * A program that reads more memory than it has in order, over and over, finds
 * nothing of it if the oldest pages leave first, and a scan flushes what other
 * threads use.  So pages that a stream has left behind leave first, but once
 * in so many batches the oldest active pages do, and as many stream pages
 * become active: what is used from now on gets room in the end, whatever was
 * here before.
 */
#define STREAM_TURNS 32

/* What happens when the budget is used and swap space is full. */
enum when_full {
	FULL_GROW, /* the budget is exceeded, until there is space */
	FULL_STOP, /* faults wait until there is */
	FULL_KILL, /* the process ends by SIGKILL */
};

/* The page-out thread's own. */
struct pageout {
	struct pager *pg;
	struct blkq *q; /* depth >= PAGEOUT_IO */
	struct pgio *io; /* free requests */
	struct pgio *all;
	struct batch *batch; /* pages being worked on */
	char *copy; /* CLUSTER_MAX pages: what they hold */
	uint32_t async_max; /* pager's lock: writes in flight, 1..PAGEOUT_IO */
	uint32_t writing; /* pages in writes in flight */
	uint32_t turn; /* batches deactivated while a stream left pages */
	uint32_t due; /* by_length: what is not a batch of streams' so far */
	bool working; /* between the water marks */
	bool force; /* see pageout_piece */
	/* Called once, without the lock, before the first page leaves. */
	void (*first_out)(void *arg);
	void *first_out_arg;
	enum when_full when_full; /* constant once pages are managed */
	bool said_full; /* the message about full swap space */
	uint32_t stayed; /* pages that would not leave, since one did */
	bool held; /* all would not: the budget is exceeded until one does */
};

/* q was created by the thread that will call pageout_step.  0 or -ENOMEM. */
int pageout_init(struct pageout *, struct pager *, struct blkq *q);
/* Nothing in flight.  The queue is destroyed too. */
void pageout_destroy(struct pageout *);

/*
 * One bounded piece of work: completions, then a batch of each stage.
 * Returns whether anything was done; if not, there is nothing to do before
 * the next event.  Lock not held.
 */
bool pageout_step(struct pageout *);

/* Waits until nothing is in flight; starts nothing.  Lock not held. */
void pageout_drain(struct pageout *);
/* In the forked child of a drained one: gives the memory back. */
void pageout_forget(struct pageout *);

/*
 * Completions, then writes of what is in the laundry, whether pages are short
 * or not: as many as may be in flight.  Returns whether anything was done.
 * Lock not held.
 */
bool pageout_launder(struct pageout *);

/*
 * Takes what is mapped and not wired of [start, end), a range of addresses, out
 * of the program, and writes it; returns when all that can be done is done.  The
 * map must not change meanwhile.  It sleeps for transfers.  Lock not held.
 */
void pageout_range(struct pageout *, uintptr_t start, uintptr_t end);
/*
 * One batch of it: pages of [first, end) leave as if they were the oldest.
 * Returns where to go on.  With `force` set, pageout_step then works until
 * nothing is left on the inactive and laundry queues, or nothing more can be
 * done.  Lock not held.
 */
pindex_t pageout_piece(
    struct pageout *, struct object *, pindex_t first, pindex_t end);

#endif
