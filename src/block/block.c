/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard in front of the engines.
 *
 * Every request of every engine passes blkq_submit on its way in and
 * blkq_complete on its way out, so the rules are asserted and the counters
 * kept in one place.  A request that breaks a rule is a programmer's error: it
 * would overwrite somebody else's page, on the disk or in memory.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block/engine.h"

void
blkdev_init(struct blkdev *dev, const struct blkdev_ops *ops, const char *name,
    uint32_t pages)
{
	KASSERT(pages > 0 && pages <= BLKDEV_PAGES_MAX, "%u pages", pages);
	dev->ops = ops;
	dev->pages = pages;
	blkdev_rename(dev, name);
}

void
blkdev_close(struct blkdev *dev)
{
	uint32_t n = atomic_load(&dev->inflight);

	KASSERT(n == 0, "%s closed with %u requests in flight", dev->name, n);
	if (dev->crypt != NULL)
		crypt_destroy(dev->crypt);
	dev->ops->close(dev);
}

int
blkdev_fd(const struct blkdev *dev)
{
	return dev->ops->fd == NULL ? -1 : dev->ops->fd(dev);
}

void
blkdev_share(struct blkdev *dev, bool share)
{
	dev->shared |= share;
	if (dev->crypt != NULL)
		crypt_share(dev->crypt, share);
}

const char *
blkdev_unshared(const struct blkdev *dev)
{
	return dev->ops->unshared == NULL ? NULL : dev->ops->unshared(dev);
}

int
blkdev_inherit(struct blkdev *dev, int fd, char *err, size_t errlen)
{
	return dev->ops->inherit(dev, fd, err, errlen);
}

const char *
blkdev_name(const struct blkdev *dev)
{
	return dev->name;
}

void
blkdev_rename(struct blkdev *dev, const char *name)
{
	size_t len = strlen(name);

	KASSERT(len < sizeof(dev->name), "name of %zu bytes", len);
	memcpy(dev->name, name, len + 1);
}

bool
blkdev_encrypted(const struct blkdev *dev)
{
	return dev->crypt != NULL;
}

uint32_t
blkdev_pages(const struct blkdev *dev)
{
	return dev->pages;
}

/* Counters are independent of each other: a reader may catch them between. */
void
blkdev_stats(const struct blkdev *dev, struct blkdev_stats *st)
{
#define GET(f) st->f = atomic_load_explicit(&dev->f, memory_order_relaxed)
	GET(reads);
	GET(writes);
	GET(read_pages);
	GET(write_pages);
	GET(read_errors);
	GET(write_errors);
	GET(inflight);
	GET(reconnects);
	GET(slow);
#undef GET
}

#define COUNT(counter, n)                                                      \
	(void)atomic_fetch_add_explicit(&(counter), n, memory_order_relaxed)

void
blkq_init(struct blkq *q, const struct blkq_ops *ops, unsigned depth,
    struct clock *clock)
{
	KASSERT(depth > 0, "a queue of depth 0");
	q->ops = ops;
	q->depth = depth;
	q->inflight = 0;
	q->clock = clock;
	TAILQ_INIT(&q->aged);
	STAILQ_INIT(&q->done);
	STAILQ_INIT(&q->held);
	STAILQ_INIT(&q->given);
	mtx_init(&q->given_lock, RANK_BLKQ);
}

void
blkq_destroy(struct blkq *q)
{
	KASSERT(q->inflight == 0, "%u requests not reaped", q->inflight);
	/* Who gave the last one may not have kicked us yet. */
	mtx_lock(&q->given_lock);
	mtx_unlock(&q->given_lock);
	mtx_destroy(&q->given_lock);
	q->ops->destroy(q);
}

