/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_nbd: network block devices, through a process of the device's own.
 *
 * libnbd and what it stands on allocate memory, resolve names, and encrypt.  In
 * a program whose allocator's memory is paged out that would be a page-in that
 * waits for a page-in, so they are in another process: uswap-nbd.  Here remain
 * copying into and out of shared memory, and one thread, which takes answers.
 *
 * A request is cut into pieces of up to a slot.  Whoever has reason to, the
 * owner of a queue with a new request or the thread with a slot that came free,
 * starts as many pieces as there are free slots, reads first: somebody waits
 * for those.  The bytes are copied without the lock.
 *
 * A forked child has a process of its own, which connects to the same export, where
 * the server promises that all connections see the same.  Both have the export
 * locked.
 *
 * In a request in flight, progress counts the pages of pieces that were started
 * and retries those of pieces that are done; stamp_ns is when it came.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "block/engine.h"
#include "block/engine_nbd.h"
#include "block/nbd_wire.h"

#define SEC             UINT64_C(1000000000)
#define TIMEOUT_DEFAULT 30 /* seconds */
/* So much later than promised, the process is taken for stuck. */
#define STUCK_GRACE (60 * SEC)
/* How long the process may take to disconnect. */
#define CLOSE_WAIT   (3 * SEC)
#define THREAD_STACK (128 * 1024)

struct piece {
	struct blkreq *req; /* NULL: the slot is free */
	uint32_t first, n; /* pages of the request */
	bool filling; /* its starter has it in hand, without the lock */
};

/*
 * (1) A slot is free if and only if its bit is set in free.
 * (2) A request is on waiting[its op] exactly while progress < npages and none
 *     of its pieces has failed.
 * (3) It is given back when the pages started are done, and (2) is over.
 */
struct nbddev {
	struct blkdev dev;
	struct nbd_process process; /* constant, like what follows */
	uint32_t piece_max; /* pages */
	uint64_t timeout_ns;
	char home[1024]; /* the program's; "": none */
	pthread_t thread;
	_Atomic bool closing;

	struct mtx lock; /* RANK_BLKDEV; all below */
	struct blkreq_list waiting[2]; /* by enum blk_op */
	struct piece piece[NBDW_SLOTS];
	uint32_t free;
	bool dead; /* the process has ended */
};

/* ---- pieces; the lock is held -------------------------------------------- */

/* Gives the request back, if nothing of it is on its way. */
static void
request_check(struct blkreq *req)
{
	if (req->retries == req->progress &&
	    (req->progress == req->npages || req->error != 0))
		blkq_give(req, req->error);
}

/* From now on no piece of it is started. */
static void
request_fail(struct nbddev *nd, struct blkreq *req, int error)
{
	if (req->error == 0 && req->progress < req->npages)
		STAILQ_REMOVE(&nd->waiting[req->op], req, blkreq, link);
	if (req->error == 0)
		req->error = error;
}

static void
piece_done(struct nbddev *nd, uint32_t slot, int error)
{
	struct piece *p = &nd->piece[slot];
	struct blkreq *req = p->req;

	if (error != 0)
		request_fail(nd, req, error);
	req->retries += p->n;
	p->req = NULL;
	nd->free |= 1u << slot;
	request_check(req);
}

/* Takes the next piece and a slot for it: the slot, or -1. */
static int
piece_take(struct nbddev *nd)
{
	struct blkreq *req = STAILQ_FIRST(&nd->waiting[BLK_READ]);
	struct piece *p;
	int slot;

	if (req == NULL)
		req = STAILQ_FIRST(&nd->waiting[BLK_WRITE]);
	if (req == NULL || nd->free == 0)
		return -1;
	slot = __builtin_ctz(nd->free);
	nd->free &= ~(1u << slot);
	p = &nd->piece[slot];
	p->req = req;
	p->first = req->progress;
	p->n = US_MIN(req->npages - req->progress, nd->piece_max);
	p->filling = true;
	req->progress += p->n;
	if (req->progress == req->npages)
		STAILQ_REMOVE_HEAD(&nd->waiting[req->op], link);
	return slot;
}

