/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object: a run of pages with one identity, mapped at one place.
 *
 * For each page an object knows the descriptor if it is in memory (slot), the
 * swap block if it has one (swmap), and the content tag of that block.  A page
 * with none of them reads as zeros.
 *
 * Invariants (object_check):
 *	O1  a slot that names a page names one whose object and index are ours
 *	O2  resident counts those slots; pip counts the busy ones and those
 *	    with a write in flight
 *	O3  a LOST page has no block; a RESERVED one has
 *	O4  a page with a block has a leaf, for its tag
 *	O5  the tag is that of the block's contents, whatever is in memory
 *	O6  leaves counts the windows that have a leaf; their pages of root
 *	    are marked as used, if there are marks
 *	O7  a page with PG_CLEAN has a block, and its frame holds what that does
 *
 * Context: everything here is serialised by the pager's lock.
 */
#ifndef USWAP_OBJECT_H
#define USWAP_OBJECT_H

#include "base/base.h"
#include "base/mem.h"
#include "page/page.h"
#include "swap/swmap.h"

#define OBJECT_LEAF 64 /* pages per leaf */
#define OBJECT_MAX  (1u << 20)
#define STREAMS     8 /* streams of faults followed at once */
#define STRIDE_MAX  256 /* pages: the longest leap that is noticed */

/*
 * What a slot holds: a page number, or one of these.
 *	NONE	  the page is not in memory
 *	ZERO	  the shared page of zeros is mapped
 *	LOST	  its block could not be read: touching it is SIGBUS
 *	RESERVED  zeros; it has a block, which holds no contents
 */
#define SLOT_NONE       0
#define SLOT_ZERO       UINT32_MAX
#define SLOT_LOST       (UINT32_MAX - 1)
#define SLOT_RESERVED   (UINT32_MAX - 2)

#define slot_is_page(s) ((s) != SLOT_NONE && (s) < SLOT_RESERVED)

struct object_leaf {
	uint64_t tag[OBJECT_LEAF]; /* O5 */
	uint32_t slot[OBJECT_LEAF];
	int16_t unchanged; /* what becomes of what was read: object_seals */
};

/*
 * A program running through memory: where its next fault is expected, going
 * up (fwd) or down, and how many pages it was given last time.  Or it leaps:
 * then it is given single pages, the last of them at back, and the next fault
 * is expected stride pages on.
 */
struct stream {
	pindex_t fwd; /* one past the last page given */
	pindex_t back; /* the first page given */
	uint32_t window; /* pages, or leaps, to look ahead; 0: not in use */
	int32_t stride; /* 0: in order; a guess while window is 1 */
	uint32_t used; /* object's stream clock, for replacement */
};

struct object {
	uintptr_t base; /* va of page 0; constant */
	pindex_t npages;
	uint32_t id; /* constant */
	uint32_t mappings; /* map entries that show it */
	uint32_t resident; /* O2 */
	uint32_t leaves; /* O6 */
	uint32_t pip; /* paging in progress, O2 */
	uint32_t careful; /* page-ins left to do one page at a time, after
			     a read of several failed */
	bool reserved; /* pages keep their blocks: see pager_reserve */
	int16_t unchanged; /* what became of its windows' first pages */
	bool kept; /* what is clean stays in memory: see clone.h */
	bool frozen; /* its faults are not answered: see clone.h */
	uint32_t stream_clock;
	struct stream stream[STREAMS];
	uint32_t *root; /* leaf number + 1 for each window, 0 none */
	uint64_t *used; /* a bit for each page of root, or NULL: O6 */
	struct swmap swmap;
};

/* The pools all objects share; owned by the pager. */
struct objects {
	struct pool pool; /* struct object; id is the pool index */
	struct pool leaves; /* struct object_leaf */
	struct pool swleaves; /* struct swmap_leaf */
};

/* max_pages: how many pages of all objects may ever be touched. */
int objects_init(struct objects *, uint64_t max_pages);
void objects_destroy(struct objects *);

/* NULL when memory is refused or there are OBJECT_MAX. */
struct object *object_create(struct objects *, uintptr_t base, pindex_t);
/* No page in memory, no block, no mapping may be left. */
void object_destroy(struct objects *, struct object *);
/* Only up: 0 or -ENOMEM. */
int object_grow(struct object *, pindex_t npages);

static inline struct object *
object_of(const struct objects *os, uint32_t id)
{
	return pool_item(&os->pool, id);
}
static inline uintptr_t
object_va(const struct object *o, pindex_t i)
{
	return o->base + ptoa(i);
}

uint32_t object_slot(const struct objects *, const struct object *, pindex_t);
/* 0 or -ENOMEM (a leaf was needed); slots to SLOT_NONE always succeed. */
int object_set_slot(struct objects *, struct object *, pindex_t, uint32_t);
uint64_t object_tag(const struct objects *, const struct object *, pindex_t);
/* The leaf must exist: the page has, or just had, a slot. */
void object_set_tag(struct objects *, struct object *, pindex_t, uint64_t);

/*
 * Whether to enter a page that was read sealed: it saves page-out to take it out of
 * the program and look at it, but a fault more is the price when it is written.
 * Each window, which must have a leaf, remembers what became of its pages; one that
 * knows nothing yet is like the others were at first.
 */
bool object_seals(const struct objects *, const struct object *, pindex_t);
/* A sealed page was written to. */
void object_seal_broken(struct objects *, struct object *, pindex_t);
/* A page that had been read leaves memory. */
void object_seen(struct objects *, struct object *, pindex_t, bool unchanged);

/*
 * The first index in [from, end) whose slot is not SLOT_NONE; false if none.
 */
bool object_next(const struct objects *, const struct object *, pindex_t from,
    pindex_t end, pindex_t *ret);
/*
 * The first index in [from, end) in a window that has a leaf; false if none.
 * The pages passed over have neither slot nor tag nor block.  It costs a bit
 * for each 256 MiB that nobody has touched so far.
 */
bool object_window(
    const struct object *, pindex_t from, pindex_t end, pindex_t *ret);
/* Where the window of a page ends, or the range. */
static inline pindex_t
object_stop(pindex_t i, pindex_t end)
{
	uint64_t stop = ((uint64_t)i / OBJECT_LEAF + 1) * OBJECT_LEAF;

	return (pindex_t)US_MIN(stop, end);
}
/* Gives back the leaves of windows that [from, end) is a part of, if they hold
 * nothing. */
void object_trim(
    struct objects *, struct object *, pindex_t from, pindex_t end);

/*
 * stream_find(o, i, &down): the stream that a fault at i continues, its window
 * doubled (up to CLUSTER_MAX), or a new one with window 1 in the place of the
 * least recently used.  down: it runs in order, towards lower indexes.  The third
 * fault at equal distances makes a stream that leaps.  stream_given notes what
 * was brought for it: [first, first + n).
 */
struct stream *stream_find(struct object *, pindex_t, bool *ret_down);
void stream_given(struct stream *, pindex_t first, uint32_t n);

static inline bool
stream_leaps(const struct stream *s)
{
	return s->stride != 0 && s->window > 1;
}
/* How many pages in order it suggests. */
static inline uint32_t
stream_run(const struct stream *s)
{
	return s->stride != 0 ? 1 : s->window;
}

void object_check(
    const struct objects *, const struct pages *, const struct object *);

#endif
