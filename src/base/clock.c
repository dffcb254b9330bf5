/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock: the real one.  CLOCK_MONOTONIC is read through the vDSO, without
 * entering the kernel, and never goes back.
 */
#include <time.h>

#include "base/clock.h"

static uint64_t
real_now_ns(struct clock *c)
{
	struct timespec ts;

	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct clock clock_real = {real_now_ns};
