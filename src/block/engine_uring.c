/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_uring: one io_uring per queue.
 *
 * A ring carries three kinds of operation: transfers, one wait for a kick (on a
 * futex, before Linux 6.7 a read of an eventfd), and one poll of the watched
 * descriptor.  Each of them has at most
 * one completion outstanding (the poll is one-shot, not multishot), so a
 * ring of depth + 2 entries can neither run out of submission entries nor
 * overflow its completions, and no event is ever dropped by the kernel.
 *
 * The poll is armed by every wait that finds it unarmed, in the same system
 * call that sleeps.  Arming looks at the descriptor first, so it is level
 * triggered: an event that came while nobody looked is not lost, and a
 * descriptor that was only partly read fires again.
 *
 * Nothing here allocates: liburing maps the ring when it is created.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/herefd.h"
#include "base/mem.h"
#include "block/engine.h"
#include "block/engine_here.h"
#include "block/engine_uring.h"

#define URING_DEPTH_MAX 4096 /* far above what a disk makes use of */
#define URING_RETRIES   16 /* of EINTR and EAGAIN, per request */

/* user_data of what is not a transfer; a request's is its address. */
enum { UD_KICK = 1, UD_WATCH = 2, UD_CANCEL = 3 };

struct uringdev {
	struct blkdev dev;
	struct herefd fd; /* constant, but for blkdev_inherit */
	bool disk; /* a block device; constant, as is: */
	bool direct; /* O_DIRECT is on */
};

/* Linux 6.7; the headers may be older. */
enum { OP_FUTEX_WAIT = 51, FUTEX2_U32_PRIVATE = 2 | 128 };

/* Whether the owner sleeps decides what a kick costs. */
enum { AWAKE, ASLEEP, KICKED };

/*
 * All but state is the owner's.
 *
 * (1) state is ASLEEP only inside uring_wait.
 * (2) kick_armed (q.watching) is true exactly from the moment the wait (the
 *     poll) is put on the ring to the moment its completion is taken off.
 */
struct uringq {
	struct blkq q;
	struct io_uring ring;
	_Atomic int state;
	int kick_fd; /* -1: a kick is a wake-up of the futex `state` */
	int watch_fd; /* -1: none */
	bool kick_armed;
	uint64_t kick_count; /* where the kick's read goes; never looked at */
};

static const struct blkdev_ops uringdev_ops;
static const struct blkq_ops uringq_ops;

/*
 * A sandbox that a program makes around all its threads is around us, too
 * (SECCOMP_FILTER_FLAG_TSYNC).  There is no way on without reading.
 */
static void
uring_permitted(int ret)
{
	KASSERT(ret != -EPERM && ret != -EACCES && ret != -ENOSYS,
	    "the program has forbidden io_uring to all its threads, and so to "
	    "its pager: permit it (seccomp), or make the filter for one "
	    "thread: errno %d",
	    -ret);
}

/*
 * What entering the kernel may answer.  After EAGAIN, EBUSY and EINTR the
 * entries are still on the ring, for the next time; anything else means that
 * the ring is misused (EEXIST: by a second thread).
 */
static void
uring_enter_check(int ret)
{
	uring_permitted(ret);
	KASSERT(ret >= 0 || ret == -EAGAIN || ret == -EBUSY || ret == -EINTR ||
		    ret == -ETIME,
	    "io_uring_enter: errno %d", -ret);
}

/* Never fails: see the top of the file. */
static struct io_uring_sqe *
uring_sqe(struct uringq *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	KASSERT(sqe != NULL, "the ring is full");
	return sqe;
}

/* ---- transfers ---------------------------------------------------------- */

/*
 * The rest of a short transfer goes iovec by iovec: a plain read or write
 * needs no second array of iovecs to live until it completes, and short
 * transfers are rare.
 */
static void
uring_queue_rest(struct uringq *u, struct blkreq *req)
{
	struct uringdev *ud = (struct uringdev *)req->dev;
	size_t skip = ptoa(req->progress);
	const struct iovec *iov = req->iov;
	uint64_t off = ptoa((uint64_t)req->blk.v + req->progress);
	struct io_uring_sqe *sqe;
	char *base;
	unsigned len;

	for (; skip >= iov->iov_len; iov++)
		skip -= iov->iov_len;
	base = (char *)iov->iov_base + skip;
	len = (unsigned)(iov->iov_len - skip);
	sqe = uring_sqe(u);
	if (req->op == BLK_READ)
		io_uring_prep_read(sqe, ud->fd.fd, base, len, off);
	else
		io_uring_prep_write(sqe, ud->fd.fd, base, len, off);
	io_uring_sqe_set_data(sqe, req);
}

