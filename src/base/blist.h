/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist: a radix bitmap of blocks, for allocating runs of them.
 *
 * Usage
 *	struct blist *bl = blist_create(nblocks);	all blocks in use
 *	blist_free(bl, 2, nblocks - 2);			offer these
 *	uint32_t n = 1;
 *	uint32_t blk = blist_alloc(bl, &n, 256);	1 to 256 blocks
 *	blist_free(bl, blk, n);
 *	blist_destroy(bl);
 *
 * Notes
 *	- A new list is fully allocated: free what you want to offer.
 *	- All memory is taken by blist_create and blist_resize; the other calls
 *	  neither allocate nor sleep.
 *	- An allocation fails only if no run of the least length exists
 *	  anywhere: runs may cross every boundary of the tree.
 *	- Next fit: the search starts where the last allocation ended, so a
 *	  list that fills is filled in order.  It wraps once.
 *	- Not locked: the owner serialises.
 */
#ifndef USWAP_BLIST_H
#define USWAP_BLIST_H

#include <stdbool.h>
#include <stdint.h>

#define BLIST_NONE UINT32_MAX

struct blist;

/* nblocks in 1..2^32-2.  NULL when memory is refused. */
struct blist *blist_create(uint32_t nblocks);
void blist_destroy(struct blist *); /* NULL is fine */

/*
 * blist_alloc(bl, &count, maxcount): takes a run of at least count and at
 * most maxcount blocks, the first run of at least count at or after the
 * cursor (wrapping), as long as it goes up to maxcount.  Returns its first
 * block and sets count to its length; BLIST_NONE, count unchanged, when no
 * run of count blocks is free.  1 <= count <= maxcount.
 */
uint32_t blist_alloc(struct blist *, uint32_t *count, uint32_t maxcount);

/* Gives blocks back.  Freeing a free block is a programmer's error. */
void blist_free(struct blist *, uint32_t blk, uint32_t count);

/* Takes any range whatever its state; returns how many of it were free. */
uint32_t blist_fill(struct blist *, uint32_t blk, uint32_t count);

/*
 * blist_resize(&bl, nblocks, freenew): keeps the state of the blocks that
 * remain; new ones are free if freenew, else in use.  0 or -ENOMEM (bl as
 * it was).
 */
int blist_resize(struct blist **, uint32_t nblocks, bool freenew);

uint32_t blist_avail(const struct blist *); /* free blocks */
uint32_t blist_blocks(const struct blist *); /* all blocks */
bool blist_isfree(const struct blist *, uint32_t blk);
/*
 * The first block in use from blk (<= all blocks) on, and in *count how many
 * are in a row; BLIST_NONE when there is none.
 */
uint32_t blist_used(const struct blist *, uint32_t blk, uint32_t *count);

/* Verifies the invariants numbered in blist.c over the whole tree. */
void blist_check(const struct blist *);

#endif
