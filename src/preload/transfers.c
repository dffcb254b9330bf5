/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transfers: bytes that a call gives to the kernel or takes from it, where only faults of
 * user mode are answered: see syscalls.c.
 *
 * What takes something that cannot be given back, as from a pipe or a socket,
 * takes it into memory that is not managed, and copies.  What gives something goes on
 * after the part that was there.
 */
#include <errno.h>
#include <mqueue.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "preload/raw.h"
#include "preload/transfers.h"

/* ---- what gives bytes to the kernel -------------------------------------- */

/*
 * A call that stopped at or near a page which was not there has written what is before
 * it, and is to go on; where all is there, it stopped for reasons of its own.  One that
 * has written nothing may be of those that take all or nothing.
 */
static ssize_t
give(transfer *t, int fd, char *p, size_t n, void *how)
{
	size_t done = 0, step;
	ssize_t r;
	int some;

	for (int stuck = 0; stuck < TRIES; stuck++) {
		step = n - done < BOUNCE ? n - done : BOUNCE;
		some = IN(p + done, stuck == 0 ? step : n - done);
		r = t(fd, p + done, n - done, how);
		if (r > 0) {
			done += (size_t)r;
			stuck = -1;
		}
		if (done == n || r == 0 || (r < 0 && errno != EFAULT))
			break;
		step = n - done < BOUNCE ? n - done : BOUNCE;
		if (r > 0 ? !uswap_preload_missing(p + done, step) : !some)
			break;
	}
	return done > 0 ? (ssize_t)done : r;
}

ssize_t
t_write(int fd, char *p, size_t n, void *how)
{
	(void)how;
	return NEXT(write)(fd, p, n);
}

ssize_t
t_pwrite(int fd, char *p, size_t n, void *how)
{
	off_t *off = how;
	ssize_t r = NEXT(pwrite)(fd, p, n, *off);

	*off += r > 0 ? r : 0;
	return r;
}

HOOK ssize_t
write(int fd, const void *p, size_t n)
{
	return give(t_write, fd, (char *)p, n, NULL);
}

HOOK ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	return give(t_pwrite, fd, (char *)p, n, &off);
}

HOOK ssize_t pwrite64(int, const void *, size_t, off_t)
    __attribute__((alias("pwrite")));

struct to {
	int flags;
	const struct sockaddr *name;
	socklen_t len;
};

static ssize_t
t_sendto(int fd, char *p, size_t n, void *how)
{
	const struct to *to = how;

	(void)IN(to->name, to->len);
	return NEXT(sendto)(fd, p, n, to->flags, to->name, to->len);
}

HOOK ssize_t
sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *name,
    socklen_t len)
{
	struct to to = {flags, name, len};

	return give(t_sendto, fd, (char *)p, n, &to);
}

HOOK ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	return sendto(fd, p, n, flags, NULL, 0);
}

/* ---- what takes bytes from the kernel ------------------------------------ */

/* One that is not in use; a signal's handler, and a child, may take it as well. */
static char *_Atomic bounce_spare;

static int
bounce_is_kept(size_t n)
{
	return n <= BOUNCE_KEPT;
}

