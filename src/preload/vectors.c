/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vectors: vectors of blocks, which go by way of one, and messages, where only faults of
 * user mode are answered: see syscalls.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "preload/transfers.h"

/* ---- vectors: as one block ----------------------------------------------- */

#define VECTOR_MAX (16 * BOUNCE)

static size_t
vector_bytes(const struct iovec *v, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += v[i].iov_len;
	return len;
}

/* Of the block. */
static size_t
vector_len(const struct iovec *v, int n)
{
	size_t len = vector_bytes(v, n > 0 ? (size_t)n : 0);

	return len < VECTOR_MAX ? len : VECTOR_MAX;
}

/* Between the block and what the vector names. */
static void
vector_copy(const struct iovec *v, int n, char *b, size_t len, int out)
{
	for (int i = 0; i < n && len > 0; i++) {
		size_t some = v[i].iov_len < len ? v[i].iov_len : len;

		/* Nothing may come into NULL: MSG_TRUNC. */
		if (v[i].iov_base != NULL)
			memcpy(out ? v[i].iov_base : b, out ? b : v[i].iov_base,
			    some);
		b += some;
		len -= some;
	}
}

static ssize_t
vector(transfer *t, int fd, const struct iovec *v, int n, void *how, int out)
{
	size_t len = vector_len(v, n), used = len;
	char *b = bounce_get(len);
	ssize_t r;

	if (b == NULL)
		return -1;
	if (!out)
		vector_copy(v, n, b, len, 0);
	r = t(fd, b, len, how);
	if (out) {
		used = r > 0 ? (size_t)r : 0;
		vector_copy(v, n, b, used, 1);
	}
	bounce_put(b, len, used);
	return r;
}

HOOK ssize_t
readv(int fd, const struct iovec *v, int n)
{
	return vector(t_read, fd, v, n, NULL, 1);
}

HOOK ssize_t
writev(int fd, const struct iovec *v, int n)
{
	return vector(t_write, fd, v, n, NULL, 0);
}

HOOK ssize_t
preadv(int fd, const struct iovec *v, int n, off_t off)
{
	return vector(t_pread, fd, v, n, &off, 1);
}

HOOK ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t off)
{
	return vector(t_pwrite, fd, v, n, &off, 0);
}

struct flagged {
	off_t off;
	int flags;
};

static ssize_t
t_preadv2(int fd, char *p, size_t n, void *how)
{
	const struct flagged *f = how;
	struct iovec one = {p, n};

	return NEXT(preadv2)(fd, &one, 1, f->off, f->flags);
}

static ssize_t
t_pwritev2(int fd, char *p, size_t n, void *how)
{
	const struct flagged *f = how;
	struct iovec one = {p, n};

	return NEXT(pwritev2)(fd, &one, 1, f->off, f->flags);
}

HOOK ssize_t
preadv2(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	struct flagged f = {off, flags};

	return vector(t_preadv2, fd, v, n, &f, 1);
}

HOOK ssize_t
pwritev2(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	struct flagged f = {off, flags};

	return vector(t_pwritev2, fd, v, n, &f, 0);
}

/* A vector and what it points to. */
static int
bring_vector(const struct iovec *v, size_t n, int write)
{
	int some = IN(v, n * sizeof(*v));

	for (size_t i = 0; v != NULL && i < n; i++)
		some |= uswap_preload_bring(v[i].iov_base, v[i].iov_len, write);
	return some;
}

HOOK ssize_t
vmsplice(int fd, const struct iovec *v, size_t n, unsigned flags)
{
	ssize_t ret;

	AGAIN(ret, NEXT(vmsplice)(fd, v, n, flags),
	    ret == -1 && errno == EFAULT, bring_vector(v, n, 0))
	return ret;
}

/* ---- messages ------------------------------------------------------------ */

static int
bring_message(const struct msghdr *m)
{
	return IN(m, sizeof(*m)) | IN(m->msg_name, m->msg_namelen) |
	       IN(m->msg_control, m->msg_controllen) |
	       bring_vector(m->msg_iov, m->msg_iovlen, 0);
}

/* The first of what a vector names: as much as one call is likely to send. */
static void
bring_head(const struct iovec *v, size_t n)
{
	size_t left = BOUNCE, some;

	for (size_t i = 0; i < n && left > 0; i++, left -= some) {
		some = v[i].iov_len < left ? v[i].iov_len : left;
		(void)IN(v[i].iov_base, some);
	}
}

/* What is sent of a stream could end at a page that is out. */
HOOK ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	ssize_t ret;

	bring_head(m->msg_iov, m->msg_iovlen);
	AGAIN(ret, NEXT(sendmsg)(fd, m, flags), ret == -1 && errno == EFAULT,
	    bring_message(m))
	return ret;
}

/*
 * One by one, and no more after one that was not sent in full, as the kernel does: it says
 * how long each was when it has sent it.
 */
