/* SPDX-License-Identifier: BSD-2-Clause */
/* Content tags: the same by either way, and other for any change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <cmocka.h>
#include <xxhash.h>

#include "pager/tag.h"

static _Alignas(4096) unsigned char page[4096];
static unsigned seed;

static void
scribble(void)
{
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (unsigned char)rand_r(&seed);
}

static void
test_same_by_both(void **state)
{
	(void)state;
#ifdef __x86_64__
	if (!__builtin_cpu_supports("avx2"))
		skip();
	for (int i = 0; i < 1000; i++) {
		scribble();
		assert_int_equal(
		    tag_avx2(page), XXH3_64bits(page, sizeof(page)));
	}
	memset(page, 0, sizeof(page));
	assert_int_equal(tag_avx2(page), XXH3_64bits(page, sizeof(page)));
#else
	skip();
#endif
}

/* Each bit of the page is in it. */
static void
test_of_each_bit(void **state)
{
	uint64_t tag;

	(void)state;
	scribble();
	tag = pager_tag(page);
	for (size_t i = 0; i < sizeof(page) * 8; i++) {
		page[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_true(pager_tag(page) != tag);
		page[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	assert_true(pager_tag(page) == tag);
}

static void
test_zero(void **state)
{
	(void)state;
	memset(page, 0, sizeof(page));
	assert_true(pager_page_is_zero(page));
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] = 1;
		assert_false(pager_page_is_zero(page));
		page[i] = 0;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_by_both),
	    cmocka_unit_test(test_of_each_bit),
	    cmocka_unit_test(test_zero),
	};

	seed = (unsigned)time(NULL);
	printf("seed %u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
