/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The blocks of a closing device, visited window by window.
 *
 * The order is that of the device, not that of the pages: pages were written in
 * the order in which they left, which after some time has little to do with that
 * of their addresses, and a device read in that order would seek for each.  What
 * was written together stays together.
 *
 * Passes end: no block is given out on the device, so each block that is dealt
 * with is one less; and those left alone belong to transfers, which end.
 */
#include <errno.h>

#include "pager/pager_off.h"

/* Blocks that are passed with the lock held. */
#define VISIT_BLOCKS (1u << 11)

int
swapoff_init(struct swapoff *so, struct pager *pg, struct blkq *q)
{
	KASSERT(blkq_depth(q) >= SWAPOFF_IO, "queue too shallow");
	*so = (struct swapoff){.pg = pg, .q = q};
	so->all = mem_map(SWAPOFF_IO * sizeof(*so->all));
	so->owner = mem_map(SWAPOFF_WINDOW * sizeof(*so->owner));
	so->more = mem_map(SWAPOFF_MORE * sizeof(*so->more));
	if (so->all == NULL || so->owner == NULL || so->more == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < SWAPOFF_IO; i++) {
		struct move *m = &so->all[i];

		m->buf = mem_map(ptoa(CLUSTER_MAX));
		if (m->buf == NULL)
			return -ENOMEM;
		m->next = so->free;
		so->free = m;
	}
	return 0;
}

static void
give_memory_back(struct swapoff *so)
{
	for (unsigned i = 0; so->all != NULL && i < SWAPOFF_IO; i++)
		if (so->all[i].buf != NULL)
			mem_unmap(so->all[i].buf, ptoa(CLUSTER_MAX));
	if (so->all != NULL)
		mem_unmap(so->all, SWAPOFF_IO * sizeof(*so->all));
	if (so->owner != NULL)
		mem_unmap(so->owner, SWAPOFF_WINDOW * sizeof(*so->owner));
	if (so->more != NULL)
		mem_unmap(so->more, SWAPOFF_MORE * sizeof(*so->more));
}

void
swapoff_destroy(struct swapoff *so)
{
	KASSERT(so->dev == NULL, "a device is being taken away");
	give_memory_back(so);
	blkq_destroy(so->q);
}

void
swapoff_forget(struct swapoff *so)
{
	give_memory_back(so);
	blkq_forget(so->q);
	*so = (struct swapoff){0};
}

int
swapoff_begin(struct swapoff *so, struct swdev *dev, bool force)
{
	struct swspace *s = &so->pg->space;
	devblk_t at;

	mtx_assert(&so->pg->lock);
	KASSERT(so->dev == NULL, "one device at a time");
	if (swspace_is_closing(dev))
		return -EBUSY;
	so->first = swspace_place(dev, &so->blocks);
	if (!force && swspace_used_on(dev) > 0 &&
	    blkdev_gone(swspace_locate(s, so->first, &at)))
		return -EIO;
	if (!force && swspace_elsewhere(s, dev) < swspace_used_on(dev))
		return -ENOMEM;
	swspace_close(s, dev);
	so->dev = dev;
	so->force = force;
	owners_begin(so, 0, SWAPOFF_WINDOW);
	so->progress = true;
	so->error = 0;
	so->lost = 0;
	atomic_store(&so->stop, false);
	return 0;
}

bool
swapoff_over(const struct swapoff *so, int *ret)
{
	if (so->dev == NULL)
		*ret = so->error;
	return so->dev == NULL;
}

/* ---- one block ----------------------------------------------------------- */

/* A block elsewhere, with no contents: see assign() in pager_range.c. */
static bool
renew(struct pager *pg, struct object *o, pindex_t i)
{
	uint32_t n = 1;
	swblk_t blk = move_alloc(pg, &n);
	int error;

	if (!swblk_valid(blk))
		return false;
	pager_unswapped(pg, o, i);
	(void)swmap_set(&o->swmap, i, blk, &error);
	KASSERT(error == 0, "the page had a block: %d", error);
	object_set_tag(&pg->objects, o, i, 0);
	return true;
}

/* In the order in which one outweighs the other. */
enum visit { VISITED, COPY, LATER, FULL };

/*
 * A page that has a block of the device.  What was read ahead needs it: it may
 * be dropped at any time.
 */
static enum visit
visit_page(struct pager *pg, struct object *o, pindex_t i)
{
	uint32_t slot = object_slot(&pg->objects, o, i);

	if (slot == SLOT_NONE)
		return COPY;
	if (slot_is_page(slot)) {
		const struct page *p = page_of(&pg->pages, slot);

		if (p->flags & (PG_BUSY | PG_WRITING))
			return LATER;
		if (p->queue == PQ_AHEAD)
			return COPY;
		if (!o->reserved) {
			pager_unswapped(pg, o, i);
			return VISITED;
		}
	}
	return renew(pg, o, i) ? VISITED : FULL;
}

