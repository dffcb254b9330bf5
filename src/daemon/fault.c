/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fault finds, and what is done:
 *
 *	not in memory, no block		zero fill, a window while they follow
 *					each other
 *	not in memory, a block		page-in of the window around it
 *	the shared zero page		a page of its own
 *	inactive, or being written	soft fault: copied back from the frame
 *	read ahead			entered with all that was read with it
 *	busy				left to who has it: PG_WANTED
 *	active				the fault is late, or the program
 *					dropped the page behind our back:
 *					zeros, unless it is there
 *
 * No record of waiting threads is needed.  Entering a page wakes whoever
 * waits for it, and a thread that is woken too early faults again.
 *
 * All functions here: the lock is held on entry and on return; those that
 * release it meanwhile say so, and what they work on is busy then.
 */
#include <errno.h>

#include "base/log.h"
#include "daemon/fault.h"
#include "daemon/policy.h"

/*
 * The largest zero fill: beyond 64 pages the fault is a small part of the
 * cost, and pages that the program never touches are memory wasted.
 */
#define ZERO_WINDOW_MAX 64

/*
 * Of a run, so many pages are entered first, which wakes the program.  While it
 * reads them the others follow, and faster than it can read.
 */
#define RUN_HEAD 16

/* From this window on, faults one after the other are taken for a stream. */
#define STREAM_RUN 8

/* How far ahead of a stream that leaps: each page of it is a request. */
#define LEAPS_MAX 16

enum answer { ANSWERED, WAIT };

/* ---- busy runs ----------------------------------------------------------- */

/* Busy pages of an object: adjacent, or equal leaps apart. */
struct run {
	struct object *o;
	pindex_t first;
	uint32_t n;
	enum page_queue queue; /* where its pages go, once they are active */
	struct page *page[CLUSTER_MAX];
	bool vanished[CLUSTER_MAX]; /* its range is not ours any more */
};

/*
 * A page could not be entered, since its range has vanished.  One that is
 * being written stays as it is until that is done: a page in a frame goes
 * then, an active one when it is to be paged out and is not there.
 */
static void
page_vanished(struct pager *pg, struct page *p)
{
	if ((p->flags & PG_WRITING) == 0) {
		pager_junk(pg, pager_page_gone(pg, p, SLOT_NONE));
		return;
	}
	pager_unbusy(pg, p);
	if (p->state == PS_ACTIVE && p->wired == 0)
		page_enqueue(&pg->pages, p, PQ_ACTIVE);
}

/* The pages are in the program now: active.  Others have vanished. */
static void
run_entered(struct pager *pg, struct run *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct page *p = r->page[i];
		uint32_t frame = p->frame;

		if (r->vanished[i]) {
			page_vanished(pg, p);
			continue;
		}
		p->frame = FRAME_NONE;
		p->state = PS_ACTIVE;
		if (frame != FRAME_NONE && frame_is_in(&pg->frames, frame)) {
			frames_free(&pg->frames, frame, 1);
		} else if (frame != FRAME_NONE) {
			pg->loose++;
			/* A frame being written goes when that is done. */
			if ((p->flags & PG_WRITING) == 0)
				pager_junk(pg, frame);
		}
		/* FreeBSD keeps the block after a read; so do we, until space
		 * is short: then memory and swap add up. */
		if (pg->space.almost_full && !r->o->reserved &&
		    (p->flags & PG_WRITING) == 0)
			pager_unswapped(pg, r->o, p->pindex);
		p->flags &= (uint8_t)~PG_AHEAD;
		pager_unbusy(pg, p);
		if (p->wired == 0)
			page_enqueue(&pg->pages, p, r->queue);
	}
}

/*
 * Copies a run from its frames into the program.  If a part of it has vanished
 * the rest must still arrive: it may be the only copy, so each page is tried
 * again alone.  Releases the lock.
 */
