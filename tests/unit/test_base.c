/* SPDX-License-Identifier: BSD-2-Clause */
/* base: pools, lock ranks, condition variables, the clock, text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spin.h"
#include "../support/death.h"

static void
test_mem_map_is_zero_and_aligned(void **state)
{
	size_t bytes = 3 * PAGE_SIZE + 1, i;
	char *p = mem_map(bytes);

	(void)state;
	assert_non_null(p);
	assert_int_equal((uintptr_t)p & PAGE_MASK, 0);
	for (i = 0; i < bytes; i++)
		assert_int_equal(p[i], 0);
	mem_unmap(p, bytes);
	assert_null(mem_map(SIZE_MAX / 2));
}

static void
test_pool_hands_out_zeroed_items(void **state)
{
	struct pool p;
	uint64_t *a, *b;

	(void)state;
	assert_int_equal(pool_init(&p, 24, 3, 0), 0);
	a = pool_get(&p);
	b = pool_get(&p);
	assert_int_equal(pool_index(&p, a), 0);
	assert_int_equal(pool_index(&p, b), 1);
	assert_ptr_equal(pool_item(&p, 1), b);
	memset(a, 0xff, 24);
	memset(b, 0xee, 24);
	pool_put(&p, a);
	pool_put(&p, b);
	assert_int_equal(p.used, 0);
	assert_ptr_equal(pool_get(&p), b);
	assert_true(b[0] == 0 && b[1] == 0 && b[2] == 0);
	assert_ptr_equal(pool_get(&p), a);
	assert_true(a[0] == 0 && a[1] == 0 && a[2] == 0);
	assert_non_null(pool_get(&p));
	assert_null(pool_get(&p));
	assert_int_equal(p.used, 3);
	pool_destroy(&p);
	pool_destroy(&p);
}

static size_t
resident(const struct pool *p)
{
	unsigned char vec[64];
	size_t n = 0, i;

	assert_int_equal(mincore(p->base, p->item * p->max, vec), 0);
	for (i = 0; i < p->item * p->max / PAGE_SIZE; i++)
		n += vec[i] & 1;
	return n;
}

/* Items of two pages: the spare ones are in memory, no more than those. */
static void
test_pool_keeps_spare_items_touched(void **state)
{
	struct pool p;
	void *a, *b;

	(void)state;
	assert_int_equal(pool_init(&p, 2 * PAGE_SIZE, 10, 3), 0);
	assert_int_equal(resident(&p), 6);
	a = pool_get(&p);
	assert_int_equal(resident(&p), 8);
	b = pool_get(&p);
	assert_int_equal(resident(&p), 10);
	pool_put(&p, a);
	pool_put(&p, b);
	assert_non_null(pool_get(&p));
	assert_int_equal(resident(&p), 10);
	while (pool_get(&p) != NULL)
		;
	assert_int_equal(p.used, 10);
	assert_int_equal(resident(&p), 20);
	pool_destroy(&p);
}

/* Warming up a fresh item must not write to its neighbour. */
static void
test_pool_items_do_not_disturb_each_other(void **state)
{
	const uint32_t n = 5000;
	struct pool p;
	uint64_t *it;
	uint32_t i, k;

	(void)state;
	assert_int_equal(pool_init(&p, 40, n, 7), 0);
	for (i = 0; i < n; i++) {
		it = pool_get(&p);
		for (k = 0; k < 5; k++) {
			assert_int_equal(it[k], 0);
			it[k] = UINT64_MAX - i;
		}
	}
	for (i = 0; i < n; i++) {
		it = pool_item(&p, i);
		for (k = 0; k < 5; k++)
			assert_true(it[k] == UINT64_MAX - i);
	}
	pool_destroy(&p);
	assert_int_equal(pool_init(&p, SIZE_MAX / 16 * 8, 1000, 0), -ENOMEM);
}

static void
put_stranger(void *arg)
{
	pool_put(arg, (char *)pool_item(arg, 0) + 8);
}

static void
put_too_many(void *arg)
{
	void *a = pool_get(arg);

	pool_put(arg, a);
	pool_put(arg, a);
}

static void
test_pool_misuse_aborts(void **state)
{
	struct pool p;

	(void)state;
	assert_int_equal(pool_init(&p, 16, 10, 0), 0);
	assert_aborts(put_too_many, &p);
	assert_non_null(pool_get(&p));
	assert_aborts(put_stranger, &p);
	pool_destroy(&p);
}

static struct mtx call_m, vm_m, vm2_m;
static struct cv cv;
static bool ready;

static void
rank_down(void *arg)
{
	(void)arg;
	mtx_lock(&vm_m);
	mtx_lock(&call_m);
}

