/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpus: on which processor the caller runs, and may run.
 *
 * All but cpus_here, which is asked often and is no system call as a rule, are the system
 * calls themselves: a program may have put something of its own in the place of the C library's.
 */
#ifndef USWAP_CPUS_H
#define USWAP_CPUS_H

#include <sched.h>
#include <stdbool.h>

/* Where it is; -1 if that is beyond what fits. */
int cpus_here(void);

/* Where it may be.  False: more processors than fit. */
bool cpus_get(cpu_set_t *);

/* Binds it to one.  False: that may not be, and nothing has changed. */
bool cpus_bind(int cpu);

#endif