HOOK int
sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned done = 0;
	ssize_t r = 0;

	if (!uswap_preload_holds(m, n * sizeof(*m))) {
		for (unsigned i = 0; i < n && i < IOV_MAX; i++)
			(void)bring_message(&m[i].msg_hdr);
		return NEXT(sendmmsg)(fd, m, n, flags);
	}
	while (done < n && done < IOV_MAX) {
		struct msghdr *h = &m[done].msg_hdr;

		r = sendmsg(fd, h, flags | (h->msg_flags & MSG_EOR));
		if (r < 0)
			break;
		m[done++].msg_len = (unsigned)r;
		if ((size_t)r < vector_bytes(h->msg_iov, h->msg_iovlen))
			break;
	}
	return done > 0 ? (int)done : (int)r;
}

/* The message, what names it and what comes with it, each by way of our own. */
HOOK ssize_t
recvmsg(int fd, struct msghdr *m, int flags)
{
	struct sockaddr_storage name;
	char control[4096];
	size_t len = vector_len(m->msg_iov, (int)m->msg_iovlen);
	char *b = bounce_get(len);
	struct iovec one = {b, len};
	struct msghdr mine = {.msg_name = &name,
	    .msg_namelen = sizeof(name),
	    .msg_iov = &one,
	    .msg_iovlen = 1,
	    .msg_control = m->msg_control != NULL ? control : NULL,
	    .msg_controllen = m->msg_controllen < sizeof(control)
				  ? m->msg_controllen
				  : sizeof(control)};
	size_t used = 0; /* with MSG_TRUNC as in take() */
	ssize_t ret;

	if (b == NULL)
		return -1;
	if ((flags & MSG_TRUNC) != 0) {
		used = len;
		vector_copy(m->msg_iov, (int)m->msg_iovlen, b, used, 0);
	}
	ret = NEXT(recvmsg)(fd, &mine, flags);
	if (ret >= 0) {
		if (used == 0)
			used = (size_t)ret < len ? (size_t)ret : len;
		vector_copy(m->msg_iov, (int)m->msg_iovlen, b, used, 1);
		if (m->msg_name != NULL)
			memcpy(m->msg_name, &name,
			    mine.msg_namelen < m->msg_namelen ? mine.msg_namelen
							      : m->msg_namelen);
		if (m->msg_control != NULL)
			memcpy(m->msg_control, control, mine.msg_controllen);
		m->msg_namelen = m->msg_name != NULL ? mine.msg_namelen : 0;
		m->msg_controllen = mine.msg_controllen;
		m->msg_flags = mine.msg_flags;
	}
	bounce_put(b, len, used);
	return ret;
}

/* What is left of t since begin; false: nothing. */
static int
is_left(const struct timespec *begin, const struct timespec *t,
    struct timespec *left)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left->tv_sec = t->tv_sec - (now.tv_sec - begin->tv_sec);
	left->tv_nsec = t->tv_nsec - (now.tv_nsec - begin->tv_nsec);
	if (left->tv_nsec < 0) {
		left->tv_sec--;
		left->tv_nsec += 1000000000;
	} else if (left->tv_nsec >= 1000000000) {
		left->tv_sec++;
		left->tv_nsec -= 1000000000;
	}
	if (left->tv_sec >= 0)
		return left->tv_sec > 0 || left->tv_nsec > 0;
	*left = (struct timespec){0, 0};
	return 0;
}

/* The kernel, too, looks at the time only when a message has come. */
HOOK int
recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t)
{
	struct timespec begin, left;
	unsigned i;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < n; i++) {
		ssize_t r = recvmsg(fd, &m[i].msg_hdr, flags & ~MSG_WAITFORONE);

		if (r < 0)
			break;
		m[i].msg_len = (unsigned)r;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (t != NULL && !is_left(&begin, t, &left)) {
			i++;
			break;
		}
	}
	if (t != NULL && i > 0)
		*t = left;
	return i > 0 || n == 0 ? (int)i : -1;
}

/*
 * Between two processes: it says how much it has moved, wherever it had to stop, so all of
 * ours is brought in before.
 */
#define BETWEEN(name, write)                                                   \
	HOOK ssize_t name(pid_t pid, const struct iovec *v, unsigned long n,   \
	    const struct iovec *w, unsigned long m, unsigned long flags)       \
	{                                                                      \
		(void)(bring_vector(v, n, write) | IN(w, m * sizeof(*w)));     \
		return NEXT(name)(pid, v, n, w, m, flags);                     \
	}
BETWEEN(process_vm_readv, 1)
BETWEEN(process_vm_writev, 0)

SAME(preadv64, preadv);
SAME(pwritev64, pwritev);
SAME(preadv64v2, preadv2);
SAME(pwritev64v2, pwritev2);
