/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page: the descriptor of a page that is in memory, and the queues of them.
 *
 * A descriptor exists while a page of an object occupies memory, mapped into
 * the program or held in a frame.  A page that is only in swap space, or was
 * never touched, has none.
 *
 *	            zero fill, page-in            removed from the program
 *	 (none) ───────────▶ ACTIVE ──────────────────────────▶ INACTIVE
 *	   │                  ▲  ▲ ▲    soft fault: copied back   │   │ ▲
 *	   │ page-in          │  │ └──────────────────────────────┘   │ │ write
 *	   └──▶ READING ──────┘  │ soft fault, the write goes on      │ │ error
 *	          │              └────────── LAUNDRY ◀────────────────┘ │
 *	          └─▶ INACTIVE (on the ahead queue)  └──────────────────┘
 *
 *	ACTIVE	 mapped; on the active queue, or the stream queue, unless
 *		 wired or busy
 *	INACTIVE out of the program, contents in `frame`, on one of the queues
 *		 inactive (might be clean), laundry (dirty, to be written) or
 *		 ahead (read before it was asked for)
 *	LAUNDRY	 a write of `frame` is in flight
 *	READING	 a read into `frame` is in flight
 *
 * A *busy* page belongs to the thread that made it busy: only that thread may
 * change it or call pmap for it, without the lock; the others leave it alone,
 * or set PG_WANTED and are woken when it is unbusied.
 *
 * Invariants, with the pager's lock held (page_check):
 *	P1  a page is on the queue its `queue` names, and on no other
 *	P2  a busy, wired, READING or LAUNDRY page is on no queue
 *	P3  only ACTIVE pages are wired
 *	P4  an ACTIVE page has no frame; every other has one
 *	P5  PG_WRITING is set from the start of a write to its completion, in
 *	    state LAUNDRY, or ACTIVE when a soft fault came in between
 *	P6  PG_CLEAN pages are INACTIVE
 *	P7  PG_SEALED pages are ACTIVE: they entered write-protected, and nobody
 *	    has asked to write since.  Whether the protection is still there, only
 *	    pmap_sealed tells.  Or INACTIVE: they were such, and have a second chance
 *	P8  PG_STALE pages are read ahead, INACTIVE: a sweep has seen them there
 *	P9  PG_PASSED pages are INACTIVE, and were on PQ_STREAM
 */
#ifndef USWAP_PAGE_H
#define USWAP_PAGE_H

#include "base/base.h"
#include "base/mem.h"

enum page_state {
	PS_FREE, /* the descriptor is not in use */
	PS_ACTIVE,
	PS_INACTIVE,
	PS_LAUNDRY,
	PS_READING,
};

enum page_queue {
	PQ_NONE,
	PQ_ACTIVE,
	PQ_STREAM, /* active, read for a stream that will not come back */
	PQ_INACTIVE,
	PQ_LAUNDRY,
	PQ_AHEAD,
	PQ_COUNT
};

enum {
	PG_BUSY = 1, /* see above */
	PG_WANTED = 2, /* a thread faulted on it while it was busy */
	PG_WRITING = 4, /* P5 */
	PG_STALE = 8, /* P8 */
	PG_CLEAN = 16, /* the frame holds what the page's block holds */
	PG_SEALED = 32, /* P7 */
	PG_PASSED = 64, /* P9 */
};

#define FRAME_NONE UINT32_MAX
#define WIRE_MAX   255

/* All fields: the pager's lock, or the busy page's owner. */
struct page {
	uint32_t object; /* whose page it is: object id ... */
	pindex_t pindex; /* ... and place in it; constant while in use */
	uint32_t next; /* page numbers, 0 ends; the queue's own */
	uint32_t prev;
	uint32_t frame;
	uint8_t state;
	uint8_t queue;
	uint8_t flags;
	uint8_t wired; /* wire count */
};

struct pageq {
	uint32_t head; /* the oldest */
	uint32_t tail;
	uint32_t count;
};

/*
 * The descriptors, by number from 1 on; number 0 is none.  In address space
 * for more than the budget: beyond it only when swap space is full.
 */
struct pages {
	struct pool pool;
	struct pageq q[PQ_COUNT];
};

/* max: descriptors of address space.  0 or -ENOMEM. */
int pages_init(struct pages *, uint32_t max);
void pages_destroy(struct pages *);

static inline struct page *
page_of(const struct pages *ps, uint32_t no)
{
	return pool_item(&ps->pool, no - 1);
}
static inline uint32_t
page_no(const struct pages *ps, const struct page *p)
{
	return pool_index(&ps->pool, p) + 1;
}

/* A busy ACTIVE page on no queue; NULL when all descriptors are in use. */
struct page *page_alloc(struct pages *, uint32_t object, pindex_t);
/* The page must be busy, on no queue, and its frame given up. */
void page_free(struct pages *, struct page *);

/* Puts a page on a queue's tail (newest), or takes it from its queue. */
void page_enqueue(struct pages *, struct page *, enum page_queue);
void page_dequeue(struct pages *, struct page *);
struct page *pageq_first(const struct pages *, enum page_queue);
struct page *pageq_next(const struct pages *, const struct page *);

/* One page, or (by walking all queues) the queues themselves. */
void page_check(const struct page *);
void pages_check(const struct pages *);

#endif
