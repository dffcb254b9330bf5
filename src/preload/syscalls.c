/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscalls: the C library's system calls, where only faults of user mode are
 * answered: there a system call that meets a managed page which is not in memory
 * fails with EFAULT.  A library of its own, libuswap-syscalls.so, preloaded before
 * the other where that is so, and nowhere else.
 *
 * A call that fails with EFAULT has done nothing, as a rule.  Then the pages it
 * names are touched, which is a fault like any other, and it is made again: what
 * has just come in does not leave soon.  One row of the table is one call.
 *
 * What takes something from the kernel that cannot be given back, as read from a
 * pipe or a message from a socket, takes it into memory that is not managed, and
 * copies.  What gives something goes on after the part that was there.
 *
 * Others of the library's sources: streams.c stdio, programs.c the start of
 * programs, signals.c masks and stacks, waits.c mutexes and the like, bare.c calls whose
 * arguments mean something else each time, within.c what the C library reads by itself.
 *
 * What remains cannot work: see docs/decisions/0031-inline-for-everybody.md.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "preload/again.h"
#include "preload/raw.h"

/* A vector and what it points to. */
static int
bring_vector(const struct iovec *v, size_t n, int write)
{
	int some = IN(v, n * sizeof(*v));

	for (size_t i = 0; i < n; i++)
		some |= uswap_preload_bring(v[i].iov_base, v[i].iov_len, write);
	return some;
}

static int
bring_message(const struct msghdr *m)
{
	return OUT(m, sizeof(*m)) | IN(m->msg_name, m->msg_namelen) |
	       IN(m->msg_control, m->msg_controllen) |
	       bring_vector(m->msg_iov, m->msg_iovlen, 0);
}

static int
bring_messages(struct mmsghdr *m, unsigned n)
{
	int some = OUT(m, n * sizeof(*m));

	for (unsigned i = 0; i < n; i++)
		some |= bring_message(&m[i].msg_hdr);
	return some;
}

