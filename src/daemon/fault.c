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
 *	of a frozen object		left to who cloned it: clone_make
 *	sealed, and written to		unsealed, and those behind it as well:
 *					see fault_sealed
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
#include "base/thread.h"
#include "daemon/ahead.h"
#include "daemon/fault.h"
#include "daemon/policy.h"

/*
 * The largest zero fill: beyond 64 pages the fault is a small part of the
 * cost, and pages that the program never touches are memory wasted.
 */
#define ZERO_WINDOW_MAX 64

/* ---- zero fill ----------------------------------------------------------- */

static bool
is_untouched(const struct pager *pg, const struct object *o, pindex_t i)
{
	uint32_t slot = object_slot(&pg->objects, o, i);

	return slot == SLOT_RESERVED ||
	       (slot == SLOT_NONE && !swblk_valid(swmap_get(&o->swmap, i)));
}

/*
 * What was zeros for somebody who read, and who may be but one of many: what others
 * have written to before it was protected has memory of its own, and is a page like
 * any other.  The others need no descriptor; their slots keep reserved blocks.
 */
static void
zeros_entered(struct pager *pg, struct run *r)
{
	struct run own = {.o = r->o, .queue = r->queue};

	for (uint32_t k = 0; k < r->n; k++) {
		struct page *p = r->page[k];
		bool block = swblk_valid(swmap_get(&r->o->swmap, p->pindex));

		if (r->own[k] && !r->vanished[k])
			run_add(&own, p);
		else
			(void)pager_page_gone(pg, p,
			    !r->vanished[k] ? SLOT_ZERO
			    : block         ? SLOT_RESERVED
					    : SLOT_NONE);
	}
	run_entered(pg, &own);
}

/*
 * Reads get the shared page of zeros, which costs nothing: the descriptors
 * are only for the time of the call, so that nobody interferes.  Releases the
 * lock.
 */
static enum answer
fault_zero(struct handler *h, struct object *o, pindex_t i, bool write)
{
	struct pager *pg = h->pg;
	bool down;
	struct stream *s = stream_find(o, i, &down);
	uint32_t want = policy_window(
	    US_MIN(pager_run(pg, s), ZERO_WINDOW_MAX), pager_free(pg));
	pindex_t end = US_MIN(mapped_end(pg, o, i), i + want);
	struct run r = {.o = o, .first = i, .queue = PQ_ACTIVE};

	write |= !pg->pmap->shares;
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
	if (write)
		run_entered(pg, &r);
	else
		zeros_entered(pg, &r);
	return ANSWERED;
}

/*
 * A page that reads as zeros, or an active one whose fault is late.  What is
 * there stays there: see pmap_zero.  Releases the lock.
 */
static void
fault_present(struct handler *h, struct page *p, const struct pmap_fault *f)
{
	struct pager *pg = h->pg;
	uintptr_t va = pager_va(pg, p);
	struct run r = {.o = pager_object(pg, p),
	    .first = p->pindex,
	    .n = 1,
	    .queue = PQ_ACTIVE,
	    .page = {p}};
	int error = 0;

	mtx_unlock(&pg->lock);
	if (!f->protect)
		error = pmap_zero(h->pmap, va, 1, true);
	if (error == 0)
		error = pmap_unprotect(h->pmap, va, 1);
	mtx_lock(&pg->lock);
	if (error == 0)
		pmap_wake(pg->pmap, va, 1);
	r.vanished[0] = error != 0;
	run_entered(pg, &r);
}

/* The shared zero page is written to: a page of its own.  Releases the lock. */
static enum answer
fault_zero_page(
    struct handler *h, struct object *o, pindex_t i, const struct pmap_fault *f)
{
	struct pager *pg = h->pg;
	struct page *p = pager_page_new(pg, o, i);

