/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist: finding, taking and giving back runs of blocks.
 *
 * Layout.  Level 0 is a bitmap in words of 64 bits, a one for a free block.
 * Above it stand up to five levels of nodes with 64 children each, in one
 * array a level: the children of node i are items 64i..64i+63 of the level
 * below, so there are no pointers and "the next child" is the next item.  A
 * node of level 1 covers 4096 blocks, one of level 2 256 Ki blocks, and so on
 * up to a single root.
 *
 * Summaries.  Of each child a node knows whether it has any free block and
 * whether it is free throughout, as two words to be searched with ctz and
 * clz.  Of itself it keeps, exactly, how many free blocks in a row it begins
 * and ends with.  A search walks the children from left to right carrying the
 * length of the run that ends where it stands; carried run plus the next
 * child's beginning is a run that crosses the boundary, whichever level's
 * boundary that is.  So no run is missed for where it lies.
 *
 * Hints.  `hint` is an upper bound of the longest run that lies inside the
 * node.  A search for more does not enter.  To keep it exact, each allocation
 * would have to look at all 64 children on each level; instead an allocation
 * leaves it alone (taking blocks makes no run longer), and a search that went
 * through the whole node in vain lowers it to what it has seen.  So each
 * disappointment is paid for once.  Freeing does raise it: the run that the
 * freed blocks are now part of is followed, level by level, as far as the
 * node reaches.  That is where a bound that is too low, and with it blocks
 * that nobody finds, could come from; blist_check compares with the truth.
 *
 * Cost.  Allocating and freeing touch one node a level, plus the searched
 * children of one node a level, at most 64 each; that is six levels for
 * 16 TiB.  Recursion is as deep as the tree.  A call over n blocks in a row
 * needs n/64 steps more.
 *
 * Memory.  One bit for each block and 32 bytes for each 4096: 1.064 bits a
 * block.  The tree is complete from the start and has nothing to add when it
 * changes, so no memory is taken later, and giving back swap space, which
 * has to succeed when memory is short, cannot fail.
 *
 * What it can not do.  It does not know who owns a block, so freeing someone
 * else's is not noticed, only freeing a free one.  It finds the next run that
 * is long enough, not the one that fits best.  It does not shrink: a nearly
 * empty list costs the same as a full one.
 *
 * Invariants (blist_check)
 *  1. Bits beyond the last block are zero.
 *  2. avail is the number of ones in the bitmap.
 *  3. any has the children with a free block, all those with no other.
 *  4. pre and suf are the free blocks in a row at the ends of the node.
 *  5. hint is at least the longest run in the node, and 0 if there is none.
 *  6. The cursor is a block of the list.
 */
#include "base/blist_tree.h"

/* Ones where a run of n ones (1..64) of w begins. */
static uint64_t
run_starts(uint64_t w, unsigned n)
{
	unsigned have = 1, step;

	/* A one in w says: a run of `have` begins here. */
	while (have < n) {
		step = US_MIN(have, n - have);
		w &= w >> step;
		have += step;
	}
	return w;
}

/* The longest run in w if it is longer than best, else best. */
static uint32_t
word_best(uint64_t w, uint32_t best)
{
	uint64_t x;

	if (best >= RADIX)
		return best;
	for (x = run_starts(w, best + 1); x != 0 && best < RADIX;
	     x &= w >> best)
		best++;
	return best;
}

static bool search(
    struct blist *, unsigned, uint32_t, uint64_t, uint32_t, uint64_t *);

/*
 * Looks inside child c of a node, from block `off` of the child on.  Sets
 * *best to at least the longest run in it if there is no run of `count`.
 */
static bool
search_child(struct blist *bl, unsigned lvl, uint32_t c, uint64_t off,
    uint32_t count, uint32_t *best, uint64_t *ret)
{
	uint64_t w, x;

	if (lvl > 0) {
		if (bl->node[lvl][c].hint >= count &&
		    search(bl, lvl, c, off, count, ret))
			return true;
		*best = US_MAX(*best, bl->node[lvl][c].hint);
		return false;
	}
	w = bl->word[c] & bits_from((unsigned)off);
	x = count <= RADIX ? run_starts(w, count) : 0;
	if (x != 0) {
		*ret = (uint64_t)c * RADIX + (unsigned)__builtin_ctzll(x);
		return true;
	}
	*best = word_best(w, *best);
	return false;
}

/*
 * search(bl, lvl, i, off, count, &blk): the first run of `count` blocks inside
 * node i, at or after its block `off`.  A search of the whole node that finds
 * nothing leaves the hint below `count`.
 *
 * `run` free blocks end where child k begins.
 */
static bool
search(struct blist *bl, unsigned lvl, uint32_t i, uint64_t off, uint32_t count,
    uint64_t *ret)
{
	struct node *n = &bl->node[lvl][i];
	const unsigned cshift = level_shift(lvl - 1);
	const uint64_t csize = UINT64_C(1) << cshift;
	const bool whole = off == 0;
	unsigned k = (unsigned)(off >> cshift), next;
	uint32_t c, best = 0;
	uint64_t run = 0, left;
	struct ends e;

	off &= csize - 1; /* from here on, of the first child only */
	for (; k < RADIX && (left = n->any & bits_from(k)) != 0; k++) {
		next = (unsigned)__builtin_ctzll(left);
		if (next != k) {
			k = next;
			run = off = 0;
		}
		c = i * RADIX + k;
		e = ends_of(bl, lvl - 1, c);
		if (off == 0) {
			if (run + e.pre >= count) {
				*ret = ((uint64_t)c << cshift) - run;
				return true;
			}
			best = US_MAX(best, (uint32_t)run + e.pre);
		}
		if (e.all) {
			run += csize - off;
			if (run >= count) {
				*ret = ((uint64_t)c << cshift) + off;
				return true;
			}
		} else {
			if (search_child(
				bl, lvl - 1, c, off, count, &best, ret))
				return true;
			run = US_MIN(e.suf, csize - off);
		}
		best = US_MAX(best, (uint32_t)run);
		off = 0;
	}
	if (whole)
		n->hint = best;
	return false;
}

