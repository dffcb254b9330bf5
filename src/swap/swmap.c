/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of one object: a root in a mapping of its own, leaves in the
 * pool that all objects share.
 *
 * The root is one lazily touched mapping, not a tree: an object of 1 TiB has
 * 32 MiB of root, of which only pages are real that cover something in swap.
 * A page of root covers 128 MiB of the object.
 */
#include <errno.h>

#include "base/base.h"
#include "swap/swmap.h"

/*
 * One window.  Zero, as the mapping comes, is an empty one.  Everything here
 * is serialised by the pager's lock.
 *
 * swmap_check verifies:
 *
 * (1) A window has a leaf if and only if it has assignments, and the leaf is
 *     one of the pool's.
 * (2) count is the number of assignments in the leaf.
 * (3) The counts of all windows add up to swmap.count.
 * (4) Nothing is assigned to a page at or beyond npages.
 */
struct swmap_root {
	uint32_t leaf; /* number in the pool plus 1, or 0 */
	uint32_t count; /* assignments in the leaf */
};

/*
 * Spare leaves: a cluster of pages from all over an object may need one for
 * each, and paging out must not wait for memory halfway.
 */
#define LEAVES_SPARE CLUSTER_MAX

int
swmap_pool_init(struct pool *leaves, uint32_t max_leaves)
{
	return pool_init(leaves, sizeof(struct swmap_leaf), max_leaves,
	    US_MIN((uint32_t)LEAVES_SPARE, max_leaves));
}

static uint32_t
windows(pindex_t npages)
{
	return howmany((uint64_t)npages, SWMAP_LEAF);
}

/* Whole pages, and one at least: an object of no pages may grow. */
static size_t
root_bytes(pindex_t npages)
{
	size_t bytes = (size_t)windows(npages) * sizeof(struct swmap_root);

	return US_MAX(round_page(bytes), PAGE_SIZE);
}

int
swmap_init(struct swmap *m, struct pool *leaves, pindex_t npages)
{
	KASSERT(npages <= PINDEX_MAX, "%u pages", npages);
	m->root = mem_map(root_bytes(npages));
	if (m->root == NULL)
		return -ENOMEM;
	m->leaves = leaves;
	m->npages = npages;
	m->count = 0;
	return 0;
}

void
swmap_destroy(struct swmap *m)
{
	KASSERT(m->count == 0, "%llu blocks would be lost",
	    (unsigned long long)m->count);
	mem_unmap(m->root, root_bytes(m->npages));
	m->root = NULL;
}

/*
 * Pages cut off have no blocks, so their windows have no leaves, and a window
 * cut in the middle has nothing behind the cut: an object that shrinks and
 * grows again within the same mapping finds it as if it were new.
 *
 * Empty entries are not copied: that would touch the new mapping everywhere.
 */
int
swmap_resize(struct swmap *m, pindex_t npages)
{
	size_t obytes = root_bytes(m->npages), nbytes = root_bytes(npages);
	struct swmap_root *root;
	pindex_t lost;
	uint32_t w;

	KASSERT(npages <= PINDEX_MAX, "%u pages", npages);
	KASSERT(!swmap_next(m, npages, m->npages, &lost),
	    "page %u has a block and is cut off", lost);
	if (nbytes != obytes) {
		root = mem_map(nbytes);
		if (root == NULL)
			return -ENOMEM;
		for (w = 0; w < windows(US_MIN(npages, m->npages)); w++)
			if (m->root[w].leaf != 0)
				root[w] = m->root[w];
		mem_unmap(m->root, obytes);
		m->root = root;
	}
	m->npages = npages;
	return 0;
}

/* The window of a page. */
static struct swmap_root *
window(const struct swmap *m, pindex_t p)
{
	KASSERT(p < m->npages, "page %u of %u", p, m->npages);
	return &m->root[p / SWMAP_LEAF];
}

/* Where the block of a page is noted, given its window, which has a leaf. */
static swblk_t *
slot(const struct swmap *m, const struct swmap_root *r, pindex_t p)
{
	struct swmap_leaf *leaf = pool_item(m->leaves, r->leaf - 1);

	return &leaf->blk[p % SWMAP_LEAF];
}

swblk_t
swmap_get(const struct swmap *m, pindex_t p)
{
	const struct swmap_root *r = window(m, p);

	return r->leaf == 0 ? SWBLK_NONE : *slot(m, r, p);
}

