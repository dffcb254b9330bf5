/* SPDX-License-Identifier: BSD-2-Clause */
/* blist: one test for each thing its header promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "base/blist.h"
#include "../support/death.h"

#define LEAF 64
#define META 4096 /* blocks under a node of level 1 */
#define TOP  (64 * META) /* of level 2 */

static struct blist *
all_free(uint32_t n)
{
	struct blist *bl = blist_create(n);

	assert_non_null(bl);
	blist_free(bl, 0, n);
	return bl;
}

/* Takes exactly n blocks. */
static uint32_t
take(struct blist *bl, uint32_t n)
{
	uint32_t got = n, blk = blist_alloc(bl, &got, n);

	assert_int_equal(got, n);
	return blk;
}

static void
done(struct blist *bl)
{
	blist_check(bl);
	blist_destroy(bl);
}

static void
test_new_list_is_in_use(void **state)
{
	struct blist *bl = blist_create(1000);
	uint32_t i;

	(void)state;
	assert_int_equal(blist_avail(bl), 0);
	assert_int_equal(blist_blocks(bl), 1000);
	assert_int_equal(take(bl, 1), BLIST_NONE);
	for (i = 0; i < 1000; i++)
		assert_false(blist_isfree(bl, i));
	done(bl);
	blist_destroy(NULL);
}

/* Fragmentation never refuses a single block. */
static void
test_isolated_free_pages_are_all_allocatable(void **state)
{
	const uint32_t n = 2 * 2048;
	struct blist *bl = blist_create(n);
	uint32_t i, got;

	(void)state;
	for (i = 1; i < n; i += 2)
		blist_free(bl, i, 1);
	blist_check(bl);
	assert_int_equal(take(bl, 2), BLIST_NONE);
	for (i = 1; i < n; i += 2) {
		got = 1;
		assert_int_equal(blist_alloc(bl, &got, 16), i);
		assert_int_equal(got, 1);
	}
	assert_int_equal(take(bl, 1), BLIST_NONE);
	assert_int_equal(blist_avail(bl), 0);
	done(bl);
}

/* A refused length does not hide the shorter runs. */
static void
test_failing_for_a_long_run_leaves_the_short_ones(void **state)
{
	struct blist *bl = blist_create(META);
	uint32_t n;

	(void)state;
	blist_free(bl, 100, 3);
	blist_free(bl, 1000, 5);
	for (n = 256; n > 5; n /= 2)
		assert_int_equal(take(bl, n), BLIST_NONE);
	assert_int_equal(take(bl, 6), BLIST_NONE);
	assert_int_equal(take(bl, 5), 1000);
	assert_int_equal(take(bl, 3), 100);
	done(bl);
}

/* A hint lowered by a refused search must rise again with what comes free. */
static void
test_every_block_is_visible_after_freeing_everything(void **state)
{
	const uint32_t n = TOP + 3 * META + 17;
	struct blist *bl = all_free(n);
	uint32_t i, step;

	(void)state;
	for (step = 1; step < n; step = step * 5 + 3) {
		assert_int_equal(blist_fill(bl, 0, n), n);
		for (i = 0; i < n; i += step) {
			if (step > 500) /* lowers the hints each time */
				assert_int_equal(take(bl, i + 1), BLIST_NONE);
			blist_free(bl, i, US_MIN(step, n - i));
		}
		blist_check(bl);
		assert_int_equal(blist_avail(bl), n);
		assert_int_equal(take(bl, n), 0);
		assert_int_equal(take(bl, 1), BLIST_NONE);
		blist_free(bl, 0, n);
	}
	for (i = 0; i < n / 512; i++)
		assert_int_not_equal(take(bl, 512), BLIST_NONE);
	done(bl);
}

