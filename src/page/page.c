/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors come from a pool and are linked into queues by number: half the
 * size of pointers, and a descriptor of 24 bytes fits more than two to a cache
 * line.  Numbers start at 1 so that 0 can end a queue and mean "no page".
 */
#include <errno.h>

#include "page/page.h"

int
pages_init(struct pages *ps, uint32_t max)
{
	*ps = (struct pages){0};
	/* 64 spare: one batch of zero fill without a fault of our own. */
	return pool_init(&ps->pool, sizeof(struct page), max, 64);
}

void
pages_destroy(struct pages *ps)
{
	pool_destroy(&ps->pool);
}

struct page *
page_alloc(struct pages *ps, uint32_t object, pindex_t pindex)
{
	struct page *p = pool_get(&ps->pool);

	if (p == NULL)
		return NULL;
	p->object = object;
	p->pindex = pindex;
	p->frame = FRAME_NONE;
	p->state = PS_ACTIVE;
	p->queue = PQ_NONE;
	p->flags = PG_BUSY;
	return p;
}

void
page_free(struct pages *ps, struct page *p)
{
	KASSERT(p->state != PS_FREE, "freeing a free page");
	KASSERT(p->flags & PG_BUSY, "freeing a page that is not ours");
	KASSERT(p->queue == PQ_NONE && p->wired == 0, "freeing a used page");
	KASSERT(p->frame == FRAME_NONE, "freeing a page with its frame");
	p->state = PS_FREE;
	pool_put(&ps->pool, p);
}

void
page_enqueue(struct pages *ps, struct page *p, enum page_queue which)
{
	struct pageq *q = &ps->q[which];
	uint32_t no = page_no(ps, p);

	KASSERT(p->queue == PQ_NONE, "page is on queue %d", p->queue);
	KASSERT(which > PQ_NONE && which < PQ_COUNT, "no such queue");
	p->queue = (uint8_t)which;
	p->next = 0;
	p->prev = q->tail;
	if (q->tail != 0)
		page_of(ps, q->tail)->next = no;
	else
		q->head = no;
	q->tail = no;
	q->count++;
}

void
page_dequeue(struct pages *ps, struct page *p)
{
	struct pageq *q = &ps->q[p->queue];

	KASSERT(p->queue != PQ_NONE, "page is on no queue");
	if (p->prev != 0)
		page_of(ps, p->prev)->next = p->next;
	else
		q->head = p->next;
	if (p->next != 0)
		page_of(ps, p->next)->prev = p->prev;
	else
		q->tail = p->prev;
	q->count--;
	p->queue = PQ_NONE;
}

struct page *
pageq_first(const struct pages *ps, enum page_queue which)
{
	uint32_t no = ps->q[which].head;

	return no == 0 ? NULL : page_of(ps, no);
}

struct page *
pageq_next(const struct pages *ps, const struct page *p)
{
	return p->next == 0 ? NULL : page_of(ps, p->next);
}

void
page_check(const struct page *p)
{
	bool queued = p->queue != PQ_NONE;
	bool writing = (p->flags & PG_WRITING) != 0;

	if (queued)
		KASSERT(p->wired == 0 && (p->flags & PG_BUSY) == 0, "P2");
	KASSERT(p->wired == 0 || p->state == PS_ACTIVE, "P3");
	KASSERT((p->flags & PG_CLEAN) == 0 || p->state == PS_INACTIVE, "P6");
	KASSERT((p->flags & PG_PASSED) == 0 || p->state == PS_INACTIVE, "P9");
	KASSERT((p->flags & PG_SEALED) == 0 || p->state == PS_ACTIVE ||
		    p->state == PS_INACTIVE,
	    "P7");
	KASSERT(
	    (p->flags & PG_STALE) == 0 ||
		(p->state == PS_INACTIVE && (p->queue == PQ_AHEAD || !queued)),
	    "P8");
	switch (p->state) {
	case PS_ACTIVE:
		KASSERT(p->frame == FRAME_NONE || (p->flags & PG_BUSY), "P4");
		KASSERT(
		    !queued || p->queue == PQ_ACTIVE || p->queue == PQ_STREAM,
		    "P1");
		break;
	case PS_INACTIVE:
		KASSERT(p->frame != FRAME_NONE, "P4");
		KASSERT(
		    p->queue != PQ_ACTIVE && p->queue != PQ_STREAM && !writing,
		    "P1, P5");
		KASSERT(queued || (p->flags & PG_BUSY), "P1: stray page");
		break;
	case PS_LAUNDRY:
		KASSERT(p->frame != FRAME_NONE, "P4");
		KASSERT(!queued && writing, "P2, P5");
		break;
	case PS_READING:
		KASSERT(p->frame != FRAME_NONE, "P4");
		KASSERT(!queued && (p->flags & PG_BUSY) && !writing, "P2, P5");
		break;
	default:
		KASSERT(false, "page in state %d", p->state);
	}
}

void
pages_check(const struct pages *ps)
{
	for (int i = PQ_NONE + 1; i < PQ_COUNT; i++) {
		uint32_t n = 0, prev = 0;

		for (uint32_t no = ps->q[i].head; no != 0;) {
			const struct page *p = page_of(ps, no);

			KASSERT(p->queue == i && p->prev == prev, "P1");
			page_check(p);
			prev = no;
			no = p->next;
			n++;
		}
		KASSERT(n == ps->q[i].count && prev == ps->q[i].tail,
		    "queue %d counts %u, holds %u", i, ps->q[i].count, n);
	}
}