static void
uring_queue(struct uringq *u, struct blkreq *req)
{
	struct uringdev *ud = (struct uringdev *)req->dev;
	struct io_uring_sqe *sqe;
	uint64_t off = ptoa(req->blk.v);

	if (req->progress > 0 || req->niov == 1) {
		uring_queue_rest(u, req);
		return;
	}
	sqe = uring_sqe(u);
	if (req->op == BLK_READ)
		io_uring_prep_readv(
		    sqe, ud->fd.fd, req->iov, (unsigned)req->niov, off);
	else
		io_uring_prep_writev(
		    sqe, ud->fd.fd, req->iov, (unsigned)req->niov, off);
	io_uring_sqe_set_data(sqe, req);
}

static void
uring_submit(struct blkdev *dev, struct blkq *q, struct blkreq *req)
{
	if (blkq_is_here(q)) {
		blkq_hold(dev, q, req);
		return;
	}
	KASSERT(
	    q->ops == &uringq_ops, "%s: a queue of another engine", dev->name);
	uring_queue((struct uringq *)q, req);
}

/*
 * Why there is an end where there should be blocks: a file was cut behind our
 * back, and new blocks can be written to it; or a disk was taken out, of which
 * the kernel says that it has no blocks.
 */
static int
uring_end(const struct uringdev *ud)
{
	return ud->disk ? ENXIO : EIO;
}

/*
 * One transfer has returned res.  Progress is counted in whole pages; what is
 * less than a page is transferred again, and no page at all is an error.
 */
static void
uring_transferred(struct uringq *u, struct blkreq *req, int res)
{
	struct uringdev *ud = (struct uringdev *)req->dev;
	uint32_t pages;

	if (res == -EINTR || res == -EAGAIN) {
		if (req->retries++ < URING_RETRIES) {
			uring_queue(u, req);
			return;
		}
	}
	if (res < 0) {
		blkq_complete(&u->q, req,
		    res == -ENOSPC && ud->disk ? uring_end(ud) : -res);
		return;
	}
	pages = (uint32_t)atop(res);
	KASSERT(pages <= req->npages - req->progress, "%u pages too many",
	    pages - (req->npages - req->progress));
	req->progress += pages;
	if (pages == 0)
		blkq_complete(&u->q, req, uring_end(ud));
	else if (req->progress < req->npages)
		uring_queue(u, req);
	else
		blkq_complete(&u->q, req, 0);
}

/* ---- the queue ---------------------------------------------------------- */

/* Takes every completion off the ring; makes no system call of its own. */
static void
uring_take(struct uringq *u)
{
	struct io_uring_cqe *cqe;
	uint64_t ud;
	int res;

	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		ud = cqe->user_data;
		res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		switch (ud) {
		case UD_KICK:
			u->kick_armed = false;
			break;
		case UD_WATCH:
			u->q.watching = false;
			break;
		case UD_CANCEL:
			break;
		default:
			uring_transferred(
			    u, (struct blkreq *)(uintptr_t)ud, res);
		}
	}
}

static void
uring_flush(struct blkq *q)
{
	struct uringq *u = (struct uringq *)q;

	if (io_uring_sq_ready(&u->ring) > 0)
		uring_enter_check(io_uring_submit(&u->ring));
}

static void
uring_reap(struct blkq *q)
{
	uring_flush(q);
	uring_take((struct uringq *)q);
}

static void
prep_futex_wait(struct io_uring_sqe *sqe, _Atomic int *futex, int while_it_is)
{
	io_uring_prep_rw(OP_FUTEX_WAIT, sqe, FUTEX2_U32_PRIVATE, futex, 0,
	    (uint64_t)while_it_is);
	sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
}

static void
uring_arm(struct uringq *u)
{
	struct io_uring_sqe *sqe;

	if (!u->kick_armed) {
		sqe = uring_sqe(u);
		if (u->kick_fd < 0)
			prep_futex_wait(sqe, &u->state, ASLEEP);
		else
			io_uring_prep_read(sqe, u->kick_fd, &u->kick_count,
			    sizeof(u->kick_count), 0);
		sqe->user_data = UD_KICK;
		u->kick_armed = true;
	}
	if (!u->q.watching && u->watch_fd >= 0) {
		sqe = uring_sqe(u);
		io_uring_prep_poll_add(sqe, u->watch_fd, POLLIN);
		sqe->user_data = UD_WATCH;
		u->q.watching = true;
	}
}