/* Every length up to a cluster, lying across every kind of boundary. */
static void
test_runs_cross_leaf_and_meta_boundaries(void **state)
{
	static const uint32_t edge[] = {LEAF, META, 3 * META, TOP};
	struct blist *bl = blist_create(TOP + META);
	uint32_t i, n, lead;

	(void)state;
	for (i = 0; i < nitems(edge); i++) {
		for (n = 2; n <= CLUSTER_MAX; n++) {
			lead = US_MIN(1 + n / 3, 40u);
			blist_free(bl, edge[i] - lead, n);
			assert_int_equal(take(bl, n + 1), BLIST_NONE);
			assert_int_equal(take(bl, n), edge[i] - lead);
		}
	}
	/* Longer than whole nodes, and joined from pieces, the middle last. */
	blist_free(bl, META - 1, 1);
	blist_free(bl, 3 * META, 1);
	assert_int_equal(take(bl, 2), BLIST_NONE);
	blist_free(bl, META, 2 * META);
	blist_check(bl);
	assert_int_equal(take(bl, 2 * META + 3), BLIST_NONE);
	assert_int_equal(take(bl, 2 * META + 2), META - 1);
	assert_int_equal(blist_avail(bl), 0);
	done(bl);
}

static void
test_alloc_goes_up_to_maxcount(void **state)
{
	struct blist *bl = blist_create(1000);
	uint32_t n;

	(void)state;
	blist_free(bl, 10, 3);
	blist_free(bl, 50, 200);
	n = 4;
	assert_int_equal(blist_alloc(bl, &n, 150), 50);
	assert_int_equal(n, 150);
	n = 1;
	assert_int_equal(blist_alloc(bl, &n, 256), 200);
	assert_int_equal(n, 50);
	n = 4;
	assert_int_equal(blist_alloc(bl, &n, 256), BLIST_NONE);
	assert_int_equal(n, 4);
	n = 2;
	assert_int_equal(blist_alloc(bl, &n, UINT32_MAX), 10);
	assert_int_equal(n, 3);
	done(bl);
}

static void
test_fill_returns_what_was_free(void **state)
{
	const uint32_t n = 2 * META + 100;
	struct blist *bl = all_free(n);

	(void)state;
	assert_int_equal(blist_fill(bl, 60, 10), 10);
	assert_int_equal(blist_fill(bl, 60, 10), 0);
	assert_int_equal(blist_fill(bl, 50, 30), 20);
	assert_int_equal(blist_fill(bl, META - 5, META), META);
	assert_int_equal(blist_avail(bl), n - 30 - META);
	assert_int_equal(blist_fill(bl, 0, n), n - 30 - META);
	assert_int_equal(blist_fill(bl, 0, n), 0);
	assert_int_equal(blist_avail(bl), 0);
	assert_int_equal(take(bl, 1), BLIST_NONE);
	done(bl);
}

static void
test_resize_keeps_the_state_of_what_remains(void **state)
{
	struct blist *bl = all_free(100);

	(void)state;
	blist_fill(bl, 40, 10);
	assert_int_equal(blist_resize(&bl, 3 * META + 7, false), 0);
	blist_check(bl);
	assert_int_equal(blist_avail(bl), 90);
	assert_false(blist_isfree(bl, 100));
	assert_int_equal(blist_resize(&bl, 4 * META + 1, true), 0);
	blist_check(bl);
	assert_int_equal(blist_avail(bl), 90 + META - 6);
	assert_int_equal(take(bl, META - 6), 3 * META + 7);
	assert_int_equal(blist_resize(&bl, 45, true), 0);
	blist_check(bl);
	assert_int_equal(blist_blocks(bl), 45);
	assert_int_equal(blist_avail(bl), 40);
	assert_false(blist_isfree(bl, 44));
	/* What was cut off does not come back. */
	assert_int_equal(blist_resize(&bl, 64, false), 0);
	assert_int_equal(blist_avail(bl), 40);
	/* A run across the old end. */
	assert_int_equal(blist_fill(bl, 0, 64), 40);
	blist_free(bl, 60, 4);
	assert_int_equal(blist_resize(&bl, 70, true), 0);
	assert_int_equal(take(bl, 10), 60);
	done(bl);
}

