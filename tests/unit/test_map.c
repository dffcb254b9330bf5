/* SPDX-License-Identifier: BSD-2-Clause */
/* map: which object is behind which address. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "pager/map.h"
#include "pager/object.h"
#include "support/seed.h"

#define BASE  ((uintptr_t)1 << 30)
#define PAGES 64

static uintptr_t
at(uint32_t page)
{
	return BASE + ptoa(page);
}

static void
test_insert_and_look_up(void **state)
{
	struct object o = {.base = BASE, .npages = PAGES}, other = o;
	struct map m;

	(void)state;
	assert_int_equal(map_init(&m), 0);
	assert_null(map_lookup(&m, at(0)));
	assert_null(map_first(&m, 0));
	assert_int_equal(map_insert(&m, at(4), at(8), &o), 0);
	assert_int_equal(map_insert(&m, at(7), at(9), &o), -EEXIST);
	assert_int_equal(map_insert(&m, at(2), at(5), &o), -EEXIST);
	assert_int_equal(map_insert(&m, at(8), at(9), &other), 0);
	assert_null(map_lookup(&m, at(4) - 1));
	assert_ptr_equal(map_lookup(&m, at(4))->object, &o);
	assert_true(map_lookup(&m, at(8) - 1)->end == at(8));
	assert_true(map_lookup(&m, at(8))->start == at(8));
	assert_null(map_lookup(&m, at(9)));
	assert_true(map_first(&m, 0)->start == at(4));
	assert_int_equal(o.mappings, 1);
	assert_int_equal(other.mappings, 1);
	map_check(&m);
	map_destroy(&m);
}

/* Entries of one object that touch are one. */
static void
test_join(void **state)
{
	struct object o = {.base = BASE, .npages = PAGES}, other = o;
	struct map m;

	(void)state;
	assert_int_equal(map_init(&m), 0);
	assert_int_equal(map_insert(&m, at(10), at(12), &o), 0);
	assert_int_equal(map_insert(&m, at(8), at(10), &o), 0); /* below */
	assert_int_equal(m.n, 1);
	assert_int_equal(map_insert(&m, at(14), at(16), &o), 0);
	assert_int_equal(m.n, 2);
	assert_int_equal(map_insert(&m, at(16), at(17), &o), 0); /* above */
	assert_int_equal(m.n, 2);
	assert_int_equal(map_insert(&m, at(12), at(14), &o), 0); /* between */
	assert_int_equal(m.n, 1);
	assert_int_equal(o.mappings, 1);
	assert_true(m.e[0].start == at(8) && m.e[0].end == at(17));
	assert_int_equal(m.pages, 9);
	assert_int_equal(map_insert(&m, at(17), at(18), &other), 0);
	assert_int_equal(map_insert(&m, at(18), at(19), &o), 0);
	assert_int_equal(m.n, 3);
	assert_int_equal(o.mappings, 2);
	map_check(&m);
	map_destroy(&m);
}

/* Whose pages reach over a range that is free. */
static void
test_near(void **state)
{
	struct object a = {.base = at(0), .npages = 16};
	struct object b = {.base = at(20), .npages = PAGES - 20};
	struct map m;

	(void)state;
	assert_int_equal(map_init(&m), 0);
	assert_null(map_near(&m, at(4), at(5)));
	assert_int_equal(map_insert(&m, at(8), at(9), &a), 0);
	assert_int_equal(map_insert(&m, at(30), at(40), &b), 0);
	assert_ptr_equal(map_near(&m, at(4), at(5)), &a);
	assert_ptr_equal(map_near(&m, at(0), at(8)), &a);
	assert_ptr_equal(map_near(&m, at(9), at(16)), &a);
	assert_null(map_near(&m, at(9), at(17)));
	assert_null(map_near(&m, at(19), at(21)));
	assert_ptr_equal(map_near(&m, at(20), at(30)), &b);
	assert_ptr_equal(map_near(&m, at(50), at(PAGES)), &b);
	assert_null(map_near(&m, at(50), at(PAGES + 1)));
	map_destroy(&m);
}

static void
test_remove_cuts(void **state)
{
	struct object o = {.base = BASE, .npages = PAGES};
	struct map_entry r;
	struct map m;

	(void)state;
	assert_int_equal(map_init(&m), 0);
	assert_int_equal(map_insert(&m, at(10), at(20), &o), 0);
	assert_false(map_remove(&m, at(20), at(30), &r));
	assert_true(map_remove(&m, at(14), at(16), &r)); /* the middle */
	assert_true(r.start == at(14) && r.end == at(16) && r.object == &o);
	assert_int_equal(o.mappings, 2);
	assert_true(map_remove(&m, at(5), at(11), &r)); /* the beginning */
	assert_true(r.start == at(10) && r.end == at(11));
	assert_true(map_remove(&m, at(19), at(30), &r)); /* the end */
	assert_true(r.start == at(19) && r.end == at(20));
	assert_int_equal(m.pages, 3 + 3);
	map_check(&m);
	assert_true(map_remove(&m, at(0), at(30), &r)); /* a whole entry */
	assert_int_equal(o.mappings, 1);
	assert_true(map_remove(&m, at(0), at(30), &r));
	assert_false(map_remove(&m, at(0), at(30), &r));
	assert_int_equal(o.mappings, 0);
	assert_int_equal(m.n, 0);
	map_destroy(&m);
}

static void
test_extend(void **state)
{
	struct object o = {.base = BASE, .npages = PAGES};
	struct map m;

	(void)state;
	assert_int_equal(map_init(&m), 0);
	assert_int_equal(map_insert(&m, at(0), at(4), &o), 0);
	assert_int_equal(map_insert(&m, at(8), at(9), &o), 0);
	assert_int_equal(map_extend(&m, map_lookup(&m, at(0)), at(9)), -EEXIST);
	assert_int_equal(map_extend(&m, map_lookup(&m, at(0)), at(8)), 0);
	assert_true(map_lookup(&m, at(7))->start == at(0));
	map_check(&m);
	map_destroy(&m);
}

/* Against an array that says for each page whether it is mapped. */
static void
test_random(void **state)
{
	struct object o = {.base = BASE, .npages = PAGES};
	struct rng r = {test_seed()};
	bool there[PAGES] = {false};
	struct map_entry part;
	struct map m;

	(void)state;
	assert_int_equal(map_init(&m), 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t a = (uint32_t)rng_below(&r, PAGES - 1), k;
		uint32_t b = a + 1 + (uint32_t)rng_below(&r, PAGES - a);
		bool any = false;

		b = US_MIN(b, (uint32_t)PAGES);
		for (k = a; k < b; k++)
			any |= there[k];
		if (rng_below(&r, 2) == 0) {
			assert_int_equal(map_insert(&m, at(a), at(b), &o),
			    any ? -EEXIST : 0);
			for (k = a; k < b && !any; k++)
				there[k] = true;
		} else {
			while (map_remove(&m, at(a), at(b), &part))
				continue;
			for (k = a; k < b; k++)
				there[k] = false;
		}
		for (k = 0; k < PAGES; k++)
			assert_int_equal(
			    map_lookup(&m, at(k)) != NULL, there[k]);
		assert_int_equal(o.mappings, m.n);
		map_check(&m);
	}
	map_destroy(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_insert_and_look_up),
	    cmocka_unit_test(test_join),
	    cmocka_unit_test(test_near),
	    cmocka_unit_test(test_remove_cuts),
	    cmocka_unit_test(test_extend),
	    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
