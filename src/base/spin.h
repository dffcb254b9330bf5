/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin: waiting awake for what takes less time than to sleep and be woken.
 *
 * A processor that sleeps takes its time to wake up, the more so under a hypervisor.
 * Who waits awake lets everybody of its priority run (sched_yield).  When that was in
 * vain, since what it waited for is slow, or since the others had so much to do that it
 * came back late, it waits asleep for a while.
 */
#ifndef USWAP_SPIN_H
#define USWAP_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Zero at first; whoever waits. */
struct spin {
	uint64_t asleep_until; /* clock, ns */
	uint32_t vain; /* such waits, less those since that were not */
};

/*
 * To wait for longer is in vain, and then nobody waits awake for SPIN_PAUSE times as long,
 * twice that the next time, and so on; for long where it was long, but not for ever.
 */
#define SPIN_MAX_NS  UINT64_C(200000)
#define SPIN_LATE_NS UINT64_C(20000000)
#define SPIN_PAUSE   4
#define SPIN_VAIN    8

/* Whether the next wait begins awake. */
static inline bool
spin_would(const struct spin *s, struct clock *clock)
{
	return clock_now_ns(clock) >= s->asleep_until;
}

/* Whether done(arg) has become true; else the caller is to sleep until it does. */
bool spin(struct spin *, struct clock *, bool (*done)(const void *arg),
    const void *arg);

#endif