/* Whether a completion is on the ring, or waits in the kernel for us to ask. */
static bool
uring_arrived(const void *arg)
{
	const struct uringq *u = arg;

	return io_uring_cq_ready(&u->ring) > 0 ||
	       (IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_TASKRUN) !=
		   0;
}

/*
 * The owner says ASLEEP before it sleeps and a kicker says KICKED before it
 * looks: whichever of the two is second sees the other, so a kick either is
 * found here or makes the wake-up that ends the sleep.  A kicker that is slow
 * to make it causes an empty return later, which the contract allows.
 */
static void
uring_wait(struct blkq *q, int timeout_ms, struct spin *awake)
{
	struct uringq *u = (struct uringq *)q;
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	int was = AWAKE;

	if (!atomic_compare_exchange_strong(&u->state, &was, ASLEEP)) {
		atomic_exchange(&u->state, AWAKE);
		uring_reap(q);
		return;
	}
	uring_arm(u);
	if (awake != NULL) {
		uring_flush(q);
		(void)spin(awake, q->clock, uring_arrived, u);
	}
	ts.tv_sec = timeout_ms / 1000;
	ts.tv_nsec = (long long)(timeout_ms % 1000) * 1000000;
	uring_enter_check(io_uring_submit_and_wait_timeout(
	    &u->ring, &cqe, 1, timeout_ms >= 0 ? &ts : NULL, NULL));
	atomic_exchange(&u->state, AWAKE);
	uring_take(u);
}

static void
uring_kick(struct blkq *q)
{
	struct uringq *u = (struct uringq *)q;
	const uint64_t one = 1;
	ssize_t n;

	if (atomic_exchange(&u->state, KICKED) != ASLEEP)
		return;
	if (u->kick_fd < 0) {
		syscall(SYS_futex, &u->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL,
		    NULL, 0);
		return;
	}
	do
		n = write(u->kick_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	KASSERT(n == sizeof(one), "kick: errno %d", errno);
}

/*
 * Closing a ring only begins to cancel what is on it, and the poll holds on
 * to the watched file: a userfaultfd would outlive its close.  So the two are
 * cancelled and waited for.
 */
static void
uring_disarm(struct uringq *u)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;

	if (u->kick_armed) {
		sqe = uring_sqe(u);
		io_uring_prep_cancel64(sqe, UD_KICK, 0);
		sqe->user_data = UD_CANCEL;
	}
	if (u->q.watching) {
		sqe = uring_sqe(u);
		io_uring_prep_cancel64(sqe, UD_WATCH, 0);
		sqe->user_data = UD_CANCEL;
	}
	while (u->kick_armed || u->q.watching) {
		uring_enter_check(io_uring_submit_and_wait_timeout(
		    &u->ring, &cqe, 1, NULL, NULL));
		uring_take(u);
	}
}

static void
uring_destroy(struct blkq *q)
{
	struct uringq *u = (struct uringq *)q;

	uring_disarm(u);
	io_uring_queue_exit(&u->ring);
	if (u->kick_fd >= 0)
		close(u->kick_fd);
	mem_unmap(u, round_page(sizeof(*u)));
}

/* The rings are not mapped here: see uring_setup. */
static void
uring_forget(struct blkq *q)
{
	mem_unmap(q, round_page(sizeof(struct uringq)));
}

static const struct blkq_ops uringq_ops = {
    .flush = uring_flush,
    .reap = uring_reap,
    .wait = uring_wait,
    .kick = uring_kick,
    .destroy = uring_destroy,
    .forget = uring_forget,
};

/*
 * The flags say that one thread uses the ring and completions may wait until
 * it asks for them: no interrupt of a program at work, and half the cost.
 * TASKRUN_FLAG lets poll see without a system call that there is something to
 * ask for.  Kernels before 6.1, 6.0 and 5.19 know fewer and fewer of them.
 *
 * A forked child does not get the rings: its mapping of them would keep them, and
 * what is on them, after we have ended.
 */
