/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist_tree: the inside of blist, shared by blist.c (allocating, freeing)
 * and blist_tree.c (making, resizing, checking).  Nobody else includes it.
 * The prose about how it works is at the top of blist.c.
 */
#ifndef USWAP_BLIST_TREE_H
#define USWAP_BLIST_TREE_H

#include "base/base.h"
#include "base/blist.h"

#define RADIX_SHIFT 6
#define RADIX       64u
/* 64^5 words of 64 blocks: more than 32 bits can number. */
#define BLIST_LEVELS 5

/*
 * A node has RADIX children: words on level 1, else nodes of the level below.
 * Bits and children that would lie beyond the list count as in use.
 */
struct node {
	uint64_t any; /* child k has a free block */
	uint64_t all; /* child k has nothing but free blocks */
	uint32_t pre; /* free blocks in a row at its beginning */
	uint32_t suf; /* and at its end */
	uint32_t hint; /* no run inside is longer */
};

struct blist {
	uint32_t nblocks; /* constant after blist_create */
	uint32_t nwords; /* constant */
	unsigned levels; /* constant; node[levels] is the root, alone */
	size_t bytes; /* constant: the size of the mapping */
	uint32_t avail; /* free blocks */
	uint32_t cursor; /* where the next search starts */
	uint64_t *word; /* level 0: one bit for each block, 1 = free */
	struct node *node[BLIST_LEVELS + 1]; /* [0] is not used */
	uint32_t nnodes[BLIST_LEVELS + 1]; /* [0] is nwords */
};

/* A stretch of blocks [lo, hi). */
struct span {
	uint64_t lo;
	uint64_t hi;
};

/* What a parent must know of one child, a word or a node. */
struct ends {
	uint32_t pre;
	uint32_t suf;
	bool any;
	bool all;
};

/* log2 of the blocks under one item of this level: 6 for a word. */
static inline unsigned
level_shift(unsigned lvl)
{
	return RADIX_SHIFT * (lvl + 1);
}

/* The bits at and above n, and those below n, for n < 64. */
static inline uint64_t
bits_from(unsigned n)
{
	return ~UINT64_C(0) << n;
}
static inline uint64_t
bits_below(unsigned n)
{
	return ~bits_from(n);
}

/* Ones in a row at the low and at the high end of w, which is not all ones. */
static inline unsigned
ones_low(uint64_t w)
{
	return (unsigned)__builtin_ctzll(~w);
}
static inline unsigned
ones_high(uint64_t w)
{
	return (unsigned)__builtin_clzll(~w);
}

static inline struct ends
word_ends(uint64_t w)
{
	if (w == ~UINT64_C(0))
		return (struct ends){RADIX, RADIX, true, true};
	return (struct ends){ones_low(w), ones_high(w), w != 0, false};
}

static inline struct ends
node_ends(const struct node *n)
{
	return (struct ends){
	    n->pre, n->suf, n->any != 0, n->all == ~UINT64_C(0)};
}

static inline struct ends
ends_of(const struct blist *bl, unsigned lvl, uint32_t i)
{
	if (lvl == 0)
		return word_ends(bl->word[i]);
	return node_ends(&bl->node[lvl][i]);
}

/* The nodes above s follow its words, which came free or were taken. */
void blist_propagate(struct blist *, struct span s, bool freed);

#endif
