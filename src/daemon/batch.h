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

/* As many as one write can take. */
struct batch {
	uint32_t n;
	uint32_t sealed; /* how many batch_deactivate dropped where they were */
	struct keyed order[CLUSTER_MAX]; /* by object and index -> page */
	uint32_t frame[CLUSTER_MAX]; /* where each goes, or lies */
	struct iovec
	    run[CLUSTER_MAX]; /* of frames, or of the program's pages */
	uint8_t fate[CLUSTER_MAX];
	uint64_t tag[CLUSTER_MAX];
	bool has_block[CLUSTER_MAX];
	uint32_t loose[CLUSTER_MAX];
};

/* Takes a page off its queue and makes it busy. */
void batch_add(struct pageout *, struct page *);
/* Why pages leave, and whether somebody may come back for them. */
enum parting {
	FOR_GOOD, /* it was asked for */
	OLDEST, /* of the active ones */
	PASSED, /* by a stream */
};
/*
 * Takes pages of the batch, which are active, out of the program; some may have
 * to stay.  Those that are sealed are dropped, unless a second chance is worth it for
 * such pages (ghosts.h).  Returns with how many there was progress.  The lock is
 * released meanwhile.
 */
uint32_t batch_deactivate(struct pageout *, enum parting);
/* Adds a page, as batch_add does, of those that are inactive. */
void batch_add_inactive(struct pageout *, struct page *);
/*
 * Looks at the pages of the batch, which are inactive: what is all zeros, or the
 * same as its block, is gone, or (keep) stays as PG_CLEAN, the rest goes to the
 * laundry.  Returns how many are gone.  The lock is released meanwhile.
 */
uint32_t batch_clean(struct pageout *, bool keep);

#endif
