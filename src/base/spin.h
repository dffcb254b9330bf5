/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin: waiting awake for what takes less time than to sleep and be woken.
 *
 * A processor that sleeps takes its time to wake up, the more so under a hypervisor.
 * Who waits awake lets everybody of its priority run (sched_yield), and sleeps for a while
 * when what it waited for has not come in time: it is slow, or they had much to do.
 */
#ifndef USWAP_SPIN_H
#define USWAP_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Zero at first; whoever waits. */
struct spin {
	uint32_t asleep; /* so many waits more are not spent awake */
	uint32_t next; /* after the next that is in vain, so many */
};

#define SPIN_MAX_NS 200000 /* longer is in vain */
#define SPIN_FEW    16 /* waits asleep after the first in vain ... */
#define SPIN_MANY   4096 /* ... and after many */

/* Whether done(arg) has become true; else the caller is to sleep until it does. */
bool spin(struct spin *, struct clock *, bool (*done)(const void *arg),
    const void *arg);

#endif
