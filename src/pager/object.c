/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A root entry names the leaf of a window of 64 pages by number; a window that
 * was never touched has an untouched entry, in an untouched page of the root's
 * reservation.  A sparse terabyte costs nothing until it is used.
 *
 * Nor may it cost time: it has four million entries, and the kernel would have
 * to map a page of zeros for each thousand of them that is looked at.  So a bit
 * for each page of root tells whether it was ever written.
 */
#include <errno.h>
#include <stdlib.h>

#include "pager/object.h"

int
objects_init(struct objects *os, uint64_t max_pages)
{
	uint32_t leaves =
	    (uint32_t)US_MIN(max_pages / OBJECT_LEAF + 1, UINT64_C(1) << 30);
	int error;

	*os = (struct objects){0};
	error = pool_init(&os->pool, sizeof(struct object), OBJECT_MAX, 1);
	if (error == 0)
		error = pool_init(
		    &os->leaves, sizeof(struct object_leaf), leaves, 16);
	if (error == 0)
		error = swmap_pool_init(&os->swleaves, leaves);
	if (error != 0)
		objects_destroy(os);
	return error;
}

void
objects_destroy(struct objects *os)
{
	pool_destroy(&os->pool);
	pool_destroy(&os->leaves);
	pool_destroy(&os->swleaves);
}

static size_t
root_bytes(pindex_t npages)
{
	return round_page(
	    howmany((size_t)npages, OBJECT_LEAF) * sizeof(uint32_t));
}

/* ---- which pages of root were written ------------------------------------ */

/* Entries in a page of root: what a bit of `used` stands for. */
#define ROOT_PAGE ((uint32_t)(PAGE_SIZE / sizeof(uint32_t)))

static uint32_t
windows(pindex_t npages)
{
	return howmany((uint64_t)npages, OBJECT_LEAF);
}

static size_t
used_bytes(pindex_t npages)
{
	return howmany(windows(npages), ROOT_PAGE * 8);
}

static bool
is_used(const struct object *o, uint32_t w)
{
	uint32_t i = w / ROOT_PAGE;

	return o->used == NULL || (o->used[i / 64] >> i % 64 & 1) != 0;
}

static void
set_leaf(struct object *o, uint32_t w, uint32_t leaf)
{
	uint32_t i = w / ROOT_PAGE;

	o->root[w] = leaf;
	if (o->used != NULL)
		o->used[i / 64] |= UINT64_C(1) << i % 64;
}

/* The first window in [w, end) that has a leaf, or end. */
static uint32_t
next_leaf(const struct object *o, uint32_t w, uint32_t end)
{
	if (o->leaves == 0)
		return end;
	while (w < end) {
		if (!is_used(o, w))
			w = (w / ROOT_PAGE + 1) * ROOT_PAGE;
		else if (o->root[w] == 0)
			w++;
		else
			return w;
	}
	return end;
}

/* ---- life ---------------------------------------------------------------- */

/* The root for npages, and its bits unless it is one page.  0 or -ENOMEM. */
static int
root_map(struct object *o, pindex_t npages)
{
	o->root = mem_map(root_bytes(npages));
	o->used = NULL;
	if (o->root == NULL)
		return -ENOMEM;
	if (root_bytes(npages) == PAGE_SIZE)
		return 0;
	o->used = mem_map(used_bytes(npages));
	if (o->used != NULL)
		return 0;
	mem_unmap(o->root, root_bytes(npages));
	o->root = NULL;
	return -ENOMEM;
}

static void
root_unmap(struct object *o, pindex_t npages)
{
	mem_unmap(o->root, root_bytes(npages));
	if (o->used != NULL)
		mem_unmap(o->used, used_bytes(npages));
	o->root = NULL; /* not in use: pager_check */
}

struct object *
object_create(struct objects *os, uintptr_t base, pindex_t npages)
{
	struct object *o = pool_get(&os->pool);

	KASSERT(npages > 0 && npages <= PINDEX_MAX, "object of no size");
	if (o == NULL)
		return NULL;
	o->base = base;
	o->npages = npages;
	o->id = pool_index(&os->pool, o);
	if (root_map(o, npages) != 0)
		goto err0;
	if (swmap_init(&o->swmap, &os->swleaves, npages) != 0)
		goto err1;
	return o;

err1:
	root_unmap(o, npages);
err0:
	pool_put(&os->pool, o);
	return NULL;
}

void
object_destroy(struct objects *os, struct object *o)
{
	KASSERT(o->mappings == 0 && o->resident == 0 && o->pip == 0,
	    "destroying an object in use");
	object_trim(os, o, 0, o->npages);
	swmap_destroy(&o->swmap);
	root_unmap(o, o->npages);
	pool_put(&os->pool, o);
}

