/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run: busy pages on their way into the program together.
 *
 * Locking: the pager's lock is held on entry and on return; run_enter and
 * run_zero release it meanwhile, which is safe because the pages are busy.
 */
#ifndef USWAP_RUN_H
#define USWAP_RUN_H

#include "daemon/handler.h"

/* Busy pages of an object: adjacent, or equal leaps apart. */
struct run {
	struct object *o;
	pindex_t first;
	uint32_t n;
	enum page_queue queue; /* where its pages go, once they are active */
	bool seal; /* they are what their blocks hold: PG_SEALED */
	struct page *page[CLUSTER_MAX];
	bool vanished[CLUSTER_MAX]; /* its range is not ours any more */
	uint8_t own[CLUSTER_MAX]; /* it was to be zeros, and was written to */
};

/*
 * Whether what is read may be entered sealed.  Not while swap space is short: its
 * blocks are given up then.
 */
static inline bool
run_may_seal(const struct pager *pg)
{
	return pg->pmap->seals && !pg->space.almost_full;
}

/* At most CLUSTER_MAX in all, by rising or falling index. */
void run_add(struct run *, struct page *);

/*
 * Copies the pages from their frames into the program and wakes who waits for
 * them; notes which have vanished.  Reads that were started are passed on first.
 */
void run_enter(struct handler *, struct run *);
/*
 * The same with zeros: write as in pmap_zero.  If not, notes whose page has become
 * its own.
 */
void run_zero(struct handler *, struct run *, bool write);
/*
 * The end of a run that was entered, zeroed with write, or seen to be in the
 * program: its pages are active and not busy any more, their frames given back.
 * Those that have vanished are gone.
 */
void run_entered(struct pager *, struct run *);

#endif
