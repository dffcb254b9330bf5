/* SPDX-License-Identifier: BSD-2-Clause */
/* swmap: assignments, leaves that come and go, neighbours, sizes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "swap/swmap.h"
#include "../support/death.h"

#define BLK(n) ((swblk_t){n})

static struct pool leaves;

static int
setup(void **state)
{
	(void)state;
	return swmap_pool_init(&leaves, 1000);
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(leaves.used, 0);
	pool_destroy(&leaves);
	return 0;
}

/* Assigns, and returns what was assigned before. */
static uint32_t
set(struct swmap *m, pindex_t p, uint32_t blk)
{
	int error = 1;
	swblk_t old = swmap_set(m, p, BLK(blk), &error);

	assert_int_equal(error, 0);
	swmap_check(m);
	return old.v;
}

static uint32_t
clear(struct swmap *m, pindex_t p)
{
	swblk_t old = swmap_clear(m, p);

	swmap_check(m);
	return old.v;
}

static void
assignments(void **state)
{
	struct swmap m;

	(void)state;
	assert_int_equal(swmap_init(&m, &leaves, 200), 0);
	assert_int_equal(swmap_get(&m, 0).v, 0);
	assert_int_equal(clear(&m, 199), 0);
	assert_int_equal(set(&m, 70, 5), 0);
	assert_int_equal(set(&m, 70, 6), 5);
	assert_int_equal(set(&m, 71, 5), 0);
	assert_int_equal(m.count, 2);
	assert_int_equal(leaves.used, 1);
	assert_int_equal(swmap_get(&m, 70).v, 6);
	assert_int_equal(swmap_get(&m, 6).v, 0);
	assert_int_equal(clear(&m, 72), 0);
	assert_int_equal(clear(&m, 70), 6);
	assert_int_equal(clear(&m, 70), 0);
	assert_int_equal(leaves.used, 1);
	assert_int_equal(clear(&m, 71), 5);
	assert_int_equal(leaves.used, 0);
	assert_int_equal(m.count, 0);
	swmap_destroy(&m);
}

/* No leaf: nothing changes; who has one needs no other. */
static void
no_leaves(void **state)
{
	struct pool two;
	struct swmap m;
	int error;

	(void)state;
	assert_int_equal(swmap_pool_init(&two, 2), 0);
	assert_int_equal(swmap_init(&m, &two, 1000), 0);
	set(&m, 0, 1);
	set(&m, 999, 2);
	assert_int_equal(swmap_set(&m, 500, BLK(3), &error).v, 0);
	assert_int_equal(error, -ENOMEM);
	swmap_check(&m);
	assert_int_equal(m.count, 2);
	assert_int_equal(swmap_get(&m, 500).v, 0);
	assert_int_equal(set(&m, 1, 4), 0);
	assert_int_equal(set(&m, 0, 5), 1);
	clear(&m, 999);
	assert_int_equal(set(&m, 500, 3), 0);
	clear(&m, 0);
	clear(&m, 1);
	clear(&m, 500);
	swmap_destroy(&m);
	pool_destroy(&two);
}

/* Objects share the leaves, and a leaf is clean whoever had it before. */
static void
shared(void **state)
{
	struct swmap a, b;
	pindex_t p;

	(void)state;
	assert_int_equal(swmap_init(&a, &leaves, 64), 0);
	assert_int_equal(swmap_init(&b, &leaves, 64), 0);
	for (p = 0; p < 64; p++)
		set(&a, p, 100 + p);
	assert_int_equal(leaves.used, 1);
	for (p = 0; p < 64; p++)
		assert_int_equal(clear(&a, p), 100 + p);
	set(&b, 63, 7);
	for (p = 0; p < 64; p++) {
		assert_int_equal(swmap_get(&a, p).v, 0);
		assert_int_equal(swmap_get(&b, p).v, p == 63 ? 7 : 0);
	}
	clear(&b, 63);
	swmap_destroy(&a);
	swmap_destroy(&b);
}

