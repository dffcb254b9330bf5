/* SPDX-License-Identifier: BSD-2-Clause */
/* swspace: devices that are closing, open again, gone; and their priorities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "block/engine.h"
#include "support/swspace.h"
#include "../support/death.h"

static struct swdev *
named(struct swspace *s, const char *name)
{
	struct swdev *d = swspace_find(s, name);

	assert_non_null(d);
	return d;
}

static struct swdev *
add_named(struct swspace *s, const char *name, uint32_t pages, int prio)
{
	add_fake(s, name, pages, prio);
	return named(s, name);
}

static uint32_t
place(const struct swdev *d)
{
	uint32_t n;

	return swspace_place(d, &n).v;
}

static void
closing(void **state)
{
	struct swspace s;
	struct swdev *a, *b;
	swblk_t blk[3];

	(void)state;
	swspace_init(&s);
	assert_null(swspace_find(&s, "a"));
	a = add_named(&s, "a", 102, 5);
	b = add_named(&s, "b", 202, 1);
	for (int i = 0; i < 3; i++)
		blk[i] = alloc(&s, 1);
	assert_int_equal(swspace_used_on(a), 3);
	assert_int_equal(swspace_elsewhere(&s, a), 200);
	assert_int_equal(swspace_elsewhere(&s, b), 97);

	/* Closing: it gives nothing, and what comes back stays with it. */
	swspace_close(&s, a);
	swspace_check(&s);
	assert_true(swspace_is_closing(a) && !swspace_is_closing(b));
	assert_true(swspace_closing(&s, blk[0]));
	assert_int_equal(s.total, 200);
	assert_int_equal(s.avail, 200);
	assert_int_equal(swspace_used(&s), 3);
	swspace_free(&s, blk[0], 1);
	swspace_retire(&s, blk[1]);
	swspace_check(&s);
	assert_int_equal(s.total, 200);
	assert_int_equal(s.avail, 200);
	assert_int_equal(s.bad, 1);
	blk[0] = alloc(&s, 200);
	assert_ptr_equal(dev_of(&s, blk[0]), dev_at(&s, 1));
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_true(s.full);

	/* Open again: all that is free is there. */
	swspace_reopen(&s, a);
	swspace_check(&s);
	assert_false(s.full);
	assert_int_equal(s.total, 299);
	assert_int_equal(s.avail, 98);
	blk[1] = alloc(&s, 1);
	assert_ptr_equal(dev_of(&s, blk[1]), dev_at(&s, 0));
	swspace_free(&s, blk[1], 1);

	/* Gone, with its bad block.  The other one is where it was. */
	swspace_close(&s, a);
	swspace_free(&s, blk[2], 1);
	assert_int_equal(fakes_closed, 0);
	blkdev_close(swspace_off(&s, a));
	swspace_check(&s);
	assert_int_equal(fakes_closed, 1);
	assert_int_equal(s.ndev, 1);
	assert_int_equal(s.bad, 0);
	assert_ptr_equal(named(&s, "b"), b);
	assert_ptr_equal(dev_of(&s, blk[0]), dev_at(&s, 0));
	swspace_free(&s, blk[0], 200);
	swspace_close(&s, b);
	blkdev_close(swspace_off(&s, b));
	swspace_check(&s);
	assert_int_equal(s.ndev + s.total + s.avail, 0);
	assert_false(swblk_valid(alloc(&s, 1)));
	swspace_check(&s);
	swspace_destroy(&s);
}

/* The turn is with the one behind it, or begins anew. */
static void
turn_of_one_that_leaves(void **state)
{
	struct swspace s;
	swblk_t blk[4];

	(void)state;
	swspace_init(&s);
	add_named(&s, "a", 100, 1);
	add_named(&s, "b", 100, 1);
	add_named(&s, "c", 100, 1);
	blk[0] = alloc(&s, 1);
	assert_ptr_equal(dev_of(&s, blk[0]), dev_at(&s, 0));
	swspace_close(&s, named(&s, "b"));
	blk[1] = alloc(&s, 1); /* not b, whose turn it is */
	assert_ptr_equal(dev_of(&s, blk[1]), dev_at(&s, 2));
	blkdev_close(swspace_off(&s, named(&s, "b")));
	swspace_check(&s);
	blk[2] = alloc(&s, 1);
	assert_ptr_equal(dev_of(&s, blk[2]), dev_at(&s, 0));
	blk[3] = alloc(&s, 1);
	assert_ptr_equal(dev_of(&s, blk[3]), dev_at(&s, 1));
	for (int i = 0; i < 4; i++)
		swspace_free(&s, blk[i], 1);
	swspace_destroy(&s);
}

static void
set_priority(void **state)
{
	struct swspace s;
	struct swdev *a, *b, *c;
	uint32_t first;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	a = add_named(&s, "a", 100, 3);
	b = add_named(&s, "b", 100, 2);
	c = add_named(&s, "c", 100, 1);
	first = place(c);
	swspace_set_prio(&s, c, 9);
	swspace_check(&s);
	assert_string_equal(blkdev_name(dev_at(&s, 0)), "c");
	assert_int_equal(place(c), first);
	blk = alloc(&s, 1);
	assert_int_equal(swspace_used_on(c), 1);
	/* Among equals it is the last. */
	swspace_set_prio(&s, c, 2);
	swspace_set_prio(&s, a, 2);
	swspace_check(&s);
	assert_string_equal(blkdev_name(dev_at(&s, 0)), "b");
	assert_string_equal(blkdev_name(dev_at(&s, 1)), "c");
	assert_string_equal(blkdev_name(dev_at(&s, 2)), "a");
	assert_ptr_equal(named(&s, "b"), b);
	swspace_free(&s, blk, 1);
	swspace_destroy(&s);
}

/* The block space is not used up, nor is the table. */
static void
thousand_cycles(void **state)
{
	static const char *const name[2] = {"a", "b"};
	struct swspace s;
	struct swdev *old;
	uint32_t highest = 0;

	(void)state;
	swspace_init(&s);
	old = add_named(&s, "a", 1000000, 1);
	for (unsigned i = 1; i <= 1000; i++) {
		struct swdev *new = add_named(
		    &s, name[i % 2], 1000000 + i % 7 * 1000, (int)(i % 3));

		highest = US_MAX(highest, place(new));
		swspace_close(&s, old);
		blkdev_close(swspace_off(&s, old));
		old = new;
	}
	swspace_check(&s);
	assert_in_range(highest, 1000001, 3000000);
	assert_int_equal(s.ndev, 1);
	swspace_destroy(&s);
}

static void
off_open(void *arg)
{
	struct swspace *s = arg;

	(void)swspace_off(s, swspace_find(s, "a"));
}

/* What must not be: to take out what is open, or in use; to close twice. */
static void
wrong_order(void **state)
{
	struct swspace s;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add_named(&s, "a", 100, 1);
	assert_aborts(off_open, &s);
	blk = alloc(&s, 1);
	swspace_close(&s, named(&s, "a"));
	assert_aborts(off_open, &s);
	swspace_free(&s, blk, 1);
	blkdev_close(swspace_off(&s, named(&s, "a")));
	swspace_destroy(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(closing),
	    cmocka_unit_test(turn_of_one_that_leaves),
	    cmocka_unit_test(set_priority),
	    cmocka_unit_test(thousand_cycles),
	    cmocka_unit_test(wrong_order),
	};

	log_setup(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
