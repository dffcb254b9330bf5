/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One cluster from a closing device to others: see pager_off.h for why no page
 * of it is busy meanwhile.
 *
 *	read all ──▶ verify ──▶ write a run ──▶ switch ──▶ the next run ...
 *	    └─ error ─▶ read one ──▶ verify ──▶ write it ──▶ the next one ...
 *	                                └─ wrong: lost, as in a page-in
 *
 * A failed write loses nothing: what was read stays in the buffer until it has
 * been written somewhere.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "pager/pager_off.h"
#include "pager/tag.h"

/* A device that fails does so for thousands of blocks. */
#define MESSAGES_MAX 10

swblk_t
move_alloc(struct pager *pg, uint32_t *n)
{
	swblk_t blk;

	do
		blk = swspace_alloc(&pg->space, n, 1);
	while (!swblk_valid(blk) && pager_reclaim_blocks(pg, CLUSTER_MAX) > 0);
	return blk;
}

/* ---- is it still what it was? -------------------------------------------- */

static swblk_t
block_of(const struct move *m, const struct moved *p)
{
	return swblk_add(m->from, p->place);
}

static const struct block_owner *
first_owner(
    const struct swapoff *so, const struct move *m, const struct moved *p)
{
	return owner_first(so, block_of(m, p).v - so->first.v - so->base);
}

/*
 * The object of an owner, if the page's block and what is in it are those that
 * were read, and nobody transfers the page.  Objects come and go, and blocks move
 * from one to another: the id is looked up again, and the block says whether it
 * is ours, for on a closing device it cannot have been given out anew.
 */
static struct object *
same_block(const struct pager *pg, const struct move *m, const struct moved *p,
    const struct block_owner *w)
{
	struct object *o = owner_has(pg, w, block_of(m, p));
	uint32_t slot;

	if (o == NULL || object_tag(&pg->objects, o, w->pindex) != p->tag)
		return NULL;
	slot = object_slot(&pg->objects, o, w->pindex);
	if (slot_is_page(slot) &&
	    (page_of(&pg->pages, slot)->flags & (PG_BUSY | PG_WRITING)) != 0)
		return NULL;
	return o;
}

/* Written: the new block takes the place of the old one, for all who have it. */
static void
switch_block(const struct swapoff *so, const struct move *m,
    const struct moved *p, swblk_t new)
{
	struct pager *pg = so->pg;
	const struct block_owner *w = first_owner(so, m, p);
	bool has_owner = false;

	for (; w != NULL; w = owner_next(so, w)) {
		struct object *o = same_block(pg, m, p, w);
		swblk_t old;
		int error;

		if (o == NULL ||
		    (has_owner && !swspace_share(&pg->space, new, 1)))
			continue;
		has_owner = true;
		old = swmap_set(&o->swmap, w->pindex, new, &error);
		KASSERT(error == 0, "the page had a block: %d", error);
		swspace_free(&pg->space, old, 1);
	}
	if (has_owner)
		pg->ctr.pages_moved++;
	else
		swspace_free(&pg->space, new, 1);
}

/* ---- reading ------------------------------------------------------------- */

static void
submit(
    struct swapoff *so, struct move *m, enum blk_op op, swblk_t blk, uint32_t n)
{
	struct pager *pg = so->pg;
	devblk_t at;

	m->req.op = op;
	m->req.dev = swspace_locate(&pg->space, blk, &at);
	m->req.blk = at;
	m->req.npages = n;
	m->req.iov = m->iov;
	m->req.arg = m;
	if (op == BLK_READ) {
		pg->ctr.swap_reads++;
		pg->ctr.v_swappgsin += n;
	} else {
		pg->ctr.swap_writes++;
		pg->ctr.v_swappgsout += n;
	}
	blkq_submit(so->q, &m->req);
}

/* n blocks of the cluster, from `place` on. */
static void
read_blocks(struct swapoff *so, struct move *m, uint32_t place, uint32_t n)
{
	m->iov[0] = (struct iovec){m->buf + ptoa(place), ptoa(n)};
	m->req.niov = 1;
	submit(so, m, BLK_READ, swblk_add(m->from, place), n);
}

void
move_start(struct swapoff *so, struct move *m)
{
	mtx_assert(&so->pg->lock);
	m->at = 0;
	m->read_alone = m->write_alone = false;
	read_blocks(so, m, 0, m->page[m->n - 1].place + 1);
}

/* How many pages of the read that is complete did not come back. */
static uint32_t
verify(const struct move *m)
{
	uint32_t end = m->read_alone ? m->at + 1 : m->n, wrong = 0;

	for (uint32_t i = m->at; i < end; i++)
		wrong += m->req.error != 0 ||
			 pager_tag(m->buf + ptoa(m->page[i].place)) !=
			     m->page[i].tag;
	return wrong;
}

static void
read_message(struct pager *pg, const struct move *m)
{
	if (pg->ctr.read_errors++ < MESSAGES_MAX)
		log_msg(LOG_ERROR,
		    "reading %u page%s at block %u of %s failed: %s",
		    m->req.npages, m->req.npages == 1 ? "" : "s", m->req.blk.v,
		    blkdev_name(m->req.dev),
		    m->req.error != 0
			? strerrorname_np(m->req.error)
			: "the contents are not what was written");
}