static void
run_enter(struct handler *h, struct run *r)
{
	struct pager *pg = h->pg;

	mtx_unlock(&pg->lock);
	blkq_flush(h->q); /* what was started ahead goes on meanwhile */
	for (uint32_t i = 0, k; i < r->n; i += k) {
		uint32_t frame = r->page[i]->frame;
		pindex_t first = r->page[i]->pindex;
		uintptr_t va = object_va(r->o, first);
		const char *src = frame_addr(&pg->frames, frame);

		for (k = 1; i + k < r->n; k++)
			if (r->page[i + k]->frame != frame + k ||
			    r->page[i + k]->pindex != first + k ||
			    frame + k == pg->frames.n_out ||
			    (i == 0 && k == RUN_HEAD))
				break;
		if (pmap_enter(pg->pmap, va, src, k) == 0)
			continue;
		for (uint32_t j = 0; j < k; j++)
			r->vanished[i + j] = pmap_enter(pg->pmap, va + ptoa(j),
						 src + ptoa(j), 1) != 0;
	}
	mtx_lock(&pg->lock);
}

/* The same with zeros. */
static void
run_zero(struct handler *h, struct run *r, bool write)
{
	struct pager *pg = h->pg;
	uintptr_t va = object_va(r->o, r->first);

	mtx_unlock(&pg->lock);
	blkq_flush(h->q);
	if (pmap_zero(pg->pmap, va, r->n, write) != 0)
		for (uint32_t i = 0; i < r->n; i++)
			r->vanished[i] =
			    pmap_zero(pg->pmap, va + ptoa(i), 1, write) != 0;
	mtx_lock(&pg->lock);
}

/* ---- zero fill ----------------------------------------------------------- */

static bool
is_untouched(const struct pager *pg, const struct object *o, pindex_t i)
{
	uint32_t slot = object_slot(&pg->objects, o, i);

	return slot == SLOT_RESERVED ||
	       (slot == SLOT_NONE && !swblk_valid(swmap_get(&o->swmap, i)));
}

/* Where the mapped part around a page ends: windows stay inside it. */
static pindex_t
mapped_end(const struct pager *pg, const struct object *o, pindex_t i)
{
	const struct map_entry *e = map_lookup(&pg->map, object_va(o, i));

	return e == NULL ? i + 1 : (pindex_t)atop(e->end - o->base);
}

/*
 * Reads get the shared page of zeros, which costs nothing: the descriptors
 * are only for the time of the call, so that nobody interferes.  The slots of
 * reserved pages keep their blocks either way.  Releases the lock.
 */
static enum answer
fault_zero(struct handler *h, struct object *o, pindex_t i, bool write)
{
	struct pager *pg = h->pg;
	bool down;
	struct stream *s = stream_find(o, i, &down);
	uint32_t want = policy_window(
	    US_MIN(stream_run(s), ZERO_WINDOW_MAX), pager_free(pg));
	pindex_t end = US_MIN(mapped_end(pg, o, i), i + want);
	struct run r = {.o = o, .first = i, .queue = PQ_ACTIVE};

	while (i + r.n < end && is_untouched(pg, o, i + r.n)) {
		struct page *p = pager_page_new(pg, o, i + r.n);

		if (p == NULL)
			break;
		r.page[r.n++] = p;
	}
	if (r.n == 0)
		return WAIT;
	stream_given(s, i, r.n);
	run_zero(h, &r, write);
	pg->ctr.faults_zero++;
	pg->ctr.pages_zero += r.n;
	if (write) {
		run_entered(pg, &r);
		return ANSWERED;
	}
	for (uint32_t k = 0; k < r.n; k++) {
		bool block = swblk_valid(swmap_get(&o->swmap, i + k));

		(void)pager_page_gone(pg, r.page[k],
		    !r.vanished[k] ? SLOT_ZERO
		    : block        ? SLOT_RESERVED
				   : SLOT_NONE);
	}
	return ANSWERED;
}

/*
 * A page that reads as zeros, or an active one whose fault is late.  What is
 * there stays there: see pmap_zero.  Releases the lock.
 */
