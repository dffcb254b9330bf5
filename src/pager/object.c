/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A root entry names the leaf of a window of 64 pages by number; a window that
 * was never touched has an untouched entry, in an untouched page of the root's
 * reservation.  A sparse terabyte costs nothing until it is used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	o->root = mem_map(root_bytes(npages));
	if (o->root == NULL)
		goto err0;
	if (swmap_init(&o->swmap, &os->swleaves, npages) != 0)
		goto err1;
	return o;

err1:
	mem_unmap(o->root, root_bytes(npages));
	o->root = NULL;
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
	mem_unmap(o->root, root_bytes(o->npages));
	o->root = NULL; /* not in use: pager_check */
	pool_put(&os->pool, o);
}

int
object_grow(struct object *o, pindex_t npages)
{
	size_t old = root_bytes(o->npages), new = root_bytes(npages);
	uint32_t *root = o->root;
	int error;

	KASSERT(npages >= o->npages, "objects only grow");
	error = swmap_resize(&o->swmap, npages);
	if (error != 0)
		return error;
	if (new > old) {
		root = mem_map(new);
		if (root == NULL)
			return -ENOMEM;
		memcpy(root, o->root, old);
		mem_unmap(o->root, old);
	}
	o->root = root;
	o->npages = npages;
	return 0;
}

static struct object_leaf *
leaf_of(const struct objects *os, const struct object *o, pindex_t i)
{
	uint32_t no;

	KASSERT(i < o->npages, "page %u of %u", i, o->npages);
	no = o->root[i / OBJECT_LEAF];
	return no == 0 ? NULL : pool_item(&os->leaves, no - 1);
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
		o->root[i / OBJECT_LEAF] = pool_index(&os->leaves, leaf) + 1;
	}
	leaf->slot[i % OBJECT_LEAF] = slot;
	return 0;
}

uint64_t
object_tag(const struct objects *os, const struct object *o, pindex_t i)
{
	struct object_leaf *leaf = leaf_of(os, o, i);

	KASSERT(leaf != NULL, "O4: page %u has no tag", i);
	return leaf->tag[i % OBJECT_LEAF];
}

void
object_set_tag(struct objects *os, struct object *o, pindex_t i, uint64_t tag)
{
	struct object_leaf *leaf = leaf_of(os, o, i);

	KASSERT(leaf != NULL, "O4: no leaf for the tag of page %u", i);
	leaf->tag[i % OBJECT_LEAF] = tag;
}

bool
object_next(const struct objects *os, const struct object *o, pindex_t from,
    pindex_t end, pindex_t *ret)
{
	for (pindex_t i = from; i < end;) {
		struct object_leaf *leaf = leaf_of(os, o, i);

		if (leaf == NULL) {
			i = (i / OBJECT_LEAF + 1) * OBJECT_LEAF;
			continue;
		}
		if (leaf->slot[i % OBJECT_LEAF] != SLOT_NONE) {
			*ret = i;
			return true;
		}
		i++;
	}
	return false;
}

void
object_trim(struct objects *os, struct object *o, pindex_t from, pindex_t end)
{
	/* A window counts only whole; the last one of the object is whole. */
	pindex_t first = howmany(from, OBJECT_LEAF);
	pindex_t last =
	    end == o->npages ? howmany(end, OBJECT_LEAF) : end / OBJECT_LEAF;

	for (pindex_t w = first; w < last; w++) {
		pindex_t start = w * OBJECT_LEAF, found;
		pindex_t stop = US_MIN(start + OBJECT_LEAF, o->npages);

		if (o->root[w] == 0 ||
		    object_next(os, o, start, stop, &found) ||
		    swmap_next(&o->swmap, start, stop, &found))
			continue;
		pool_put(&os->leaves, pool_item(&os->leaves, o->root[w] - 1));
		o->root[w] = 0;
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
	(*resident)++;
	if ((p->flags & (PG_BUSY | PG_WRITING)) != 0)
		(*pip)++;
}

void
object_check(
    const struct objects *os, const struct pages *ps, const struct object *o)
{
	uint32_t resident = 0, pip = 0;
	pindex_t i;

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
