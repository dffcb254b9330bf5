/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>

#include "base/base.h"
#include "base/spin.h"

/* Each doubles the pause, and each that is not in vain halves the next. */
static void
in_vain(struct spin *s)
{
	s->asleep = US_MAX(s->next, SPIN_FEW);
	s->next = US_MIN(2 * s->asleep, SPIN_MANY);
}

bool
spin(struct spin *s, struct clock *clock, bool (*done)(const void *),
    const void *arg)
{
	uint64_t begin;

	if (s->asleep > 0) {
		s->asleep--;
		return false;
	}
	begin = clock_now_ns(clock);
	while (!done(arg)) {
		if (clock_now_ns(clock) - begin >= SPIN_MAX_NS) {
			in_vain(s);
			return false;
		}
		(void)sched_yield();
	}
	s->next /= 2;
	return true;
}