/* The process is no more: nothing will be answered. */
static void
fail_all(struct nbddev *nd)
{
	struct blkreq *req;

	for (int op = BLK_READ; op <= BLK_WRITE; op++)
		while ((req = STAILQ_FIRST(&nd->waiting[op])) != NULL) {
			request_fail(nd, req, ENXIO);
			request_check(req);
		}
	for (uint32_t i = 0; i < NBDW_SLOTS; i++)
		if (nd->piece[i].req != NULL && !nd->piece[i].filling)
			piece_done(nd, i, ENXIO);
}

/* ---- copying; the lock is not held --------------------------------------- */

/* The part of the request's memory that a piece is about. */
static int
piece_iov(const struct piece *p, struct iovec *out)
{
	size_t skip = ptoa(p->first), left = ptoa(p->n);
	const struct iovec *iov = p->req->iov;
	int n = 0;

	for (; skip >= iov->iov_len; iov++)
		skip -= iov->iov_len;
	for (; left > 0; iov++, skip = 0) {
		out[n].iov_base = (char *)iov->iov_base + skip;
		out[n].iov_len = US_MIN(iov->iov_len - skip, left);
		left -= out[n++].iov_len;
	}
	return n;
}

static void
copy_out(char *to, const struct piece *p)
{
	struct iovec iov[NBDW_SLOT_PAGES];
	int n = piece_iov(p, iov);

	engine_copy_out(to, iov, n, ptoa(p->n));
}

static void
copy_in(const struct piece *p, const char *from)
{
	struct iovec iov[NBDW_SLOT_PAGES];
	int n = piece_iov(p, iov);

	for (int i = 0; i < n; from += iov[i++].iov_len)
		memcpy(iov[i].iov_base, from, iov[i].iov_len);
}

/*
 * Lock held.  0 or errno; never waits: the socket holds many more messages than
 * there are slots.
 */
static int
piece_send(struct nbddev *nd, uint32_t slot)
{
	const struct piece *p = &nd->piece[slot];
	struct nbdw m = {
	    .kind = p->req->op == BLK_READ ? NBDW_READ : NBDW_WRITE,
	    .slot = slot,
	    .offset = ptoa((uint64_t)p->req->blk.v + p->first),
	    .len = (uint32_t)ptoa(p->n),
	};
	ssize_t n;

	do
		n = send(nd->process.sock, &m, NBDW_SHORT,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)NBDW_SHORT ? 0 : EIO;
}

/*
 * Starts what can be started.  A piece that is being filled is nobody else's:
 * should the process die meanwhile, it is failed here.  Once it is sent it is
 * the thread's, which can answer it as soon as the lock is released.
 */
static void
start_pieces(struct nbddev *nd)
{
	int slot;

	mtx_lock(&nd->lock);
	if (nd->dead)
		fail_all(nd);
	while ((slot = piece_take(nd)) >= 0) {
		struct piece *p = &nd->piece[slot];

		if (p->req->op == BLK_WRITE) {
			mtx_unlock(&nd->lock);
			copy_out(
			    nd->process.mem + (size_t)slot * NBDW_SLOT_BYTES,
			    p);
			mtx_lock(&nd->lock);
		}
		p->filling = false;
		if (nd->dead || piece_send(nd, (uint32_t)slot) != 0)
			piece_done(nd, (uint32_t)slot, ENXIO);
	}
	mtx_unlock(&nd->lock);
}

/* ---- the thread ---------------------------------------------------------- */

static void
answered(struct nbddev *nd, const struct nbdw *m)
{
	struct piece *p;
	int error = m->error;

	mtx_lock(&nd->lock);
	if (m->slot >= NBDW_SLOTS || nd->piece[m->slot].req == NULL) {
		/* Nonsense: who says this cannot be trusted with a page. */
		mtx_unlock(&nd->lock);
		log_msg(
		    LOG_ERROR, "%s: a wrong answer of uswap-nbd", nd->dev.name);
		(void)shutdown(nd->process.sock, SHUT_RDWR);
		return;
	}
	p = &nd->piece[m->slot];
	mtx_unlock(&nd->lock);
	/* The piece is ours now, for nobody else looks at one that is sent. */
	if (p->req->op == BLK_READ && error == 0)
		copy_in(p, nd->process.mem + m->slot * NBDW_SLOT_BYTES);
	mtx_lock(&nd->lock);
	piece_done(nd, m->slot, error < 0 ? EIO : error);
	mtx_unlock(&nd->lock);
	start_pieces(nd);
}