static void
test_list_of_one_block(void **state)
{
	struct blist *bl = blist_create(1);
	uint32_t n = 1;

	(void)state;
	assert_int_equal(take(bl, 1), BLIST_NONE);
	blist_free(bl, 0, 1);
	assert_int_equal(take(bl, 2), BLIST_NONE);
	assert_int_equal(blist_alloc(bl, &n, 256), 0);
	assert_int_equal(n, 1);
	assert_int_equal(take(bl, 1), BLIST_NONE);
	assert_int_equal(blist_resize(&bl, 2, true), 0);
	assert_int_equal(take(bl, 1), 1);
	assert_int_equal(blist_resize(&bl, 1, true), 0);
	assert_int_equal(blist_avail(bl), 0);
	done(bl);
}

static void
test_next_fit_goes_round(void **state)
{
	struct blist *bl = all_free(300);

	(void)state;
	assert_int_equal(take(bl, 100), 0);
	blist_free(bl, 0, 100);
	assert_int_equal(take(bl, 100), 100); /* not the freed one again */
	assert_int_equal(take(bl, 50), 200);
	assert_int_equal(take(bl, 60), 0); /* 50 are left: it wraps */
	assert_int_equal(take(bl, 40), 60);
	assert_int_equal(take(bl, 50), 250);
	assert_int_equal(take(bl, 1), BLIST_NONE);
	/* From the cursor on, inside a free run; then the run's beginning. */
	blist_free(bl, 0, 300);
	assert_int_equal(take(bl, 150), 0);
	blist_free(bl, 100, 50);
	assert_int_equal(take(bl, 100), 150);
	assert_int_equal(take(bl, 90), BLIST_NONE);
	assert_int_equal(take(bl, 50), 250);
	assert_int_equal(take(bl, 50), 100);
	done(bl);
}

static void
test_run_across_the_cursor_is_found(void **state)
{
	struct blist *bl = all_free(META * 2);

	(void)state;
	assert_int_equal(take(bl, META), 0);
	blist_free(bl, META - 100, 100);
	/* Only from before the cursor is there room for all of it. */
	assert_int_equal(take(bl, META + 100), META - 100);
	done(bl);
}

static void
test_the_largest_list(void **state)
{
	const uint32_t n = UINT32_MAX - 1;
	struct blist *bl = blist_create(n);

	(void)state;
	if (bl == NULL)
		skip();
	blist_free(bl, n - 5, 5);
	blist_free(bl, 1u << 30, 1);
	assert_int_equal(take(bl, 6), BLIST_NONE);
	assert_int_equal(take(bl, 5), n - 5);
	assert_int_equal(take(bl, 1), 1u << 30);
	assert_int_equal(blist_avail(bl), 0);
	blist_destroy(bl);
}

static void
free_twice(void *bl)
{
	blist_free(bl, 70, 1);
	blist_free(bl, 69, 2);
}

static void
free_beyond(void *bl)
{
	blist_free(bl, 99, 2);
}

static void
alloc_none(void *bl)
{
	uint32_t n = 0;

	blist_alloc(bl, &n, 1);
}

static void
create_none(void *bl)
{
	(void)bl;
	blist_create(0);
}

static void
test_misuse_aborts(void **state)
{
	struct blist *bl = blist_create(100);

	(void)state;
	assert_aborts(free_twice, bl);
	assert_aborts(free_beyond, bl);
	assert_aborts(alloc_none, bl);
	assert_aborts(create_none, NULL);
	done(bl);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_new_list_is_in_use),
	    cmocka_unit_test(test_isolated_free_pages_are_all_allocatable),
	    cmocka_unit_test(test_failing_for_a_long_run_leaves_the_short_ones),
	    cmocka_unit_test(
		test_every_block_is_visible_after_freeing_everything),
	    cmocka_unit_test(test_runs_cross_leaf_and_meta_boundaries),
	    cmocka_unit_test(test_alloc_goes_up_to_maxcount),
	    cmocka_unit_test(test_fill_returns_what_was_free),
	    cmocka_unit_test(test_resize_keeps_the_state_of_what_remains),
	    cmocka_unit_test(test_list_of_one_block),
	    cmocka_unit_test(test_next_fit_goes_round),
	    cmocka_unit_test(test_run_across_the_cursor_is_found),
	    cmocka_unit_test(test_the_largest_list),
	    cmocka_unit_test(test_misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