/* Empty entries are not copied: that would touch the new root everywhere. */
int
object_grow(struct object *o, pindex_t npages)
{
	uint32_t w = 0, end = windows(o->npages);
	struct object old = *o;
	int error;

	KASSERT(npages >= o->npages, "objects only grow");
	error = swmap_resize(&o->swmap, npages);
	if (error != 0)
		return error;
	if (root_bytes(npages) > root_bytes(o->npages)) {
		error = root_map(o, npages);
		if (error != 0) {
			o->root = old.root;
			o->used = old.used;
			return error;
		}
		for (; (w = next_leaf(&old, w, end)) < end; w++)
			set_leaf(o, w, old.root[w]);
		root_unmap(&old, o->npages);
	}
	o->npages = npages;
	return 0;
}

/* ---- slots and tags ------------------------------------------------------ */

static struct object_leaf *
leaf_of(const struct objects *os, const struct object *o, pindex_t i)
{
	uint32_t no;

	KASSERT(i < o->npages, "page %u of %u", i, o->npages);
	no = o->root[i / OBJECT_LEAF];
	return no == 0 ? NULL : pool_item(&os->leaves, no - 1);
}

static struct object_leaf *
leaf_there(const struct objects *os, const struct object *o, pindex_t i)
{
	struct object_leaf *leaf = leaf_of(os, o, i);

	KASSERT(leaf != NULL, "O4: page %u has no leaf", i);
	return leaf;
}

uint32_t
object_slot(const struct objects *os, const struct object *o, pindex_t i)
{
	struct object_leaf *leaf = leaf_of(os, o, i);

	return leaf == NULL ? SLOT_NONE : leaf->slot[i % OBJECT_LEAF];
}

int
object_set_slot(struct objects *os, struct object *o, pindex_t i, uint32_t slot)
{
	struct object_leaf *leaf = leaf_of(os, o, i);

	if (leaf == NULL) {
		if (slot == SLOT_NONE)
			return 0;
		leaf = pool_get(&os->leaves);
		if (leaf == NULL)
			return -ENOMEM;
		set_leaf(o, i / OBJECT_LEAF, pool_index(&os->leaves, leaf) + 1);
		o->leaves++;
	}
	leaf->slot[i % OBJECT_LEAF] = slot;
	return 0;
}

uint64_t
object_tag(const struct objects *os, const struct object *o, pindex_t i)
{
	return leaf_there(os, o, i)->tag[i % OBJECT_LEAF];
}

void
object_set_tag(struct objects *os, struct object *o, pindex_t i, uint64_t tag)
{
	leaf_there(os, o, i)->tag[i % OBJECT_LEAF] = tag;
}

/*
 * One write to what was sealed costs as much as so many pages save.  A window that
 * was sealed for long is so after one such write, not after two, and an object's new
 * windows are until some sixteen others had one.
 */
#define SEAL_BROKEN  16
#define WINDOW_KNOWS 31
#define OBJECT_KNOWS 256

/* n pages more left unchanged (n < 0: not so), of which at most max are remembered. */
static int16_t
tally(int16_t unchanged, int n, int max)
{
	return (int16_t)US_MAX(US_MIN(unchanged + n, max), -max);
}

/* A window that knows something already tells nothing new about the object. */
static void
note_unchanged(struct objects *os, struct object *o, pindex_t i, int n)
{
	struct object_leaf *leaf = leaf_there(os, o, i);

	if (leaf->unchanged == 0)
		o->unchanged = tally(o->unchanged, n, OBJECT_KNOWS);
	leaf->unchanged = tally(leaf->unchanged, n, WINDOW_KNOWS);
}

bool
object_seals(const struct objects *os, const struct object *o, pindex_t i)
{
	const struct object_leaf *leaf = leaf_there(os, o, i);

	return leaf->unchanged > 0 ||
	       (leaf->unchanged == 0 && o->unchanged > -OBJECT_KNOWS);
}

void
object_seal_broken(struct objects *os, struct object *o, pindex_t i)
{
	note_unchanged(os, o, i, -SEAL_BROKEN);
}

void
object_seen(struct objects *os, struct object *o, pindex_t i, bool unchanged)
{
	note_unchanged(os, o, i, unchanged ? 1 : -1);
}

bool
object_window(
    const struct object *o, pindex_t from, pindex_t end, pindex_t *ret)
{
	uint32_t last = windows(end);
	uint32_t w = next_leaf(o, from / OBJECT_LEAF, last);

	KASSERT(end <= o->npages, "page %u of %u", end, o->npages);
	if (from >= end || w >= last)
		return false;
	*ret = US_MAX(from, w * OBJECT_LEAF);
	return true;
}