static void
fault_present(struct pager *pg, struct page *p, const struct pmap_fault *f)
{
	uintptr_t va = pager_va(pg, p);
	struct run r = {.o = pager_object(pg, p),
	    .first = p->pindex,
	    .n = 1,
	    .queue = PQ_ACTIVE,
	    .page = {p}};
	int error = 0;

	mtx_unlock(&pg->lock);
	if (!f->protect)
		error = pmap_zero(pg->pmap, va, 1, true);
	if (error == 0)
		error = pmap_unprotect(pg->pmap, va, 1);
	mtx_lock(&pg->lock);
	if (error == 0)
		pmap_wake(pg->pmap, va, 1);
	r.vanished[0] = error != 0;
	run_entered(pg, &r);
}

/* The shared zero page is written to: a page of its own.  Releases the lock. */
static enum answer
fault_zero_page(
    struct pager *pg, struct object *o, pindex_t i, const struct pmap_fault *f)
{
	struct page *p = pager_page_new(pg, o, i);

	if (p == NULL)
		return WAIT;
	pg->ctr.faults_zero++;
	pg->ctr.pages_zero++;
	fault_present(pg, p, f);
	return ANSWERED;
}

/* ---- page-in ------------------------------------------------------------- */

static struct pgio *
io_get(struct handler *h)
{
	struct pgio *io = h->io;

	if (io != NULL)
		h->io = io->next;
	return io;
}

static void
io_put(struct handler *h, struct pgio *io)
{
	io->next = h->io;
	h->io = io;
}

/* Forgets pages read ahead, oldest first. */
static void
drop_ahead(struct pager *pg, uint32_t n)
{
	struct page *p;

	while (n-- > 0 && (p = pageq_first(&pg->pages, PQ_AHEAD)) != NULL)
		pager_ahead_gone(pg, p);
}

/*
 * Keeps two windows ahead of a stream that goes up, there or coming: while
 * the program uses one and the disk fills the other, neither waits.  Takes
 * requests only while more than half of the handler's are free: demands come
 * first.
 */
static void
read_ahead(struct handler *h, struct object *o, pindex_t from, uint32_t window)
{
	struct pager *pg = h->pg;
	pindex_t end = mapped_end(pg, o, from - 1), i = from;
	pindex_t stop;
	uint32_t before = 0, after, n;
	struct pgio *io = h->io;

	window = US_MIN(window, pg->read_window);
	stop = (pindex_t)US_MIN((uint64_t)from + 2 * window, end);
	after = window - 1;
	while (i < stop && slot_is_page(object_slot(&pg->objects, o, i)))
		i++;
	if (i >= stop || io == NULL || o->careful > 0 ||
	    blkq_inflight(h->q) * 2 > HANDLER_IO ||
	    pager_free(pg) < (int64_t)window + pg->free_low / 2)
		return;
	if (!pager_haspage(pg, o, i, &before, &after))
		return;
	n = US_MIN(after + 1, end - i);
	if (pager_getpages(pg, h->q, io, o, i, &n, true) == PAGER_PEND)
		(void)io_get(h);
}

/* The same for a stream that leaps.  Its last page is wanted or there. */
static void
leap_ahead(struct handler *h, struct object *o, const struct stream *s)
{
	struct pager *pg = h->pg;
	const struct map_entry *e = map_lookup(&pg->map, object_va(o, s->back));
	uint32_t leaps = US_MIN(s->window, pg->read_window);
	uintptr_t va = object_va(o, s->back);

	if (e == NULL || o->careful > 0)
		return;
	leaps = US_MIN(leaps, LEAPS_MAX);
	while (leaps-- > 0) {
		uint32_t before = 0, after = 0, n = 1;
		pindex_t i;

		va += (uintptr_t)((intptr_t)s->stride * PAGE_SIZE);
		if (va < e->start || va >= e->end || h->io == NULL ||
		    blkq_inflight(h->q) * 2 > HANDLER_IO ||
		    pager_free(pg) < 1 + pg->free_low / 2)
			return;
		i = (pindex_t)atop(va - o->base);
		if (slot_is_page(object_slot(&pg->objects, o, i)) ||
		    !pager_haspage(pg, o, i, &before, &after))
			continue; /* there, or coming; or nothing to read */
		if (pager_getpages(pg, h->q, h->io, o, i, &n, true) !=
		    PAGER_PEND)
			return;
		(void)io_get(h);
	}
}

/*
 * The window of a page-in: as many pages as the stream suggests, on the side
 * it runs to, as far as they are contiguous in the object and in swap.
 */
