/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_sim: the simulated disk.
 *
 * The fate of a request (its latency, whether it fails, how much of it is
 * transferred) is drawn when it is submitted, so it depends on the seed and
 * the order of submission only.  The bytes move when it completes, in the
 * order of due times: two requests for one block race as on a real disk.
 *
 * While in flight, stamp_ns is when a request is due, progress how many of its
 * pages will be transferred and error what it will report.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "block/engine.h"
#include "block/engine_sim.h"

/* What a failed read leaves in the memory: nobody may use it. */
#define SIM_GARBAGE 0xdb

struct simdisk {
	struct blkdev dev;
	struct simdisk_params par;
	uint64_t rng;
	bool unplugged;
	char *data;
};

/*
 * (1) pending is in order of stamp_ns; equals keep the order of submission.
 * (2) every request submitted and not yet reaped is on pending or on q.done.
 */
struct simq {
	struct blkq q;
	struct simclock *clock;
	_Atomic bool kicked;
	struct blkreq_list pending;
};

static const struct blkq_ops simq_ops;

/* ---- clock and chance --------------------------------------------------- */

static uint64_t
simclock_now(struct clock *c)
{
	return ((struct simclock *)c)->now_ns;
}

void
simclock_init(struct simclock *c)
{
	c->clock.now_ns = simclock_now;
	c->now_ns = 0;
	c->others = NULL;
}

