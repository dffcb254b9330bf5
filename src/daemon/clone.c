/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "daemon/batch.h"
#include "daemon/clone.h"

/*
 * Attempts, for pages that cannot leave: a fork's sharing is ended between two
 * of them, and a transfer of the program's may end.
 */
#define ATTEMPTS 20
/* Times that the first page which is not still is taken out in one of them. */
#define TAKE_OUTS 4
/* Pages shared with the lock held. */
#define SHARE_PAGES 4096

struct clone {
	struct pageout *po;
	struct pager *pg;
	struct object *src, *dst;
	pindex_t first, end; /* of src */
};

/* Why a page is not still: see pager_share. */
enum unrest {
	STILL,
	BUSY, /* a thread has it: it will be unbusied */
	WRITE, /* it is being written, or waits for it */
	TAKE_OUT, /* it may change, or nobody has looked whether it did */
	WIRED,
};

static enum unrest
unrest_of(const struct clone *c, pindex_t i)
{
	uint32_t slot = object_slot(&c->pg->objects, c->src, i);
	const struct page *p;

	if (!slot_is_page(slot))
		return STILL;
	p = page_of(&c->pg->pages, slot);
	if (p->wired > 0)
		return WIRED;
	if (p->flags & PG_BUSY)
		return BUSY;
	if ((p->flags & PG_WRITING) || p->queue == PQ_LAUNDRY)
		return WRITE;
	if ((p->flags & PG_CLEAN) || p->queue == PQ_AHEAD)
		return STILL;
	return TAKE_OUT;
}

/* ---- to swap space ------------------------------------------------------- */

/* Looks at one batch of inactive pages from i on; where to go on. */
static pindex_t
clean_some(struct clone *c, pindex_t i, pindex_t end)
{
	struct pager *pg = c->pg;
	struct batch *b = c->po->batch;

	mtx_lock(&pg->lock);
	b->n = 0;
	for (; b->n < CLUSTER_MAX; i++) {
		uint32_t slot;
		struct page *p;

		if (!object_next(&pg->objects, c->src, i, end, &i)) {
			i = end;
			break;
		}
		slot = object_slot(&pg->objects, c->src, i);
		if (!slot_is_page(slot))
			continue;
		p = page_of(&pg->pages, slot);
		if (p->queue == PQ_INACTIVE && (p->flags & PG_CLEAN) == 0)
			batch_add_inactive(c->po, p);
	}
	(void)batch_clean(c->po, true);
	mtx_unlock(&pg->lock);
	return i;
}

/* One batch out of the program from i on, to the laundry; where to go on. */
static pindex_t
take_out(struct clone *c, pindex_t i)
{
	pindex_t stop = pageout_piece(c->po, c->src, i, c->end);

	while (i < stop)
		i = clean_some(c, i, stop);
	(void)pageout_launder(c->po);
	(void)pageout_step(c->po); /* others may be short of pages */
	return stop;
}

static void
take_all_out(struct clone *c)
{
	for (pindex_t i = c->first; i < c->end;)
		i = take_out(c, i);
}

/* Writes go on.  False: there is no space for what is left. */
static bool
writes_go_on(struct clone *c)
{
	struct pageout *po = c->po;

	if (pageout_launder(po))
		return true;
	if (blkq_inflight(po->q) == 0)
		return false;
	blkq_wait(po->q, 1);
	return true;
}

static bool
laundry_waits(struct clone *c)
{
	bool waits;

	mtx_lock(&c->pg->lock);
	waits = c->pg->pages.q[PQ_LAUNDRY].count > 0;
	mtx_unlock(&c->pg->lock);
	return waits;
}

/* ---- one moment ---------------------------------------------------------- */

static void
freeze(struct clone *c, bool frozen)
{
	mtx_lock(&c->pg->lock);
	if (frozen)
		c->src->frozen = true;
	else
		pager_thaw(c->pg, c->src);
	mtx_unlock(&c->pg->lock);
}

/*
 * Shares pages from *i on that are still, a bounded number.  Lock held.  0,
 * *why says why it ended before the end; or -errno.
 */
static int
share_some(struct clone *c, pindex_t *i, enum unrest *why)
{
	pindex_t stop = (pindex_t)US_MIN((uint64_t)*i + SHARE_PAGES, c->end);

	*why = STILL;
	while (object_window(c->src, *i, stop, i)) {
		pindex_t last = object_stop(*i, stop);

		for (; *i < last; ++*i) {
			int error = 0;

			*why = unrest_of(c, *i);
			if (*why == STILL)
				error = pager_share(
				    c->pg, c->src, *i, c->dst, *i - c->first);
			if (*why != STILL || error != 0)
				return error;
		}
	}
	*i = stop;
	return 0;
}

/* Does about the first page that is not still what can be done.  -errno. */
static int
settle(struct clone *c, pindex_t i, enum unrest why, unsigned *take_outs)
{
	switch (why) {
	case STILL:
	case BUSY: /* share_all has slept */
		return 0;
	case WRITE:
		return writes_go_on(c) ? 0 : -ENOSPC;
	case TAKE_OUT:
		/* What cannot be written may have all the frames. */
		if ((*take_outs)++ == TAKE_OUTS)
			return writes_go_on(c) || !laundry_waits(c) ? -EAGAIN
								    : -ENOSPC;
		(void)take_out(c, i);
		return 0;
	case WIRED:
		break;
	}
	return -EBUSY;
}

/* The object is frozen.  0; -EAGAIN: a page would not leave. */
static int
share_all(struct clone *c)
{
	struct pager *pg = c->pg;
	pindex_t i = c->first, at = i;
	unsigned take_outs = 0;
	enum unrest why;
	int error = 0;

	while (error == 0 && i < c->end) {
		mtx_lock(&pg->lock);
		error = share_some(c, &i, &why);
		if (error == 0 && why == BUSY)
			pager_sleep(pg);
		mtx_unlock(&pg->lock);
		if (i != at)
			take_outs = 0;
		at = i;
		if (error == 0)
			error = settle(c, i, why, &take_outs);
	}
	return error;
}

static int
attempt(struct clone *c)
{
	struct pager *pg = c->pg;
	int error;

	take_all_out(c);
	while (blkq_inflight(c->po->q) > 0 && writes_go_on(c))
		continue;
	freeze(c, true);
	take_all_out(c);
	error = share_all(c);
	freeze(c, false);
	if (error == 0)
		return 0;
	mtx_lock(&pg->lock);
	pager_purge(pg, c->dst, 0, c->dst->npages);
	mtx_unlock(&pg->lock);
	return error;
}

static void
keep(struct clone *c, bool kept)
{
	mtx_lock(&c->pg->lock);
	c->src->kept = kept;
	mtx_unlock(&c->pg->lock);
}

int
clone_make(struct pageout *po, struct object *src, pindex_t first, pindex_t n,
    struct object *dst)
{
	struct clone c = {po, po->pg, src, dst, first, first + n};
	int error = -EAGAIN;

	KASSERT(!src->reserved, "a reserved page would share its block");
	keep(&c, true);
	for (unsigned i = 0; i < ATTEMPTS && error == -EAGAIN; i++) {
		if (i > 0)
			blkq_wait(po->q, 1);
		error = attempt(&c);
	}
	keep(&c, false);
	return error == -EAGAIN ? -EBUSY : error;
}
