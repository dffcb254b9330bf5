/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals: masks for the time of a call, and stacks that the kernel writes to, where
 * only faults of user mode are answered: see syscalls.c.
 *
 * A fault is a SIGBUS, which a handler that touches managed memory must be able to
 * have: no mask blocks it, as in sigbus.c.
 *
 * The frame of a signal is written by the kernel, and where it cannot be the process
 * ends: so a stack in managed memory that the program names never leaves.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include "preload/again.h"

/* ---- masks --------------------------------------------------------------- */

/* The set without SIGBUS, in *copy, which is never managed. */
const sigset_t *
strip_bus(const sigset_t *set, sigset_t *copy)
{
	if (set == NULL)
		return NULL;
	*copy = *set;
	sigdelset(copy, SIGBUS);
	return copy;
}

HOOK int
sigsuspend(const sigset_t *set)
{
	sigset_t copy;

	return NEXT(sigsuspend)(strip_bus(set, &copy));
}

HOOK int
epoll_pwait(int ep, struct epoll_event *e, int n, int t, const sigset_t *set)
{
	sigset_t copy;
	int ret;

	set = strip_bus(set, &copy);
	AGAIN(ret, NEXT(epoll_pwait)(ep, e, n, t, set),
	    ret == -1 && errno == EFAULT, OUT(e, (size_t)n * sizeof(*e)))
	return ret;
}

HOOK int
epoll_pwait2(int ep, struct epoll_event *e, int n, const struct timespec *t,
    const sigset_t *set)
{
	sigset_t copy;
	int ret;

	set = strip_bus(set, &copy);
	AGAIN(ret, NEXT(epoll_pwait2)(ep, e, n, t, set),
	    ret == -1 && errno == EFAULT,
	    OUT(e, (size_t)n * sizeof(*e)) | IN(t, sizeof(*t)))
	return ret;
}

/* ---- stacks -------------------------------------------------------------- */

HOOK int
sigaltstack(const stack_t *ss, stack_t *old)
{
	stack_t was;
	int ret;

	if (ss != NULL && (ss->ss_flags & SS_DISABLE) == 0 &&
	    uswap_preload_keep(ss->ss_sp, ss->ss_size) != 0) {
		errno = ENOMEM;
		return -1;
	}
	AGAIN(ret, NEXT(sigaltstack)(ss, &was), ret == -1 && errno == EFAULT,
	    IN(ss, sizeof(*ss)))
	if (ret == 0 && old != NULL)
		*old = was;
	return ret;
}

HOOK int
pthread_attr_setstack(pthread_attr_t *attr, void *p, size_t size)
{
	if (uswap_preload_keep(p, size) != 0)
		return ENOMEM;
	return NEXT(pthread_attr_setstack)(attr, p, size);
}
