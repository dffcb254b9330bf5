/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ranges: the table of ranges against a byte for each page.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

/* The source: it is part of the preload library only. */
#include "preload/ranges.c"
#include "support/seed.h"

#define PAGE    4096
#define PAGES   512
#define BASE    ((uintptr_t)0x7f0000000000)
#define ADDR(p) (BASE + (uintptr_t)(p)*PAGE)
#define FREE    0xff

static struct ranges table;
static unsigned char twin[PAGES]; /* the flags of a page, or FREE */

static void
compare(void)
{
	uint64_t writable = 0, young = 0;
	size_t i, runs = 0;

	assert_true(ranges_check(&table));
	for (i = 0; i < PAGES; i++) {
		const struct range *e = ranges_at(&table, ADDR(i));
		bool in = e != NULL && e->start <= ADDR(i);

		assert_int_equal(in, twin[i] != FREE);
		if (in)
			assert_int_equal(e->flags, twin[i]);
		if (twin[i] != FREE && (twin[i] & RANGE_WRITE))
			writable += PAGE;
		if (twin[i] != FREE && (twin[i] & RANGE_YOUNG))
			young += PAGE;
		if (twin[i] != FREE && (i == 0 || twin[i - 1] != twin[i]))
			runs++;
	}
	assert_int_equal(table.writable, writable);
	assert_int_equal(table.young, young);
	assert_int_equal(table.n, runs);
}

static void
twin_flag(unsigned from, unsigned to, unsigned set, unsigned clear)
{
	for (; from < to; from++)
		if (twin[from] != FREE)
			twin[from] =
			    (unsigned char)((twin[from] | set) & ~clear);
}

static void
queries(unsigned from, unsigned to)
{
	bool any = false, all = true, young = false, old = false;
	unsigned i;

	for (i = from; i < to; i++) {
		any |= twin[i] != FREE;
		all &= twin[i] != FREE;
		if (twin[i] == FREE)
			continue;
		young |= (twin[i] & RANGE_YOUNG) != 0;
		old |= (twin[i] & RANGE_YOUNG) == 0;
	}
	assert_int_equal(ranges_age(&table, ADDR(from), ADDR(to), true), young);
	assert_int_equal(ranges_age(&table, ADDR(from), ADDR(to), false), old);
	assert_int_equal(ranges_any(&table, ADDR(from), ADDR(to)), any);
	assert_int_equal(ranges_all(&table, ADDR(from), ADDR(to)), all);
}

/* mremap: in place, or to a place that does not overlap. */
static void
move(struct rng *rng)
{
	unsigned len = 1 + (unsigned)rng_below(rng, PAGES / 4);
	unsigned to_len = 1 + (unsigned)rng_below(rng, PAGES / 4);
	unsigned max = len > to_len ? len : to_len;
	unsigned from = (unsigned)rng_below(rng, PAGES - max);
	unsigned to = (unsigned)rng_below(rng, PAGES - max);
	bool keep = rng_below(rng, 4) == 0;
	unsigned char copy[PAGES];
	size_t n, before = table.n;
	unsigned i;

	if (rng_below(rng, 3) == 0 || (from < to + to_len && to < from + len)) {
		to = from;
		keep = false;
	}
	n = ranges_pieces(&table, ADDR(from), ADDR(from + len));
	assert_true(ranges_reserve(&table, n + 2));
	ranges_move(&table, ADDR(from), (size_t)len * PAGE, ADDR(to),
	    (size_t)to_len * PAGE, keep);
	assert_true(table.n <= before + 2 * (n + 2));

	memcpy(copy, twin, sizeof(copy));
	if (!keep)
		memset(twin + from, FREE, len);
	if (from != to)
		memset(twin + to, FREE, to_len);
	for (i = 0; i < to_len; i++)
		if (i < len)
			twin[to + i] = copy[from + i];
		else if (copy[from + len - 1] != FREE)
			twin[to + i] = copy[from + len - 1];
		else if (from == to)
			twin[to + i] = copy[to + i];
}

/* One random change on both sides; single-page changes make many ranges. */
static void
step(struct rng *rng)
{
	unsigned from = (unsigned)rng_below(rng, PAGES);
	unsigned max = rng_below(rng, 4) == 0 ? PAGES - from : 3;
	unsigned to = from + (unsigned)rng_below(rng, max + 1);
	unsigned a = (unsigned)rng_below(rng, 8);
	unsigned b = (unsigned)rng_below(rng, 8);
	size_t before = table.n;

	if (to > PAGES)
		to = PAGES;
	assert_true(ranges_reserve(&table, 1));
	switch (rng_below(rng, 6)) {
	case 0:
	case 1:
		ranges_add(&table, ADDR(from), ADDR(to), a);
		memset(twin + from, (int)a, to - from);
		break;
	case 2:
		ranges_remove(&table, ADDR(from), ADDR(to));
		memset(twin + from, FREE, to - from);
		break;
	case 3:
		ranges_flag(&table, ADDR(from), ADDR(to), a, b);
		twin_flag(from, to, a, b);
		break;
	case 4:
		move(rng);
		return;
	default:
		queries(from, to);
	}
	/* What ranges_reserve promises room for. */
	assert_true(table.n <= before + 2);
}

static void
test_model(void **state)
{
	struct rng rng = {test_seed()};
	int i;

	(void)state;
	table = (struct ranges)RANGES_INIT(table);
	memset(twin, FREE, sizeof(twin));
	for (i = 0; i < 40000; i++) {
		step(&rng);
		if (i % 7 == 0)
			compare();
	}
	compare();
	ranges_clear(&table);
	memset(twin, FREE, sizeof(twin));
	compare();
}

/* The table outgrows the array it starts with, and keeps its contents. */
static void
test_growth(void **state)
{
	uintptr_t i;

	(void)state;
	table = (struct ranges)RANGES_INIT(table);
	for (i = 0; i < 70000; i++) {
		assert_true(ranges_reserve(&table, 1));
		ranges_add(&table, ADDR(2 * i), ADDR(2 * i + 1), RANGE_WRITE);
	}
	assert_int_equal(table.n, 70000);
	assert_int_equal(table.writable, (uint64_t)70000 * PAGE);
	assert_true(ranges_check(&table));
	ranges_remove(&table, ADDR(0), ADDR(140000));
	assert_int_equal(table.n, 0);
	assert_true(ranges_check(&table));
}

/* The ends of the address space, and empty ranges. */
static void
test_edges(void **state)
{
	uintptr_t top = ~(uintptr_t)0 & ~(uintptr_t)(PAGE - 1);

	(void)state;
	table = (struct ranges)RANGES_INIT(table);
	ranges_add(&table, PAGE, PAGE, RANGE_WRITE);
	assert_int_equal(table.n, 0);
	ranges_add(&table, PAGE, top, 0);
	ranges_flag(&table, 2 * PAGE, 3 * PAGE, RANGE_WRITE, 0);
	assert_int_equal(table.n, 3);
	assert_int_equal(table.writable, PAGE);
	assert_true(ranges_all(&table, PAGE, top));
	assert_false(ranges_all(&table, 0, top));
	assert_true(ranges_any(&table, 0, 2 * PAGE));
	assert_false(ranges_any(&table, 0, PAGE));
	assert_null(ranges_at(&table, top));
	ranges_flag(&table, 0, top, 0, RANGE_WRITE);
	assert_int_equal(table.n, 1);
	assert_true(ranges_check(&table));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
