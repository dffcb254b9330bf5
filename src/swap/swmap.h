/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swmap: which swap block holds which page of an object.
 *
 * A two-level table: a root of leaf references, one for each window of
 * SWMAP_LEAF pages, and leaves taken from a shared pool while any page of
 * the window has a block.  Dense, a page costs 4 bytes and an eighth; an
 * empty window costs an untouched root entry, that is, nothing.
 *
 * The map stores assignments and counts them; it does not own the blocks:
 * who clears an assignment gets the block back and frees it.
 *
 * Context: serialised by the pager's lock.  swmap_set may need a leaf; the
 * pool keeps spare ones touched, so that paging out does not need memory.
 */
#ifndef USWAP_SWMAP_H
#define USWAP_SWMAP_H

#include "base/base.h"
#include "base/mem.h"
#include "swap/swblk.h"

#define SWMAP_LEAF 64 /* pages per window */

struct swmap_leaf {
	swblk_t blk[SWMAP_LEAF];
};

struct swmap {
	struct pool *leaves; /* shared; serialised by the same lock */
	struct swmap_root *root; /* one for each window */
	pindex_t npages;
	uint64_t count; /* assignments */
};

/* The shared pool: max leaves of address space.  0 or -ENOMEM. */
int swmap_pool_init(struct pool *, uint32_t max_leaves);

/* 0 or -ENOMEM. */
int swmap_init(struct swmap *, struct pool *leaves, pindex_t npages);
/* Every assignment must have been cleared. */
void swmap_destroy(struct swmap *);
/* Changes the size; pages cut off must have no blocks.  0 or -ENOMEM. */
int swmap_resize(struct swmap *, pindex_t npages);

swblk_t swmap_get(const struct swmap *, pindex_t);
/*
 * Assigns blk (valid) and returns what was assigned before, or SWBLK_NONE.
 * *ret_err is 0, or -ENOMEM and nothing changed.
 */
swblk_t swmap_set(struct swmap *, pindex_t, swblk_t blk, int *ret_err);
/* Clears the assignment and returns it. */
swblk_t swmap_clear(struct swmap *, pindex_t);

/*
 * The first page at or after `from` and before `end` (which may lie beyond the
 * object) that has a block; false when there is none.  Skips empty windows at a
 * root entry each.
 */
bool swmap_next(
    const struct swmap *, pindex_t from, pindex_t end, pindex_t *ret);

/*
 * How many neighbours of a page with a block are contiguous with it in the
 * object and in swap, at most maxb before and maxa after.
 */
void swmap_extent(const struct swmap *, pindex_t, uint32_t maxb, uint32_t maxa,
    uint32_t *before, uint32_t *after);

/* Counts everything again: leaf counts, the total, no empty leaf kept. */
void swmap_check(const struct swmap *);

#endif