static void
state_changed(struct nbddev *nd, const struct nbdw *m)
{
	bool gone = m->error != 0;

	atomic_store(&nd->dev.reconnects, m->offset);
	if (atomic_load(&nd->dev.gone) == gone)
		return;
	blkdev_set_gone(&nd->dev, gone);
	if (gone)
		log_msg(LOG_ERROR,
		    "%s: no connection for %u s: pages on it are lost for "
		    "whoever needs them before it is back",
		    nd->dev.name, (unsigned)(nd->timeout_ns / SEC));
	else
		log_msg(LOG_NOTE, "%s: is back", nd->dev.name);
}

/* The time of the oldest request that has a slot; UINT64_MAX: none has. */
static uint64_t
oldest(const struct nbddev *nd)
{
	uint64_t t = UINT64_MAX;

	for (uint32_t i = 0; i < NBDW_SLOTS; i++)
		if (nd->piece[i].req != NULL)
			t = US_MIN(t, nd->piece[i].req->stamp_ns);
	return t;
}

/* Gives up a process that is stuck. */
static void
look_at_clock(struct nbddev *nd)
{
	uint64_t now = clock_now_ns(&clock_real), since;

	mtx_lock(&nd->lock);
	since = oldest(nd);
	mtx_unlock(&nd->lock);
	if (since < now && now - since > nd->timeout_ns + STUCK_GRACE)
		(void)shutdown(nd->process.sock, SHUT_RDWR);
}

/* Takes what was said; false when the other end is closed. */
static bool
listen_once(struct nbddev *nd)
{
	struct nbdw m;
	ssize_t n;

	for (;;) {
		n = recv(nd->process.sock, &m, sizeof(m), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < (ssize_t)NBDW_SHORT)
			return false;
		if (m.kind == NBDW_DONE)
			answered(nd, &m);
		else if (m.kind == NBDW_STATE)
			state_changed(nd, &m);
	}
}

static void *
nbd_main(void *arg)
{
	struct nbddev *nd = arg;
	struct pollfd pfd = {.fd = nd->process.sock, .events = POLLIN};
	uint64_t end = 0;

	pthread_setname_np(pthread_self(), "uswap-nbd");
	do {
		(void)poll(&pfd, 1, 1000);
		look_at_clock(nd);
		if (atomic_load(&nd->closing) && end == 0)
			end = clock_now_ns(&clock_real) + CLOSE_WAIT;
	} while (
	    listen_once(nd) && (end == 0 || clock_now_ns(&clock_real) < end));

	if (atomic_load(&nd->closing))
		return NULL;
	log_msg(LOG_ERROR,
	    "%s: its process uswap-nbd has ended: pages on it are lost",
	    nd->dev.name);
	blkdev_set_gone(&nd->dev, true);
	mtx_lock(&nd->lock);
	nd->dead = true;
	fail_all(nd);
	mtx_unlock(&nd->lock);
	return NULL;
}

/* ---- the device ---------------------------------------------------------- */

static void
nbd_start(struct blkdev *dev, struct blkreq *req)
{
	struct nbddev *nd = (struct nbddev *)dev;

	req->stamp_ns = clock_now_ns(&clock_real);
	mtx_lock(&nd->lock);
	STAILQ_INSERT_TAIL(&nd->waiting[req->op], req, link);
	mtx_unlock(&nd->lock);
	start_pieces(nd);
}

/* Waits for the process's end, so that the export may be opened again. */
static void
nbd_close(struct blkdev *dev)
{
	struct nbddev *nd = (struct nbddev *)dev;

	atomic_store(&nd->closing, true);
	(void)shutdown(nd->process.sock, SHUT_WR);
	pthread_join(nd->thread, NULL);
	mtx_destroy(&nd->lock);
	nbd_process_end(&nd->process);
	mem_unmap(nd, round_page(sizeof(*nd)));
}

/* ---- opening ------------------------------------------------------------- */

static int
check_size(const struct blkspec *spec, uint64_t have, uint32_t *pages,
    char *err, size_t errlen)
{
	uint64_t size = spec->size != 0 ? spec->size : have;
	char a[16], b[16];

	if (size > have)
		return NBD_FAIL(EINVAL,
		    "%s: has %s, not %s; use a smaller size= or none",
		    spec->path, size_text(a, have), size_text(b, size));
	if (atop(size) < BLKDEV_PAGES_MIN)
		return NBD_FAIL(EINVAL,
		    "%s: %s is too small for swap space; export 64K or more",
		    spec->path, size_text(a, size));
	*pages = (uint32_t)US_MIN(atop(size), BLKDEV_PAGES_MAX);
	return 0;
}