static void
rank_same(void *arg)
{
	(void)arg;
	mtx_lock(&vm_m);
	mtx_lock(&vm2_m);
}

static void
lock_twice(void *arg)
{
	(void)arg;
	mtx_lock(&vm_m);
	mtx_lock(&vm_m);
}

static void
unlock_unheld(void *arg)
{
	(void)arg;
	mtx_unlock(&vm_m);
}

static void
assert_unheld(void *arg)
{
	(void)arg;
	mtx_assert(&vm_m);
}

static void
destroy_held(void *arg)
{
	(void)arg;
	mtx_lock(&vm_m);
	mtx_destroy(&vm_m);
}

static void
wait_unheld(void *arg)
{
	(void)arg;
	cv_wait(&cv, &vm_m);
}

/* Waiting would take the lower lock again while the higher one is held. */
static void
wait_below(void *arg)
{
	(void)arg;
	mtx_lock(&call_m);
	mtx_lock(&vm_m);
	cv_timedwait(&cv, &call_m, 1);
}

static void
rank_none(void *arg)
{
	(void)arg;
	mtx_init(&vm_m, RANK_NONE);
}

static void
test_lock_misuse_aborts(void **state)
{
	(void)state;
	assert_aborts(rank_down, NULL);
	assert_aborts(rank_same, NULL);
	assert_aborts(lock_twice, NULL);
	assert_aborts(unlock_unheld, NULL);
	assert_aborts(assert_unheld, NULL);
	assert_aborts(destroy_held, NULL);
	assert_aborts(wait_unheld, NULL);
	assert_aborts(wait_below, NULL);
	assert_aborts(rank_none, NULL);
}

static void
lock_properly(void *arg)
{
	(void)arg;
	mtx_lock(&call_m);
	mtx_lock(&vm_m);
	mtx_assert(&vm_m);
	mtx_unlock(&call_m); /* any order */
	mtx_unlock(&vm_m);
	mtx_lock(&call_m);
	cv_timedwait(&cv, &call_m, 1);
	mtx_assert(&call_m);
	mtx_lock(&vm_m);
	mtx_unlock(&vm_m);
	mtx_unlock(&call_m);
}

/* The child of a fork may release what its parent thread held. */
static void
unlock_in_child(void *arg)
{
	(void)arg;
	mtx_assert(&call_m);
	mtx_unlock(&call_m);
	mtx_lock(&call_m);
}

static void
test_locks_taken_in_order(void **state)
{
	(void)state;
	lock_properly(NULL);
	assert_int_equal(death_of(lock_properly, NULL), 0);
	mtx_lock(&call_m);
	assert_int_equal(death_of(unlock_in_child, NULL), 0);
	mtx_unlock(&call_m);
}

static void *
other_thread(void *arg)
{
	bool *saw_owned = arg;

	*saw_owned = mtx_owned(&vm_m);
	mtx_lock(&call_m); /* ranks held elsewhere are none of ours */
	ready = true;
	cv_broadcast(&cv);
	mtx_unlock(&call_m);
	return NULL;
}

static void
test_owner_is_a_thread_and_cv_wakes(void **state)
{
	bool saw_owned = true;
	pthread_t thread;

	(void)state;
	mtx_lock(&vm_m);
	assert_true(mtx_owned(&vm_m));
	assert_int_equal(
	    pthread_create(&thread, NULL, other_thread, &saw_owned), 0);
	pthread_join(thread, NULL);
	assert_false(saw_owned);
	mtx_unlock(&vm_m);
	assert_false(mtx_owned(&vm_m));

	mtx_lock(&call_m);
	ready = false;
	assert_int_equal(
	    pthread_create(&thread, NULL, other_thread, &saw_owned), 0);
	while (!ready)
		cv_wait(&cv, &call_m);
	assert_true(mtx_owned(&call_m));
	mtx_unlock(&call_m);
	pthread_join(thread, NULL);
}

static void
test_cv_timedwait_times_out(void **state)
{
	uint64_t t0 = clock_now_ns(&clock_real);

	(void)state;
	mtx_lock(&vm_m);
	while (cv_timedwait(&cv, &vm_m, 20))
		;
	assert_true(mtx_owned(&vm_m));
	mtx_unlock(&vm_m);
	assert_in_range(clock_now_ns(&clock_real) - t0, 19000000, 5000000000);
}

static int
locks_setup(void **state)
{
	(void)state;
	mtx_init(&call_m, RANK_CALL);
	mtx_init(&vm_m, RANK_VM);
	mtx_init(&vm2_m, RANK_VM);
	cv_init(&cv);
	return 0;
}

