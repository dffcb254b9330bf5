/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpus: on which processors a thread may run, and when it may take one.
 *
 * These are the system calls themselves: a program may have put something of its own in
 * the place of the C library's.  tid 0 is the caller.
 */
#ifndef USWAP_CPUS_H
#define USWAP_CPUS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where the caller is; -1 if that is beyond what fits. */
int cpus_here(void);

/* False: there is no such thread, or more processors than fit. */
bool cpus_get(pid_t tid, cpu_set_t *);

/* Binds a thread to one processor.  False: that may not be, and nothing has changed. */
bool cpus_bind(pid_t tid, int cpu);

/*
 * Takes a binding back: the thread may have those that cpus_get gave before.  Where these
 * are `all`, what a thread without any restriction has at present, it is to have none
 * again: the machine may get more processors, or the process be allowed more.
 * False: it is not permitted now.  A thread that has ended needs nothing.
 */
bool cpus_unbind(pid_t tid, const cpu_set_t *before, const cpu_set_t *all);

/*
 * What the caller has, and what it would have without any restriction of its own; asks for
 * that, and takes it back.  False like cpus_get.
 */
bool cpus_all(cpu_set_t *own, cpu_set_t *all);

/*
 * Makes a thread wait for its turn when it is woken (SCHED_BATCH), instead of taking the
 * processor from who wakes it.  False: it is of no ordinary class, and stays as it is.
 */
bool cpus_make_meek(pid_t tid);
/* False as cpus_unbind. */
bool cpus_make_normal(pid_t tid);

/* How often the caller went on waiting for its processor while another thread had it. */
uint64_t cpus_preempted(void);

#endif
