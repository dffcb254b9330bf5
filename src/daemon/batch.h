/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch: the pages that page-out works on together.  pageout.c,
 * pageout_range.c and clone.c fill it; nobody else includes this.
 *
 * Context: the page-out thread, with the lock held.
 */
#ifndef USWAP_BATCH_H
#define USWAP_BATCH_H

#include "base/sort.h"
#include "daemon/pageout.h"

/* What becomes of a page of a batch. */
enum fate { STAYS, MOVED, COPIED, VANISHED, ZERO, CLEAN, DIRTY };

/* As many as one write can take. */
struct batch {
	uint32_t n;
	struct keyed order[CLUSTER_MAX]; /* by object and index -> page */
	uint32_t frame[CLUSTER_MAX]; /* where each goes, or lies */
	struct iovec run[CLUSTER_MAX]; /* of frames */
	uint8_t fate[CLUSTER_MAX]; /* enum fate */
	uint64_t tag[CLUSTER_MAX];
	/* One that holds what it held; of active pages: they may be dropped, too. */
	bool has_block[CLUSTER_MAX];
	uint32_t loose[CLUSTER_MAX];
};

static inline struct page *
batch_page(const struct pageout *po, uint32_t i)
{
	return page_of(&po->pg->pages, po->batch->order[i].value);
}

/* Takes a page off its queue and makes it busy. */
void batch_add(struct pageout *, struct page *);
/*
 * Takes pages of the batch, which are active, out of the program; some may have
 * to stay.  Of those that are sealed nothing is kept but what their blocks hold,
 * unless keep.  Returns with how many there was progress.  The lock is released
 * meanwhile.
 */
uint32_t batch_deactivate(struct pageout *, bool keep);
/* The same of an inactive page. */
void batch_add_inactive(struct pageout *, struct page *);
/*
 * Looks at the pages of the batch, which are inactive: what is all zeros, or the
 * same as its block, is gone, or (keep) stays as PG_CLEAN, the rest goes to the
 * laundry.  Returns how many are gone.  The lock is released meanwhile.
 */
uint32_t batch_clean(struct pageout *, bool keep);

/* ---- batch_sealed.c ------------------------------------------------------ */

/* Whether the page's block holds what was read from it. */
bool batch_may_drop(const struct pager *, const struct page *);
/* Whether there are any in the batch; has_block says which. */
bool batch_mark_sealed(struct pageout *);
/*
 * Those that are marked are dropped at once; the others stay in the batch, and none
 * is marked then.  Returns how many are gone.  The lock is released meanwhile.
 */
uint32_t batch_drop_sealed(struct pageout *);
/*
 * Unmarks those that cannot go to their frames for want of memory: for a moment the
 * others have two places.  Returns how many; to be given to batch_shelve_end.
 */
uint32_t batch_shelve_begin(struct pageout *);
void batch_shelve_end(struct pageout *, uint32_t);
/*
 * Copies up to n adjacent marked pages from i on to their frames: how many.  The one
 * that was not copied is unmarked.  The lock is not held.
 */
uint32_t batch_shelve(struct pageout *, uint32_t i, uint32_t n);
/* Drops what was copied; what was written to meanwhile stays.  Lock not held. */
void batch_drop_shelved(struct pageout *);

#endif