/* The memory is whole pages, as many as the request says. */
static void
blkreq_check_iov(const struct blkreq *req)
{
	uint64_t pages = 0;
	int i;

	KASSERT(
	    req->niov >= 1 && req->niov <= CLUSTER_MAX, "%d iovecs", req->niov);
	for (i = 0; i < req->niov; i++) {
		const struct iovec *iov = &req->iov[i];

		KASSERT(((uintptr_t)iov->iov_base & PAGE_MASK) == 0,
		    "iovec %d at %p", i, iov->iov_base);
		KASSERT(iov->iov_len != 0 && (iov->iov_len & PAGE_MASK) == 0,
		    "iovec %d of %zu bytes", i, iov->iov_len);
		pages += atop(iov->iov_len);
	}
	KASSERT(pages == req->npages, "iovecs of %llu pages for %u",
	    (unsigned long long)pages, req->npages);
}

void
blkq_submit(struct blkq *q, struct blkreq *req)
{
	struct blkdev *dev = req->dev;

	KASSERT(req->q == NULL, "request is in flight already");
	KASSERT(
	    req->op == BLK_READ || req->op == BLK_WRITE, "op %d", (int)req->op);
	KASSERT(req->npages >= 1 && req->npages <= CLUSTER_MAX, "%u pages",
	    req->npages);
	KASSERT(
	    req->blk.v < dev->pages && req->npages <= dev->pages - req->blk.v,
	    "%s: blocks %u+%u of %u", dev->name, req->blk.v, req->npages,
	    dev->pages);
	KASSERT(q->inflight < q->depth, "more than %u requests", q->depth);
	blkreq_check_iov(req);

	req->q = q;
	req->error = 0;
	req->progress = 0;
	req->retries = 0;
	q->inflight++;
	health_begin(q, req);
	COUNT(dev->inflight, 1);
	if (req->op == BLK_READ) {
		COUNT(dev->reads, 1);
		COUNT(dev->read_pages, req->npages);
	} else {
		COUNT(dev->writes, 1);
		COUNT(dev->write_pages, req->npages);
	}
	if (dev->crypt != NULL && req->op == BLK_WRITE)
		blkq_hold(dev, q, req);
	else
		dev->ops->submit(dev, q, req);
}

void
blkq_complete(struct blkq *q, struct blkreq *req, int error)
{
	KASSERT(req->q == q, "completed on a queue it was not submitted to");
	KASSERT(error >= 0, "negative errno %d", error);
	req->error = error;
	if (req->dev->crypt != NULL)
		crypt_done(req, error);
	health_judge(req, error);
	if (error != 0) {
		if (req->op == BLK_READ)
			COUNT(req->dev->read_errors, 1);
		else
			COUNT(req->dev->write_errors, 1);
	}
	STAILQ_INSERT_TAIL(&q->done, req, link);
}

/* ---- what is not started at once ----------------------------------------- */

/* Whoever submits may hold the pager's lock, and starting may copy. */
void
blkq_hold(struct blkdev *dev, struct blkq *q, struct blkreq *req)
{
	(void)dev;
	STAILQ_INSERT_TAIL(&q->held, req, link);
}

/* A write that cannot be encrypted now stays, in its order. */
static void
pass_on(struct blkq *q)
{
	struct blkreq_list list = STAILQ_HEAD_INITIALIZER(list);
	struct blkreq *req;

	STAILQ_CONCAT(&list, &q->held);
	while ((req = STAILQ_FIRST(&list)) != NULL) {
		struct blkdev *dev = req->dev;

		STAILQ_REMOVE_HEAD(&list, link);
		if (dev->crypt != NULL && req->op == BLK_WRITE &&
		    !crypt_seal(req))
			STAILQ_INSERT_TAIL(&q->held, req, link);
		else if (dev->ops->start != NULL)
			dev->ops->start(dev, req);
		else
			dev->ops->submit(dev, q, req);
	}
}

/*
 * The kick is made with the lock held: the owner may take the request, see
 * that it was the last and destroy the queue as soon as it is released.
 */
