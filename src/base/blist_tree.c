/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist_tree: the memory and the shape of a blist, and whether it is sound.
 * How it works is told at the top of blist.c.
 */
#include <errno.h>
#include <string.h>

#include "base/blist_tree.h"
#include "base/mem.h"

/*
 * Takes the memory of all levels in one mapping: the header, the nodes from
 * level 1 up, the words.  Each page is touched here, so that no later call
 * has to wait for memory.
 */
struct blist *
blist_create(uint32_t nblocks)
{
	struct blist geo, *bl;
	size_t off, bytes;
	unsigned lvl = 0;

	KASSERT(nblocks > 0 && nblocks < BLIST_NONE, "a list of %u blocks",
	    nblocks);
	memset(&geo, 0, sizeof(geo));
	geo.nblocks = nblocks;
	geo.nwords = geo.nnodes[0] =
	    (uint32_t)howmany((uint64_t)nblocks, RADIX);
	bytes = sizeof(geo);
	do {
		lvl++;
		KASSERT(lvl <= BLIST_LEVELS, "a tree of %u levels", lvl);
		geo.nnodes[lvl] = howmany(geo.nnodes[lvl - 1], RADIX);
		bytes += geo.nnodes[lvl] * sizeof(struct node);
	} while (geo.nnodes[lvl] > 1);
	geo.levels = lvl;
	geo.bytes = bytes + geo.nwords * sizeof(uint64_t);

	bl = mem_map(geo.bytes);
	if (bl == NULL)
		return NULL;
	for (off = 0; off < geo.bytes; off += PAGE_SIZE)
		((volatile char *)bl)[off] = 0;
	*bl = geo;
	off = sizeof(geo);
	for (lvl = 1; lvl <= bl->levels; lvl++) {
		bl->node[lvl] = (struct node *)(void *)((char *)bl + off);
		off += bl->nnodes[lvl] * sizeof(struct node);
	}
	bl->word = (uint64_t *)(void *)((char *)bl + off);
	return bl;
}

void
blist_destroy(struct blist *bl)
{
	if (bl != NULL)
		mem_unmap(bl, bl->bytes);
}

/*
 * any, all, pre and suf follow exactly from the children.  The hint does not:
 * the caller raises it when blocks came free; here it only falls to 0 when
 * nothing is left, so that an empty subtree is never entered.
 */
static void
node_refresh(
    struct blist *bl, unsigned lvl, uint32_t i, uint32_t first, uint32_t last)
{
	struct node *n = &bl->node[lvl][i];
	unsigned k, cshift = level_shift(lvl - 1);
	struct ends e;
	uint64_t bit;
	uint32_t c;

	for (c = first; c <= last; c++) {
		e = ends_of(bl, lvl - 1, c);
		bit = UINT64_C(1) << (c % RADIX);
		n->any = e.any ? n->any | bit : n->any & ~bit;
		n->all = e.all ? n->all | bit : n->all & ~bit;
	}
	if (n->all == ~UINT64_C(0)) {
		n->pre = n->suf = (uint32_t)1 << (cshift + RADIX_SHIFT);
		return;
	}
	/* Whole children, then as far as the first that is not goes along. */
	k = ones_low(n->all);
	n->pre = (uint32_t)k << cshift;
	if (n->any >> k & 1)
		n->pre += ends_of(bl, lvl - 1, i * RADIX + k).pre;
	k = ones_high(n->all);
	n->suf = (uint32_t)k << cshift;
	k = RADIX - 1 - k;
	if (n->any >> k & 1)
		n->suf += ends_of(bl, lvl - 1, i * RADIX + k).suf;
	if (n->any == 0)
		n->hint = 0;
}

/*
 * Grows a free run to the left, inside node i: where it begins at a child's
 * boundary it goes on through children that are free throughout and into the
 * end of the one before them.
 */
static uint64_t
grow_left(const struct blist *bl, unsigned lvl, uint32_t i, uint64_t lo)
{
	const unsigned cshift = level_shift(lvl - 1);
	const uint64_t base = (uint64_t)i << level_shift(lvl);
	uint64_t stop;
	unsigned k;

	if ((lo & ((UINT64_C(1) << cshift) - 1)) != 0)
		return lo;
	k = (unsigned)((lo - base) >> cshift);
	stop = ~bl->node[lvl][i].all & bits_below(k);
	if (stop == 0)
		return base;
	k = RADIX - 1 - (unsigned)__builtin_clzll(stop);
	return base + ((uint64_t)(k + 1) << cshift) -
	       ends_of(bl, lvl - 1, i * RADIX + k).suf;
}

