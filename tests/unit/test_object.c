/* SPDX-License-Identifier: BSD-2-Clause */
/* object: slots, tags, leaves and streams of faults. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "pager/object.h"

static struct objects os;
static struct pages ps;

static int
setup(void **state)
{
	(void)state;
	return objects_init(&os, 4 * OBJECT_LEAF) + pages_init(&ps, 8);
}

static int
teardown(void **state)
{
	(void)state;
	objects_destroy(&os);
	pages_destroy(&ps);
	return 0;
}

static void
test_slots(void **state)
{
	struct object *o = object_create(&os, 0, 1000);
	pindex_t i;

	(void)state;
	assert_non_null(o);
	assert_int_equal(object_slot(&os, o, 999), SLOT_NONE);
	assert_int_equal(object_set_slot(&os, o, 5, SLOT_NONE), 0);
	assert_int_equal(os.leaves.used, 0);
	assert_int_equal(object_set_slot(&os, o, 130, SLOT_ZERO), 0);
	assert_int_equal(object_set_slot(&os, o, 999, SLOT_LOST), 0);
	object_set_tag(&os, o, 131, 77);
	assert_int_equal(object_tag(&os, o, 131), 77);
	assert_int_equal(os.leaves.used, 2);
	assert_true(object_next(&os, o, 0, 1000, &i) && i == 130);
	assert_true(object_next(&os, o, 131, 1000, &i) && i == 999);
	assert_false(object_next(&os, o, 131, 999, &i));
	object_check(&os, &ps, o);
	(void)object_set_slot(&os, o, 130, SLOT_NONE);
	object_trim(&os, o, 0, 128); /* the window is another */
	assert_int_equal(os.leaves.used, 2);
	object_trim(&os, o, 131, 132); /* a part of it is enough */
	assert_int_equal(os.leaves.used, 1);
	object_trim(&os, o, 0, 1000); /* the other holds something */
	assert_int_equal(os.leaves.used, 1);
	(void)object_set_slot(&os, o, 999, SLOT_NONE);
	object_trim(&os, o, 960, 1000); /* the last window is a short one */
	assert_int_equal(os.leaves.used, 0);
	object_destroy(&os, o);
	assert_int_equal(os.pool.used, 0);
}

/* The pool has 5 leaves: the sixth window is refused, and nothing changes. */
static void
test_no_memory(void **state)
{
	struct object *o = object_create(&os, 0, 6 * OBJECT_LEAF);
	pindex_t i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(
		    object_set_slot(&os, o, i * OBJECT_LEAF, SLOT_ZERO), 0);
	assert_int_equal(
	    object_set_slot(&os, o, i * OBJECT_LEAF, SLOT_ZERO), -ENOMEM);
	assert_int_equal(object_slot(&os, o, i * OBJECT_LEAF), SLOT_NONE);
	for (i = 0; i < 5; i++)
		(void)object_set_slot(&os, o, i * OBJECT_LEAF, SLOT_NONE);
	object_destroy(&os, o);
}

static void
test_grow(void **state)
{
	struct object *o = object_create(&os, 0, 10);

	(void)state;
	assert_int_equal(object_set_slot(&os, o, 9, SLOT_ZERO), 0);
	assert_int_equal(object_grow(o, 70), 0); /* the same page of root */
	object_check(&os, &ps, o);
	assert_int_equal(object_grow(o, 1000000), 0);
	assert_int_equal(object_slot(&os, o, 9), SLOT_ZERO);
	assert_int_equal(object_slot(&os, o, 999999), SLOT_NONE);
	assert_int_equal(object_set_slot(&os, o, 999999, SLOT_ZERO), 0);
	object_check(&os, &ps, o);
	(void)object_set_slot(&os, o, 9, SLOT_NONE);
	(void)object_set_slot(&os, o, 999999, SLOT_NONE);
	object_destroy(&os, o);
	assert_int_equal(os.leaves.used, 0);
}