static int
uring_setup(struct io_uring *ring, unsigned entries)
{
	static const unsigned flags[] = {
	    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_DEFER_TASKRUN,
	    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER,
	    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG,
	    0,
	};
	const unsigned need =
	    IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL;
	int ret = -EINVAL;
	size_t i;

	for (i = 0; i < nitems(flags) && ret == -EINVAL; i++)
		ret = io_uring_queue_init(entries, ring, flags[i]);
	if (ret != 0)
		return ret;
	if ((ring->features & need) != need)
		ret = -ENOSYS;
	else
		ret = io_uring_ring_dontfork(ring);
	if (ret != 0)
		io_uring_queue_exit(ring);
	return ret;
}

/*
 * A futex is better than an eventfd because whoever kicks needs no descriptor.
 * Asked by using it: the value is not the one to sleep on, so it ends at once.
 */
static bool
has_futex_wait(struct uringq *u)
{
	struct io_uring_sqe *sqe = uring_sqe(u);
	struct io_uring_cqe *cqe;
	bool has;

	prep_futex_wait(sqe, &u->state, ASLEEP);
	sqe->user_data = UD_CANCEL;
	if (io_uring_submit_and_wait(&u->ring, 1) < 0 ||
	    io_uring_peek_cqe(&u->ring, &cqe) != 0)
		return false;
	has = cqe->res == -EAGAIN;
	io_uring_cqe_seen(&u->ring, cqe);
	return has;
}

int
blkq_create_uring(unsigned depth, int watch_fd, struct blkq **ret)
{
	struct uringq *u;
	int error;

	KASSERT(depth <= URING_DEPTH_MAX, "depth %u", depth);
	u = mem_map(round_page(sizeof(*u)));
	if (u == NULL)
		return -ENOMEM;
	blkq_init(&u->q, &uringq_ops, depth, &clock_real);
	atomic_init(&u->state, AWAKE);
	u->watch_fd = watch_fd;
	u->kick_fd = -1;
	error = uring_setup(&u->ring, depth + 2);
	if (error != 0)
		goto unmap;
	if (!has_futex_wait(u)) {
		u->kick_fd = eventfd(0, EFD_CLOEXEC);
		error = u->kick_fd < 0 ? -errno : 0;
	}
	if (error != 0)
		goto exit;
	*ret = &u->q;
	return 0;
exit:
	io_uring_queue_exit(&u->ring);
unmap:
	mem_unmap(u, round_page(sizeof(*u)));
	return error;
}

/* ---- the device --------------------------------------------------------- */

static void
uring_start(struct blkdev *dev, struct blkreq *req)
{
	struct uringdev *ud = (struct uringdev *)dev;

	if (blkq_is_here(req->q))
		here_read(req, &ud->fd, ud->direct);
	else /* held to be encrypted */
		uring_queue((struct uringq *)req->q, req);
}

bool
blkdev_is_here(struct blkdev *dev)
{
	/* To decipher is left to those whose stack is known. */
	return dev->ops == &uringdev_ops && dev->crypt == NULL &&
	       herefd_get(&((struct uringdev *)dev)->fd) >= 0;
}

static void
uringdev_close(struct blkdev *dev)
{
	struct uringdev *ud = (struct uringdev *)dev;

	/*
	 * A duplicate would go on holding the lock.  But if a forked child has
	 * the same open file, the lock is for both: it ends with the last of
	 * all descriptors.
	 */
	if (atomic_load(&ud->fd.here) >= 0 && !dev->shared)
		(void)flock(ud->fd.fd, LOCK_UN);
	herefd_leave(&ud->fd);
	close(ud->fd.fd);
	mem_unmap(ud, round_page(sizeof(*ud)));
}

static int
uringdev_fd(const struct blkdev *dev)
{
	return ((const struct uringdev *)dev)->fd.fd;
}

static int
uringdev_inherit(struct blkdev *dev, int fd, char *err, size_t errlen)
{
	(void)err;
	(void)errlen;
	herefd_moved(&((struct uringdev *)dev)->fd, fd);
	return 0;
}

static const struct blkdev_ops uringdev_ops = {
    .submit = uring_submit,
    .start = uring_start,
    .close = uringdev_close,
    .fd = uringdev_fd,
    .inherit = uringdev_inherit,
};

int
uringdev_create(int fd, const char *name, uint32_t pages, struct blkdev **ret)
{
	struct uringdev *ud = mem_map(round_page(sizeof(*ud)));
	struct stat st;

	if (ud == NULL)
		return -ENOMEM;
	blkdev_init(&ud->dev, &uringdev_ops, name, pages);
	herefd_init(&ud->fd, fd);
	ud->disk = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
	ud->direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
	*ret = &ud->dev;
	return 0;
}