static int
locks_teardown(void **state)
{
	(void)state;
	mtx_destroy(&call_m);
	mtx_destroy(&vm_m);
	mtx_destroy(&vm2_m);
	cv_destroy(&cv);
	return 0;
}

static void
test_size_text(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} c[] = {
	    {0, "0"},
	    {1, "1"},
	    {1023, "1023"},
	    {1024, "1.0K"},
	    {1536, "1.5K"},
	    {10187, "9.9K"}, /* 9.948 */
	    {10190, "10K"}, /* 9.951 */
	    {UINT64_C(256) << 20, "256M"},
	    {UINT64_C(3) << 30, "3.0G"},
	    {(UINT64_C(1) << 20) - 1, "1.0M"}, /* not 1024K */
	    {(UINT64_C(1023) << 10) + 511, "1023K"},
	    {UINT64_C(1) << 40, "1.0T"},
	    {UINT64_C(7) << 50, "7.0P"},
	    {UINT64_MAX, "16384P"},
	};
	char buf[16];
	size_t i;

	(void)state;
	for (i = 0; i < nitems(c); i++)
		assert_string_equal(size_text(buf, c[i].bytes), c[i].text);
}

static void
test_size_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} c[] = {
	    {"0", 0},
	    {"4096", 4096},
	    {"64K", 65536},
	    {"64k", 65536},
	    {"64KB", 65536},
	    {"64KiB", 65536},
	    {"2G", UINT64_C(2) << 30},
	    {"1.5T", UINT64_C(3) << 39},
	    {"0.5K", 512},
	    {"1.999K", 2046}, /* rounded down */
	    {"0.1G", 107374182},
	    {"1.000000000000000000000000001K", 1024},
	    {"1.99999999999999999999999999K", 2047},
	    {"3PiB", UINT64_C(3) << 50},
	    {"16383.999P", (UINT64_C(16383) << 50) + 1124774006935781},
	    {"18446744073709551615", UINT64_MAX},
	    {"007M", 7 << 20},
	};
	static const char *const bad[] = {"", "K", "-1", "+1", " 1", "1 ",
	    "1 K", "1X", "1KK", "1Ki", "1KiBs", "1Kb", "1.K", ".5K", "1.5",
	    "1,5K", "1.5.5K", "0x10", "1e3", "nan", "K1", "1B"};
	static const char *const big[] = {"18446744073709551616",
	    "18446744073709551616K", "99999999999999999999999999", "16384P",
	    "17179869184G", "18446744073709551615K"};
	uint64_t v;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(c); i++) {
		assert_int_equal(size_parse(c[i].text, &v), 0);
		assert_true(v == c[i].bytes);
	}
	v = 42;
	for (i = 0; i < nitems(bad); i++)
		assert_int_equal(size_parse(bad[i], &v), -EINVAL);
	for (i = 0; i < nitems(big); i++)
		assert_int_equal(size_parse(big[i], &v), -ERANGE);
	assert_int_equal(v, 42);
}

static void
test_strf_cuts(void **state)
{
	char buf[8];

	(void)state;
	assert_ptr_equal(strf(buf, sizeof(buf), "%d-%s", 7, "ab"), buf);
	assert_string_equal(buf, "7-ab");
	assert_string_equal(
	    strf(buf, sizeof(buf), "%s", "0123456789"), "0123456");
}