/* Its last window ends where 32 bits do; nothing is touched but two pages. */
static void
test_largest(void **state)
{
	struct object *o = object_create(&os, 0, PINDEX_MAX);
	const pindex_t last = PINDEX_MAX - 1, middle = PINDEX_MAX / 2;
	pindex_t i;

	(void)state;
	assert_non_null(o);
	assert_false(object_next(&os, o, 0, PINDEX_MAX, &i));
	assert_int_equal(object_set_slot(&os, o, middle, SLOT_ZERO), 0);
	assert_false(object_next(&os, o, middle + 1, PINDEX_MAX, &i));
	assert_int_equal(object_set_slot(&os, o, last, SLOT_ZERO), 0);
	assert_int_equal(o->leaves, 2);
	assert_true(object_next(&os, o, 0, PINDEX_MAX, &i) && i == middle);
	assert_true(
	    object_next(&os, o, middle + 1, PINDEX_MAX, &i) && i == last);
	assert_false(object_next(&os, o, middle + 1, last, &i));
	object_trim(&os, o, 0, PINDEX_MAX);
	assert_int_equal(os.leaves.used, 2);
	(void)object_set_slot(&os, o, last, SLOT_NONE);
	object_trim(&os, o, 0, PINDEX_MAX);
	assert_int_equal(os.leaves.used, 1);
	object_check(&os, &ps, o);
	(void)object_set_slot(&os, o, middle, SLOT_NONE);
	object_destroy(&os, o);
	assert_int_equal(os.leaves.used, 0);
}

/* A stream doubles its window while it is followed, up and down. */
static void
test_streams(void **state)
{
	struct object *o = object_create(&os, 0, 100000);
	struct stream *s, *t;
	bool down;

	(void)state;
	s = stream_find(o, 100, &down);
	assert_true(s->window == 1 && !down);
	stream_given(s, 100, 1);
	t = stream_find(o, 101, &down);
	assert_true(t == s && s->window == 2 && !down);
	stream_given(s, 101, 2);
	t = stream_find(o, 100, &down); /* before the last two */
	assert_true(t == s && s->window == 4 && down);
	stream_given(s, 97, 4);
	/* Seven more do not push it out, for it is used in between. */
	for (pindex_t i = 1; i <= 20; i++) {
		t = stream_find(o, i * 1000, &down);
		assert_true(t != s && t->window == 1);
		stream_given(t, i * 1000, 1);
		t = stream_find(o, s->fwd, &down);
		assert_true(t == s);
		stream_given(s, s->fwd, 1);
	}
	assert_int_equal(s->window, CLUSTER_MAX);
	object_destroy(&os, o);
}

/* The third fault at equal distances makes a stream that leaps. */
static void
test_leaps(void **state)
{
	struct object *o = object_create(&os, 0, 100000);
	struct stream *s, *t;
	bool down;

	(void)state;
	for (int leap = -STRIDE_MAX; leap <= STRIDE_MAX; leap += 3) {
		pindex_t at = 50000;

		if (leap >= -1 && leap <= 1)
			continue;
		memset(o->stream, 0, sizeof(o->stream));
		for (uint32_t k = 0; k < 12; k++, at += (pindex_t)leap) {
			s = stream_find(o, at, &down);
			assert_false(down);
			assert_int_equal(stream_leaps(s), k >= 2);
			assert_int_equal(stream_run(s), 1);
			assert_int_equal(s->window,
			    k < 2 ? 1 : US_MIN(1u << (k - 1), CLUSTER_MAX));
			stream_given(s, at, 1);
			/* Far away, others neither help nor hurt. */
			t = stream_find(o, 10000 + k * 1000, &down);
			assert_true(t != s && !stream_leaps(t));
			stream_given(t, 10000 + k * 1000, 1);
		}
	}
	object_destroy(&os, o);
}

/* Distances that differ, or are too far, are no stream; a guess ends in one. */
static void
test_no_leaps(void **state)
{
	static const pindex_t at[] = {100, 107, 115, 124, 134,
	    134 + STRIDE_MAX + 1, 134 + 2 * (STRIDE_MAX + 1),
	    134 + 3 * (STRIDE_MAX + 1)};
	struct object *o = object_create(&os, 0, 100000);
	struct stream *s;
	bool down;

	(void)state;
	for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++) {
		s = stream_find(o, at[k], &down);
		assert_int_equal(s->window, 1);
		assert_false(stream_leaps(s));
		stream_given(s, at[k], 1);
	}
	memset(o->stream, 0, sizeof(o->stream));
	stream_given(stream_find(o, 100, &down), 100, 1);
	stream_given(stream_find(o, 107, &down), 107, 1);
	s = stream_find(o, 108, &down); /* in order after all */
	assert_true(s->window == 2 && stream_run(s) == 2 && !down);
	object_destroy(&os, o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_grow, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_streams, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_leaps, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_leaps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