static void
next(void **state)
{
	struct swmap m;
	pindex_t p = 0;

	(void)state;
	assert_int_equal(swmap_init(&m, &leaves, 1000), 0);
	assert_false(swmap_next(&m, 0, 1000, &p));
	set(&m, 63, 1);
	set(&m, 64, 2);
	set(&m, 999, 3);
	assert_true(swmap_next(&m, 0, 1000, &p) && p == 63);
	assert_true(swmap_next(&m, 63, 1000, &p) && p == 63);
	assert_true(swmap_next(&m, 64, 1000, &p) && p == 64);
	assert_true(swmap_next(&m, 65, 1000, &p) && p == 999);
	assert_true(swmap_next(&m, 65, PINDEX_MAX, &p) && p == 999);
	p = 42;
	assert_false(swmap_next(&m, 65, 999, &p));
	assert_false(swmap_next(&m, 0, 63, &p));
	assert_false(swmap_next(&m, 64, 64, &p));
	assert_false(swmap_next(&m, 2000, 1000, &p));
	assert_int_equal(p, 42);
	clear(&m, 63);
	clear(&m, 64);
	clear(&m, 999);
	swmap_destroy(&m);
}

/* The largest object: its last window ends where 32 bits do. */
static void
largest(void **state)
{
	struct swmap m;
	pindex_t p;
	int error;

	(void)state;
	assert_int_equal(swmap_init(&m, &leaves, PINDEX_MAX), 0);
	swmap_set(&m, PINDEX_MAX - 1, BLK(UINT32_MAX), &error);
	assert_int_equal(error, 0);
	assert_true(swmap_next(&m, PINDEX_MAX - 1000, PINDEX_MAX, &p));
	assert_int_equal(p, PINDEX_MAX - 1);
	assert_int_equal(swmap_clear(&m, PINDEX_MAX - 1).v, UINT32_MAX);
	assert_false(swmap_next(&m, PINDEX_MAX - 1000, PINDEX_MAX, &p));
	swmap_destroy(&m);
}

static void
extent_is(struct swmap *m, pindex_t p, uint32_t maxb, uint32_t maxa,
    uint32_t wantb, uint32_t wanta)
{
	uint32_t before = 99, after = 99;

	swmap_extent(m, p, maxb, maxa, &before, &after);
	assert_int_equal(before, wantb);
	assert_int_equal(after, wanta);
}

static void
extent(void **state)
{
	struct swmap m;
	pindex_t p;

	(void)state;
	assert_int_equal(swmap_init(&m, &leaves, 130), 0);
	for (p = 50; p < 130; p++)
		set(&m, p, 1000 + p);
	extent_is(&m, 60, 256, 256, 10, 69);
	extent_is(&m, 60, 7, 8, 7, 8);
	extent_is(&m, 60, 0, 0, 0, 0);
	extent_is(&m, 50, 7, 7, 0, 7);
	extent_is(&m, 129, 7, 7, 7, 0);
	set(&m, 63, 5000);
	extent_is(&m, 60, 256, 256, 10, 2);
	extent_is(&m, 63, 256, 256, 0, 0);
	extent_is(&m, 64, 256, 256, 0, 65);
	for (p = 50; p < 130; p++)
		clear(&m, p);

	/* The page before block 1, or after the last, has no block: not one
	 * of number 0. */
	set(&m, 10, 1);
	extent_is(&m, 10, 7, 7, 0, 0);
	set(&m, 10, UINT32_MAX);
	extent_is(&m, 10, 7, 7, 0, 0);
	/* Backwards in swap is not contiguous; the object's start bounds. */
	set(&m, 9, 21);
	set(&m, 10, 20);
	set(&m, 11, 19);
	extent_is(&m, 10, 7, 7, 0, 0);
	set(&m, 0, 30);
	set(&m, 1, 31);
	extent_is(&m, 1, UINT32_MAX, UINT32_MAX, 1, 0);
	for (p = 0; p < 12; p++)
		clear(&m, p);
	swmap_destroy(&m);
}