#define CALLS(X)                                                               \
	X(int, access, (const char *a, int m), (a, m), NAME(a))                \
	X(int, faccessat, (int d, const char *a, int m, int f), (d, a, m, f),  \
	    NAME(a))                                                           \
	X(int, stat, (const char *a, struct stat *s), (a, s),                  \
	    NAME(a) | OUT(s, sizeof(*s)))                                      \
	X(int, lstat, (const char *a, struct stat *s), (a, s),                 \
	    NAME(a) | OUT(s, sizeof(*s)))                                      \
	X(int, fstat, (int d, struct stat *s), (d, s), OUT(s, sizeof(*s)))     \
	X(int, fstatat, (int d, const char *a, struct stat *s, int f),         \
	    (d, a, s, f), NAME(a) | OUT(s, sizeof(*s)))                        \
	X(int, statx,                                                          \
	    (int d, const char *a, int f, unsigned m, struct statx *s),        \
	    (d, a, f, m, s), NAME(a) | OUT(s, sizeof(*s)))                     \
	X(int, statfs, (const char *a, struct statfs *s), (a, s),              \
	    NAME(a) | OUT(s, sizeof(*s)))                                      \
	X(int, unlink, (const char *a), (a), NAME(a))                          \
	X(int, unlinkat, (int d, const char *a, int f), (d, a, f), NAME(a))    \
	X(int, rename, (const char *a, const char *b), (a, b),                 \
	    NAME(a) | NAME(b))                                                 \
	X(int, symlink, (const char *a, const char *b), (a, b),                \
	    NAME(a) | NAME(b))                                                 \
	X(int, link, (const char *a, const char *b), (a, b),                   \
	    NAME(a) | NAME(b))                                                 \
	X(int, mkdir, (const char *a, mode_t m), (a, m), NAME(a))              \
	X(int, rmdir, (const char *a), (a), NAME(a))                           \
	X(int, chdir, (const char *a), (a), NAME(a))                           \
	X(int, chmod, (const char *a, mode_t m), (a, m), NAME(a))              \
	X(int, truncate, (const char *a, off_t n), (a, n), NAME(a))            \
	X(ssize_t, readlink, (const char *a, char *p, size_t n), (a, p, n),    \
	    NAME(a) | OUT(p, n))                                               \
	X(int, utimensat,                                                      \
	    (int d, const char *a, const struct timespec t[2], int f),         \
	    (d, a, t, f), NAME(a) | IN(t, 2 * sizeof(*t)))                     \
	X(int, pipe, (int p[2]), (p), OUT(p, 2 * sizeof(*p)))                  \
	X(int, pipe2, (int p[2], int f), (p, f), OUT(p, 2 * sizeof(*p)))       \
	X(int, bind, (int d, const struct sockaddr *a, socklen_t n),           \
	    (d, a, n), IN(a, n))                                               \
	X(int, connect, (int d, const struct sockaddr *a, socklen_t n),        \
	    (d, a, n), IN(a, n))                                               \
	X(int, setsockopt, (int d, int l, int o, const void *p, socklen_t n),  \
	    (d, l, o, p, n), IN(p, n))                                         \
	X(int, getsockname, (int d, struct sockaddr *a, socklen_t *n),         \
	    (d, a, n), OUT(n, sizeof(*n)) | OUT(a, *n))                        \
	X(int, getpeername, (int d, struct sockaddr *a, socklen_t *n),         \
	    (d, a, n), OUT(n, sizeof(*n)) | OUT(a, *n))                        \
	X(int, epoll_ctl, (int e, int o, int d, struct epoll_event *p),        \
	    (e, o, d, p), IN(p, sizeof(*p)))                                   \
	X(int, epoll_wait, (int e, struct epoll_event *p, int n, int t),       \
	    (e, p, n, t), OUT(p, (size_t)n * sizeof(*p)))                      \
	X(int, poll, (struct pollfd * p, nfds_t n, int t), (p, n, t),          \
	    OUT(p, n * sizeof(*p)))                                            \
	X(int, select,                                                         \
	    (int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t),       \
	    (n, r, w, e, t),                                                   \
	    OUT(r, sizeof(*r)) | OUT(w, sizeof(*w)) | OUT(e, sizeof(*e)) |     \
		OUT(t, sizeof(*t)))                                            \
	X(int, nanosleep, (const struct timespec *a, struct timespec *b),      \
	    (a, b), IN(a, sizeof(*a)) | OUT(b, sizeof(*b)))                    \
	X(int, signalfd, (int d, const sigset_t *s, int f), (d, s, f),         \
	    IN(s, sizeof(*s)))                                                 \
	X(int, inotify_add_watch, (int d, const char *a, uint32_t m),          \
	    (d, a, m), NAME(a))                                                \
	X(int, sendmmsg, (int d, struct mmsghdr *m, unsigned n, int f),        \
	    (d, m, n, f), bring_messages(m, n))                                \
	X(int, msgsnd, (int q, const void *p, size_t n, int f), (q, p, n, f),  \
	    IN(p, n + sizeof(long)))                                           \
	X(int, semop, (int i, struct sembuf *p, size_t n), (i, p, n),          \
	    IN(p, n * sizeof(*p)))                                             \
	X(int, setxattr,                                                       \
	    (const char *a, const char *k, const void *v, size_t n, int f),    \
	    (a, k, v, n, f), NAME(a) | NAME(k) | IN(v, n))                     \
	X(ssize_t, getxattr,                                                   \
	    (const char *a, const char *k, void *v, size_t n), (a, k, v, n),   \
	    NAME(a) | NAME(k) | OUT(v, n))                                     \
	X(int, getrusage, (__rusage_who_t w, struct rusage * r), (w, r),       \
	    OUT(r, sizeof(*r)))                                                \
	X(int, getrlimit, (__rlimit_resource_t w, struct rlimit * r), (w, r),  \
	    OUT(r, sizeof(*r)))                                                \
	X(int, sched_getaffinity, (pid_t p, size_t n, cpu_set_t * c),          \
	    (p, n, c), OUT(c, n))                                              \
	X(int, getgroups, (int n, gid_t *g), (n, g),                           \
	    OUT(g, (size_t)n * sizeof(*g)))                                    \
	X(ssize_t, vmsplice,                                                   \
	    (int d, const struct iovec *v, size_t n, unsigned f),              \
	    (d, v, n, f), bring_vector(v, n, 0))                               \
	X(int, uname, (struct utsname * u), (u), OUT(u, sizeof(*u)))           \
	X(int, chown, (const char *a, uid_t u, gid_t g), (a, u, g), NAME(a))   \
	X(int, lchown, (const char *a, uid_t u, gid_t g), (a, u, g), NAME(a))  \
	X(int, fchownat, (int d, const char *a, uid_t u, gid_t g, int f),      \
	    (d, a, u, g, f), NAME(a))                                          \
	X(int, fchmodat, (int d, const char *a, mode_t m, int f),              \
	    (d, a, m, f), NAME(a))                                             \
	X(int, mkdirat, (int d, const char *a, mode_t m), (d, a, m), NAME(a))  \
	X(int, mkfifo, (const char *a, mode_t m), (a, m), NAME(a))             \
	X(int, remove, (const char *a), (a), NAME(a))                          \
	X(int, renameat, (int d, const char *a, int e, const char *b),         \
	    (d, a, e, b), NAME(a) | NAME(b))                                   \
	X(int, symlinkat, (const char *a, int d, const char *b), (a, d, b),    \
	    NAME(a) | NAME(b))                                                 \
	X(int, linkat, (int d, const char *a, int e, const char *b, int f),    \
	    (d, a, e, b, f), NAME(a) | NAME(b))                                \
	X(ssize_t, readlinkat, (int d, const char *a, char *p, size_t n),      \
	    (d, a, p, n), NAME(a) | OUT(p, n))                                 \
	X(int, fstatfs, (int d, struct statfs *s), (d, s), OUT(s, sizeof(*s))) \
	X(int, utimes, (const char *a, const struct timeval t[2]), (a, t),     \
	    NAME(a) | IN(t, 2 * sizeof(*t)))                                   \
	X(int, futimens, (int d, const struct timespec t[2]), (d, t),          \
	    IN(t, 2 * sizeof(*t)))                                             \
	X(int, socketpair, (int d, int t, int p, int v[2]), (d, t, p, v),      \
	    OUT(v, 2 * sizeof(*v)))                                            \
	X(int, setrlimit, (__rlimit_resource_t w, const struct rlimit *r),     \
	    (w, r), IN(r, sizeof(*r)))

