/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing pages out.  Each time a fresh run of blocks is taken for whatever
 * is in the laundry, so that a device is written in order however scattered
 * the pages are; a page's old block is freed when its new one is written.
 */
#include <string.h>

#include "base/log.h"
#include "pager/pager.h"
#include "pager/tag.h"

/*
 * Without space for a fresh run, a page that has a block of its own is
 * written over it.  Nothing can be lost by that: the page in memory is newer
 * than the block, and stays until the write has succeeded.  Not on a device
 * that is closing: what is assigned there does not change any more.  Nor where
 * the block has another owner, whose page it is just as it is.
 */
static uint32_t
take_in_place(struct pager *pg, struct pgio *io)
{
	devblk_t devblk;
	struct page *p;

	for (p = pageq_first(&pg->pages, PQ_LAUNDRY); p != NULL;
	     p = pageq_next(&pg->pages, p)) {
		struct object *o = pager_object(pg, p);

		io->blk = swmap_get(&o->swmap, p->pindex);
		if (!swblk_valid(io->blk) ||
		    swspace_closing(&pg->space, io->blk) ||
		    swspace_shared(&pg->space, io->blk) ||
		    blkdev_gone(swspace_locate(&pg->space, io->blk, &devblk)))
			continue;
		page_dequeue(&pg->pages, p);
		io->page[0] = page_no(&pg->pages, p);
		io->in_place = true;
		return 1;
	}
	return 0;
}

/* Takes a run of blocks, and as many pages; returns how many, 0 for none. */
static uint32_t
take_run(struct pager *pg, struct pgio *io)
{
	uint32_t n = US_MIN(pg->pages.q[PQ_LAUNDRY].count, pg->write_cluster);

	if (pg->careful > 0)
		n = 1;
	io->in_place = false;
	io->blk = swspace_alloc(&pg->space, &n, 1);
	if (!swblk_valid(io->blk))
		return take_in_place(pg, io);
	for (uint32_t i = 0; i < n; i++) {
		struct page *p = pageq_first(&pg->pages, PQ_LAUNDRY);

		page_dequeue(&pg->pages, p);
		io->page[i] = page_no(&pg->pages, p);
	}
	return n;
}

/* One iovec for each run of adjacent frames. */
static int
fill_iov(struct pager *pg, struct pgio *io)
{
	int niov = 0;

	for (uint32_t i = 0; i < io->n; i++) {
		if (i > 0 && io->frame[i] == io->frame[i - 1] + 1 &&
		    !frame_is_in(&pg->frames, io->frame[i - 1])) {
			io->iov[niov - 1].iov_len += PAGE_SIZE;
			continue;
		}
		io->iov[niov].iov_base = frame_addr(&pg->frames, io->frame[i]);
		io->iov[niov++].iov_len = PAGE_SIZE;
	}
	return niov;
}

enum pager_rv
pager_putpages(struct pager *pg, struct blkq *q, struct pgio *io)
{
	devblk_t devblk;

	mtx_assert(&pg->lock);
	KASSERT(pg->pages.q[PQ_LAUNDRY].count > 0, "nothing to write");
	io->n = take_run(pg, io);
	if (io->n == 0)
		return PAGER_FAIL;
	for (uint32_t i = 0; i < io->n; i++) {
		struct page *p = page_of(&pg->pages, io->page[i]);

		KASSERT(
		    p->state == PS_INACTIVE, "laundry in state %d", p->state);
		p->state = PS_LAUNDRY;
		pager_set_writing(pg, p, true);
		io->frame[i] = p->frame;
	}
	io->started = clock_now_ns(pg->clock);
	io->niov = fill_iov(pg, io);
	io->req = (struct blkreq){.op = BLK_WRITE,
	    .dev = swspace_locate(&pg->space, io->blk, &devblk),
	    .npages = io->n,
	    .iov = io->iov,
	    .niov = io->niov,
	    .arg = io};
	io->req.blk = devblk;
	pg->ctr.swap_writes++;
	pg->ctr.v_swappgsout += io->n;
	blkq_submit(q, &io->req);
	return PAGER_PEND;
}