void
blkq_give(struct blkreq *req, int error)
{
	struct blkq *q = req->q;

	req->error = error;
	mtx_lock(&q->given_lock);
	STAILQ_INSERT_TAIL(&q->given, req, link);
	atomic_store(&q->any_given, true);
	q->ops->kick(q);
	mtx_unlock(&q->given_lock);
}

void
engine_copy_out(char *to, const struct iovec *iov, int niov, size_t len)
{
	struct iovec whole = {to, len};

	if (syscall(SYS_process_vm_readv, (int)syscall(SYS_getpid), &whole, 1L,
		iov, (long)niov, 0L) == (long)len)
		return;
	for (int i = 0; i < niov; to += iov[i++].iov_len)
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
}

static void
take_given(struct blkq *q)
{
	struct blkreq_list list = STAILQ_HEAD_INITIALIZER(list);
	struct blkreq *req;

	if (!atomic_load(&q->any_given))
		return;
	mtx_lock(&q->given_lock);
	STAILQ_CONCAT(&list, &q->given);
	atomic_store(&q->any_given, false);
	mtx_unlock(&q->given_lock);
	while ((req = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, link);
		blkq_complete(q, req, req->error);
	}
}

/* ---- the owner's calls --------------------------------------------------- */

struct blkreq *
blkq_poll(struct blkq *q)
{
	struct blkreq *req;

	pass_on(q);
	if (STAILQ_EMPTY(&q->done))
		q->ops->reap(q);
	take_given(q);
	req = STAILQ_FIRST(&q->done);
	if (req == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&q->done, link);
	health_end(q, req);
	req->q = NULL;
	q->inflight--;
	/* Last, and releasing: from here the device may be closed. */
	atomic_fetch_sub_explicit(&req->dev->inflight, 1, memory_order_release);
	return req;
}

void
blkq_flush(struct blkq *q)
{
	pass_on(q);
	q->ops->flush(q);
}

void
blkq_wait_awake(struct blkq *q, int timeout_ms, struct spin *spin)
{
	pass_on(q);
	/* Another queue has the slots, and will not say when it has one less. */
	if (!STAILQ_EMPTY(&q->held))
		timeout_ms = 1;
	if (STAILQ_EMPTY(&q->done))
		q->ops->wait(q, health_look(q, timeout_ms), spin);
}

void
blkq_wait(struct blkq *q, int timeout_ms)
{
	blkq_wait_awake(q, timeout_ms, NULL);
}

void
blkq_kick(struct blkq *q)
{
	q->ops->kick(q);
}

void
blkq_forget(struct blkq *q)
{
	KASSERT(q->inflight == 0, "%u requests in flight", q->inflight);
	q->ops->forget(q);
}

unsigned
blkq_inflight(const struct blkq *q)
{
	return q->inflight;
}

bool
blkq_watching(const struct blkq *q)
{
	return q->watching;
}

unsigned
blkq_depth(const struct blkq *q)
{
	return q->depth;
}

void
blkq_check(const struct blkq *q)
{
	const struct blkreq *req;
	unsigned n = 0;

	KASSERT(q->inflight <= q->depth, "(1) %u of %u", q->inflight, q->depth);
	STAILQ_FOREACH(req, &q->done, link)
	{
		KASSERT(req->q == q, "(2) a stranger on done");
		n++;
	}
	KASSERT(n <= q->inflight, "(2) %u done of %u", n, q->inflight);
	STAILQ_FOREACH(req, &q->held, link)
	{
		KASSERT(req->q == q, "(3) a stranger is held");
		n++;
	}
	KASSERT(n <= q->inflight, "(3) %u done or held of %u", n, q->inflight);
	n = 0;
	TAILQ_FOREACH (req, &q->aged, age) {
		const struct blkreq *next = TAILQ_NEXT(req, age);

		KASSERT(req->q == q, "(4) a stranger has an age");
		KASSERT(next == NULL || req->since_ns <= next->since_ns,
		    "(4) not in order of age");
		n++;
	}
	KASSERT(n == q->inflight, "(4) %u of %u have an age", n, q->inflight);
}
