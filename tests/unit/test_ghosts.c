/* SPDX-License-Identifier: BSD-2-Clause */
/* ghosts: when pages that were only read are worth a second chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "pager/ghosts.h"

static struct ghosts g;
static uint32_t aim;

/*
 * Pages 0 .. n-1 are dropped one after another; one in `one_in` is read again when
 * `later` others have left.
 */
static void
pass(uint32_t n, uint32_t one_in, uint32_t later, bool stream)
{
	for (pindex_t i = 0; i < n + later; i++) {
		ghosts_left(&g, 1, aim);
		if (i < n)
			ghosts_dropped(&g, 7, i, stream);
		if (i >= later && (i - later) % one_in == 0)
			ghosts_back(&g, 7, i - later);
		ghosts_check(&g);
	}
}

static void
begin(uint32_t distance)
{
	g = (struct ghosts){0};
	aim = distance;
	ghosts_left(&g, 0, aim);
	assert_true(!ghosts_worth(&g, false) && !ghosts_worth(&g, true));
}

/* From the least budget to the largest. */
static const uint32_t distances[] = {32, 500, 512, 513, 4032, 100000};

static void
test_early(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 6; k++) {
		uint32_t d = distances[k], n = 3000 * (d / 512 + 1);

		begin(d);
		pass(n, 40, d / 2, false);
		assert_false(ghosts_worth(&g, false));
		pass(n, 8, d / 2, false);
		assert_true(ghosts_worth(&g, false));
		pass(n, 40, d / 2, false);
		assert_false(ghosts_worth(&g, false));
	}
}

/* They would have left the queue by then. */
static void
test_late(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 6; k++) {
		uint32_t d = distances[k], n = 3000 * (d / 512 + 1);

		begin(d);
		pass(n, 1, d + 2, false);
		assert_false(ghosts_worth(&g, false));
		pass(n, 1, d - 1, false);
		assert_true(ghosts_worth(&g, false));
	}
}

static void
test_streams(void **state)
{
	(void)state;
	begin(100);
	pass(3000, 2, 50, true);
	assert_true(ghosts_worth(&g, true) && !ghosts_worth(&g, false));
	pass(3000, 2, 50, false);
	pass(3000, 100, 50, true);
	assert_true(!ghosts_worth(&g, true) && ghosts_worth(&g, false));
}

/* Where none is dropped the others' chances tell. */
static void
test_chances(void **state)
{
	(void)state;
	begin(100);
	for (int i = 0; i < 1000; i++)
		ghosts_chance(&g, true, i % 10 == 0);
	assert_true(ghosts_worth(&g, true));
	for (int i = 0; i < 2000; i++)
		ghosts_chance(&g, true, i % 30 == 0);
	assert_false(ghosts_worth(&g, true));
	/* The bounds: a thousand of one kind are forgotten after some of another. */
	for (int i = 0; i < 100000; i++)
		ghosts_chance(&g, true, false);
	for (int i = 0; i < 17; i++)
		ghosts_chance(&g, true, true);
	assert_true(ghosts_worth(&g, true));
	ghosts_check(&g);
}

/* Other pages are remembered after it; what was is not taken for them. */
static void
test_aim(void **state)
{
	(void)state;
	begin(400);
	for (pindex_t i = 0; i < 400; i++)
		ghosts_dropped(&g, 7, i, false);
	aim = 300;
	ghosts_left(&g, 0, aim);
	for (pindex_t i = 0; i < 400; i++)
		ghosts_back(&g, 7, i);
	assert_false(ghosts_worth(&g, false));
	pass(3000, 2, 299, false);
	assert_true(ghosts_worth(&g, false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_early),
	    cmocka_unit_test(test_late),
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_chances),
	    cmocka_unit_test(test_aim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
