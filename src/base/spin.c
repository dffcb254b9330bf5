/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>

#include "base/base.h"
#include "base/spin.h"

bool
spin(struct spin *s, struct clock *clock, bool (*done)(const void *),
    const void *arg)
{
	uint64_t begin = clock_now_ns(clock), end, took;
	bool is;

	if (begin < s->asleep_until)
		return false;
	while (!(is = done(arg)) && clock_now_ns(clock) - begin < SPIN_MAX_NS)
		(void)sched_yield();
	end = clock_now_ns(clock);
	took = US_MIN(end - begin, SPIN_LATE_NS);
	if (took < SPIN_MAX_NS) {
		s->vain -= s->vain > 0;
		return is;
	}
	s->asleep_until = end + ((SPIN_PAUSE * took) << s->vain);
	s->vain += s->vain < SPIN_VAIN;
	return is;
}
