/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine: what block.c and the engines share; nobody else includes it.
 */
#ifndef USWAP_ENGINE_H
#define USWAP_ENGINE_H

#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "block/block.h"

/*
 * A queue carries requests for devices of two kinds.  Those of its own engine
 * are given to it by submit, and its reap and wait complete them.  An engine
 * that has threads of its own works with any queue: submit is blkq_hold, the
 * owner passes the request to start as soon as it flushes, polls or waits, and
 * some thread of the engine's says blkq_give when it is done.
 */
struct blkdev_ops {
	void (*submit)(struct blkdev *, struct blkq *, struct blkreq *);
	void (*start)(struct blkdev *, struct blkreq *); /* after blkq_hold */
	void (*close)(struct blkdev *);
	int (*fd)(const struct blkdev *); /* see blkdev_fd */
	/* These as blkdev_inherit and blkdev_unshared; NULL: nothing to say. */
	int (*inherit)(struct blkdev *, int fd, char *err, size_t errlen);
	const char *(*unshared)(const struct blkdev *);
};

/* Engines embed this as their first member. */
struct blkdev {
	const struct blkdev_ops *ops; /* constant, like pages */
	char name[1024]; /* as long as a spec's path */
	uint32_t pages;
	_Atomic uint64_t reads, writes, read_pages, write_pages;
	_Atomic uint64_t read_errors, write_errors;
	_Atomic uint32_t inflight;
	_Atomic uint64_t reconnects; /* the engine's, like gone */
	_Atomic bool gone; /* see blkdev_gone */
	/* health.c's, by enum blk_op: failures in a row, and the last block */
	_Atomic uint32_t fails[2], fail_blk[2];
	_Atomic bool failing; /* as far as these tell, it is away */
	_Atomic uint32_t passed; /* how often it was passed over since */
	_Atomic uint64_t slow, slow_said_ns; /* the last message of it */
	struct crypt *crypt; /* NULL: what is there is as it was written */
	bool
	    shared; /* a forked child may have had it: its locks are for both */
};

struct blkq_ops {
	void (*flush)(struct blkq *);
	void (*reap)(struct blkq *); /* move what is complete to q->done */
	void (*wait)(struct blkq *, int timeout_ms,
	    struct spin *awake); /* NULL: asleep */
	void (*kick)(struct blkq *); /* any thread */
	void (*destroy)(struct blkq *);
	void (*forget)(struct blkq *); /* see blkq_forget */
};

/*
 * Engines embed this as their first member.  ops, clock and depth are constant, what
 * is given is under its lock, the rest is the owner's.
 *
 * (1) inflight <= depth: what was submitted and not yet reaped by poll.
 * (2) every request on done belongs to this queue, and there are at most
 *     inflight of them.
 * (3) so does every request on held, which its device has not seen yet: its
 *     start is to be called, or it is to be encrypted.
 * (4) aged has what was submitted and is not yet reaped, the oldest first.
 */
struct blkq {
	const struct blkq_ops *ops;
	struct clock *clock;
	unsigned depth;
	unsigned inflight; /* submitted and not yet reaped by poll */
	bool watching; /* see blkq_watching */
	struct blkreq_list done; /* complete, waiting for blkq_poll */
	struct blkreq_list held; /* to be passed to their device's start */
	struct blkreq_aged aged;
	struct mtx given_lock; /* RANK_BLKQ */
	struct blkreq_list given; /* complete, by another thread */
	_Atomic bool any_given; /* worth taking the lock */
};

/* Sets up the shared part, in memory that is zero. */
void blkdev_init(struct blkdev *, const struct blkdev_ops *, const char *name,
    uint32_t pages);
void blkq_init(
    struct blkq *, const struct blkq_ops *, unsigned depth, struct clock *);

/* Engines call this once per request, from reap or wait. */
void blkq_complete(struct blkq *, struct blkreq *, int error);

/* The submit of an engine with threads of its own, see above. */
void blkq_hold(struct blkdev *, struct blkq *, struct blkreq *);
/* Completes such a request, from any thread, and kicks its owner. */
void blkq_give(struct blkreq *, int error);
/* An engine that knows: the device is away, or it is back. */
void blkdev_set_gone(struct blkdev *, bool gone);

/*
 * Copies len bytes of a request's memory.  Frames are read through the kernel,
 * as page-out does: the first touch of a page that was moved into a frame costs
 * more than its copy.
 */
void engine_copy_out(char *to, const struct iovec *iov, int niov, size_t len);

/* ---- filter_crypt.c, for block.c ----------------------------------------- */

/* Encrypts a write, whose memory is another from now on; false: no slot. */
bool crypt_seal(struct blkreq *);
/* A read has arrived, or a sealed write is done and is as it was. */
void crypt_done(struct blkreq *, int error);
void crypt_destroy(struct crypt *);
/* Whether a forked child gets the key. */
void crypt_share(struct crypt *, bool share);

/* ---- health.c, for block.c ----------------------------------------------- */

/* A request is submitted, completes with this result, is reaped. */
void health_begin(struct blkq *, struct blkreq *);
void health_judge(const struct blkreq *, int error);
void health_end(struct blkq *, struct blkreq *);
/* Says what is slow; returns how long to sleep until the next look, in ms. */
int health_look(struct blkq *, int timeout_ms);

#endif