/* The size of the address space, to see that none is lost. */
static unsigned long
address_space(void)
{
	int fd = open("/proc/self/statm", O_RDONLY);
	char buf[64];
	ssize_t len = read(fd, buf, sizeof(buf) - 1);

	assert_true(len > 0);
	buf[len] = '\0';
	close(fd);
	return strtoul(buf, NULL, 10);
}

/* Within a page of root, over it, and back: 32768 pages are one. */
static void
sizes(void **state)
{
	static const pindex_t to[] = {
	    65, 32768, 32769, 200000, 100000, 131, 1000, 70, 65};
	struct swmap m;
	unsigned long space = address_space();
	unsigned i;

	(void)state;
	assert_int_equal(swmap_init(&m, &leaves, 0), 0);
	swmap_check(&m);
	assert_int_equal(swmap_resize(&m, 65), 0);
	set(&m, 0, 7);
	set(&m, 64, 8);
	for (i = 0; i < nitems(to); i++) {
		assert_int_equal(swmap_resize(&m, to[i]), 0);
		swmap_check(&m);
		assert_int_equal(m.npages, to[i]);
		assert_int_equal(m.count, 2);
		assert_int_equal(swmap_get(&m, 0).v, 7);
		assert_int_equal(swmap_get(&m, 64).v, 8);
		assert_int_equal(set(&m, to[i] - 1, 9), to[i] == 65 ? 8 : 0);
		assert_int_equal(clear(&m, to[i] - 1), 9);
		set(&m, 64, 8);
	}
	clear(&m, 0);
	clear(&m, 64);
	assert_int_equal(swmap_resize(&m, 0), 0);
	swmap_destroy(&m);
	assert_int_equal(address_space(), space);
}

/* ---- programmers' errors, and damage that swmap_check finds -------------- */

static void
get_beyond(void *arg)
{
	swmap_get(arg, 100);
}
static void
set_none(void *arg)
{
	int error;

	swmap_set(arg, 1, SWBLK_NONE, &error);
}
static void
cut_off(void *arg)
{
	swmap_resize(arg, 50);
}
static void
extent_of_none(void *arg)
{
	uint32_t before, after;

	swmap_extent(arg, 1, 7, 7, &before, &after);
}
static void
destroy(void *arg)
{
	swmap_destroy(arg);
}
static void
wrong_count(void *arg)
{
	struct swmap *m = arg;

	m->count++;
	swmap_check(m);
}
static void
wrong_leaf(void *arg)
{
	struct swmap *m = arg;
	struct swmap_leaf *leaf = pool_item(m->leaves, 0);

	leaf->blk[5] = BLK(1);
	swmap_check(m);
}
static void
emptied_leaf(void *arg)
{
	struct swmap *m = arg;
	struct swmap_leaf *leaf = pool_item(m->leaves, 0);

	leaf->blk[50] = SWBLK_NONE;
	swmap_check(m);
}
/* One too many in a window, one too few in another: the sum is right. */
static void
wrong_windows(void *arg)
{
	struct swmap *m = arg;
	struct swmap_leaf *leaf = pool_item(m->leaves, 0);

	leaf[0].blk[5] = BLK(1);
	leaf[1].blk[0] = SWBLK_NONE;
	swmap_check(m);
}
static void
beyond_end(void *arg)
{
	struct swmap *m = arg;

	m->npages = 50;
	swmap_check(m);
}

static void
errors(void **state)
{
	void (*wrong[])(void *) = {get_beyond, set_none, cut_off,
	    extent_of_none, destroy, wrong_count, wrong_leaf, emptied_leaf,
	    wrong_windows, beyond_end};
	struct swmap m;
	unsigned i;

	(void)state;
	assert_int_equal(swmap_init(&m, &leaves, 100), 0);
	set(&m, 50, 1);
	set(&m, 64, 2);
	set(&m, 65, 3);
	for (i = 0; i < nitems(wrong); i++)
		assert_aborts(wrong[i], &m);
	clear(&m, 50);
	clear(&m, 64);
	clear(&m, 65);
	swmap_destroy(&m);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(assignments),
	    TEST(no_leaves),
	    TEST(shared),
	    TEST(next),
	    TEST(largest),
	    TEST(extent),
	    TEST(sizes),
	    TEST(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