swblk_t
swmap_set(struct swmap *m, pindex_t p, swblk_t blk, int *ret_err)
{
	struct swmap_root *r = window(m, p);
	struct swmap_leaf *leaf;
	swblk_t *sl, old;

	KASSERT(swblk_valid(blk), "page %u: no block to assign", p);
	*ret_err = 0;
	if (r->leaf == 0) {
		leaf = pool_get(m->leaves);
		if (leaf == NULL) {
			*ret_err = -ENOMEM;
			return SWBLK_NONE;
		}
		r->leaf = pool_index(m->leaves, leaf) + 1;
	}
	sl = slot(m, r, p);
	old = *sl;
	*sl = blk;
	if (!swblk_valid(old)) {
		r->count++;
		m->count++;
	}
	return old;
}

/* The last assignment of a window gives the leaf back. */
swblk_t
swmap_clear(struct swmap *m, pindex_t p)
{
	struct swmap_root *r = window(m, p);
	swblk_t *sl, old;

	if (r->leaf == 0)
		return SWBLK_NONE;
	sl = slot(m, r, p);
	old = *sl;
	if (!swblk_valid(old))
		return SWBLK_NONE;
	*sl = SWBLK_NONE;
	m->count--;
	if (--r->count == 0) {
		pool_put(m->leaves, pool_item(m->leaves, r->leaf - 1));
		r->leaf = 0;
	}
	return old;
}

/* 64 bits: the window after the last may begin beyond what 32 can count. */
bool
swmap_next(const struct swmap *m, pindex_t from, pindex_t end, pindex_t *ret)
{
	uint64_t p = from;

	end = US_MIN(end, m->npages);
	while (p < end) {
		const struct swmap_root *r = window(m, (pindex_t)p);

		if (r->leaf == 0) {
			p = (p / SWMAP_LEAF + 1) * SWMAP_LEAF;
			continue;
		}
		if (swblk_valid(*slot(m, r, (pindex_t)p))) {
			*ret = (pindex_t)p;
			return true;
		}
		p++;
	}
	return false;
}

/*
 * Is blk valid and the block of page p?  Counting down from block 1 arrives at
 * 0, which a page without a block has too.
 */
static bool
has_block(const struct swmap *m, pindex_t p, uint32_t blk)
{
	return blk != 0 && swmap_get(m, p).v == blk;
}

void
swmap_extent(const struct swmap *m, pindex_t p, uint32_t maxb, uint32_t maxa,
    uint32_t *before, uint32_t *after)
{
	uint32_t blk = swmap_get(m, p).v, n;

	KASSERT(blk != 0, "page %u has no block", p);
	maxb = US_MIN(maxb, p);
	maxa = US_MIN(maxa, m->npages - 1 - p);
	for (n = 0; n < maxb && has_block(m, p - n - 1, blk - n - 1); n++)
		continue;
	*before = n;
	for (n = 0; n < maxa && has_block(m, p + n + 1, blk + n + 1); n++)
		continue;
	*after = n;
}

/* How many of a leaf's pages have blocks; none may be outside the object. */
static uint32_t
leaf_count(const struct swmap *m, const struct swmap_root *r, uint32_t w)
{
	uint32_t i, n = 0;

	for (i = 0; i < SWMAP_LEAF; i++) {
		if (!swblk_valid(*slot(m, r, i)))
			continue;
		KASSERT((uint64_t)w * SWMAP_LEAF + i < m->npages,
		    "(4) window %u, page %u of %u", w, i, m->npages);
		n++;
	}
	return n;
}

/* The whole mapping, for what lies behind the last window must be empty. */
void
swmap_check(const struct swmap *m)
{
	size_t w, nroot = root_bytes(m->npages) / sizeof(*m->root);
	uint64_t count = 0;
	uint32_t n;

	for (w = 0; w < nroot; w++) {
		const struct swmap_root *r = &m->root[w];

		KASSERT((r->leaf != 0) == (r->count != 0),
		    "(1) window %zu: leaf %u, count %u", w, r->leaf, r->count);
		if (r->leaf == 0)
			continue;
		KASSERT(r->leaf - 1 < m->leaves->fresh,
		    "(1) window %zu: leaf %u of %u", w, r->leaf,
		    m->leaves->fresh);
		n = leaf_count(m, r, (uint32_t)w);
		KASSERT(n == r->count, "(2) window %zu: %u counted, %u noted",
		    w, n, r->count);
		count += n;
	}
	KASSERT(count == m->count, "(3) %llu counted, %llu noted",
	    (unsigned long long)count, (unsigned long long)m->count);
}
