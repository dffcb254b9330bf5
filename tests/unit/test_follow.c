/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * follow: a lone handler goes where the program is, after it was seen there
 * often enough, and stays when it cannot know.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/follow.h"

static int cpu[2]; /* two that we may use */
static _Atomic uint32_t program_tid;
static _Atomic bool stop;

static void
bind_to(int to)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)to, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* The program: at work on the second CPU. */
static void *
program(void *arg)
{
	bind_to(cpu[1]);
	atomic_store(&program_tid, (uint32_t)syscall(SYS_gettid));
	while (!atomic_load(&stop))
		;
	return arg;
}

static void
test_follow(void **state)
{
	cpu_set_t may;
	struct follower f;
	pthread_t thread;
	uint64_t faults = 0;
	int looks = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(may), &may), 0);
	assert_int_equal(pthread_create(&thread, NULL, program, NULL), 0);
	while (atomic_load(&program_tid) == 0)
		sched_yield();
	follower_init(&f, 0);
	assert_int_equal(sched_getcpu(), cpu[0]);

	/* Whoever is not known, or gone, is not followed. */
	for (int i = 0; i < 10; i++)
		follower_look(&f, faults += 1000, 0);
	for (int i = 0; i < 10; i++)
		follower_look(&f, faults += 1000, UINT32_C(0x7fffffff));
	assert_int_equal(sched_getcpu(), cpu[0]);

	/* Not after one look, but soon. */
	follower_look(&f, faults += 1000, atomic_load(&program_tid));
	assert_int_equal(sched_getcpu(), cpu[0]);
	while (sched_getcpu() != cpu[1] && looks++ < 10)
		follower_look(&f, faults += 1000, atomic_load(&program_tid));
	assert_int_equal(sched_getcpu(), cpu[1]);

	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(may), &may), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_follow)};
	cpu_set_t may;
	int n = 0;

	sched_getaffinity(0, sizeof(may), &may);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET((size_t)i, &may))
			cpu[n++] = i;
	if (n < 2) {
		printf("needs two CPUs\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
