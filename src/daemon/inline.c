/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A handler and its request are taken from a pool for the time of a fault.  Who
 * has one may wait for the disk, for other threads that work on a page and for the
 * page-out thread, but never for one who waits for a handler.
 */
#include "daemon/inline.h"

/* Milliseconds that a thread is without its signals, at most. */
#define DOZE 100

int
inline_init(struct inline_pool *in, struct pager *pg, struct pmap *here,
    struct handler *helper)
{
	*in = (struct inline_pool){.pg = pg};
	for (; in->nfree < INLINE_MAX; in->nfree++) {
		struct handler *h = &in->handler[in->nfree];
		struct blkq *q;
		int error = blkq_create_here(1, &q);

		if (error == 0) {
			error = handler_init(h, pg, q);
			if (error != 0)
				blkq_destroy(q);
		}
		if (error != 0) {
			inline_destroy(in);
			return error;
		}
		h->pmap = here;
		h->helper = helper;
		in->free[in->nfree] = h;
	}
	return 0;
}

void
inline_destroy(struct inline_pool *in)
{
	while (in->nfree > 0)
		handler_destroy(in->free[--in->nfree]);
}

void
inline_forked(struct inline_pool *in)
{
	for (unsigned i = 0; i < INLINE_MAX; i++)
		blkq_here_forked(in->handler[i].q);
}

static struct handler *
take(struct inline_pool *in)
{
	while (in->nfree == 0)
		pager_doze(in->pg, DOZE);
	return in->free[--in->nfree];
}

static void
give_back(struct inline_pool *in, struct handler *h)
{
	in->free[in->nfree++] = h;
	if (in->nfree == 1)
		pager_wake(in->pg);
}

/* The page-out thread is told, and makes some page free. */
static void
wait_for_memory(struct pager *pg)
{
	uint64_t since = clock_now_ns(pg->clock);

	pg->ctr.waits_memory++;
	if (pg->need_pageout != NULL)
		pg->need_pageout(pg->event_arg);
	pager_doze(pg, DOZE);
	pg->ctr.wait_memory_ns += clock_now_ns(pg->clock) - since;
}

enum answer
inline_fault(struct inline_pool *in, const struct pmap_fault *f)
{
	struct pager *pg = in->pg;
	struct blkreq *req;
	enum answer answer;
	struct handler *h;

	mtx_lock(&pg->lock);
	h = take(in);
	pg->ctr.faults++;
	answer = fault_resolve(h, f);
	if (blkq_inflight(h->q) > 0) {
		mtx_unlock(&pg->lock);
		req = blkq_poll(h->q); /* which reads */
		pagein_done(h, req->arg);
		mtx_lock(&pg->lock);
	}
	give_back(in, h);
	if (answer == WAIT)
		wait_for_memory(pg);
	else if (answer == LEFT)
		pager_doze(pg, DOZE);
	while (pg->still && h->helper->notes > 0)
		pager_doze(pg, DOZE);
	mtx_unlock(&pg->lock);
	return answer;
}
