/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thread: threads of ours in a program that is not.
 *
 * They see none of the program's signals: a handler of the program's may do anything,
 * and would do it on their stacks, and while they hold locks.
 */
#ifndef USWAP_THREAD_H
#define USWAP_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Begins a thread with a stack of so many bytes and all signals blocked.  0 or
 * -errno.  The C library may allocate.
 */
int thread_create(pthread_t *, size_t stack, void *(*body)(void *), void *arg);

/* Whether there is such a thread in this process. */
bool thread_is_ours(pid_t tid);

#endif
