/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"
#include "daemon/ahead.h"
#include "daemon/pagein.h"
#include "daemon/policy.h"

/*
 * Between two looks at what was read ahead, so many reads for each buffer that faults
 * wait for: a stream has come for its pages long before the second look.
 */
#define SWEEP 4

/* Whether a thread of the program's can read page i: well enough, and directly. */
static bool
can_read(const struct handler *h, const struct object *o, pindex_t i)
{
	devblk_t blk;

	return o->careful == 0 && blkdev_is_here(swspace_locate(&h->pg->space,
				      swmap_get(&o->swmap, i), &blk));
}

/* What was read ahead and nobody came for would hold its buffers for ever. */
static void
count_read(struct pager *pg)
{
	if (++pg->ctr.faults_disk % (SWEEP * (uint64_t)pg->frames.n_in) == 0)
		ahead_sweep(pg);
}

/*
 * The window of a page-in: as many pages as the stream suggests, on the side
 * it runs to, as far as they are contiguous in the object and in swap.
 */
enum answer
pagein_start(struct handler *h, struct object *o, pindex_t i, bool write)
{
	struct pager *pg = h->pg;
	bool down;
	struct stream *s = stream_find(o, i, &down);
	uint32_t window = US_MIN(pager_run(pg, s), pg->read_window);
	uint32_t want = policy_window(window, pager_free(pg)), n;
	uint32_t before = 0, after = 0;
	struct pgio *io;
	enum pager_rv rv;
	pindex_t first;

	if (h->helper != NULL && !can_read(h, o, i))
		return handler_note(h->helper,
			   (struct note){.fault = {.va = object_va(o, i),
					     .write = write}})
			   ? LEFT
			   : WAIT;
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
	rv = pager_getpages(pg, h->q, h->io, o, first, n, i, false);
	if (rv == PAGER_AGAIN && pager_free(pg) > 0) {
		ahead_drop(pg, CLUSTER_MAX);
		rv = pager_getpages(pg, h->q, h->io, o, first, n, i, false);
	}
	if (rv != PAGER_PEND)
		return WAIT;
	io = handler_io_get(h);
	io->write = write;
	h->reading++;
	count_read(pg);
	ghosts_back(&pg->ghosts, o->id, i);
	if (o->careful > 0)
		o->careful--;
	stream_given(s, io->first, io->n);
	if (io->first + io->n <= i)
		return WAIT; /* descriptors were short, it is not among them */
	ahead_start(h, o, s, io->first + io->n, down ? 0 : window);
	return ANSWERED;
}

/*
 * Pages that did not come back.  One of several: who wants it will read it
 * alone.  One alone: it is lost, and touching it is SIGBUS.  Unless a thread of
 * the program's read it, from what may be another file: the helper will.
 */
static void
read_failed(struct handler *h, struct pgio *io, struct page *p)
{
	struct pager *pg = h->pg;
	struct object *o = io->object;
	pindex_t i = p->pindex;
	uintptr_t va = object_va(o, i);
	swblk_t blk;

	p->flags |= PG_WANTED; /* so that whoever waits is woken */
	if (io->n > 1 || io->ahead || h->helper != NULL) {
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
run_read(struct handler *h, struct pgio *io, struct run *r, bool wanted)
{
	bool down;

	if (r->n == 0)
		return;
	if (!wanted) {
		ahead_park(h->pg, r);
	} else {
		if (io->ahead)
			ahead_goes_on(h, stream_find(r->o, r->first, &down), r);
		run_enter(h, r);
		run_entered(h->pg, r);
	}
	r->n = 0;
}

void
pagein_done(struct handler *h, struct pgio *io)
{
	struct pager *pg = h->pg;
	struct run r = {.o = io->object, .queue = PQ_ACTIVE};
	bool wanted = !io->ahead;

	if (io->ahead || io->n >= STREAM_RUN)
		r.queue = PQ_STREAM;
	pager_get_verify(pg, io);
	mtx_lock(&pg->lock);
	r.seal = !io->write && run_may_seal(pg);
	for (uint32_t i = 0; i < io->n; i++) {
		const struct page *p = page_of(&pg->pages, io->page[i]);

		wanted |= (p->flags & PG_WANTED) != 0;
		r.seal &= object_seals(&pg->objects, r.o, p->pindex);
	}
	if (!io->ahead) {
		pg->ctr.wait_read_ns += clock_now_ns(pg->clock) - io->started;
		h->reading--;
	}
	for (uint32_t i = 0; i < io->n; i++) {
		struct page *p = page_of(&pg->pages, io->page[i]);

		if (io->good[i]) {
			run_add(&r, p);
			continue;
		}
		run_read(h, io, &r, wanted);
		read_failed(h, io, p);
	}
	run_read(h, io, &r, wanted);
	handler_io_put(h, io);
	pager_have_memory(pg); /* buffers, that is */
	mtx_unlock(&pg->lock);
}
