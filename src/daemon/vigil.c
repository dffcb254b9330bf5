/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/thread.h"
#include "daemon/vigil.h"

#define VIGIL_STACK ((size_t)256 << 10)

/* Between two looks at what was asked; some microseconds. */
#define TURNS 8

static void
turn(void)
{
	for (int i = 0; i < TURNS; i++)
		(void)sched_yield();
}

/*
 * It says that it may be asleep before the kernel looks at the number, and who asks changes
 * the number before it looks for sleepers: so either sees the other.
 */
static void
sleep_after(struct vigil *v, uint32_t asked)
{
	atomic_store(&v->asleep, true);
	(void)syscall(
	    SYS_futex, &v->asked, FUTEX_WAIT_PRIVATE, asked, NULL, NULL, 0);
	atomic_store(&v->asleep, false);
}

/* There; where it may not be, it does not turn anywhere else. */
static bool
is_there(struct vigil *v, int *at)
{
	int cpu = atomic_load(&v->cpu);

	if (cpu < 0 || (cpu == *at && cpu == cpus_here()))
		return cpu >= 0;
	*at = cpu;
	if (!cpus_bind(cpu))
		atomic_store(&v->works, false);
	return atomic_load(&v->works);
}

/* Whoever ends it says so before it changes the number, so the number is read first. */
static void *
vigil_main(void *arg)
{
	struct vigil *v = arg;
	uint32_t seen = 0, asked;
	uint64_t since = 0, now;
	int at = -1;

	pthread_setname_np(pthread_self(), "uswap-vigil");
	for (;;) {
		asked = atomic_load(&v->asked);
		if (atomic_load(&v->over))
			break;
		now = clock_now_ns(&clock_real);
		if (asked != seen) {
			seen = asked;
			since = now;
		}
		if (now - since < VIGIL_NS && is_there(v, &at))
			turn();
		else
			sleep_after(v, seen);
	}
	return NULL;
}

/* In others sched_yield gives way to nobody, or nobody else does to them. */
static bool
is_ordinary(void)
{
	long policy = syscall(SYS_sched_getscheduler, 0);

	return policy == SCHED_OTHER || policy == SCHED_BATCH;
}

int
vigil_begin(struct vigil *v)
{
	cpu_set_t may;
	int error = 0;

	*v = (struct vigil){.cpu = -1};
	if (!cpus_get(&may) || CPU_COUNT(&may) > 2 || !is_ordinary())
		return -ENOTSUP;
	if (CPU_COUNT(&may) == 2) {
		error = thread_create(&v->thread, VIGIL_STACK, vigil_main, v);
		v->turns = error == 0;
	}
	v->begun = error == 0;
	atomic_store(&v->works, v->begun);
	return error;
}

static void
wake(struct vigil *v)
{
	atomic_fetch_add(&v->asked, 1);
	if (atomic_load(&v->asleep))
		(void)syscall(
		    SYS_futex, &v->asked, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
vigil_end(struct vigil *v)
{
	if (!v->turns)
		return;
	atomic_store(&v->over, true);
	wake(v);
	pthread_join(v->thread, NULL);
	*v = (struct vigil){.cpu = -1};
}

/* How many there are may have changed since vigil_begin, and a binding work again. */
static void
look_around(struct vigil *v, int here)
{
	cpu_set_t may;
	int cpu = 0, n = here >= 0 && cpus_get(&may) ? CPU_COUNT(&may) : 0;

	atomic_store(&v->works, n == 1 || (n == 2 && v->turns));
	while (n == 2 && (cpu == here || !CPU_ISSET(cpu, &may)))
		cpu++;
	atomic_store(&v->cpu, n == 2 ? cpu : -1);
}

void
vigil_ask(struct vigil *v)
{
	int here;

	if (!v->begun)
		return;
	here = cpus_here();
	if (atomic_load(&v->cpu) == here || v->asks++ % VIGIL_LOOK == 0)
		look_around(v, here);
	if (v->turns && atomic_load(&v->cpu) >= 0)
		wake(v);
}