/* One line each, cut where too long, nothing above the level, errno kept. */
static void
test_log_lines(void **state)
{
	char buf[4096], longest[2000];
	int fd[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	log_setup(fd[1], LOG_NOTE);
	errno = EPERM;
	log_msg(LOG_NOTE, "%d pages", 3);
	log_msg(LOG_DEBUG, "not this");
	log_msg(LOG_ERROR, "two\nlines");
	assert_int_equal(errno, EPERM);
	n = read(fd[0], buf, sizeof(buf) - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_string_equal(buf, "uswap: 3 pages\nuswap: two?lines\n");

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	log_msg(LOG_ERROR, "%s", longest);
	n = read(fd[0], buf, sizeof(buf));
	assert_in_range(n, 400, 512);
	assert_int_equal(buf[n - 1], '\n');
	assert_int_equal(buf[n - 2], 'x');
	log_setup(STDERR_FILENO, LOG_NOTE);
	close(fd[0]);
	close(fd[1]);
}

static void
kassert_into(void *arg)
{
	dup2(*(int *)arg, STDERR_FILENO);
	KASSERT(1 + 1 == 3, "%s is %d", "it", 2);
}

static void
test_kassert_says_why(void **state)
{
	char buf[1024];
	int fd[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_aborts(kassert_into, &fd[1]);
	n = read(fd[0], buf, sizeof(buf) - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_non_null(strstr(buf, "test_base.c:"));
	assert_non_null(strstr(buf, "(1 + 1 == 3) is false: it is 2\n"));
	close(fd[0]);
	close(fd[1]);
}

static void
test_clock_goes_forward(void **state)
{
	uint64_t a = clock_now_ns(&clock_real);

	(void)state;
	assert_true(a > 0);
	assert_true(clock_now_ns(&clock_real) >= a);
}

/* ---- spin ---------------------------------------------------------------- */

/* Time goes on with each look, and at some look it is done. */
struct looks {
	struct clock clock;
	uint64_t now, step;
	unsigned looks, done_at; /* 0: never */
};

static uint64_t
looks_now(struct clock *c)
{
	return ((struct looks *)c)->now;
}

static bool
look(const void *arg)
{
	struct looks *l = (struct looks *)(uintptr_t)arg;

	l->now += l->step;
	return ++l->looks == l->done_at;
}

static bool
spins(struct spin *s, struct looks *l, unsigned done_at)
{
	l->looks = 0;
	l->done_at = done_at;
	return spin(s, &l->clock, look, l);
}

static void
test_spin_ends(void **state)
{
	struct looks l = {.clock = {looks_now}, .step = SPIN_MAX_NS / 10};
	struct spin s = {0};

	(void)state;
	assert_true(spins(&s, &l, 1));
	assert_int_equal(l.looks, 1);
	assert_true(spins(&s, &l, 9));
	assert_int_equal(l.looks, 9);
	assert_false(spins(&s, &l, 0));
	assert_int_equal(l.looks, 10);
}

/* After what was in vain nobody looks, so many times as long; then one does. */
static void
pauses(struct spin *s, struct looks *l, uint64_t took)
{
	uint64_t end = l->now;

	l->now = end + SPIN_PAUSE * took - 1;
	assert_false(spins(s, l, 1));
	assert_int_equal(l->looks, 0);
	l->now++;
	assert_true(spins(s, l, 1));
	assert_int_equal(l->looks, 1);
}

static void
test_spin_pauses(void **state)
{
	struct looks l = {.clock = {looks_now}, .step = SPIN_MAX_NS / 10};
	struct spin s = {0};

	(void)state;
	assert_false(spins(&s, &l, 0));
	pauses(&s, &l, SPIN_MAX_NS);
	assert_true(spins(&s, &l, 9));
	assert_true(spins(&s, &l, 9));
	/* Done, but late: the others have had the processor. */
	l.step = 20 * SPIN_MAX_NS;
	assert_true(spins(&s, &l, 1));
	l.step = 1;
	pauses(&s, &l, 20 * SPIN_MAX_NS);
	/* Twice in a row. */
	l.step = SPIN_MAX_NS / 10;
	assert_false(spins(&s, &l, 0));
	l.now += SPIN_PAUSE * SPIN_MAX_NS;
	assert_false(spins(&s, &l, 0));
	pauses(&s, &l, 2 * SPIN_MAX_NS);
	/* Often, and after a time without a processor. */
	for (unsigned i = 0; i < 20; i++) {
		l.now = US_MAX(l.now, s.asleep_until);
		assert_false(spins(&s, &l, 0));
	}
	pauses(&s, &l, SPIN_MAX_NS << SPIN_VAIN);
	for (unsigned i = 0; i < SPIN_VAIN; i++)
		assert_true(spins(&s, &l, 2));
	l.step = 1000 * SPIN_LATE_NS;
	assert_true(spins(&s, &l, 1));
	l.step = 1;
	pauses(&s, &l, SPIN_LATE_NS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mem_map_is_zero_and_aligned),
	    cmocka_unit_test(test_pool_hands_out_zeroed_items),
	    cmocka_unit_test(test_pool_keeps_spare_items_touched),
	    cmocka_unit_test(test_pool_items_do_not_disturb_each_other),
	    cmocka_unit_test(test_pool_misuse_aborts),
	    cmocka_unit_test(test_lock_misuse_aborts),
	    cmocka_unit_test(test_locks_taken_in_order),
	    cmocka_unit_test(test_owner_is_a_thread_and_cv_wakes),
	    cmocka_unit_test(test_cv_timedwait_times_out),
	    cmocka_unit_test(test_size_text),
	    cmocka_unit_test(test_size_parse),
	    cmocka_unit_test(test_strf_cuts),
	    cmocka_unit_test(test_log_lines),
	    cmocka_unit_test(test_kassert_says_why),
	    cmocka_unit_test(test_clock_goes_forward),
	    cmocka_unit_test(test_spin_ends),
	    cmocka_unit_test(test_spin_pauses),
	};

	return cmocka_run_group_tests(tests, locks_setup, locks_teardown);
}
