/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * results: calls that fail with EFAULT after they have done something, or have told what is
 * told once, where only faults of user mode are answered: see syscalls.c.  They put
 * their results into memory that is not managed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "preload/again.h"

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

FORMER(struct itimerspec, timer_settime,
    (timer_t id, int flags, const struct itimerspec *t, struct itimerspec *old),
    (id, flags, t, &was), IN(t, sizeof(*t)))
/* Who does not ask need not be permitted to. */
FORMER(struct rlimit, prlimit,
    (pid_t pid, __rlimit_resource_t what, const struct rlimit *r,
	struct rlimit *old),
    (pid, what, r, old != NULL ? &was : NULL), IN(r, sizeof(*r)))

/* It says -EFAULT, which is taken for a time. */
HOOK clock_t
times(struct tms *t)
{
	struct tms mine;
	clock_t ret = NEXT(times)(t != NULL ? &mine : NULL);

	if (t != NULL)
		*t = mine;
	return ret;
}

/* ---- time that is left --------------------------------------------------- */

HOOK int
nanosleep(const struct timespec *t, struct timespec *left)
{
	struct timespec rest;
	int ret;

	AGAIN(ret, NEXT(nanosleep)(t, &rest), ret == -1 && errno == EFAULT,
	    IN(t, sizeof(*t)))
	if (ret == -1 && errno == EINTR && left != NULL)
		*left = rest;
	return ret;
}

HOOK int
clock_nanosleep(
    clockid_t c, int flags, const struct timespec *t, struct timespec *left)
{
	struct timespec rest;
	int ret;

	AGAIN(ret, NEXT(clock_nanosleep)(c, flags, t, &rest), ret == EFAULT,
	    IN(t, sizeof(*t)))
	if (ret == EINTR && (flags & TIMER_ABSTIME) == 0 && left != NULL)
		*left = rest;
	return ret;
}

/* ---- signals and children ------------------------------------------------ */

HOOK int
sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t)
{
	siginfo_t in;
	int ret;

	AGAIN(ret, NEXT(sigtimedwait)(set, &in, t),
	    ret == -1 && errno == EFAULT,
	    IN(set, sizeof(*set)) | IN(t, sizeof(*t)))
	if (ret > 0 && info != NULL)
		*info = in;
	return ret;
}

HOOK int
sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	return sigtimedwait(set, info, NULL);
}

HOOK int
sigwait(const sigset_t *set, int *sig)
{
	int got, ret;

	AGAIN(
	    ret, NEXT(sigwait)(set, &got), ret == EFAULT, IN(set, sizeof(*set)))
	if (ret == 0)
		*sig = got;
	return ret;
}

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

/* ---- addresses and places in files --------------------------------------- */

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

/* From one file to another, at places of which either may be NULL. */
#define PLACES(name)                                                           \
	HOOK ssize_t name(                                                     \
	    int from, loff_t *a, int to, loff_t *b, size_t n, unsigned flags)  \
	{                                                                      \
		loff_t at = a != NULL ? *a : 0, bt = b != NULL ? *b : 0;       \
		ssize_t ret = NEXT(name)(from, a != NULL ? &at : NULL, to,     \
		    b != NULL ? &bt : NULL, n, flags);                         \
                                                                               \
		if (a != NULL)                                                 \
			*a = at;                                               \
		if (b != NULL)                                                 \
			*b = bt;                                               \
		return ret;                                                    \
	}
PLACES(copy_file_range)
PLACES(splice)

/* The C library reads by itself here. */
HOOK int
eventfd_read(int fd, eventfd_t *value)
{
	eventfd_t v;
	int ret = NEXT(eventfd_read)(fd, &v);

	if (ret == 0)
		*value = v;
	return ret;
}

SAME(prlimit64, prlimit);
