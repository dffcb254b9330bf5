/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_named: named regions: who asks for a name gets the same memory, until
 * the last has given it back.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/api.h"

#define N       64u
#define THREADS 8
#define ROUNDS  200u

static char *
named(const char *name, uint32_t n)
{
	void *p = NULL;

	works(uswap_map_named(u, name, n * PAGE, &p));
	return p;
}

static void
test_shared(void **state)
{
	char *a, *b, *c;

	(void)state;
	opens("swap,size=64M");
	a = named("a", N);
	write_pages(a, 0, N, 1);
	b = named("b", N);
	assert_ptr_not_equal(a, b);
	page_out(a, 0, N);
	/* As often as it is asked for; shorter is no error. */
	assert_ptr_equal(named("a", N), a);
	assert_ptr_equal(named("a", 1), a);
	check_pages(a, 0, N, 1);
	write_pages(b, 0, N, 2);
	works(uswap_unmap_named(u, "a"));
	works(uswap_unmap_named(u, "a"));
	check_pages(a, 0, N, 1);
	works(uswap_unmap_named(u, "a"));
	assert_int_equal(uswap_is_managed(u, a, N * PAGE), 0);
	check_pages(b, 0, N, 2);
	/* The name is free: another region, of zeros and of any length. */
	c = named("a", 2 * N);
	check_pages(c, 0, 2 * N, 0);
	works(uswap_unmap_named(u, "a"));
	works(uswap_unmap_named(u, "b"));
	closes();
}

static void
test_errors(void **state)
{
	char name[USWAP_NAME_MAX + 1], *a, *q;
	void *ret = &ret;

	(void)state;
	opens("swap,size=64M");
	memset(name, 'x', sizeof(name));
	name[USWAP_NAME_MAX] = '\0';
	fails(uswap_map_named(u, name, PAGE, &ret), EINVAL, "1 to 63 bytes");
	fails(uswap_map_named(u, "", PAGE, &ret), EINVAL, "1 to 63 bytes");
	fails(uswap_map_named(u, "a", 0, &ret), EINVAL, "0 bytes");
	fails(uswap_map_named(u, "a", (size_t)1 << 55, &ret), ENOMEM, "");
	fails(uswap_unmap_named(u, "a"), ENOENT, "no region has that name");
	fails(uswap_unmap_named(u, ""), EINVAL, "1 to 63 bytes");
	name[USWAP_NAME_MAX - 1] = '\0'; /* the longest */
	a = named(name, N);
	fails(uswap_map_named(u, name, N * PAGE + 1, &ret), EINVAL, "shorter");
	assert_ptr_equal(ret, &ret);
	/* It stays where it is, whole. */
	q = region(N, 1);
	fails(uswap_unmap(u, a, N * PAGE), EBUSY, name);
	fails(uswap_unmap(u, a + (N - 1) * PAGE, PAGE), EBUSY, name);
	fails(uswap_forget(u, a, PAGE), EBUSY, name);
	fails(uswap_remap(
		  u, a, N * PAGE, 2 * N * PAGE, MREMAP_MAYMOVE, NULL, &ret),
	    EBUSY, name);
	fails(uswap_remap(u, a, N * PAGE, PAGE, 0, NULL, &ret), EBUSY, name);
	fails(uswap_remap(u, q, N * PAGE, N * PAGE,
		  MREMAP_MAYMOVE | MREMAP_FIXED, a, &ret),
	    EBUSY, name);
	assert_ptr_equal(ret, &ret);
	fails(uswap_close(u), EBUSY, "2 regions");
	check_pages(q, 0, N, 1);
	check_pages(a, 0, N, 0);
	unmap(q, N);
	works(uswap_unmap_named(u, name));
	closes();
}

static void
test_many(void **state)
{
	char name[USWAP_NAME_MAX];
	void *ret;

	(void)state;
	opens("swap,size=64M");
	for (unsigned i = 0; i < USWAP_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		*named(name, 1) = (char)i;
	}
	fails(uswap_map_named(u, "more", PAGE, &ret), ENOSPC, "too many names");
	/* Those there are can still be had. */
	assert_int_equal(*named("1000", 1), (char)1000);
	works(uswap_unmap_named(u, "1000"));
	works(uswap_unmap_named(u, "7"));
	(void)named("more", 1);
	for (unsigned i = 0; i < USWAP_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		if (i != 7)
			works(uswap_unmap_named(u, name));
	}
	works(uswap_unmap_named(u, "more"));
	closes();
}

/*
 * Threads that create and give back one name at the same time: whoever holds
 * it has the memory all others that hold it have.
 */

static void *
race(void *arg)
{
	uintptr_t wrong = 0;

	(void)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		_Atomic unsigned *counter;
		void *p;

		if (uswap_map_named(u, "race", PAGE, &p) != 0)
			return (void *)1;
		counter = p;
		/* Never unmapped, or made anew, while somebody has it. */
		atomic_fetch_add(counter, 1);
		wrong += atomic_load(counter) == 0;
		wrong += (int)atomic_fetch_sub(counter, 1) <= 0;
		wrong += uswap_unmap_named(u, "race") != 0;
	}
	return (void *)wrong;
}

static void
test_race(void **state)
{
	pthread_t t[THREADS];
	void *wrong, *ret;

	(void)state;
	opens("swap,size=64M");
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, race, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &wrong);
		assert_null(wrong);
	}
	fails(uswap_unmap_named(u, "race"), ENOENT, "");
	works(uswap_map_named(u, "race", PAGE, &ret));
	assert_int_equal(*(char *)ret, 0);
	works(uswap_unmap_named(u, "race"));
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shared),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_race),
	};

	api_begin();
	return api_end(api_run(tests));
}