bool
object_next(const struct objects *os, const struct object *o, pindex_t from,
    pindex_t end, pindex_t *ret)
{
	pindex_t i = from;

	while (object_window(o, i, end, &i)) {
		pindex_t stop = object_stop(i, end);

		for (; i < stop; i++) {
			if (object_slot(os, o, i) == SLOT_NONE)
				continue;
			*ret = i;
			return true;
		}
	}
	return false;
}

void
object_trim(struct objects *os, struct object *o, pindex_t from, pindex_t end)
{
	uint32_t w = from / OBJECT_LEAF, last = windows(end);

	for (; (w = next_leaf(o, w, last)) < last; w++) {
		pindex_t start = w * OBJECT_LEAF, found;
		pindex_t stop = object_stop(start, o->npages);

		if (object_next(os, o, start, stop, &found) ||
		    swmap_next(&o->swmap, start, stop, &found))
			continue;
		pool_put(&os->leaves, pool_item(&os->leaves, o->root[w] - 1));
		o->root[w] = 0;
		o->leaves--;
	}
}

/* The next fault of a stream that is in use.  A guess may turn out in order. */
static bool
stream_expects(struct stream *s, pindex_t i)
{
	if (!stream_leaps(s) && (i == s->fwd || i + 1 == s->back)) {
		s->stride = 0;
		return true;
	}
	return s->stride != 0 && i == s->back + (pindex_t)s->stride;
}

/* From the last single page of a stream to i; out of range, if there is none. */
static int64_t
stream_leap(const struct stream *s, pindex_t i)
{
	return s != NULL && s->window == 1 ? (int64_t)i - (int64_t)s->back
					   : STRIDE_MAX + 1;
}

struct stream *
stream_find(struct object *o, pindex_t i, bool *ret_down)
{
	struct stream *oldest = &o->stream[0], *near = NULL;

	o->stream_clock++;
	*ret_down = false;
	for (unsigned k = 0; k < STREAMS; k++) {
		struct stream *s = &o->stream[k];

		if (s->window != 0 && stream_expects(s, i)) {
			s->window = US_MIN(s->window * 2, CLUSTER_MAX);
			s->used = o->stream_clock;
			*ret_down = s->stride == 0 && i != s->fwd;
			return s;
		}
		/* Ages, not times: differences survive the clock's wrap. */
		if (o->stream_clock - s->used > o->stream_clock - oldest->used)
			oldest = s;
		if (llabs(stream_leap(s, i)) < llabs(stream_leap(near, i)))
			near = s;
	}
	/* Two single faults near each other may be the first of many. */
	if (near != NULL) {
		near->stride = (int32_t)stream_leap(near, i);
		near->used = o->stream_clock;
		return near;
	}
	*oldest = (struct stream){.window = 1, .used = o->stream_clock};
	return oldest;
}

void
stream_given(struct stream *s, pindex_t first, uint32_t n)
{
	s->back = first;
	s->fwd = first + n;
}

/* ---- verification -------------------------------------------------------- */

static void
check_slot(const struct objects *os, const struct pages *ps,
    const struct object *o, pindex_t i, uint32_t *resident, uint32_t *pip)
{
	uint32_t slot = object_slot(os, o, i);
	const struct page *p;

	if (!slot_is_page(slot)) {
		bool block = swblk_valid(swmap_get(&o->swmap, i));

		KASSERT(slot != SLOT_LOST || !block, "O3: page %u", i);
		KASSERT(slot != SLOT_RESERVED || block, "O3: page %u", i);
		return;
	}
	p = page_of(ps, slot);
	KASSERT(p->object == o->id && p->pindex == i, "O1");
	page_check(p);
	KASSERT(
	    (p->flags & PG_CLEAN) == 0 || swblk_valid(swmap_get(&o->swmap, i)),
	    "O7: page %u", i);
	(*resident)++;
	if ((p->flags & (PG_BUSY | PG_WRITING)) != 0)
		(*pip)++;
}

void
object_check(
    const struct objects *os, const struct pages *ps, const struct object *o)
{
	uint32_t resident = 0, pip = 0, leaves = 0, w;
	pindex_t i;

	for (w = 0; w < windows(o->npages); w++) {
		leaves += o->root[w] != 0;
		KASSERT(o->root[w] == 0 || is_used(o, w), "O6: window %u", w);
	}
	KASSERT(leaves == o->leaves, "O6: %u leaves, counted %u", leaves,
	    o->leaves);
	for (i = 0; object_next(os, o, i, o->npages, &i); i++)
		check_slot(os, ps, o, i, &resident, &pip);
	KASSERT(resident == o->resident, "O2: %u pages in memory, counted %u",
	    resident, o->resident);
	KASSERT(
	    pip == o->pip, "O2: %u pages in progress, counted %u", pip, o->pip);
	for (i = 0; swmap_next(&o->swmap, i, o->npages, &i); i++)
		KASSERT(leaf_of(os, o, i) != NULL, "O4: page %u", i);
	swmap_check(&o->swmap);
}