/* splitmix64: a word of state per disk. */
static uint64_t
sim_random(struct simdisk *sd)
{
	uint64_t z = (sd->rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static bool
sim_one_in(struct simdisk *sd, uint32_t n)
{
	return n != 0 && sim_random(sd) % n == 0;
}

/* True when the count-down reaches the request it was set for. */
static bool
sim_nth(uint64_t *n)
{
	return *n != 0 && --*n == 0;
}

/* ---- a request ---------------------------------------------------------- */

static void
sim_draw(struct simdisk *sd, struct blkreq *req, uint64_t now)
{
	struct simdisk_params *p = &sd->par;
	bool rd = req->op == BLK_READ;
	uint64_t span = p->latency_max_ns - p->latency_min_ns;

	req->stamp_ns = now + p->latency_min_ns;
	if (span > 0)
		req->stamp_ns += sim_random(sd) % (span + 1);
	req->progress = req->npages;
	if (sim_nth(rd ? &p->fail_read_nth : &p->fail_write_nth) ||
	    sim_one_in(sd, rd ? p->read_error_in : p->write_error_in)) {
		req->progress = 0;
		req->error = EIO;
	} else if (!rd && sim_one_in(sd, p->lost_write_in)) {
		req->progress = 0;
	} else if (!rd && sim_one_in(sd, p->torn_write_in)) {
		req->progress = (uint32_t)(sim_random(sd) % req->npages);
		req->error = EIO;
	}
}

/* Moves the first req->progress pages. */
static void
sim_transfer(struct simdisk *sd, const struct blkreq *req)
{
	char *disk = sd->data + ptoa(req->blk.v);
	size_t left = ptoa(req->progress), n;
	const struct iovec *iov;

	for (iov = req->iov; left > 0; iov++, disk += n, left -= n) {
		n = US_MIN(left, iov->iov_len);
		if (req->op == BLK_READ)
			memcpy(iov->iov_base, disk, n);
		else
			memcpy(disk, iov->iov_base, n);
	}
}

static void
sim_submit(struct blkdev *dev, struct blkq *q, struct blkreq *req)
{
	struct simdisk *sd = (struct simdisk *)dev;
	struct simq *sq = (struct simq *)q;
	struct blkreq *at, *after = NULL;

	KASSERT(
	    q->ops == &simq_ops, "%s: a queue of another engine", dev->name);
	sim_draw(sd, req, sq->clock->now_ns);
	STAILQ_FOREACH(at, &sq->pending, link)
	{
		if (at->stamp_ns > req->stamp_ns)
			break;
		after = at;
	}
	if (after == NULL)
		STAILQ_INSERT_HEAD(&sq->pending, req, link);
	else
		STAILQ_INSERT_AFTER(&sq->pending, after, req, link);
}

static void
sim_finish(struct simq *sq, struct blkreq *req)
{
	struct simdisk *sd = (struct simdisk *)req->dev;
	int error = req->error;
	int i;

	if (sd->unplugged) {
		req->progress = 0;
		error = ENXIO;
	}
	if (req->op == BLK_READ && error != 0) {
		for (i = 0; i < req->niov; i++)
			memset(req->iov[i].iov_base, SIM_GARBAGE,
			    req->iov[i].iov_len);
	}
	sim_transfer(sd, req);
	blkq_complete(&sq->q, req, error);
}

/* ---- the queue ---------------------------------------------------------- */

static void
simq_flush(struct blkq *q)
{
	(void)q;
}

static void
simq_reap(struct blkq *q)
{
	struct simq *sq = (struct simq *)q;
	struct blkreq *req;

	while ((req = STAILQ_FIRST(&sq->pending)) != NULL &&
	       req->stamp_ns <= sq->clock->now_ns) {
		STAILQ_REMOVE_HEAD(&sq->pending, link);
		sim_finish(sq, req);
	}
}

/*
 * Waiting is moving the clock.  With nothing in flight there is nothing to
 * move it to, and a caller who would have slept for ever comes back at once;
 * writes that are held wait for others.
 */
static void
simq_wait(struct blkq *q, int timeout_ms, struct spin *awake)
{
	struct simq *sq = (struct simq *)q;
	struct blkreq *req = STAILQ_FIRST(&sq->pending);
	uint64_t until;

	(void)awake;
	if (atomic_exchange(&sq->kicked, false))
		return;
	if (req == NULL) {
		if (!STAILQ_EMPTY(&q->held) && sq->clock->others != NULL)
			sq->clock->others(sq->clock);
		return;
	}
	until = req->stamp_ns;
	if (timeout_ms >= 0)
		until = US_MIN(
		    until, sq->clock->now_ns + (uint64_t)timeout_ms * 1000000);
	if (until > sq->clock->now_ns)
		sq->clock->now_ns = until;
	simq_reap(q);
}

static void
simq_kick(struct blkq *q)
{
	atomic_store(&((struct simq *)q)->kicked, true);
}

static void
simq_destroy(struct blkq *q)
{
	mem_unmap(q, round_page(sizeof(struct simq)));
}

static const struct blkq_ops simq_ops = {
    .flush = simq_flush,
    .reap = simq_reap,
    .wait = simq_wait,
    .kick = simq_kick,
    .destroy = simq_destroy,
};

int
blkq_create_sim(unsigned depth, struct simclock *clock, struct blkq **ret)
{
	struct simq *sq = mem_map(round_page(sizeof(*sq)));

	if (sq == NULL)
		return -ENOMEM;
	blkq_init(&sq->q, &simq_ops, depth, &clock->clock);
	sq->clock = clock;
	STAILQ_INIT(&sq->pending);
	*ret = &sq->q;
	return 0;
}

/* ---- the device --------------------------------------------------------- */

static void
sim_close(struct blkdev *dev)
{
	struct simdisk *sd = (struct simdisk *)dev;

	mem_unmap(sd->data, ptoa(dev->pages));
	mem_unmap(sd, round_page(sizeof(*sd)));
}

static const struct blkdev_ops simdisk_ops = {
    .submit = sim_submit,
    .close = sim_close,
};

int
blkdev_open_sim(const struct simdisk_params *par, struct simclock *clock,
    struct blkdev **ret)
{
	struct simdisk *sd = mem_map(round_page(sizeof(*sd)));

	(void)clock; /* the queue's clock is the one that counts */
	if (sd == NULL)
		return -ENOMEM;
	sd->data = mem_map(ptoa(par->pages));
	if (sd->data == NULL) {
		mem_unmap(sd, round_page(sizeof(*sd)));
		return -ENOMEM;
	}
	blkdev_init(&sd->dev, &simdisk_ops, "sim", par->pages);
	sd->rng = par->seed;
	simdisk_set(&sd->dev, par);
	*ret = &sd->dev;
	return 0;
}

static struct simdisk *
simdisk(struct blkdev *dev)
{
	KASSERT(dev->ops == &simdisk_ops, "%s: not simulated", dev->name);
	return (struct simdisk *)dev;
}

void
simdisk_set(struct blkdev *dev, const struct simdisk_params *par)
{
	KASSERT(par->latency_min_ns <= par->latency_max_ns, "latency");
	simdisk(dev)->par = *par;
}

void *
simdisk_page(struct blkdev *dev, devblk_t blk)
{
	KASSERT(blk.v < dev->pages, "block %u of %u", blk.v, dev->pages);
	return simdisk(dev)->data + ptoa(blk.v);
}

void
simdisk_unplug(struct blkdev *dev)
{
	simdisk(dev)->unplugged = true;
}

void
simdisk_away(struct blkdev *dev, bool away)
{
	simdisk(dev)->unplugged = away;
	blkdev_set_gone(dev, away);
}
