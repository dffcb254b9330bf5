/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thread: a new thread has the mask of the one that made it, from its first
 * instruction on; so that one takes it on for a moment.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/thread.h"

int
thread_create(pthread_t *thread, size_t stack, void *(*body)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(thread, &attr, body, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -error;
}

bool
thread_is_ours(pid_t tid)
{
	return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}
