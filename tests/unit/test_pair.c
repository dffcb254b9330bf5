/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A handler and the one thread whose faults it answers.  The handler is the test's own
 * thread; the other one sleeps.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/pair.h"

static struct pair pair;
static cpu_set_t usual; /* of every thread here */
static pid_t other;
static pthread_t thread;
static pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;

/* What a thread is when it is woken. */
static unsigned wakes;
static cpu_set_t woken_on;
static int woken_as;

static int
note_wake(struct pmap *pm, uintptr_t va, uint32_t n)
{
	(void)pm;
	assert_int_equal(va, 0x5000);
	assert_int_equal(n, 1);
	wakes++;
	assert_true(cpus_get(pair.tid, &woken_on));
	woken_as = (int)syscall(SYS_sched_getscheduler, pair.tid);
	return 0;
}

static const struct pmap_ops ops = {.wake = note_wake};
static struct pmap pmap = {.ops = &ops};

static void *
sleeper(void *arg)
{
	__atomic_store_n(&other, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	pthread_mutex_lock(&end);
	pthread_mutex_unlock(&end);
	return arg;
}

static int
setup(void **state)
{
	(void)state;
	pair = (struct pair){.may = true};
	wakes = 0;
	other = 0;
	assert_true(cpus_get(0, &usual));
	pthread_mutex_lock(&end);
	assert_int_equal(pthread_create(&thread, NULL, sleeper, NULL), 0);
	while (__atomic_load_n(&other, __ATOMIC_ACQUIRE) == 0)
		usleep(100);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	pair_part(&pair);
	pthread_mutex_unlock(&end);
	pthread_join(thread, NULL);
	return 0;
}

static bool
has(pid_t tid, const cpu_set_t *cpus)
{
	cpu_set_t now;

	return cpus_get(tid, &now) && CPU_EQUAL(&now, cpus);
}

static bool
is_bound(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return has(0, &one);
}

static void
faults(pid_t tid, unsigned n)
{
	while (n-- > 0)
		pair_fault(&pair, tid, 0x5000);
}

static void
join(void)
{
	faults(other, PAIR_MIN);
	assert_true(pair_join(&pair, true));
	assert_true(is_bound(pair.cpu));
	pair_check(&pair);
}

static void
test_join(void **state)
{
	(void)state;
	faults(other, PAIR_MIN - 1);
	assert_false(pair_join(&pair, true));
	assert_true(has(0, &usual));
	join();
	assert_true(has(other, &usual));
	assert_false(pair_join(&pair, false));
	assert_true(has(0, &usual));
	assert_true(pair_join(&pair, true));
	faults(1, 1);
	assert_true(has(0, &usual));
	assert_false(pair_join(&pair, true));
}

static void
test_awaits(void **state)
{
	(void)state;
	faults(other, PAIR_MIN);
	assert_false(pair_awaits(&pair, 0x5000));
	join();
	assert_true(pair_awaits(&pair, 0x5000));
	assert_false(pair_awaits(&pair, 0x6000)); /* somebody else's */
	pair_fault(&pair, other, 0x6000);
	assert_false(pair_awaits(&pair, 0x5000));
	assert_true(pair_awaits(&pair, 0x6000));
}

static void
test_may_not(void **state)
{
	(void)state;
	pair.may = false;
	faults(other, 2 * PAIR_MIN);
	assert_false(pair_join(&pair, true));
	pair.may = true;
	faults(0, 2 * PAIR_MIN);
	assert_false(pair_join(&pair, true));
	faults(1, 2 * PAIR_MIN); /* of another process */
	assert_false(pair_join(&pair, true));
	assert_true(has(0, &usual));
}

static void
test_wake(void **state)
{
	cpu_set_t one;

	(void)state;
	join();
	CPU_ZERO(&one);
	CPU_SET(pair.cpu, &one);
	pair_wake(&pair, &pmap, 0x5000);
	assert_in_range(wakes, 1, PAIR_WAKES);
	assert_true(CPU_EQUAL(&woken_on, &one));
	assert_int_equal(woken_as, SCHED_BATCH);
	/* As before, and there is no page yet. */
	assert_true(has(other, &usual));
	assert_int_equal(syscall(SYS_sched_getscheduler, other), SCHED_OTHER);
	assert_true(is_bound(pair.cpu));
}

/* A thread that may not be here, is gone, or is of another class, is left alone. */
static void
cannot_wake(void)
{
	wakes = 0;
	pair_wake(&pair, &pmap, 0x5000);
	assert_int_equal(wakes, 0);
	assert_true(has(0, &usual));
	assert_false(pair_join(&pair, true));
}

static void
test_left_alone(void **state)
{
	const struct sched_param none = {0};
	cpu_set_t rest = usual;

	(void)state;
	join();
	assert_int_equal(sched_setscheduler(other, SCHED_BATCH, &none), 0);
	cannot_wake();
	assert_int_equal(syscall(SYS_sched_getscheduler, other), SCHED_BATCH);
	assert_int_equal(sched_setscheduler(other, SCHED_OTHER, &none), 0);
	join();
	pair.tid = 0x3fffffff;
	cannot_wake();
	pair.tid = other;
	if (CPU_COUNT(&usual) == 1)
		return;
	join();
	CPU_CLR(pair.cpu, &rest);
	assert_int_equal(sched_setaffinity(other, sizeof(rest), &rest), 0);
	cannot_wake();
	assert_true(has(other, &rest));
	/* The next time they meet where it is. */
	join();
	assert_true(CPU_ISSET(pair.cpu, &rest));
	pair_wake(&pair, &pmap, 0x5000);
	assert_true(pair.together);
	assert_true(has(other, &rest));
}

static void
reads(uint64_t ns)
{
	for (unsigned i = 0; i < PAIR_READS; i++)
		pair_read(&pair, ns);
}

static void
test_the_better_cpu(void **state)
{
	int home, tried;

	(void)state;
	if (CPU_COUNT(&usual) == 1)
		skip();
	join();
	home = pair.cpu;
	for (unsigned i = 0; i < PAIR_TRY; i++) {
		assert_true(is_bound(home));
		reads(80000);
	}
	assert_false(is_bound(home));
	tried = pair.cpu;
	reads(75000); /* not better by enough */
	for (unsigned i = 0; i < PAIR_TRY; i++) {
		assert_true(is_bound(home));
		reads(80000);
	}
	/* The next one, where there are more than two. */
	assert_int_equal(is_bound(tried), CPU_COUNT(&usual) == 2);
	reads(80000);
	while (is_bound(home))
		reads(80000);
	reads(60000);
	assert_false(is_bound(home));
	home = pair.cpu;
	faults(1, 1);
	assert_true(has(0, &usual));
	join();
	assert_true(is_bound(home)); /* it is known now */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_join, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_awaits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_may_not, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_the_better_cpu, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