CALLS(DEFINE)

#define OPEN(name, params, args, path)                                         \
	HOOK int name params                                                   \
	{                                                                      \
		va_list ap_;                                                   \
		mode_t mode;                                                   \
		int ret;                                                       \
                                                                               \
		va_start(ap_, flags);                                          \
		mode = va_arg(ap_, mode_t);                                    \
		va_end(ap_);                                                   \
		AGAIN(ret, NEXT(name) args, ret == -1 && errno == EFAULT,      \
		    NAME(path))                                                \
		return ret;                                                    \
	}
OPEN(open, (const char *path, int flags, ...), (path, flags, mode), path)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), path)
OPEN(openat, (int d, const char *path, int flags, ...), (d, path, flags, mode),
    path)
OPEN(openat64, (int d, const char *path, int flags, ...),
    (d, path, flags, mode), path)

HOOK char *
getcwd(char *p, size_t n)
{
	char *ret;

	AGAIN(
	    ret, NEXT(getcwd)(p, n), ret == NULL && errno == EFAULT, OUT(p, n))
	return ret;
}

HOOK int
clock_nanosleep(
    clockid_t c, int f, const struct timespec *a, struct timespec *b)
{
	int ret;

	AGAIN(ret, NEXT(clock_nanosleep)(c, f, a, b), ret == EFAULT,
	    IN(a, sizeof(*a)) | OUT(b, sizeof(*b)))
	return ret;
}

/* The block that the C library reads directories by is in its DIR. */
HOOK struct dirent *
readdir(DIR *d)
{
	struct dirent *ret;
	int error = errno;

	errno = 0;
	AGAIN(ret, NEXT(readdir)(d), ret == NULL && errno == EFAULT,
	    OUT(d, 33 << 10))
	if (errno == 0 || ret != NULL)
		errno = error;
	return ret;
}

HOOK struct dirent64 *readdir64(DIR *) __attribute__((alias("readdir")));

HOOK DIR *
opendir(const char *path)
{
	DIR *ret;

	AGAIN(ret, NEXT(opendir)(path), ret == NULL && errno == EFAULT,
	    NAME(path))
	return ret;
}

/* ---- results that would be lost with the call ---------------------------- */

/* SO_ERROR forgets what it tells; the others only tell. */
HOOK int
getsockopt(int fd, int level, int option, void *p, socklen_t *n)
{
	int error, ret;
	socklen_t len;

	if (level != SOL_SOCKET || option != SO_ERROR || p == NULL ||
	    n == NULL || (int)*n < 0) {
		AGAIN(ret, NEXT(getsockopt)(fd, level, option, p, n),
		    ret == -1 && errno == EFAULT,
		    OUT(n, sizeof(*n)) | OUT(p, *n))
		return ret;
	}
	len = *n < sizeof(error) ? *n : sizeof(error);
	ret = NEXT(getsockopt)(fd, level, option, &error, &len);
	if (ret == 0) {
		memcpy(p, &error, len);
		*n = len;
	}
	return ret;
}