static enum answer
fault_disk(struct handler *h, struct object *o, pindex_t i)
{
	struct pager *pg = h->pg;
	bool down;
	struct stream *s = stream_find(o, i, &down);
	uint32_t window = US_MIN(stream_run(s), pg->read_window);
	uint32_t want = policy_window(window, pager_free(pg)), n;
	uint32_t before = 0, after = 0;
	pindex_t first;
	enum pager_rv rv;

	if (o->careful > 0)
		want = 1;
	if (h->io == NULL)
		return WAIT;
	if (down)
		before = want - 1;
	else
		after = want - 1;
	if (!pager_haspage(pg, o, i, &before, &after))
		KASSERT(false, "page %u has no block", i);
	first = i - before;
	n = before + 1 + after;
	rv = pager_getpages(pg, h->q, h->io, o, first, &n, false);
	if (rv == PAGER_AGAIN && pager_free(pg) > 0) {
		drop_ahead(pg, CLUSTER_MAX);
		rv = pager_getpages(pg, h->q, h->io, o, first, &n, false);
	}
	if (rv != PAGER_PEND)
		return WAIT;
	(void)io_get(h);
	pg->ctr.faults_disk++;
	if (o->careful > 0)
		o->careful--;
	stream_given(s, first, n);
	/* Going down, fewer than asked for do not reach the page itself. */
	if (first + n <= i)
		return WAIT;
	if (stream_leaps(s))
		leap_ahead(h, o, s);
	else if (!down && window >= STREAM_RUN)
		read_ahead(h, o, first + n, window);
	return ANSWERED;
}

/*
 * Pages that did not come back.  One of several: who wants it will read it
 * alone.  One alone: it is lost, and touching it is SIGBUS.
 */
static void
read_failed(struct pager *pg, struct pgio *io, struct page *p)
{
	struct object *o = io->object;
	pindex_t i = p->pindex;
	uintptr_t va = object_va(o, i);
	swblk_t blk;

	p->flags |= PG_WANTED; /* so that whoever waits is woken */
	if (io->n > 1 || io->ahead) {
		o->careful = US_MAX(o->careful, io->n);
		(void)pager_page_gone(pg, p, SLOT_NONE);
		return;
	}
	mtx_unlock(&pg->lock);
	(void)pmap_poison(pg->pmap, va);
	mtx_lock(&pg->lock);
	blk = swmap_clear(&o->swmap, i);
	if (blkdev_gone(io->req.dev))
		swspace_free(
		    &pg->space, blk, 1); /* the block is not to blame */
	else
		swspace_retire(&pg->space, blk);
	(void)pager_page_gone(pg, p, SLOT_LOST);
	log_msg(LOG_ERROR,
	    "the page at %#jx is lost; touching it will end in SIGBUS",
	    (uintmax_t)va);
}

static void
run_add(struct run *r, struct page *p)
{
	if (r->n == 0)
		r->first = p->pindex;
	r->vanished[r->n] = false;
	r->page[r->n++] = p;
}

/* Read ahead and nobody asked for it yet: kept in its buffer, until then. */
static void
park_ahead(struct pager *pg, struct run *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct page *p = r->page[i];

		p->state = PS_INACTIVE;
		p->flags |= PG_AHEAD;
		pager_unbusy(pg, p);
		page_enqueue(&pg->pages, p, PQ_AHEAD);
	}
}

/* What was read ahead is used: the stream goes on from its end. */
static void
stream_goes_on(struct handler *h, struct stream *s, const struct run *r)
{
	const struct page *last = r->page[r->n - 1];

	if (stream_leaps(s)) {
		stream_given(s, last->pindex, 1);
		leap_ahead(h, r->o, s);
		return;
	}
	stream_given(s, r->first, r->n);
	/* One page alone may be of a stream that leapt and was forgotten. */
	if (r->n > 1 || s->window > 1)
		read_ahead(
		    h, r->o, last->pindex + 1, US_MAX(s->window, STREAM_RUN));
}