/*
 * All owners of block k of the window.  While one transfers it the others wait
 * with it: they shall go on sharing.  *tag: of the contents, if it is to be
 * copied.
 */
static enum visit
visit(struct swapoff *so, uint32_t k, uint64_t *tag)
{
	struct pager *pg = so->pg;
	swblk_t blk = swblk_add(so->first, so->base + k);
	const struct block_owner *w;
	enum visit all = VISITED;

	for (w = owner_first(so, k); w != NULL; w = owner_next(so, w)) {
		struct object *o = owner_has(pg, w, blk);
		enum visit v;

		if (o == NULL)
			continue;
		v = visit_page(pg, o, w->pindex);
		if (v == COPY)
			*tag = object_tag(&pg->objects, o, w->pindex);
		if (v == VISITED)
			so->progress = true;
		all = US_MAX(all, v);
	}
	return all;
}

/*
 * Visits blocks, and gathers those to be copied into one cluster.  Lock held.
 * Returns false when it is not complete: more blocks are to be visited.
 */
static bool
gather(struct swapoff *so, struct move *m)
{
	uint32_t stop = US_MIN(so->at + VISIT_BLOCKS, so->window), last = 0;

	for (m->n = 0; so->at < stop; so->at++) {
		uint32_t first = m->n > 0 ? m->from.v - so->first.v : 0;
		uint32_t place = so->base + so->at - first;
		uint64_t tag = 0;
		enum visit v;

		if (m->n > 0 &&
		    (place >= CLUSTER_MAX || place - last > SWAPOFF_GAP))
			return true;
		v = visit(so, so->at, &tag);
		if (v == FULL) {
			so->error = -ENOMEM;
			return m->n > 0;
		}
		if (v != COPY)
			continue;
		if (m->n == 0) {
			m->from = swblk_add(so->first, so->base + so->at);
			place = 0;
		}
		last = place;
		m->page[m->n++] = (struct moved){place, tag};
	}
	return m->n > 0;
}

/* ---- the step ------------------------------------------------------------ */

/* Lock not held. */
static bool
reap(struct swapoff *so)
{
	struct blkreq *req;
	bool any = false;

	while ((req = blkq_poll(so->q)) != NULL) {
		struct move *m = req->arg;
		enum move_rv rv = move_goes_on(so, m);

		any = true;
		so->progress = true;
		if (rv == MOVE_PEND)
			continue;
		if (rv == MOVE_FULL)
			so->error = -ENOMEM;
		m->next = so->free;
		so->free = m;
	}
	return any;
}

/* Nothing is in flight.  The device is gone, or in use as before. */
static void
end(struct swapoff *so)
{
	struct pager *pg = so->pg;
	struct blkdev *dev = NULL;

	mtx_lock(&pg->lock);
	if (swspace_used_on(so->dev) == 0) {
		so->error = 0; /* it ended by itself */
		dev = swspace_off(&pg->space, so->dev);
	} else {
		swspace_reopen(&pg->space, so->dev);
		/* What could not be written may be tried again. */
		if (pg->grow && pg->need_pageout != NULL) {
			pg->grow = false;
			pg->need_pageout(pg->event_arg);
		}
	}
	so->dev = NULL;
	mtx_unlock(&pg->lock);
	if (dev != NULL)
		blkdev_close(dev);
}

/*
 * The window has been visited.  Lock held.  The next begins when all is switched
 * that can be: the owners are still needed, and in a new pass the same would be
 * copied twice.  False, too, when nothing could be done in this pass: others must
 * go on first.
 */
static bool
next_window(struct swapoff *so)
{
	bool progress = so->progress;

	if (blkq_inflight(so->q) > 0)
		return false;
	if (so->base + so->window < so->blocks) {
		owners_begin(so, so->base + so->window, SWAPOFF_WINDOW);
		return true;
	}
	so->progress = false;
	owners_begin(so, 0, SWAPOFF_WINDOW);
	return progress;
}

/* Lock held.  Whether there is more to do at once. */
static bool
work(struct swapoff *so)
{
	if (!so->looked_up) {
		owners_lookup(so);
		return true;
	}
	if (so->at == so->window)
		return next_window(so);
	if (so->free == NULL)
		return false;
	if (gather(so, so->free)) {
		struct move *m = so->free;

		so->free = m->next;
		move_start(so, m);
	}
	return true;
}

bool
swapoff_step(struct swapoff *so)
{
	struct pager *pg = so->pg;
	bool any, done;

	if (so->dev == NULL)
		return false;
	any = reap(so);
	if (atomic_load(&so->stop) && so->error == 0)
		so->error = -EINTR;
	mtx_lock(&pg->lock);
	if (so->error == 0 && swspace_only_held(so->dev))
		so->error = -EAGAIN;
	done = so->error != 0 || swspace_used_on(so->dev) == 0;
	if (!done && !so->pause && work(so))
		any = true;
	mtx_unlock(&pg->lock);
	blkq_flush(so->q);
	if (done && blkq_inflight(so->q) == 0) {
		end(so);
		return false;
	}
	return any;
}
