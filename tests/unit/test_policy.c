/* SPDX-License-Identifier: BSD-2-Clause */
/* policy: how a budget is divided, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "daemon/policy.h"
#include "pager/pager.h"
#include "support/death.h"

static void
check_budget(uint32_t ram)
{
	struct pager_params p = {0};

	policy_divide(ram, &p);
	assert_int_equal(p.budget + p.buffers, ram);
	/* A window can always be read, and most of it holds data. */
	assert_true(p.buffers >= CLUSTER_MAX && p.buffers <= 4096);
	assert_true(p.budget >= ram / 16 * 15);
	assert_true(p.free_low >= 60 && p.free_low <= 8192);
	assert_int_equal(p.free_high, 2 * p.free_low);
	assert_true(p.free_high + p.inactive_goal < p.budget / 8);
	/* Each page can have a frame, more than once. */
	assert_true(p.frames >= ram);
}

static void
test_divide(void **state)
{
	(void)state;
	for (uint64_t ram = RAM_PAGES_MIN; ram <= RAM_PAGES_MAX;
	     ram += ram / 3 + 1)
		check_budget((uint32_t)ram);
	check_budget(RAM_PAGES_MAX);
}

static void
divide(void *arg)
{
	struct pager_params p = {0};

	policy_divide(*(uint32_t *)arg, &p);
}

static void
test_limits(void **state)
{
	uint32_t few = SHARE_PAGES_MIN - 1, many = RAM_PAGES_MAX + 1;

	(void)state;
	assert_aborts(divide, &few);
	assert_aborts(divide, &many);
}

/* A budget is divided until there is no more to divide; nobody has too little. */
static void
test_share(void **state)
{
	struct pager_params p = {0};
	uint32_t left = 10 * SHARE_PAGES_MIN + 7, share, n = 0, sum = 0;

	(void)state;
	assert_int_equal(policy_share(100000), 25000);
	for (; (share = policy_share(left)) != 0; n++) {
		assert_true(share >= SHARE_PAGES_MIN);
		left -= share;
		sum += share;
		assert_true(left >= SHARE_PAGES_MIN);
	}
	assert_true(n >= 5 && left < 2 * SHARE_PAGES_MIN);
	assert_int_equal(sum + left, 10 * SHARE_PAGES_MIN + 7);
	/* The least is a budget, if a small one. */
	policy_divide(SHARE_PAGES_MIN, &p);
	assert_true(p.buffers >= CLUSTER_MAX);
	assert_true(p.free_high + p.inactive_goal < p.budget / 4);
}

/* One page always; never more than half of what is free. */
static void
test_window(void **state)
{
	(void)state;
	assert_int_equal(policy_window(256, 1000), 256);
	assert_int_equal(policy_window(256, 512), 256);
	assert_int_equal(policy_window(256, 100), 50);
	assert_int_equal(policy_window(256, 3), 1);
	assert_int_equal(policy_window(256, 0), 1);
	assert_int_equal(policy_window(256, -1000), 1);
	assert_int_equal(policy_window(1, 1000), 1);
	assert_int_equal(policy_window(0, 1000), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_divide),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
