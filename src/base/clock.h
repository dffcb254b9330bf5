/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock: where time comes from.  One of the three seams: under test a
 * simulated clock stands here and an hour passes in a millisecond.
 */
#ifndef USWAP_CLOCK_H
#define USWAP_CLOCK_H

#include <stdint.h>

struct clock {
	uint64_t (*now_ns)(struct clock *);
};

/* CLOCK_MONOTONIC. */
extern struct clock clock_real;

static inline uint64_t
clock_now_ns(struct clock *c)
{
	return c->now_ns(c);
}

#endif
