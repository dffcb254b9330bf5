/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guard learns about a device from what passes it: which transfers
 * take too long, and whether the device is there at all.
 *
 * Both are of every engine.  A queue has its transfers in order of age, so that
 * its owner, before it sleeps, looks at the oldest; a device that answers costs
 * one look at the clock for each transfer, and one for each sleep.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "block/engine.h"

/*
 * So many transfers of one kind that failed one after the other, each of them
 * at another block than the one before, and the device is taken for away.  A bad
 * block is two: as one of several, and alone.
 */
#define FAILS_AWAY 8

/*
 * A device that is away is tried again when it has been passed over so many
 * times, and then twice as many, and so on: what its first try costs is one
 * write for 64 MiB of others.
 */
#define TRY_FIRST 64

/* ---- transfers that take long -------------------------------------------- */

void
health_begin(struct blkq *q, struct blkreq *req)
{
	req->since_ns = clock_now_ns(q->clock);
	req->slow = false;
	TAILQ_INSERT_TAIL(&q->aged, req, age);
}

void
health_end(struct blkq *q, struct blkreq *req)
{
	TAILQ_REMOVE(&q->aged, req, age);
}

/* Once in BLK_SLOW_NS for each device: it may be slow for a thousand blocks. */
static void
slow_message(const struct blkreq *req, uint64_t now)
{
	struct blkdev *dev = req->dev;
	uint64_t said = atomic_load(&dev->slow_said_ns);

	if (said != 0 && now < said + BLK_SLOW_NS)
		return;
	if (!atomic_compare_exchange_strong(&dev->slow_said_ns, &said, now))
		return;
	log_msg(LOG_ERROR,
	    "%s: indefinite wait: %s %u page%s at block %u has taken %" PRIu64
	    " s; who needs %s waits until the device answers",
	    dev->name, req->op == BLK_READ ? "reading" : "writing", req->npages,
	    req->npages == 1 ? "" : "s", req->blk.v,
	    (now - req->since_ns) / 1000000000,
	    req->npages == 1 ? "it" : "them");
}

/* Milliseconds until this time, more rather than less. */
static int
ms_until(uint64_t then, uint64_t now)
{
	return then <= now ? 1 : (int)((then - now) / 1000000 + 1);
}

int
health_look(struct blkq *q, int timeout_ms)
{
	struct blkreq *req = TAILQ_FIRST(&q->aged);
	uint64_t now, next;
	int ms;

	if (req == NULL)
		return timeout_ms;
	now = clock_now_ns(q->clock);
	next = now + BLK_SLOW_NS; /* for the next message */
	for (; req != NULL; req = TAILQ_NEXT(req, age)) {
		if (now - req->since_ns < BLK_SLOW_NS) {
			next = req->since_ns + BLK_SLOW_NS;
			break;
		}
		if (!req->slow)
			(void)atomic_fetch_add(&req->dev->slow, 1);
		req->slow = true;
		slow_message(req, now);
	}
	ms = ms_until(next, now);
	return timeout_ms < 0 ? ms : US_MIN(timeout_ms, ms);
}

/* ---- devices that are away ----------------------------------------------- */

/* Errors that speak of the device, not of a block. */
static bool
no_device(int error)
{
	return error == ENXIO || error == ENODEV || error == ENOMEDIUM ||
	       error == ESHUTDOWN || error == ESTALE;
}

static bool
failing(struct blkdev *dev)
{
	return atomic_load(&dev->fails[BLK_READ]) >= FAILS_AWAY ||
	       atomic_load(&dev->fails[BLK_WRITE]) >= FAILS_AWAY;
}

static void
away_message(const struct blkdev *dev, const struct blkreq *req, int error)
{
	bool all = no_device(error) || req->op == BLK_READ;

	log_msg(LOG_ERROR, "%s: is away: %s block %u failed with %s%s; %s",
	    dev->name, req->op == BLK_READ ? "reading" : "writing", req->blk.v,
	    strerrorname_np(error),
	    no_device(error) ? "" : ", like all before it",
	    all ? "nothing more is written there, and a page on it is lost "
		  "for whoever needs it before it is back"
		: "nothing more is written there but a try now and then");
}

void
health_judge(const struct blkreq *req, int error)
{
	struct blkdev *dev = req->dev;
	_Atomic uint32_t *fails = &dev->fails[req->op];

	if (error == 0) {
		if (atomic_load(fails) == 0)
			return;
		atomic_store(fails, 0);
		if (!failing(dev) && atomic_exchange(&dev->failing, false)) {
			atomic_store(&dev->passed, 0);
			log_msg(LOG_NOTE, "%s: is back", dev->name);
		}
		return;
	}
	/* What the engine knows better. */
	if (atomic_load(&dev->gone))
		return;
	if (no_device(error))
		atomic_store(fails, FAILS_AWAY);
	else if (atomic_exchange(&dev->fail_blk[req->op], req->blk.v) !=
		 req->blk.v)
		(void)atomic_fetch_add(fails, 1);
	if (failing(dev) && !atomic_exchange(&dev->failing, true))
		away_message(dev, req, error);
}

void
blkdev_set_gone(struct blkdev *dev, bool gone)
{
	atomic_store(&dev->gone, gone);
	if (gone)
		return;
	atomic_store(&dev->fails[BLK_READ], 0);
	atomic_store(&dev->fails[BLK_WRITE], 0);
	atomic_store(&dev->failing, false);
}

bool
blkdev_gone(const struct blkdev *dev)
{
	return atomic_load_explicit(&dev->gone, memory_order_relaxed) ||
	       atomic_load_explicit(&dev->failing, memory_order_relaxed);
}

bool
blkdev_try(struct blkdev *dev)
{
	uint32_t n;

	if (atomic_load(&dev->gone))
		return false;
	n = atomic_fetch_add(&dev->passed, 1) + 1;
	return n >= TRY_FIRST && (n & (n - 1)) == 0;
}