/* The same to the right; hi is the first block after the run. */
static uint64_t
grow_right(const struct blist *bl, unsigned lvl, uint32_t i, uint64_t hi)
{
	const unsigned cshift = level_shift(lvl - 1);
	const uint64_t base = (uint64_t)i << level_shift(lvl);
	const uint64_t end = base + (UINT64_C(1) << level_shift(lvl));
	uint64_t stop;
	uint32_t c;
	unsigned k;

	if ((hi & ((UINT64_C(1) << cshift) - 1)) != 0 || hi == end)
		return hi;
	k = (unsigned)((hi - base) >> cshift);
	stop = ~bl->node[lvl][i].all & bits_from(k);
	if (stop == 0)
		return end;
	k = (unsigned)__builtin_ctzll(stop);
	c = i * RADIX + k;
	hi = base + ((uint64_t)k << cshift);
	/* Beyond the list there is no child to ask. */
	return c < bl->nnodes[lvl - 1] ? hi + ends_of(bl, lvl - 1, c).pre : hi;
}

/* The run of free blocks around s, as far as its outer words go. */
static struct span
grow_in_words(const struct blist *bl, struct span s)
{
	uint32_t first = (uint32_t)(s.lo / RADIX);
	uint32_t last = (uint32_t)((s.hi - 1) / RADIX);
	uint64_t used;

	used = ~bl->word[first] & bits_below(s.lo % RADIX);
	s.lo = (uint64_t)first * RADIX +
	       (used == 0 ? 0 : RADIX - (unsigned)__builtin_clzll(used));
	used = ~bl->word[last] & bits_from((s.hi - 1) % RADIX);
	s.hi = (uint64_t)last * RADIX +
	       (used == 0 ? RADIX : (unsigned)__builtin_ctzll(used));
	return s;
}

/*
 * Brings the nodes above the changed blocks s up to date, from the bottom up.
 * When they came free, the run they belong to is grown with the levels, and
 * raises the hints of the nodes over s by as much of it as lies in each.
 * Nodes that see only the run's older parts saw them before.
 */
void
blist_propagate(struct blist *bl, struct span s, bool freed)
{
	uint64_t lo, hi;
	uint32_t i, first, last, cfirst, clast;
	struct span run = s;
	unsigned lvl, shift;

	if (freed)
		run = grow_in_words(bl, s);
	cfirst = (uint32_t)(s.lo >> RADIX_SHIFT);
	clast = (uint32_t)((s.hi - 1) >> RADIX_SHIFT);
	for (lvl = 1; lvl <= bl->levels; lvl++) {
		shift = level_shift(lvl);
		first = cfirst / RADIX;
		last = clast / RADIX;
		for (i = first; i <= last; i++)
			node_refresh(bl, lvl, i, US_MAX(cfirst, i * RADIX),
			    US_MIN(clast, i * RADIX + (RADIX - 1)));
		if (freed) {
			run.lo = grow_left(bl, lvl, first, run.lo);
			run.hi = grow_right(bl, lvl, last, run.hi);
			for (i = first; i <= last; i++) {
				lo = US_MAX(run.lo, (uint64_t)i << shift);
				hi = US_MIN(run.hi, (uint64_t)(i + 1) << shift);
				bl->node[lvl][i].hint = US_MAX(
				    bl->node[lvl][i].hint, (uint32_t)(hi - lo));
			}
		}
		cfirst = first;
		clast = last;
	}
}

/* Makes all nodes anew from the words; hints are as high as can be. */
static void
rebuild(struct blist *bl)
{
	uint32_t i, first, last;
	unsigned lvl;

	for (lvl = 1; lvl <= bl->levels; lvl++) {
		for (i = 0; i < bl->nnodes[lvl]; i++) {
			first = i * RADIX;
			last = US_MIN(
			    first + (RADIX - 1), bl->nnodes[lvl - 1] - 1);
			bl->node[lvl][i].hint =
			    (uint32_t)US_MIN((uint64_t)bl->nblocks,
				UINT64_C(1) << level_shift(lvl));
			node_refresh(bl, lvl, i, first, last);
		}
	}
}

