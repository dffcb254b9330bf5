/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread that keeps a processor awake.  The test's own thread is the handler, and
 * makes no use of the two processors but for that.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "daemon/vigil.h"

static struct vigil vigil;
static cpu_set_t usual;
static int first = -1, second = -1; /* two of them */

static void
bind_to(const cpu_set_t *cpus)
{
	assert_int_equal(sched_setaffinity(0, sizeof(*cpus), cpus), 0);
}

static void
bind_to_two(void)
{
	cpu_set_t two;

	CPU_ZERO(&two);
	CPU_SET(first, &two);
	CPU_SET(second, &two);
	bind_to(&two);
}

static void
bind_to_one(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	bind_to(&one);
}

static int
setup(void **state)
{
	(void)state;
	assert_true(cpus_get(&usual));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &usual))
			continue;
		if (first < 0)
			first = cpu;
		else if (second < 0)
			second = cpu;
	}
	return 0;
}

static void
need_two(void)
{
	if (second < 0)
		skip();
}

static pid_t
tid_of_vigil(void)
{
	DIR *d = opendir("/proc/self/task");
	const struct dirent *e;
	char path[320], name[32];
	pid_t ret = 0;
	FILE *f;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		(void)snprintf(
		    path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (f != NULL && fgets(name, sizeof(name), f) != NULL &&
		    strcmp(name, "uswap-vigil\n") == 0)
			ret = atoi(e->d_name);
		if (f != NULL)
			(void)fclose(f);
	}
	closedir(d);
	return ret;
}