static void
run_read(struct handler *h, struct pgio *io, struct run *r, bool wanted)
{
	bool down;

	if (r->n == 0)
		return;
	if (!wanted) {
		park_ahead(h->pg, r);
	} else {
		if (io->ahead)
			stream_goes_on(
			    h, stream_find(r->o, r->first, &down), r);
		run_enter(h, r);
		run_entered(h->pg, r);
	}
	r->n = 0;
}

/* A read is complete.  Releases the lock. */
static void
read_done(struct handler *h, struct pgio *io)
{
	struct pager *pg = h->pg;
	struct run r = {.o = io->object, .queue = PQ_ACTIVE};
	bool wanted = !io->ahead;

	if (io->ahead || io->n >= STREAM_RUN)
		r.queue = PQ_STREAM;
	pager_get_verify(pg, io);
	mtx_lock(&pg->lock);
	for (uint32_t i = 0; i < io->n; i++)
		wanted |=
		    (page_of(&pg->pages, io->page[i])->flags & PG_WANTED) != 0;
	if (!io->ahead)
		pg->ctr.wait_read_ns += clock_now_ns(pg->clock) - io->started;
	for (uint32_t i = 0; i < io->n; i++) {
		struct page *p = page_of(&pg->pages, io->page[i]);

		if (io->good[i]) {
			run_add(&r, p);
			continue;
		}
		run_read(h, io, &r, wanted);
		read_failed(pg, io, p);
	}
	run_read(h, io, &r, wanted);
	io_put(h, io);
	if (pg->have_memory != NULL) /* buffers, that is */
		pg->have_memory(pg->event_arg);
	mtx_unlock(&pg->lock);
}

/* ---- pages in memory ----------------------------------------------------- */

/* Whether a page can be entered together with one of the given queue. */
static struct page *
same_kind(
    const struct pager *pg, const struct object *o, pindex_t i, uint8_t queue)
{
	uint32_t slot = object_slot(&pg->objects, o, i);
	struct page *p;

	if (!slot_is_page(slot))
		return NULL;
	p = page_of(&pg->pages, slot);
	return p->queue == queue && queue != PQ_NONE ? p : NULL;
}

/*
 * A soft fault.  In a stream, its neighbours that lie in the same queue come
 * along; a single touch says nothing about neighbours.  Releases the lock.
 */
static enum answer
fault_soft(struct handler *h, struct object *o, struct page *p)
{
	struct pager *pg = h->pg;
	bool down, ahead = p->queue == PQ_AHEAD;
	uint32_t want, copies;
	struct stream *s;
	uint8_t queue = p->queue;
	struct run r = {.o = o, .queue = ahead ? PQ_STREAM : PQ_ACTIVE};
	int64_t end = mapped_end(pg, o, p->pindex), step;

	if (!ahead && pager_free(pg) <= 0 && !pg->grow)
		return WAIT;
	s = stream_find(o, p->pindex, &down);
	want = ahead ? US_MAX(s->window, STREAM_RUN)
		     : policy_window(stream_run(s), pager_free(pg));
	step = stream_leaps(s) ? s->stride : 1;
	for (int64_t i = p->pindex; i >= 0 && i < end && r.n < want;
	     i += step) {
		struct page *next =
		    r.n == 0 ? p : same_kind(pg, o, (pindex_t)i, queue);

		if (next == NULL)
			break;
		if (next->queue != PQ_NONE)
			page_dequeue(&pg->pages, next);
		pager_busy(pg, next);
		run_add(&r, next);
	}
	pg->ctr.faults_soft++;
	if (ahead)
		stream_goes_on(h, s, &r);
	else
		stream_given(s, r.first, r.n);
	copies = ahead ? 0 : r.n; /* read buffers are paid for */
	if (!pager_copies_begin(pg, copies))
		KASSERT(false, "%u pages were free", copies);
	run_enter(h, &r);
	pager_copies_end(pg, copies);
	run_entered(pg, &r);
	return ANSWERED;
}