/* The bits of word i that lie in [lo, hi). */
static uint64_t
word_mask(uint32_t i, uint64_t lo, uint64_t hi)
{
	const uint64_t base = (uint64_t)i * RADIX;
	uint64_t mask = ~UINT64_C(0);

	if (lo > base)
		mask &= bits_from((unsigned)(lo - base));
	if (hi < base + RADIX)
		mask &= bits_below((unsigned)(hi - base));
	return mask;
}

static struct span
span_of(const struct blist *bl, uint32_t blk, uint32_t count)
{
	KASSERT(count > 0 && blk < bl->nblocks && count <= bl->nblocks - blk,
	    "%u blocks at %u of %u", count, blk, bl->nblocks);
	return (struct span){blk, (uint64_t)blk + count};
}

uint32_t
blist_fill(struct blist *bl, uint32_t blk, uint32_t count)
{
	struct span s = span_of(bl, blk, count);
	uint32_t i, taken = 0;
	uint64_t mask;

	for (i = blk / RADIX; i <= (s.hi - 1) / RADIX; i++) {
		mask = word_mask(i, s.lo, s.hi) & bl->word[i];
		taken += (uint32_t)__builtin_popcountll(mask);
		bl->word[i] &= ~mask;
	}
	if (taken > 0)
		blist_propagate(bl, s, false);
	bl->avail -= taken;
	return taken;
}

void
blist_free(struct blist *bl, uint32_t blk, uint32_t count)
{
	struct span s = span_of(bl, blk, count);
	uint64_t mask;
	uint32_t i;

	for (i = blk / RADIX; i <= (s.hi - 1) / RADIX; i++) {
		mask = word_mask(i, s.lo, s.hi);
		KASSERT((bl->word[i] & mask) == 0,
		    "freeing %u blocks at %u: some are free", count, blk);
		bl->word[i] |= mask;
	}
	blist_propagate(bl, s, true);
	bl->avail += count;
}

/* How many blocks from blk on are free, up to max; looks at max/64 words. */
static uint32_t
run_length(const struct blist *bl, uint32_t blk, uint32_t max)
{
	uint32_t n = 0, bit, i;
	uint64_t used;

	for (i = blk / RADIX, bit = blk % RADIX; i < bl->nwords && n < max;
	     i++, bit = 0) {
		used = ~bl->word[i] & bits_from(bit);
		if (used != 0) {
			n += (uint32_t)__builtin_ctzll(used) - bit;
			break;
		}
		n += RADIX - bit;
	}
	return US_MIN(n, max);
}

/*
 * A run that begins before the cursor is taken from the cursor on if what is
 * left of it is long enough.  When nothing is found there, the search from the
 * beginning sees everything once more: by now most hints say no, and the ones
 * on the cursor's path, which were seen in part only, get their correction.
 */
uint32_t
blist_alloc(struct blist *bl, uint32_t *count, uint32_t maxcount)
{
	const struct node *root = &bl->node[bl->levels][0];
	uint32_t blk, n, taken;
	uint64_t found;

	KASSERT(*count > 0 && *count <= maxcount, "%u to %u blocks", *count,
	    maxcount);
	if (root->hint < *count)
		return BLIST_NONE;
	if (!search(bl, bl->levels, 0, bl->cursor, *count, &found) &&
	    (bl->cursor == 0 || !search(bl, bl->levels, 0, 0, *count, &found)))
		return BLIST_NONE;
	blk = (uint32_t)found;
	n = run_length(bl, blk, maxcount);
	taken = blist_fill(bl, blk, n);
	KASSERT(
	    taken == n, "found %u free blocks at %u, got %u", n, blk, taken);
	bl->cursor = blk + n < bl->nblocks ? blk + n : 0;
	*count = n;
	return blk;
}

uint32_t
blist_used(const struct blist *bl, uint32_t blk, uint32_t *count)
{
	uint32_t i = blk, n;
	uint64_t left;

	while (i < bl->nblocks) {
		left = ~bl->word[i / RADIX] & bits_from(i % RADIX);
		if (left != 0)
			break;
		i = (i / RADIX + 1) * RADIX;
	}
	if (i < bl->nblocks)
		i = i / RADIX * RADIX + (uint32_t)__builtin_ctzll(left);
	if (i >= bl->nblocks) /* bits beyond the end are in use, too */
		return BLIST_NONE;
	for (n = i; n < bl->nblocks; n = (n / RADIX + 1) * RADIX) {
		left = bl->word[n / RADIX] & bits_from(n % RADIX);
		if (left != 0) {
			n = n / RADIX * RADIX + (uint32_t)__builtin_ctzll(left);
			break;
		}
	}
	*count = US_MIN(n, bl->nblocks) - i;
	return i;
}
