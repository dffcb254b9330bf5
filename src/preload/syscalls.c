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
 * Where that rule does not hold the call gets memory that is not managed: results.c.
 * A page that is there, and was only read, is write-protected (page-out drops it if it
 * still is): a call that reads an argument and writes to it later gets so far.
 *
 * Others of the library's sources: transfers.c and vectors.c bytes and messages, streams.c
 * stdio, programs.c the start of programs, signals.c masks and stacks, waits.c mutexes
 * and the like, bare.c calls whose arguments mean something else each time, within.c what
 * the C library reads by itself.
 *
 * What remains cannot work: see docs/decisions/0031-inline-for-everybody.md.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "preload/again.h"

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
	X(int, signalfd, (int d, const sigset_t *s, int f), (d, s, f),         \
	    IN(s, sizeof(*s)))                                                 \
	X(int, inotify_add_watch, (int d, const char *a, uint32_t m),          \
	    (d, a, m), NAME(a))                                                \
	X(int, msgsnd, (int q, const void *p, size_t n, int f), (q, p, n, f),  \
	    IN(p, n + sizeof(long)))                                           \
	X(int, mq_send, (mqd_t q, const char *p, size_t n, unsigned k),        \
	    (q, p, n, k), IN(p, n))                                            \
	X(int, mq_timedsend,                                                   \
	    (mqd_t q, const char *p, size_t n, unsigned k,                     \
		const struct timespec *t),                                     \
	    (q, p, n, k, t), IN(p, n) | IN(t, sizeof(*t)))                     \
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
	    (w, r), IN(r, sizeof(*r)))                                         \
	X(int, clock_gettime, (clockid_t c, struct timespec * t), (c, t),      \
	    OUT(t, sizeof(*t)))                                                \
	X(int, clock_getres, (clockid_t c, struct timespec * t), (c, t),       \
	    OUT(t, sizeof(*t)))                                                \
	X(int, gettimeofday, (struct timeval * t, void *z), (t, z),            \
	    OUT(t, sizeof(*t)) | OUT(z, sizeof(struct timezone)))              \
	X(int, getitimer, (__itimer_which_t w, struct itimerval * t), (w, t),  \
	    OUT(t, sizeof(*t)))                                                \
	X(int, timerfd_gettime, (int d, struct itimerspec *t), (d, t),         \
	    OUT(t, sizeof(*t)))                                                \
	X(int, timer_gettime, (timer_t i, struct itimerspec * t), (i, t),      \
	    OUT(t, sizeof(*t)))                                                \
	X(int, sysinfo, (struct sysinfo * s), (s), OUT(s, sizeof(*s)))         \
	X(int, getresuid, (uid_t * r, uid_t * e, uid_t * s), (r, e, s),        \
	    OUT(r, sizeof(*r)) | OUT(e, sizeof(*e)) | OUT(s, sizeof(*s)))      \
	X(int, getresgid, (gid_t * r, gid_t * e, gid_t * s), (r, e, s),        \
	    OUT(r, sizeof(*r)) | OUT(e, sizeof(*e)) | OUT(s, sizeof(*s)))      \
	X(int, sched_getparam, (pid_t p, struct sched_param * q), (p, q),      \
	    OUT(q, sizeof(*q)))                                                \
	X(int, sched_setparam, (pid_t p, const struct sched_param *q), (p, q), \
	    IN(q, sizeof(*q)))                                                 \
	X(int, sched_setscheduler,                                             \
	    (pid_t p, int c, const struct sched_param *q), (p, c, q),          \
	    IN(q, sizeof(*q)))                                                 \
	X(int, sched_setaffinity, (pid_t p, size_t n, const cpu_set_t *c),     \
	    (p, n, c), IN(c, n))                                               \
	X(int, sched_rr_get_interval, (pid_t p, struct timespec * t), (p, t),  \
	    OUT(t, sizeof(*t)))                                                \
	X(int, sigpending, (sigset_t * s), (s), OUT(s, sizeof(*s)))            \
	X(int, mincore, (void *a, size_t n, unsigned char *v), (a, n, v),      \
	    OUT(v, (n + 4095) / 4096))                                         \
	X(int, memfd_create, (const char *a, unsigned f), (a, f), NAME(a))     \
	X(ssize_t, getdents64, (int d, void *p, size_t n), (d, p, n),          \
	    OUT(p, n))                                                         \
	X(int, semtimedop,                                                     \
	    (int i, struct sembuf *p, size_t n, const struct timespec *t),     \
	    (i, p, n, t), IN(p, n * sizeof(*p)) | IN(t, sizeof(*t)))           \
	X(int, msgctl, (int q, int c, struct msqid_ds *p), (q, c, p),          \
	    OUT(p, sizeof(*p)))                                                \
	X(int, shmctl, (int q, int c, struct shmid_ds *p), (q, c, p),          \
	    OUT(p, sizeof(*p)))                                                \
	X(int, statvfs, (const char *a, struct statvfs *s), (a, s), NAME(a))   \
	X(int, mknod, (const char *a, mode_t m, dev_t d), (a, m, d), NAME(a))  \
	X(int, utime, (const char *a, const struct utimbuf *t), (a, t),        \
	    NAME(a) | IN(t, sizeof(*t)))                                       \
	X(ssize_t, lgetxattr,                                                  \
	    (const char *a, const char *k, void *v, size_t n), (a, k, v, n),   \
	    NAME(a) | NAME(k) | OUT(v, n))                                     \
	X(ssize_t, fgetxattr, (int d, const char *k, void *v, size_t n),       \
	    (d, k, v, n), NAME(k) | OUT(v, n))                                 \
	X(ssize_t, listxattr, (const char *a, char *v, size_t n), (a, v, n),   \
	    NAME(a) | OUT(v, n))                                               \
	X(ssize_t, llistxattr, (const char *a, char *v, size_t n), (a, v, n),  \
	    NAME(a) | OUT(v, n))                                               \
	X(ssize_t, flistxattr, (int d, char *v, size_t n), (d, v, n),          \
	    OUT(v, n))                                                         \
	X(int, lsetxattr,                                                      \
	    (const char *a, const char *k, const void *v, size_t n, int f),    \
	    (a, k, v, n, f), NAME(a) | NAME(k) | IN(v, n))                     \
	X(int, fsetxattr,                                                      \
	    (int d, const char *k, const void *v, size_t n, int f),            \
	    (d, k, v, n, f), NAME(k) | IN(v, n))                               \
	X(int, removexattr, (const char *a, const char *k), (a, k),            \
	    NAME(a) | NAME(k))                                                 \
	X(int, lremovexattr, (const char *a, const char *k), (a, k),           \
	    NAME(a) | NAME(k))                                                 \
	X(int, fremovexattr, (int d, const char *k), (d, k), NAME(k))

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

SAME(stat64, stat);
SAME(lstat64, lstat);
SAME(fstat64, fstat);
SAME(fstatat64, fstatat);
SAME(statfs64, statfs);
SAME(truncate64, truncate);
SAME(fstatfs64, fstatfs);
SAME(setrlimit64, setrlimit);
SAME(getrlimit64, getrlimit);
SAME(statvfs64, statvfs);