/* Whether an owner has read the page ahead: then the contents are in memory. */
static bool
copy_ahead(struct swapoff *so, struct move *m, const struct moved *p)
{
	struct pager *pg = so->pg;
	const struct block_owner *w = first_owner(so, m, p);

	for (; w != NULL; w = owner_next(so, w)) {
		struct object *o = same_block(pg, m, p, w);
		uint32_t slot = o == NULL
				    ? SLOT_NONE
				    : object_slot(&pg->objects, o, w->pindex);
		const struct page *pp;

		if (!slot_is_page(slot))
			continue;
		pp = page_of(&pg->pages, slot);
		if (pp->queue != PQ_AHEAD)
			continue;
		memcpy(m->buf + ptoa(p->place),
		    frame_addr(&pg->frames, pp->frame), PAGE_SIZE);
		return true;
	}
	return false;
}

/*
 * The page could not be read alone.  If it is in memory, true is returned.
 * Otherwise it is lost, for all who have it: whoever touches it finds the slot,
 * and then poison.
 */
static bool
rescue(struct swapoff *so, struct move *m)
{
	struct pager *pg = so->pg;
	const struct moved *p = &m->page[m->at];
	const struct block_owner *w = first_owner(so, m, p);

	if (copy_ahead(so, m, p))
		return true;
	for (; w != NULL; w = owner_next(so, w)) {
		struct object *o = same_block(pg, m, p, w);

		/* No concern of ours any more, or it holds no contents now. */
		if (o == NULL ||
		    object_slot(&pg->objects, o, w->pindex) != SLOT_NONE)
			continue;
		swspace_retire(&pg->space, swmap_clear(&o->swmap, w->pindex));
		(void)object_set_slot(&pg->objects, o, w->pindex, SLOT_LOST);
		if (so->lost++ < MESSAGES_MAX)
			log_msg(LOG_ERROR,
			    "the page at %#jx is lost; touching it will end in "
			    "SIGBUS",
			    (uintmax_t)object_va(o, w->pindex));
	}
	return false;
}

/* ---- writing ------------------------------------------------------------- */

/* One iovec for each run of adjacent places. */
static int
fill_iov(struct move *m)
{
	int niov = 0;

	for (uint32_t i = m->at; i < m->at + m->count; i++) {
		if (i > m->at && m->page[i].place == m->page[i - 1].place + 1) {
			m->iov[niov - 1].iov_len += PAGE_SIZE;
			continue;
		}
		m->iov[niov].iov_base = m->buf + ptoa(m->page[i].place);
		m->iov[niov++].iov_len = PAGE_SIZE;
	}
	return niov;
}

static enum move_rv
write_next(struct swapoff *so, struct move *m)
{
	struct pager *pg = so->pg;
	uint32_t n = m->n - m->at;

	if (so->error != 0)
		return MOVE_DONE;
	if (m->read_alone || m->write_alone)
		n = 1;
	m->to = move_alloc(pg, &n);
	if (!swblk_valid(m->to))
		return MOVE_FULL;
	m->count = n;
	pg->moving += n;
	m->req.niov = fill_iov(m);
	submit(so, m, BLK_WRITE, m->to, n);
	return MOVE_PEND;
}

/* What comes after page `at`: it may have to be read first. */
static enum move_rv
next_part(struct swapoff *so, struct move *m)
{
	if (m->at == m->n || so->error != 0)
		return MOVE_DONE;
	if (!m->read_alone)
		return write_next(so, m);
	read_blocks(so, m, m->page[m->at].place, 1);
	return MOVE_PEND;
}

static enum move_rv
read_failed(struct swapoff *so, struct move *m)
{
	read_message(so->pg, m);
	/* Its pages are there again when it is back: none is given up. */
	if (blkdev_gone(m->req.dev) && !so->force) {
		so->error = -EIO;
		return MOVE_DONE;
	}
	if (m->read_alone || m->req.npages == 1) {
		m->read_alone = true;
		if (rescue(so, m))
			return write_next(so, m);
		m->at++;
	}
	m->read_alone = true;
	return next_part(so, m);
}

/* Of several blocks nobody knows which one is to blame. */
static void
write_failed(struct pager *pg, struct move *m)
{
	if (pg->ctr.write_errors++ < MESSAGES_MAX)
		log_msg(LOG_ERROR,
		    "writing %u page%s at block %u of %s failed: %s; they go "
		    "elsewhere",
		    m->count, m->count == 1 ? "" : "s", m->req.blk.v,
		    blkdev_name(m->req.dev), strerrorname_np(m->req.error));
	if (m->count == 1 && !blkdev_gone(m->req.dev))
		swspace_retire(&pg->space, m->to);
	else
		swspace_free(&pg->space, m->to, m->count);
	m->write_alone = true;
}

static enum move_rv
written(struct swapoff *so, struct move *m)
{
	struct pager *pg = so->pg;

	pg->moving -= m->count;
	if (m->req.error != 0) {
		write_failed(pg, m);
		return write_next(so, m);
	}
	for (uint32_t i = 0; i < m->count; i++)
		switch_block(so, m, &m->page[m->at + i], swblk_add(m->to, i));
	m->at += m->count;
	return next_part(so, m);
}

/* Tags are computed without the lock: the buffer is ours. */
enum move_rv
move_goes_on(struct swapoff *so, struct move *m)
{
	bool rd = m->req.op == BLK_READ;
	uint32_t wrong = rd ? verify(m) : 0;
	enum move_rv rv;

	mtx_lock(&so->pg->lock);
	if (!rd)
		rv = written(so, m);
	else if (wrong > 0)
		rv = read_failed(so, m);
	else
		rv = write_next(so, m);
	mtx_unlock(&so->pg->lock);
	return rv;
}
