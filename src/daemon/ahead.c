/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/ahead.h"

/* How far ahead of a stream that leaps: each page of it is a request. */
#define LEAPS_MAX 16
/* How far ahead of one in order, in windows. */
#define LEAD 4

pindex_t
mapped_end(const struct pager *pg, const struct object *o, pindex_t i)
{
	const struct map_entry *e = map_lookup(&pg->map, object_va(o, i));

	return e == NULL ? i + 1 : (pindex_t)atop(e->end - o->base);
}

/* Requests are taken for few reads at once, for demands come first. */
static bool
has_turn(const struct handler *h)
{
	return h->io != NULL && blkq_inflight(h->q) <= h->reading + AHEAD_IO;
}

/*
 * Starts to read the next pages from i on that are not there, a window at most.
 * Returns where to go on, or `stop` when that is all for now.
 */
static pindex_t
read_window(struct handler *h, struct object *o, pindex_t i, pindex_t stop,
    uint32_t window)
{
	struct pager *pg = h->pg;
	uint32_t before = 0, after = window - 1, n;
	struct pgio *io = h->io;

	while (i < stop && slot_is_page(object_slot(&pg->objects, o, i)))
		i++;
	if (i >= stop || !has_turn(h) ||
	    pager_free(pg) < (int64_t)window + pg->free_low / 2 ||
	    !pager_haspage(pg, o, i, &before, &after))
		return stop;
	n = US_MIN(after + 1, stop - i);
	if (pager_getpages(pg, h->q, io, o, i, n, i, true) != PAGER_PEND)
		return stop;
	(void)handler_io_get(h);
	return i + io->n;
}

/*
 * Keeps LEAD windows ahead of a stream that goes up, there or coming: a disk
 * is at its best with several requests.
 */
static void
read_ahead(struct handler *h, struct object *o, pindex_t last, uint32_t window)
{
	struct pager *pg = h->pg;
	pindex_t end = mapped_end(pg, o, last), i = last + 1, stop;

	if (o->careful > 0)
		return;
	window = US_MIN(window, pg->read_window);
	stop = (pindex_t)US_MIN((uint64_t)i + LEAD * window, end);
	while (i < stop)
		i = read_window(h, o, i, stop, window);
}

/* The same for a stream that leaps. */
static void
leap_ahead(struct handler *h, struct object *o, pindex_t last, int32_t stride,
    uint32_t leaps)
{
	struct pager *pg = h->pg;
	uintptr_t va = object_va(o, last);
	const struct map_entry *e = map_lookup(&pg->map, va);

	if (e == NULL || o->careful > 0)
		return;
	leaps = US_MIN(leaps, US_MIN(pg->read_window, LEAPS_MAX));
	while (leaps-- > 0) {
		uint32_t before = 0, after = 0;
		pindex_t i;

		va += (uintptr_t)((intptr_t)stride * PAGE_SIZE);
		if (va < e->start || va >= e->end || !has_turn(h) ||
		    pager_free(pg) < 1 + pg->free_low / 2)
			return;
		i = (pindex_t)atop(va - o->base);
		if (slot_is_page(object_slot(&pg->objects, o, i)) ||
		    !pager_haspage(pg, o, i, &before, &after))
			continue; /* there, or coming; or nothing to read */
		if (pager_getpages(pg, h->q, h->io, o, i, 1, i, true) !=
		    PAGER_PEND)
			return;
		(void)handler_io_get(h);
	}
}

/* In order or by leaps, from the stream's last page on, which is wanted or there. */
static void
go_ahead(struct handler *h, struct object *o, pindex_t last, int32_t stride,
    uint32_t window)
{
	struct note note = {.fault = {.va = object_va(o, last)},
	    .window = window,
	    .stride = stride};

	if (h->pg->still) /* nothing may be in flight */
		return;
	if (h->helper != NULL)
		(void)handler_note(h->helper, note);
	else if (stride != 0)
		leap_ahead(h, o, last, stride, window);
	else
		read_ahead(h, o, last, window);
}

/* A note may be late: when the stream's last page has left, so has the stream. */
void
ahead_noted(struct handler *h, const struct note *n)
{
	struct map_entry *e = map_lookup(&h->pg->map, n->fault.va);
	pindex_t last;

	if (e == NULL)
		return;
	last = (pindex_t)atop(n->fault.va - e->object->base);
	if (slot_is_page(object_slot(&h->pg->objects, e->object, last)))
		go_ahead(h, e->object, last, n->stride, n->window);
}

void
ahead_start(struct handler *h, struct object *o, const struct stream *s,
    pindex_t next, uint32_t window)
{
	if (stream_leaps(s))
		go_ahead(h, o, s->back, s->stride, s->window);
	else if (window >= STREAM_RUN)
		go_ahead(h, o, next - 1, 0, window);
}

void
ahead_goes_on(struct handler *h, struct stream *s, const struct run *r)
{
	const struct page *last = r->page[r->n - 1];

	if (stream_leaps(s)) {
		stream_given(s, last->pindex, 1);
		go_ahead(h, r->o, s->back, s->stride, s->window);
		return;
	}
	stream_given(s, r->first, r->n);
	/* One page alone may be of a stream that leapt and was forgotten. */
	if (r->n > 1 || s->window > 1)
		go_ahead(
		    h, r->o, last->pindex, 0, US_MAX(s->window, STREAM_RUN));
}

void
ahead_park(struct pager *pg, struct run *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct page *p = r->page[i];

		p->state = PS_INACTIVE;
		pager_unbusy(pg, p);
		page_enqueue(&pg->pages, p, PQ_AHEAD);
	}
}

void
ahead_sweep(struct pager *pg)
{
	struct page *p = pageq_first(&pg->pages, PQ_AHEAD), *next;

	for (; p != NULL; p = next) {
		next = pageq_next(&pg->pages, p);
		if (p->flags & PG_STALE)
			pager_ahead_gone(pg, p);
		else
			p->flags |= PG_STALE;
	}
}

void
ahead_drop(struct pager *pg, uint32_t n)
{
	struct page *p;

	while (n-- > 0 && (p = pageq_first(&pg->pages, PQ_AHEAD)) != NULL)
		pager_ahead_gone(pg, p);
}