static int
start_process(
    struct nbddev *nd, const char *uri, int lock, char *err, size_t errlen)
{
	return nbd_process_start(uri, nd->home,
	    (unsigned)(nd->timeout_ns / SEC), lock, &nd->process, err, errlen);
}

/* Everything that is under the lock begins anew: nothing is on its way. */
static int
begin(struct nbddev *nd, char *err, size_t errlen)
{
	int error;

	nd->piece_max =
	    (uint32_t)atop(US_MIN(nd->process.request_max, NBDW_SLOT_BYTES));
	memset(nd->piece, 0, sizeof(nd->piece));
	nd->free = UINT32_MAX;
	nd->dead = false;
	STAILQ_INIT(&nd->waiting[BLK_READ]);
	STAILQ_INIT(&nd->waiting[BLK_WRITE]);
	mtx_init(&nd->lock, RANK_BLKDEV);
	error = nd->piece_max > 0
		    ? thread_create(&nd->thread, THREAD_STACK, nbd_main, nd)
		    : -EINVAL;
	if (error == 0)
		return 0;
	mtx_destroy(&nd->lock);
	return NBD_FAIL(-error, "%s: no thread: %s; raise ulimit -u",
	    nd->dev.name, strerrordesc_np(-error));
}

static int
nbd_fd(const struct blkdev *dev)
{
	return ((const struct nbddev *)dev)->process.lock;
}

static const char *
nbd_unshared(const struct blkdev *dev)
{
	if (!((const struct nbddev *)dev)->process.multi)
		return "its server does not promise that several connections "
		       "see the same (multi-conn), and a child needs one of "
		       "its own; let it, or take the device away first";
	if (blkdev_gone(dev))
		return "it is away, and a child could not connect to it; try "
		       "again when it is back";
	return NULL;
}

/* The parent's numbers mean nothing here, and its memory is not mapped. */
static int
nbd_inherit(struct blkdev *dev, int fd, char *err, size_t errlen)
{
	struct nbddev *nd = (struct nbddev *)dev;
	int error = start_process(nd, dev->name, fd, err, errlen);

	if (error != 0)
		return error;
	if (atop(nd->process.size) < dev->pages)
		error = NBD_FAIL(EINVAL,
		    "%s: is smaller than it was; serve what was there before",
		    dev->name);
	else
		error = begin(nd, err, errlen);
	if (error != 0)
		nbd_process_end(&nd->process);
	return error;
}

static const struct blkdev_ops nbddev_ops = {
    .submit = blkq_hold,
    .start = nbd_start,
    .close = nbd_close,
    .fd = nbd_fd,
    .inherit = nbd_inherit,
    .unshared = nbd_unshared,
};

int
blkdev_open_nbd(
    const struct blkspec *spec, struct blkdev **ret, char *err, size_t errlen)
{
	struct nbddev *nd = mem_map(round_page(sizeof(*nd)));
	const char *home = getenv("HOME");
	uint32_t pages;
	int error, lock;

	if (nd == NULL)
		return NBD_FAIL(ENOMEM, "%s: no memory", spec->path);
	nd->timeout_ns =
	    (spec->timeout != 0 ? spec->timeout : TIMEOUT_DEFAULT) * SEC;
	strf(nd->home, sizeof(nd->home), "%s", home != NULL ? home : "");
	lock = error = nbd_lock(spec->path, err, errlen);
	if (lock < 0)
		goto unmap;
	error = start_process(nd, spec->path, lock, err, errlen);
	if (error != 0) {
		close(lock);
		goto unmap;
	}
	error = check_size(spec, nd->process.size, &pages, err, errlen);
	if (error == 0) {
		blkdev_init(&nd->dev, &nbddev_ops, spec->path, pages);
		error = begin(nd, err, errlen);
	}
	if (error == 0) {
		*ret = &nd->dev;
		return 0;
	}
	nbd_process_end(&nd->process);
unmap:
	mem_unmap(nd, round_page(sizeof(*nd)));
	return error;
}