/* Releases the lock. */
static enum answer
fault_page(struct handler *h, struct object *o, struct page *p,
    const struct pmap_fault *f)
{
	struct pager *pg = h->pg;

	if (p->flags & PG_BUSY) {
		pg->ctr.v_intrans++;
		p->flags |= PG_WANTED;
		return ANSWERED;
	}
	if (p->state != PS_ACTIVE)
		return fault_soft(h, o, p);
	if (p->queue != PQ_NONE)
		page_dequeue(&pg->pages, p);
	pager_busy(pg, p);
	fault_present(pg, p, f);
	return ANSWERED;
}

/* ---- one fault ----------------------------------------------------------- */

static enum answer
fault_resolve(struct handler *h, const struct pmap_fault *f)
{
	struct pager *pg = h->pg;
	struct map_entry *e = map_lookup(&pg->map, f->va);
	struct object *o;
	uint32_t slot;
	pindex_t i;

	if (e == NULL) {
		/* Unmapped a moment ago: the access will see for itself. */
		(void)pmap_wake(pg->pmap, f->va, 1);
		return ANSWERED;
	}
	o = e->object;
	i = (pindex_t)atop(f->va - o->base);
	slot = object_slot(&pg->objects, o, i);
	if (slot_is_page(slot))
		return fault_page(h, o, page_of(&pg->pages, slot), f);
	if (slot == SLOT_LOST) {
		(void)pmap_poison(pg->pmap, f->va);
		return ANSWERED;
	}
	if (slot == SLOT_NONE && swblk_valid(swmap_get(&o->swmap, i)))
		return fault_disk(h, o, i);
	/* A protection fault where nothing should be: zeros all the same. */
	if (slot == SLOT_ZERO || f->protect)
		return fault_zero_page(pg, o, i, f);
	return fault_zero(h, o, i, f->write);
}

/* ---- the handler --------------------------------------------------------- */

int
handler_init(struct handler *h, struct pager *pg, struct blkq *q)
{
	KASSERT(blkq_depth(q) >= HANDLER_IO, "queue too shallow");
	*h = (struct handler){.pg = pg, .q = q};
	h->all = mem_map(HANDLER_IO * sizeof(struct pgio));
	if (h->all == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < HANDLER_IO; i++) {
		h->all[i].next = NULL; /* touched now, not in a fault */
		io_put(h, &h->all[i]);
	}
	return 0;
}

void
handler_destroy(struct handler *h)
{
	blkq_destroy(h->q);
	mem_unmap(h->all, HANDLER_IO * sizeof(struct pgio));
}

/*
 * A fault waits, and with it all later ones, for the page-out thread to free
 * some page.  It is told that we do by the shortage itself.
 */
static void
wait_begin(struct handler *h)
{
	if (h->waiting)
		return;
	h->waiting = true;
	h->waiting_since = clock_now_ns(h->pg->clock);
	h->pg->ctr.waits_memory++;
	if (h->pg->need_pageout != NULL)
		h->pg->need_pageout(h->pg->event_arg);
}

static void
wait_end(struct handler *h)
{
	if (!h->waiting)
		return;
	h->waiting = false;
	h->pg->ctr.wait_memory_ns +=
	    clock_now_ns(h->pg->clock) - h->waiting_since;
}

/* Answers the faults that were taken, up to one that must wait. */
static void
answer_all(struct handler *h)
{
	mtx_lock(&h->pg->lock);
	while (h->answered < h->taken) {
		if (!h->waiting)
			h->pg->ctr.faults++;
		if (fault_resolve(h, &h->fault[h->answered]) == WAIT) {
			wait_begin(h);
			break;
		}
		wait_end(h);
		h->answered++;
	}
	mtx_unlock(&h->pg->lock);
}

static void
reap(struct handler *h)
{
	struct blkreq *req;

	while ((req = blkq_poll(h->q)) != NULL)
		read_done(h, req->arg);
}

/*
 * Reads that were started here are passed to the kernel by whoever sleeps next
 * or copies pages first: together, for each hand-over is a system call and,
 * under a hypervisor, an exit.
 */
bool
handler_step(struct handler *h)
{
	reap(h);
	if (h->answered == h->taken) {
		h->answered = 0;
		h->taken =
		    pmap_next_faults(h->pg->pmap, h->fault, PMAP_FAULTS_MAX);
	}
	answer_all(h);
	return h->answered == PMAP_FAULTS_MAX;
}