/* What it has had of a processor. */
static uint64_t
used_ns(void)
{
	struct timespec t;
	clockid_t id;

	assert_int_equal(pthread_getcpuclockid(vigil.thread, &id), 0);
	assert_int_equal(clock_gettime(id, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* It is asked for so long, all the time. */
static void
ask_for(uint64_t ns)
{
	uint64_t begin = clock_now_ns(&clock_real);

	while (clock_now_ns(&clock_real) - begin < ns)
		vigil_ask(&vigil);
}

/* Others may want its processor. */
static void
await_use(uint64_t before)
{
	for (int i = 0; i < 100000 && used_ns() == before; i++)
		usleep(100);
	assert_true(used_ns() > before);
}

/* The thread's id. */
static pid_t
begin(void)
{
	pid_t tid = 0;

	need_two();
	bind_to_two();
	assert_int_equal(vigil_begin(&vigil), 0);
	assert_true(vigil_works(&vigil));
	for (int i = 0; i < 5000 && (tid = tid_of_vigil()) == 0; i++)
		usleep(1000);
	assert_int_not_equal(tid, 0);
	return tid;
}

static void
test_turns_and_stops(void **state)
{
	uint64_t before, used = 0;

	(void)state;
	(void)begin();
	/* Busy others leave it little; without them it is 20 ms for each time. */
	before = used_ns();
	for (int i = 0; i < 500 && used < 200000; i++) {
		ask_for(20000000);
		used = used_ns() - before;
	}
	assert_true(used >= 200000);
	usleep(50000);
	before = used_ns();
	usleep(200000);
	assert_true(used_ns() - before < 1000000);
	vigil_end(&vigil);
	assert_int_equal(tid_of_vigil(), 0);
	bind_to(&usual);
}

static bool
is_bound(pid_t tid, int cpu)
{
	cpu_set_t may;

	return sched_getaffinity(tid, sizeof(may), &may) == 0 &&
	       CPU_COUNT(&may) == 1 && CPU_ISSET(cpu, &may);
}

/* Whether it was seen so; the scheduler may move the handler between any two lines. */
static bool
is_asked_elsewhere(pid_t tid)
{
	int here = cpus_here();

	ask_for(1000000);
	return vigil.cpu == (here == first ? second : first) &&
	       is_bound(tid, vigil.cpu) && cpus_here() == here;
}

/* Wherever the handler is, it is on the other one. */
static void
test_is_elsewhere(void **state)
{
	bool seen;
	pid_t tid;

	(void)state;
	tid = begin();
	for (int i = 0; i < 40; i++) {
		bind_to_one(i % 2 == 0 ? first : second);
		bind_to_two();
		seen = false;
		/* It may have to wait until it is its turn there. */
		for (int j = 0; j < 10000 && !seen; j++)
			seen = is_asked_elsewhere(tid);
		assert_true(seen);
	}
	vigil_end(&vigil);
	bind_to(&usual);
}

/* A handler that was left one processor only has nobody turn there. */
static void
test_one_is_left(void **state)
{
	uint64_t before;

	(void)state;
	(void)begin();
	bind_to_one(first);
	for (int i = 0; i < VIGIL_LOOK; i++)
		vigil_ask(&vigil);
	usleep(50000);
	before = used_ns();
	ask_for(50000000);
	assert_int_equal(vigil.cpu, -1);
	assert_true(used_ns() - before < 10000000);
	assert_true(vigil_works(&vigil)); /* one never halts */
	bind_to_two();
	before = used_ns();
	ask_for(20000000);
	assert_true(vigil.cpu >= 0);
	await_use(before);
	vigil_end(&vigil);
	bind_to(&usual);
}

/* One processor never halts while the handler is awake. */
static void
test_of_one(void **state)
{
	(void)state;
	bind_to_one(first);
	assert_int_equal(vigil_begin(&vigil), 0);
	assert_true(vigil_works(&vigil));
	assert_int_equal(tid_of_vigil(), 0);
	vigil_ask(&vigil);
	assert_true(vigil_works(&vigil));
	if (second >= 0) { /* for which there is no thread */
		bind_to_two();
		ask_for(1000000);
		assert_false(vigil_works(&vigil));
	}
	vigil_end(&vigil);
	bind_to(&usual);
}

/* No asking is overslept, however it meets the thread going to sleep. */
static void
test_never_overslept(void **state)
{
	uint64_t before;
	uint64_t end = clock_now_ns(&clock_real) + 4000000000;
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	(void)begin();
	for (int i = 0; i < 1000 && clock_now_ns(&clock_real) < end; i++) {
		usleep(250 + (useconds_t)rand_r(&seed) % 100);
		before = used_ns();
		vigil_ask(&vigil);
		await_use(before);
	}
	vigil_end(&vigil);
	bind_to(&usual);
}

/* However far its thread has come. */
static void
test_ends_at_once(void **state)
{
	(void)state;
	need_two();
	bind_to_two();
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(vigil_begin(&vigil), 0);
		for (volatile int j = 0; j < i * 50; j++)
			;
		vigil_end(&vigil);
	}
	bind_to(&usual);
}

/* In a real-time class nobody would get the processor. */
static void
test_real_time(void **state)
{
	struct sched_param param = {.sched_priority = 1};
	int error;

	(void)state;
	need_two();
	bind_to_two();
	if (sched_setscheduler(0, SCHED_RR, &param) != 0)
		skip();
	error = vigil_begin(&vigil);
	param.sched_priority = 0;
	assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &param), 0);
	assert_int_equal(error, -ENOTSUP);
	assert_false(vigil_works(&vigil));
	bind_to(&usual);
}

/* More than two processors, which this machine may not have: as none. */
static void
test_of_none(void **state)
{
	struct vigil none = {0};

	(void)state;
	assert_false(vigil_works(NULL));
	assert_false(vigil_works(&none));
	vigil_ask(&none);
	vigil_end(&none);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_turns_and_stops),
	    cmocka_unit_test(test_is_elsewhere),
	    cmocka_unit_test(test_one_is_left),
	    cmocka_unit_test(test_of_one),
	    cmocka_unit_test(test_never_overslept),
	    cmocka_unit_test(test_ends_at_once),
	    cmocka_unit_test(test_real_time),
	    cmocka_unit_test(test_of_none),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
