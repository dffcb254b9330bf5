/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_here: one context of asynchronous I/O (io_setup) for each queue.
 *
 * A single read that is waited for needs no queue.  But a plain system call sleeps
 * until the disk's interrupt has woken its processor and its thread, which costs as
 * much as half the read; this one can be waited for awake.  Such a context is better
 * for it than a ring of io_uring: it has no descriptor, any thread may use it, and the
 * interrupt itself writes the completion to memory that we see.
 *
 * It is the plain call where there are no contexts, or none is left (fs.aio-max-nr), and
 * where the page cache is read, for then the read would be over when it is handed over.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "block/engine.h"
#include "block/engine_here.h"

/*
 * How the kernel's side of a context begins, at the address that is its name.  No
 * header has it; libaio relies on it, too, and knows it by the same magic number.
 */
struct aio_ring {
	unsigned id, nr;
	_Atomic unsigned head, tail;
	unsigned magic, compat_features, incompat_features, header_length;
};
#define AIO_RING_MAGIC 0xa10a10a1U

/* Whoever has the queue has all of it. */
struct hereq {
	struct blkq q;
	aio_context_t aio; /* 0: none */
	bool tried; /* to make one */
	struct spin spin;
	struct iocb cb; /* not on the program's stack, nor is the event */
	struct io_event event;
};

static struct aio_ring *
ring(const struct hereq *h)
{
	return (struct aio_ring *)(uintptr_t)h->aio;
}

/* A forked child has no contexts, and is not to have what they look like. */
static void
make_context(struct hereq *h)
{
	h->tried = true;
	if (syscall(SYS_io_setup, 1L, &h->aio) != 0) {
		h->aio = 0;
		return;
	}
	(void)syscall(SYS_madvise, h->aio,
	    round_page(sizeof(struct aio_ring) +
		       ring(h)->nr * sizeof(struct io_event)),
	    MADV_DONTFORK);
}

static bool
is_there(const void *arg)
{
	struct aio_ring *r = ring(arg);

	return atomic_load(&r->tail) != atomic_load(&r->head);
}

/*
 * A pipe, a terminal or a counter that has the number now would give away what the
 * program is to read.  pread refuses those; asynchronous I/O does not.
 */
static bool
has_places(int fd)
{
	return syscall(SYS_preadv, fd, NULL, 0L, 0L, 0L) == 0;
}

/* Hands the read over; false: it cannot be done so, or not now. */
static bool
begin(struct hereq *h, int fd, const struct blkreq *req)
{
	struct iocb *one = &h->cb;

	if (!h->tried)
		make_context(h);
	if (h->aio == 0 || !has_places(fd))
		return false;
	h->cb = (struct iocb){
	    .aio_lio_opcode = IOCB_CMD_PREADV,
	    .aio_fildes = (uint32_t)fd,
	    .aio_buf = (uintptr_t)req->iov,
	    .aio_nbytes = (uint64_t)req->niov,
	    .aio_offset = (int64_t)ptoa((uint64_t)req->blk.v),
	};
	return syscall(SYS_io_submit, h->aio, 1L, &one) == 1;
}

/* As pread: bytes, or less than 0 and errno. */
static long
end(struct hereq *h)
{
	long n;

	if (ring(h)->magic == AIO_RING_MAGIC)
		(void)spin(&h->spin, h->q.clock, is_there, h);
	do
		n = syscall(SYS_io_getevents, h->aio, 1L, 1L, &h->event, NULL);
	while (n < 0 && errno == EINTR);
	KASSERT(n == 1,
	    "the program has forbidden io_getevents, and so to its pager: "
	    "permit it (seccomp), or forbid io_submit, too: errno %d",
	    errno);
	n = (long)h->event.res;
	if (n < 0)
		errno = (int)-n;
	return n;
}

static long
plain(int fd, const struct blkreq *req)
{
	long n;

	do
		n = syscall(SYS_preadv, fd, req->iov, (long)req->niov,
		    (long)ptoa(req->blk.v), 0L);
	while (n < 0 && errno == EINTR);
	return n;
}

static int
read_from(int fd, bool direct, struct blkreq *req)
{
	struct hereq *h = (struct hereq *)req->q;
	bool begun = direct && begin(h, fd, req);
	long n = begun ? end(h) : plain(fd, req);

	if (begun && n < 0 && (errno == EINTR || errno == EAGAIN))
		n = plain(fd, req);
	if (n < 0)
		return errno;
	return (size_t)n == ptoa(req->npages) ? 0 : EIO;
}

/*
 * A number that means another file now gives an error, which a fresh one may not, or
 * other bytes, which is the reader's to find out; to write would be to write there.
 */
void
here_read(struct blkreq *req, struct herefd *file, bool direct)
{
	int fd = herefd_get(file), fresh, error;

	KASSERT(req->op == BLK_READ, "a write through a foreign file table");
	error = read_from(fd, direct, req);
	if (error != 0 && (fresh = herefd_again(file)) >= 0) {
		error = read_from(fresh, direct, req);
		herefd_keep(file, fd, fresh, error == 0);
	}
	blkq_complete(req->q, req, error);
}

/* ---- the queue ----------------------------------------------------------- */

static void
here_nothing(struct blkq *q)
{
	(void)q;
}

static void
here_wait(struct blkq *q, int timeout_ms, struct spin *awake)
{
	(void)q;
	(void)awake;
	(void)timeout_ms;
}

static void
here_destroy(struct blkq *q)
{
	struct hereq *h = (struct hereq *)q;

	if (h->aio != 0)
		(void)syscall(SYS_io_destroy, h->aio);
	mem_unmap(h, round_page(sizeof(*h)));
}

static const struct blkq_ops hereq_ops = {
    .flush = here_nothing,
    .reap = here_nothing,
    .wait = here_wait,
    .kick = here_nothing,
    .destroy = here_destroy,
};

bool
blkq_is_here(const struct blkq *q)
{
	return q->ops == &hereq_ops;
}

void
blkq_here_forked(struct blkq *q)
{
	struct hereq *h = (struct hereq *)q;

	h->aio = 0;
	h->tried = false;
}

int
blkq_create_here(unsigned depth, struct blkq **ret)
{
	struct hereq *h = mem_map(round_page(sizeof(*h)));

	if (h == NULL)
		return -ENOMEM;
	blkq_init(&h->q, &hereq_ops, depth, &clock_real);
	*ret = &h->q;
	return 0;
}