/* What it tells of before, in *old, is told once. */
#define FORMER(type, name, params, args, in)                                   \
	HOOK int name params                                                   \
	{                                                                      \
		type was;                                                      \
		int ret;                                                       \
                                                                               \
		AGAIN(ret, NEXT(name) args, ret == -1 && errno == EFAULT, in)  \
		if (ret == 0 && old != NULL)                                   \
			*old = was;                                            \
		return ret;                                                    \
	}
FORMER(struct itimerspec, timerfd_settime,
    (int fd, int flags, const struct itimerspec *t, struct itimerspec *old),
    (fd, flags, t, &was), IN(t, sizeof(*t)))
FORMER(struct itimerval, setitimer,
    (__itimer_which_t which, const struct itimerval *t, struct itimerval *old),
    (which, t, &was), IN(t, sizeof(*t)))

HOOK pid_t
waitpid(pid_t pid, int *status, int options)
{
	int s = 0;
	pid_t ret = NEXT(waitpid)(pid, &s, options);

	if (status != NULL && ret > 0)
		*status = s;
	return ret;
}

HOOK pid_t
wait(int *status)
{
	return waitpid(-1, status, 0);
}

HOOK pid_t
wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	int s = 0;
	struct rusage u;
	pid_t ret = NEXT(wait4)(pid, &s, options, &u);

	if (status != NULL && ret > 0)
		*status = s;
	if (usage != NULL && ret > 0)
		*usage = u;
	return ret;
}

HOOK pid_t
wait3(int *status, int options, struct rusage *usage)
{
	return wait4(-1, status, options, usage);
}

HOOK int
waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t in = {0};
	int ret = NEXT(waitid)(type, id, &in, options);

	if (info != NULL && ret == 0)
		*info = in;
	return ret;
}

HOOK int
accept4(int fd, struct sockaddr *a, socklen_t *len, int flags)
{
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	int ret = NEXT(accept4)(fd, (struct sockaddr *)&from, &n, flags);

	if (ret >= 0 && a != NULL) {
		memcpy(a, &from, n < *len ? n : *len);
		*len = n;
	}
	return ret;
}

HOOK int
accept(int fd, struct sockaddr *a, socklen_t *len)
{
	return accept4(fd, a, len, 0);
}

HOOK ssize_t
sendfile(int to, int from, off_t *off, size_t n)
{
	off_t at = off != NULL ? *off : 0;
	ssize_t ret = NEXT(sendfile)(to, from, off != NULL ? &at : NULL, n);

	if (off != NULL)
		*off = at;
	return ret;
}

HOOK ssize_t sendfile64(int, int, off_t *, size_t)
    __attribute__((alias("sendfile")));

HOOK ssize_t
copy_file_range(
    int from, loff_t *a, int to, loff_t *b, size_t n, unsigned flags)
{
	loff_t at = a != NULL ? *a : 0, bt = b != NULL ? *b : 0;
	ssize_t ret = NEXT(copy_file_range)(
	    from, a != NULL ? &at : NULL, to, b != NULL ? &bt : NULL, n, flags);

	if (a != NULL)
		*a = at;
	if (b != NULL)
		*b = bt;
	return ret;
}

/* ---- what gives bytes to the kernel -------------------------------------- */

typedef ssize_t transfer(int fd, char *p, size_t n, void *how);

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

static ssize_t
t_write(int fd, char *p, size_t n, void *how)
{
	(void)how;
	return NEXT(write)(fd, p, n);
}

static ssize_t
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

static ssize_t
t_read(int fd, char *p, size_t n, void *how)
{
	(void)how;
	return NEXT(read)(fd, p, n);
}

static ssize_t
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

/* ---- vectors: as one block ----------------------------------------------- */

#define VECTOR_MAX (16 * BOUNCE)

static size_t
vector_len(const struct iovec *v, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += v[i].iov_len;
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
 * Programs built with large files call these, which are the same: off_t has 64
 * bits.  Their declarations name other types, so that the compiler knows nothing
 * of it.
 */
#define SAME(name, as) __asm__(".globl " #name "\n.set " #name ", " #as)
SAME(stat64, stat);
SAME(lstat64, lstat);
SAME(fstat64, fstat);
SAME(fstatat64, fstatat);
SAME(statfs64, statfs);
SAME(truncate64, truncate);
SAME(fstatfs64, fstatfs);
SAME(setrlimit64, setrlimit);
SAME(getrlimit64, getrlimit);
SAME(preadv64, preadv);
SAME(pwritev64, pwritev);
SAME(preadv64v2, preadv2);
SAME(pwritev64v2, pwritev2);
