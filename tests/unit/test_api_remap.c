/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_remap: uswap_remap grows, shrinks and moves; contents, blocks and what is
 * known of each page go along.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "support/api.h"

#define N 512u /* pages of a region */

/* Address space for pages that nobody else has. */
static char *
place(uint32_t pages)
{
	char *p = mmap(
	    NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* Pages in all the states there are: by their index modulo 4. */
static char *
mixed(void)
{
	char *p = region(N, 0);

	for (uint32_t i = 0; i < N; i++)
		if (i % 4 < 2)
			pattern(p + ptoa(i), i, 1);
		else if (i % 4 == 2)
			assert_int_equal(p[ptoa(i)], 0);
	page_out(p, 0, N / 2);
	/* Some are in memory again, and unchanged. */
	for (uint32_t i = 0; i < N / 2; i += 8)
		check_pages(p, i, i + 1, 1);
	return p;
}

/* from: the index that the first page had. */
static void
check_mixed(const char *p, uint32_t from, uint32_t n)
{
	static const char zeros[4096];

	for (uint32_t i = from; i < from + n; i++, p += PAGE)
		if (i % 4 < 2 && i < N)
			check_pages(p - ptoa(i), i, i + 1, 1);
		else if (memcmp(p, zeros, PAGE) != 0)
			fail_msg("page %u is not zeros", i);
}

static void *
remap(void *p, uint32_t n, uint32_t to_n, int flags, void *to)
{
	void *ret = NULL;

	works(uswap_remap(u, p, n * PAGE, to_n * PAGE, flags, to, &ret));
	return ret;
}

static void
test_move(void **state)
{
	char *p, *q, *to;

	(void)state;
	opens("swap,size=64M");
	p = mixed();
	to = place(2 * N);
	q = remap(p, N, N, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	assert_ptr_equal(q, to);
	assert_int_equal(uswap_is_managed(u, p, N * PAGE), 0);
	check_mixed(q, 0, N);
	page_out(q, 0, N);
	check_mixed(q, 0, N);
	/* Again, longer. */
	p = remap(q, N, 2 * N, MREMAP_MAYMOVE | MREMAP_FIXED, place(2 * N));
	check_mixed(p, 0, 2 * N);
	unmap(p, 2 * N);
	closes();
}

/* A part in the middle: what is left on both sides stays as it was. */
static void
test_part(void **state)
{
	const uint32_t a = N / 4, n = N / 2;
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = mixed();
	q = remap(p + ptoa(a), n, n, MREMAP_MAYMOVE | MREMAP_FIXED, place(n));
	check_mixed(p, 0, a);
	check_mixed(q, a, n);
	check_mixed(p + ptoa(a + n), a + n, N - a - n);
	assert_int_equal(uswap_is_managed(u, p + ptoa(a), n * PAGE), 0);
	/* Home again. */
	q = remap(q, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, p + ptoa(a));
	check_mixed(p, 0, N);
	unmap(p, N);
	closes();
}

static void
test_resize(void **state)
{
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = mixed();
	q = remap(p, N, N / 4, 0, NULL);
	assert_ptr_equal(q, p);
	check_mixed(p, 0, N / 4);
	/* In its place if there is room, else it may move. */
	q = remap(p, N / 4, 4 * N, MREMAP_MAYMOVE, NULL);
	check_mixed(q, 0, N / 4);
	for (uint32_t i = N / 4; i < 4 * N; i++)
		assert_int_equal(q[ptoa(i)], 0);
	write_pages(q, 0, 4 * N, 7);
	check_pages(q, 0, 4 * N, 7);
	unmap(q, 4 * N);
	closes();
}

/* Onto a region: what was there is gone, with its blocks. */
static void
test_onto(void **state)
{
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	q = region(2 * N, 5);
	page_out(q, 0, 2 * N);
	p = mixed();
	(void)remap(p, N, N, MREMAP_MAYMOVE | MREMAP_FIXED, q + ptoa(N / 2));
	check_pages(q, 0, N / 2, 5);
	check_mixed(q + ptoa(N / 2), 0, N);
	check_pages(q, N / 2 + N, 2 * N, 5);
	unmap(q, 2 * N);
	closes();
}

/*
 * The shared page of zeros is write-protected, and Linux from 6.14 on forgets
 * that when it moves: writes went unnoticed, beyond the budget.
 */
static void
test_zeros(void **state)
{
	const uint32_t n = 2 * BUDGET;
	struct uswap_stats st;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(n, 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(p[ptoa(i)], 0);
	p = remap(p, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, place(n));
	write_pages(p, 0, n, 1);
	st = stats();
	assert_true(st.ram_used <= RAM);
	assert_true(st.pages_out > BUDGET / 2);
	check_pages(p, 0, n, 1);
	unmap(p, n);
	closes();
}

/* Untouched, and a mapping by itself: the kernel has joined it with nothing. */
static char *
alone(void)
{
	char *p = place(N + 2) + PAGE;

	assert_int_equal(mprotect(p, N * PAGE, PROT_READ | PROT_WRITE), 0);
	works(uswap_manage(u, p, N * PAGE));
	return p;
}

/*
 * The kernel joins untouched memory with what it lands next to, and takes both
 * from the userfaultfd: what the neighbour had in swap space read as zeros.
 */
static void
test_neighbours(void **state)
{
	char *p, *q, *at;

	(void)state;
	opens("swap,size=64M");
	at = place(3 * N);
	p = remap(alone(), N, N, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	q = remap(
	    alone(), N, N, MREMAP_MAYMOVE | MREMAP_FIXED, at + ptoa(2 * N));
	write_pages(p, 0, N, 1);
	write_pages(q, 0, N, 2);
	page_out(p, 0, N);
	page_out(q, 0, N);
	(void)remap(alone(), N, N, MREMAP_MAYMOVE | MREMAP_FIXED, at + ptoa(N));
	check_pages(p, 0, N, 1);
	check_pages(q, 0, N, 2);
	/* All three at once. */
	works(uswap_pageout(u, at, 3 * N * PAGE));
	unmap(at, 3 * N);
	closes();
}

/* Several regions that the kernel holds for one mapping. */
static void
test_several(void **state)
{
	char *at = place(2 * N), *p;

	(void)state;
	opens("swap,size=64M");
	assert_int_equal(mprotect(at, 2 * N * PAGE, PROT_READ | PROT_WRITE), 0);
	works(uswap_manage(u, at, N * PAGE));
	works(uswap_manage(u, at + ptoa(N), N * PAGE));
	write_pages(at, 0, 2 * N, 3);
	page_out(at, N / 2, N + N / 2);
	p = remap(
	    at, 2 * N, 3 * N, MREMAP_MAYMOVE | MREMAP_FIXED, place(3 * N));
	check_pages(p, 0, 2 * N, 3);
	assert_int_equal(uswap_is_managed(u, at, 2 * N * PAGE), 0);
	p = remap(p, 3 * N, 2 * N, MREMAP_MAYMOVE, NULL);
	page_out(p, 0, N);
	check_pages(p, 0, 2 * N, 3);
	unmap(p, 2 * N);
	closes();
}

/* MREMAP_DONTUNMAP: what is left behind is managed, and zeros. */
static void
test_left_behind(void **state)
{
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = mixed();
	q = remap(p, N, N, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	check_mixed(q, 0, N);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(p[ptoa(i)], 0);
	write_pages(p, 0, N, 4);
	page_out(p, 0, N);
	page_out(q, 0, N);
	check_pages(p, 0, N, 4);
	check_mixed(q, 0, N);
	unmap(p, N);
	unmap(q, N);
	closes();
}

/* Untouched, and moved to just before itself: the kernel makes one of the two. */
static void
test_left_beside(void **state)
{
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = region(3 * N, 0);
	q = remap(p + ptoa(N), N, N,
	    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, p);
	assert_ptr_equal(q, p);
	/* Of what is not managed the pager does not know that it is there. */
	write_pages(p, 0, 3 * N, 6);
	for (uint32_t i = 0; i < 3 * N; i++)
		becomes(p, i, USWAP_MAPPED | USWAP_RESIDENT);
	page_out(p, 0, 3 * N);
	check_pages(p, 0, 3 * N, 6);
	unmap(p, 3 * N);
	closes();
}

/* Memory that is not managed takes the place of managed memory, or cannot. */
static void
test_moved_in(void **state)
{
	char *p, *q;
	void *ret;

	(void)state;
	opens("swap,size=64M");
	p = region(N, 5);
	q = place(N);
	/* Two mappings: only Linux from 6.17 on would take them. */
	assert_int_equal(mprotect(q + PAGE, PAGE, PROT_READ), 0);
	page_out(p, 0, N / 2);
	fails(uswap_remap(u, q, 2 * PAGE, 2 * PAGE,
		  MREMAP_MAYMOVE | MREMAP_FIXED, p, &ret),
	    EFAULT, "");
	check_pages(p, 0, N, 5);
	assert_int_equal(mprotect(q, N * PAGE, PROT_READ | PROT_WRITE), 0);
	memset(q, 9, 2 * PAGE);
	assert_ptr_equal(
	    remap(q, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE), p + PAGE);
	assert_int_equal(p[PAGE], 9);
	assert_int_equal(uswap_is_managed(u, p + PAGE, 2 * PAGE), 0);
	check_pages(p, 0, 1, 5);
	check_pages(p, 3, N, 5);
	unmap(p, N);
	closes();
}

static void
test_refused(void **state)
{
	char *p;
	void *ret = &ret;

	(void)state;
	opens("swap,size=64M");
	p = mixed();
	fails(uswap_remap(u, p, (N + 1) * PAGE, N * PAGE, 0, NULL, &ret),
	    EFAULT, "");
	fails(uswap_remap(u, p + 1, PAGE, PAGE, 0, NULL, &ret), EINVAL, "");
	fails(uswap_remap(u, p, N * PAGE, 0, 0, NULL, &ret), EINVAL, "");
	assert_ptr_equal(ret, &ret);
	check_mixed(p, 0, N);
	unmap(p, N);
	closes();
}

/* Onto a part of itself, or with more than there is: neither is changed. */
static void
test_overlap(void **state)
{
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	char *p, *q;
	void *ret = &ret;

	(void)state;
	opens("swap,size=64M");
	p = region(N, 1);
	q = region(N, 2);
	page_out(p, 0, N);
	page_out(q, 0, N);
	fails(
	    uswap_remap(u, p, N * PAGE, N * PAGE, fixed, p + ptoa(N / 2), &ret),
	    EINVAL, "");
	fails(
	    uswap_remap(u, p, N * PAGE, N * PAGE, fixed, p - ptoa(N / 2), &ret),
	    EINVAL, "");
	assert_int_not_equal(
	    uswap_remap(u, p, 2 * N * PAGE, N * PAGE, fixed, q, &ret), 0);
	assert_ptr_equal(ret, &ret);
	check_pages(p, 0, N, 1);
	check_pages(q, 0, N, 2);
	assert_ptr_equal(remap(p, N, N, fixed, q), q);
	check_pages(q, 0, N, 1);
	unmap(q, N);
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_move),
	    cmocka_unit_test(test_part),
	    cmocka_unit_test(test_resize),
	    cmocka_unit_test(test_onto),
	    cmocka_unit_test(test_zeros),
	    cmocka_unit_test(test_neighbours),
	    cmocka_unit_test(test_several),
	    cmocka_unit_test(test_left_behind),
	    cmocka_unit_test(test_left_beside),
	    cmocka_unit_test(test_moved_in),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_overlap),
	};

	api_begin();
	return api_end(api_run(tests));
}