int
blist_resize(struct blist **blp, uint32_t nblocks, bool freenew)
{
	struct blist *old = *blp, *bl;
	uint32_t i, keep = US_MIN(old->nblocks, nblocks);

	bl = blist_create(nblocks);
	if (bl == NULL)
		return -ENOMEM;
	memcpy(bl->word, old->word,
	    US_MIN(bl->nwords, old->nwords) * sizeof(bl->word[0]));
	if (keep % RADIX != 0)
		bl->word[keep / RADIX] &= bits_below(keep % RADIX);
	for (i = 0; i < bl->nwords; i++)
		bl->avail += (uint32_t)__builtin_popcountll(bl->word[i]);
	rebuild(bl);
	bl->cursor = old->cursor < nblocks ? old->cursor : 0;
	if (freenew && nblocks > keep)
		blist_free(bl, keep, nblocks - keep);
	blist_destroy(old);
	*blp = bl;
	return 0;
}

uint32_t
blist_avail(const struct blist *bl)
{
	return bl->avail;
}

uint32_t
blist_blocks(const struct blist *bl)
{
	return bl->nblocks;
}

bool
blist_isfree(const struct blist *bl, uint32_t blk)
{
	KASSERT(blk < bl->nblocks, "block %u of %u", blk, bl->nblocks);
	return bl->word[blk / RADIX] >> (blk % RADIX) & 1;
}

/* The longest run of ones in a word, counted the slow way. */
static uint32_t
word_longest(uint64_t w)
{
	uint32_t n;

	for (n = 0; w != 0; n++)
		w &= w << 1;
	return n;
}

/*
 * Checks node i and all below it; adds up its free blocks and returns its
 * longest run.
 */
static uint32_t
check_node(const struct blist *bl, unsigned lvl, uint32_t i, uint64_t *sum)
{
	const struct node *n = &bl->node[lvl][i];
	const uint64_t csize = UINT64_C(1) << level_shift(lvl - 1);
	uint64_t run = 0, pre = 0, longest = 0, inside, below, before;
	uint32_t k, c;
	struct ends e;

	for (k = 0; k < RADIX; k++) {
		c = i * RADIX + k;
		e = (struct ends){0, 0, false, false};
		inside = below = 0;
		if (c < bl->nnodes[lvl - 1]) {
			before = *sum;
			if (lvl > 1) {
				inside = check_node(bl, lvl - 1, c, sum);
			} else {
				inside = word_longest(bl->word[c]);
				*sum +=
				    (uint64_t)__builtin_popcountll(bl->word[c]);
			}
			below = *sum - before;
			e = ends_of(bl, lvl - 1, c);
		}
		KASSERT((n->any >> k & 1) == (below > 0), /* 3 */
		    "any: level %u node %u child %u", lvl, i, k);
		KASSERT((n->all >> k & 1) == (below == csize), /* 3 */
		    "all: level %u node %u child %u", lvl, i, k);
		if (run == k * csize)
			pre = run + e.pre;
		longest = US_MAX(longest, US_MAX(inside, run + e.pre));
		run = e.all ? run + csize : e.suf;
	}
	longest = US_MAX(longest, run);
	KASSERT(n->pre == pre && n->suf == run, /* 4 */
	    "ends: level %u node %u: %u and %u", lvl, i, n->pre, n->suf);
	KASSERT(n->hint >= longest, /* 5 */
	    "hint: level %u node %u: %u", lvl, i, n->hint);
	KASSERT(longest > 0 || n->hint == 0, /* 5 */
	    "hint: level %u node %u is empty", lvl, i);
	return (uint32_t)longest;
}

void
blist_check(const struct blist *bl)
{
	unsigned tail = bl->nblocks % RADIX;
	uint64_t sum = 0;

	KASSERT(tail == 0 || /* 1 */
		    (bl->word[bl->nwords - 1] & bits_from(tail)) == 0,
	    "blocks beyond the end are free");
	check_node(bl, bl->levels, 0, &sum);
	KASSERT(sum == bl->avail, "%u blocks are free, not %u", /* 2 */
	    (unsigned)sum, bl->avail);
	KASSERT(bl->cursor < bl->nblocks, "the cursor is at %u of %u", /* 6 */
	    bl->cursor, bl->nblocks);
}
