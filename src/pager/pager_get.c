/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading pages in.  The caller decides what and how much; here it is started
 * and, when it is there, compared with what went out.
 */
#include <string.h>

#include "base/log.h"
#include "pager/pager.h"
#include "pager/tag.h"

enum pager_rv
pager_getpages(struct pager *pg, struct blkq *q, struct pgio *io,
    struct object *o, pindex_t first, uint32_t n, pindex_t i, bool ahead)
{
	uint32_t want = n, frame, got;
	devblk_t devblk;

	mtx_assert(&pg->lock);
	KASSERT(n >= 1 && n <= CLUSTER_MAX, "reading %u pages", n);
	KASSERT(first <= i && i < first + n, "page %u is not one of them", i);
	frame = frames_alloc_in(&pg->frames, &want);
	if (frame == FRAME_NONE)
		return PAGER_AGAIN;
	if (first + want <= i)
		first = i + 1 - want;
	io->blk = swmap_get(&o->swmap, first);
	KASSERT(swblk_valid(io->blk), "reading a page that has no block");
	for (got = 0; got < want; got++) {
		struct page *p = pager_page_new(pg, o, first + got);

		if (p == NULL)
			break;
		p->state = PS_READING;
		p->frame = frame + got;
		io->page[got] = page_no(&pg->pages, p);
		io->tag[got] = object_tag(&pg->objects, o, first + got);
	}
	if (got < want)
		frames_free(&pg->frames, frame + got, want - got);
	if (got == 0)
		return PAGER_AGAIN;
	io->object = o;
	io->first = first;
	io->n = got;
	io->ahead = ahead;
	io->write = false;
	io->frame[0] = frame;
	io->started = clock_now_ns(pg->clock);
	io->iov[0] = (struct iovec){frame_addr(&pg->frames, frame), ptoa(got)};
	io->req = (struct blkreq){.op = BLK_READ,
	    .dev = swspace_locate(&pg->space, io->blk, &devblk),
	    .npages = got,
	    .iov = io->iov,
	    .niov = 1,
	    .arg = io};
	io->req.blk = devblk;
	pg->ctr.swap_reads++;
	pg->ctr.v_swappgsin += got;
	pg->ctr.pages_in += got;
	if (ahead)
		pg->ctr.pages_ahead += got;
	blkq_submit(q, &io->req);
	return PAGER_PEND;
}

void
pager_get_verify(struct pager *pg, struct pgio *io)
{
	const char *data = io->iov[0].iov_base;
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < io->n; i++) {
		io->good[i] = io->req.error == 0 &&
			      pager_tag(data + ptoa(i)) == io->tag[i];
		wrong += !io->good[i];
	}
	if (wrong == 0)
		return;
	log_msg(LOG_ERROR, "reading %u page%s at block %u of %s failed: %s",
	    io->n, io->n == 1 ? "" : "s", io->req.blk.v,
	    blkdev_name(io->req.dev),
	    io->req.error != 0 ? strerrorname_np(io->req.error)
			       : "the contents are not what was written");
	mtx_lock(&pg->lock);
	pg->ctr.read_errors++;
	mtx_unlock(&pg->lock);
}