	if (p == NULL)
		return WAIT;
	pg->ctr.faults_zero++;
	pg->ctr.pages_zero++;
	fault_present(h, p, f);
	return ANSWERED;
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
fault_soft(struct handler *h, struct object *o, struct page *p, bool write)
{
	struct pager *pg = h->pg;
	bool down, ahead = p->queue == PQ_AHEAD;
	uint32_t want, copies;
	struct stream *s;
	uint8_t queue = p->queue;
	struct run r = {.o = o, .queue = ahead ? PQ_STREAM : PQ_ACTIVE};
	int64_t end = mapped_end(pg, o, p->pindex), step;

	if (!ahead && pager_free(pg) <= 0 && !pg->grow && !pg->still)
		return WAIT;
	r.seal = ahead && !write && run_may_seal(pg);
	s = stream_find(o, p->pindex, &down);
	want = ahead ? US_MAX(s->window, STREAM_RUN)
		     : policy_window(pager_run(pg, s), pager_free(pg));
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
		r.seal &= object_seals(&pg->objects, o, next->pindex);
	}
	pg->ctr.faults_soft++;
	pager_chance(pg, p, true);
	if (ahead)
		ahead_goes_on(h, s, &r);
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

bool
fault_is_own(const struct pager *pg, const struct pmap_fault *f)
{
	return f->tid != 0 && f->tid == pg->pageout_tid;
}

/*
 * The page-out thread's own, on a page that is busy for it: the program has
 * dropped it behind our back, and it reads as zeros.  Releases the lock.
 */
static enum answer
fault_own(struct pager *pg, const struct pmap_fault *f)
{
	mtx_unlock(&pg->lock);
	if (!f->protect)
		(void)pmap_zero(pg->pmap, f->va, 1, true);
	(void)pmap_unprotect(pg->pmap, f->va, 1);
	(void)pmap_wake(pg->pmap, f->va, 1); /* should it be unmapped */
	mtx_lock(&pg->lock);
	return ANSWERED;
}

static bool
is_sealed(const struct pager *pg, const struct object *o, pindex_t i)
{
	uint32_t slot = object_slot(&pg->objects, o, i);
	const struct page *p;

	if (!slot_is_page(slot))
		return false;
	p = page_of(&pg->pages, slot);
	return (p->flags & (PG_SEALED | PG_BUSY)) == PG_SEALED;
}

/*
 * How far to unseal, from a page that is written to.  A stream will write to the next
 * ones, too.  Of a single page that says nothing, unless its window is not sealed any
 * more.
 */
static pindex_t
unseal_end(struct pager *pg, struct object *o, const struct page *p)
{
	uint64_t i = p->pindex;
	pindex_t end = mapped_end(pg, o, p->pindex);

	if (p->queue == PQ_STREAM)
		return (pindex_t)US_MIN(i + CLUSTER_MAX, end);
	if (object_seals(&pg->objects, o, p->pindex))
		return p->pindex + 1;
	return object_stop(p->pindex, end);
}

/* The first write to a page that was only read so far.  Releases the lock. */
static void
fault_sealed(struct handler *h, struct object *o, struct page *p)
{
	struct pager *pg = h->pg;
	uintptr_t va = pager_va(pg, p);
	uint8_t queue = p->queue;
	struct run r = {.o = o, .queue = queue == PQ_NONE ? PQ_ACTIVE : queue};
	pindex_t end, i = p->pindex;

	pg->ctr.faults_soft++;
	object_seal_broken(&pg->objects, o, i);
	end = unseal_end(pg, o, p);
	for (; i < end && is_sealed(pg, o, i); i++) {
		p = page_of(&pg->pages, object_slot(&pg->objects, o, i));
		if (p->queue != queue)
			break;
		if (p->queue != PQ_NONE)
			page_dequeue(&pg->pages, p);
		pager_busy(pg, p);
		run_add(&r, p);
	}
	mtx_unlock(&pg->lock);
	if (pmap_unprotect(h->pmap, va, r.n) != 0)
		for (uint32_t k = 0; k < r.n; k++)
			r.vanished[k] =
			    pmap_unprotect(h->pmap, va + ptoa(k), 1) != 0;
	mtx_lock(&pg->lock);
	run_entered(pg, &r);
}

/* Releases the lock. */
static enum answer
fault_page(struct handler *h, struct object *o, struct page *p,
    const struct pmap_fault *f)
{
	struct pager *pg = h->pg;

	if (p->flags & PG_BUSY) {
		if (fault_is_own(pg, f))
			return fault_own(pg, f);
		pg->ctr.v_intrans++;
		p->flags |= PG_WANTED;
		return LEFT;
	}
	if (p->state != PS_ACTIVE)
		return fault_soft(h, o, p, f->write);
	if (f->protect && (p->flags & PG_SEALED)) {
		fault_sealed(h, o, p);
		return ANSWERED;
	}
	if (p->queue != PQ_NONE)
		page_dequeue(&pg->pages, p);
	pager_busy(pg, p);
	fault_present(h, p, f);
	return ANSWERED;
}

/* ---- one fault ----------------------------------------------------------- */

/* Nothing is managed there.  May release the lock. */
static enum answer
fault_unmapped(struct pager *pg, const struct pmap_fault *f)
{
	if (pmap_is_frame(pg->pmap, f->va)) {
		/* It would wait for ever, as a write by a device would. */
		KASSERT(!thread_is_ours(f->tid),
		    "a frame that holds no memory was touched");
		return STRAY; /* another process looks around: it waits */
	}
	if (fault_is_own(pg, f))
		return fault_own(pg, f); /* who unmaps it waits for the page */
	/* Unmapped a moment ago: the access will see for itself. */
	(void)pmap_wake(pg->pmap, f->va, 1);
	return STRAY;
}

enum answer
fault_resolve(struct handler *h, const struct pmap_fault *f)
{
	struct pager *pg = h->pg;
	struct map_entry *e = map_lookup(&pg->map, f->va);
	struct object *o;
	uint32_t slot;
	pindex_t i;

	if (e == NULL)
		return fault_unmapped(pg, f);
	o = e->object;
	if (o->frozen && !fault_is_own(pg, f))
		return LEFT; /* it is woken when that is over */
	i = (pindex_t)atop(f->va - o->base);
	slot = object_slot(&pg->objects, o, i);
	if (slot_is_page(slot))
		return fault_page(h, o, page_of(&pg->pages, slot), f);
	if (slot == SLOT_LOST) {
		(void)pmap_poison(h->pmap, f->va);
		return LOST;
	}
	if (slot == SLOT_NONE && swblk_valid(swmap_get(&o->swmap, i)))
		return pagein_start(h, o, i, f->write);
	/* A protection fault where nothing should be: zeros all the same. */
	if (slot == SLOT_ZERO || f->protect)
		return fault_zero_page(h, o, i, f);
	return fault_zero(h, o, i, f->write);
}