void
pager_put_tags(struct pager *pg, struct pgio *io, void *buf)
{
	pmap_look(pg->pmap, io->iov, (uint32_t)io->niov, buf);
	for (uint32_t i = 0; i < io->n; i++)
		io->tag[i] = pager_tag((char *)buf + ptoa(i));
}

/*
 * The write failed.  Of several pages nobody knows which block is to blame:
 * they go back to the laundry and are tried one at a time.  A block that
 * fails alone is never used again.  When the whole device is away, no block is to
 * blame: new ones come from other devices until it is back.
 */
static void
write_failed(struct pager *pg, struct pgio *io)
{
	pg->ctr.write_errors++;
	if (blkdev_gone(io->req.dev)) {
		if (!io->in_place)
			swspace_free(&pg->space, io->blk, io->n);
		return;
	}
	if (pg->ctr.write_errors < 10)
		log_msg(LOG_ERROR,
		    "writing %u page%s at block %u of %s failed: %s; %s", io->n,
		    io->n == 1 ? "" : "s", io->req.blk.v,
		    blkdev_name(io->req.dev), strerrorname_np(io->req.error),
		    io->n == 1 ? "the block is retired, the page goes elsewhere"
			       : "they are tried again one by one");
	if (io->n > 1) {
		pg->careful += io->n;
		swspace_free(&pg->space, io->blk, io->n);
		return;
	}
	if (io->in_place) {
		struct page *p = page_of(&pg->pages, io->page[0]);

		(void)swmap_clear(&pager_object(pg, p)->swmap, p->pindex);
	}
	swspace_retire(&pg->space, io->blk);
}

/*
 * The contents that have this tag are in blk now; so far the tag was that of
 * the old block (O5).  May find no memory for the map.
 */
static bool
assign(
    struct pager *pg, struct object *o, pindex_t i, swblk_t blk, uint64_t tag)
{
	int error;
	swblk_t old = swmap_set(&o->swmap, i, blk, &error);

	if (error != 0) {
		swspace_free(&pg->space, blk, 1);
		return false;
	}
	if (swblk_valid(old) && !swblk_eq(old, blk))
		swspace_free(&pg->space, old, 1);
	object_set_tag(&pg->objects, o, i, tag);
	return true;
}

/*
 * One page of a completed write.  A page that was touched meanwhile is mapped
 * again and only leaves its frame; it keeps the block, and whether it was
 * changed since will show when its contents are compared.
 */
static uint32_t
page_written(struct pager *pg, struct pgio *io, uint32_t i, bool ok)
{
	struct page *p = page_of(&pg->pages, io->page[i]);
	struct object *o = pager_object(pg, p);

	pager_set_writing(pg, p, false);
	if (ok) {
		ok =
		    assign(pg, o, p->pindex, swblk_add(io->blk, i), io->tag[i]);
		pg->ctr.pages_out++;
	}
	if (p->state == PS_ACTIVE)
		return io->frame[i]; /* counted loose since the soft fault */
	p->state = PS_INACTIVE;
	if (p->flags & PG_BUSY)
		return FRAME_NONE; /* a soft fault is copying it just now */
	if (!ok) {
		page_enqueue(&pg->pages, p, PQ_LAUNDRY);
		return FRAME_NONE;
	}
	if (o->kept && pager_free(pg) >= (int64_t)pg->free_low) {
		p->flags |= PG_CLEAN;
		page_enqueue(&pg->pages, p, PQ_INACTIVE);
		return FRAME_NONE;
	}
	pager_busy(pg, p);
	return pager_page_gone(pg, p, SLOT_NONE);
}

uint32_t
pager_put_done(struct pager *pg, struct pgio *io, uint32_t *loose)
{
	bool ok = io->req.error == 0;
	uint32_t n = 0;

	mtx_assert(&pg->lock);
	if (pg->careful > 0 && io->n == 1)
		pg->careful--;
	if (!ok)
		write_failed(pg, io);
	for (uint32_t i = 0; i < io->n; i++) {
		uint32_t frame = page_written(pg, io, i, ok);

		if (frame != FRAME_NONE)
			loose[n++] = frame;
	}
	return n;
}