char *
bounce_get(size_t n)
{
	char *p =
	    bounce_is_kept(n) ? atomic_exchange(&bounce_spare, NULL) : NULL;

	if (p != NULL)
		return p;
	p = raw_mmap(NULL, bounce_is_kept(n) ? BOUNCE_KEPT : n,
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void
bounce_put(char *p, size_t n, size_t used)
{
	int error = errno;

	if (bounce_is_kept(n)) {
		explicit_bzero(p, used);
		n = BOUNCE_KEPT;
		p = atomic_exchange(&bounce_spare, p);
	}
	if (p != NULL)
		raw_munmap(p, n);
	errno = error;
}

static int
is_file(int fd)
{
	int error = errno, is = lseek(fd, 0, SEEK_CUR) >= 0;

	errno = error;
	return is;
}

/*
 * After a step that was full a file has more, and nobody else's turn is taken by
 * going on; of a stream this is what there is, unless the flags say MSG_WAITALL.  With
 * MSG_TRUNC more may be said to have come than did, or nothing may come: what is
 * there stays then.
 */
static ssize_t
take(transfer *t, int fd, char *p, size_t n, void *how, int flags)
{
	int all = (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL;
	int before = (flags & MSG_TRUNC) != 0;
	size_t step = n < BOUNCE ? n : BOUNCE, done = 0, used = 0, some, came;
	ssize_t r;
	char *b;

	if (!uswap_preload_holds(p, n))
		return t(fd, p, n, how);
	b = bounce_get(step);
	if (b == NULL)
		return -1;
	do {
		some = n - done < step ? n - done : step;
		if (before)
			memcpy(b, p + done, some);
		r = t(fd, b, some, how);
		came = r > 0 ? (size_t)r : 0;
		if (came < some && !before)
			some = came;
		if (r > 0)
			memcpy(p + done, b, some);
		used = used > some ? used : some;
		done += came;
	} while (r == (ssize_t)step && done < n && (all || is_file(fd)));
	bounce_put(b, step, used);
	return done > 0 ? (ssize_t)done : r;
}

ssize_t
t_read(int fd, char *p, size_t n, void *how)
{
	(void)how;
	return NEXT(read)(fd, p, n);
}

ssize_t
t_pread(int fd, char *p, size_t n, void *how)
{
	off_t *off = how;
	ssize_t r = NEXT(pread)(fd, p, n, *off);

	*off += r > 0 ? r : 0;
	return r;
}

static ssize_t
t_recv(int fd, char *p, size_t n, void *how)
{
	return NEXT(recv)(fd, p, n, *(int *)how);
}

HOOK ssize_t
read(int fd, void *p, size_t n)
{
	return take(t_read, fd, p, n, NULL, 0);
}

HOOK ssize_t
pread(int fd, void *p, size_t n, off_t off)
{
	return take(t_pread, fd, p, n, &off, MSG_WAITALL);
}

HOOK ssize_t pread64(int, void *, size_t, off_t)
    __attribute__((alias("pread")));

HOOK ssize_t
recv(int fd, void *p, size_t n, int flags)
{
	return take(t_recv, fd, p, n, &flags, flags);
}

static ssize_t
t_random(int fd, char *p, size_t n, void *how)
{
	(void)fd;
	return NEXT(getrandom)(p, n, *(unsigned *)how);
}

HOOK ssize_t
getrandom(void *p, size_t n, unsigned flags)
{
	return take(t_random, -1, p, n, &flags, MSG_WAITALL);
}

struct from {
	int flags;
	struct sockaddr_storage name;
	socklen_t len;
};

static ssize_t
t_recvfrom(int fd, char *p, size_t n, void *how)
{
	struct from *f = how;

	f->len = sizeof(f->name);
	return NEXT(recvfrom)(
	    fd, p, n, f->flags, (struct sockaddr *)&f->name, &f->len);
}

HOOK ssize_t
recvfrom(
    int fd, void *p, size_t n, int flags, struct sockaddr *a, socklen_t *len)
{
	struct from f = {.flags = flags};
	ssize_t ret = take(t_recvfrom, fd, p, n, &f, flags);

	if (ret >= 0 && a != NULL) {
		memcpy(a, &f.name, f.len < *len ? f.len : *len);
		*len = f.len;
	}
	return ret;
}

/* ---- queues: a message is taken whole ------------------------------------ */

struct message {
	int queue, flags;
	long type;
};

static ssize_t
t_msgrcv(int fd, char *p, size_t n, void *how)
{
	struct message *m = how;

	(void)fd;
	return NEXT(msgrcv)(m->queue, p, n - sizeof(long), m->type, m->flags);
}

HOOK ssize_t
msgrcv(int q, void *p, size_t n, long type, int flags)
{
	struct message m = {q, flags, type};
	size_t used;
	char *b;
	ssize_t ret;

	if (!uswap_preload_holds(p, n + sizeof(long)))
		return NEXT(msgrcv)(q, p, n, type, flags);
	b = bounce_get(n + sizeof(long));
	if (b == NULL)
		return -1;
	ret = t_msgrcv(-1, b, n + sizeof(long), &m);
	used = ret >= 0 ? (size_t)ret + sizeof(long) : 0;
	memcpy(p, b, used);
	bounce_put(b, n + sizeof(long), used);
	return ret;
}

/* One message, whole or not at all. */
static ssize_t
receive(mqd_t q, char *p, size_t n, unsigned *prio, const struct timespec *t)
{
	struct timespec until;
	unsigned of = 0;
	size_t used;
	char *b;
	ssize_t ret;

	if (t != NULL)
		until = *t;
	b = bounce_get(n);
	if (b == NULL)
		return -1;
	ret = t == NULL ? NEXT(mq_receive)(q, b, n, &of)
			: NEXT(mq_timedreceive)(q, b, n, &of, &until);
	used = ret > 0 ? (size_t)ret : 0;
	memcpy(p, b, used);
	bounce_put(b, n, used);
	if (ret >= 0 && prio != NULL)
		*prio = of;
	return ret;
}

HOOK ssize_t
mq_receive(mqd_t q, char *p, size_t n, unsigned *prio)
{
	return receive(q, p, n, prio, NULL);
}

HOOK ssize_t
mq_timedreceive(
    mqd_t q, char *p, size_t n, unsigned *prio, const struct timespec *t)
{
	return receive(q, p, n, prio, t);
}
