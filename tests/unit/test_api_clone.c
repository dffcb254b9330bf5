/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_clone: uswap_clone: a region as it was at one moment, whatever happens to
 * either of the two afterwards; blocks are shared, nothing is copied.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/base.h"
#include "support/api.h"
#include "support/touch.h"

#define N 256u /* pages of a region */

static char *
cloned(char *p, uint32_t n)
{
	void *q = NULL;

	works(uswap_clone(u, p, n * PAGE, &q));
	assert_ptr_not_equal(p, q);
	return q;
}

/* Pages in all the states there are: by their index modulo 4. */
static char *
mixed(uint32_t n)
{
	char *p = region(n, 0);

	for (uint32_t i = 0; i < n; i++)
		if (i % 4 < 2)
			pattern(p + ptoa(i), i, 1);
		else if (i % 4 == 2)
			assert_int_equal(p[ptoa(i)], 0);
	page_out(p, 0, n / 2);
	/* Some are in memory again, and unchanged; some are changed. */
	for (uint32_t i = 0; i < n / 2; i += 8)
		check_pages(p, i, i + 1, 1);
	for (uint32_t i = 4; i < n / 2; i += 8)
		write_pages(p, i, i + 1, 1);
	return p;
}

static void
check_mixed(const char *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		check_pages(p, i, i + 1, i % 4 < 2 ? 1 : 0);
}

/* Each is written and unmapped by itself, in either order. */
static void
test_apart(void **state)
{
	char *p, *q;

	(void)state;
	for (int first = 0; first < 2; first++) {
		opens("swap,size=64M");
		p = mixed(N);
		q = cloned(p, N);
		check_mixed(p, N);
		check_mixed(q, N);
		write_pages(p, 0, N, 2);
		check_mixed(q, N);
		page_out(p, 0, N);
		page_out(q, 0, N);
		write_pages(q, N / 4, N / 2, 3);
		check_pages(p, 0, N, 2);
		unmap(first == 0 ? p : q, N);
		if (first == 0) {
			check_pages(q, N / 4, N / 2, 3);
			for (uint32_t i = 0; i < N / 4; i++)
				check_pages(q, i, i + 1, i % 4 < 2 ? 1 : 0);
		} else {
			check_pages(p, 0, N, 2);
		}
		unmap(first == 0 ? q : p, N);
		closes();
	}
}

/* What is in swap space is shared, and not read; clean pages stay where they are. */
static void
test_shared(void **state)
{
	const uint32_t n = 2048;
	struct uswap_stats before, after;
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = region(n, 1);
	page_out(p, 0, n);
	before = stats();
	assert_int_equal(before.swap_used, n * PAGE);
	q = cloned(p, n);
	after = stats();
	assert_int_equal(after.swap_used, n * PAGE);
	assert_int_equal(after.swap_reads, before.swap_reads);
	assert_int_equal(after.swap_writes, before.swap_writes);
	assert_int_equal(after.ram_used, before.ram_used);
	check_pages(q, 0, n, 1);
	/* Changed pages get blocks of their own when they leave. */
	write_pages(q, 0, 100, 2);
	page_out(q, 0, n);
	assert_int_equal(stats().swap_used, (n + 100) * PAGE);
	assert_int_equal(flags(q, 5), USWAP_SWAPPED);
	works(uswap_advise(u, q, n * PAGE, USWAP_DONTNEED));
	assert_int_equal(stats().swap_used, n * PAGE);
	check_pages(p, 0, n, 1);
	unmap(p, n);
	check_pages(q, 0, n, 0);
	unmap(q, n);
	closes();
}

/* Pages in memory are written once, and stay there. */
static void
test_in_memory(void **state)
{
	const uint32_t n = 2000;
	struct uswap_stats before, after;
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = region(n, 1);
	before = stats();
	q = cloned(p, n);
	after = stats();
	assert_int_equal(after.pages_out - before.pages_out, n);
	assert_int_equal(after.swap_used, n * PAGE);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(flags(p, i), USWAP_RESIDENT | USWAP_SWAPPED);
	check_pages(p, 0, n, 1);
	assert_int_equal(stats().swap_reads, before.swap_reads);
	/* Again: there is nothing to write. */
	unmap(q, n);
	q = cloned(p, n);
	assert_int_equal(stats().pages_out, after.pages_out);
	check_pages(q, 0, n, 1);
	unmap(q, n);
	unmap(p, n);
	closes();
}

/* Far more than the budget, and a clone of a clone of a part. */
static void
test_large(void **state)
{
	const uint32_t n = 2 * BUDGET;
	char *p, *q, *r;

	(void)state;
	opens("swap,size=256M");
	p = region(n, 1);
	q = cloned(p, n);
	write_pages(p, 0, n, 2);
	r = cloned(q + ptoa(n / 4), n / 2);
	write_pages(q, n / 4, n / 2, 3);
	check_pages(p, 0, n, 2);
	check_pages(q, 0, n / 4, 1);
	check_pages(q, n / 4, n / 2, 3);
	for (uint32_t i = 0; i < n / 2; i++)
		if (!holds(r + ptoa(i), n / 4 + i, 1))
			fail_msg("page %u of a part", i);
	assert_true(stats().ram_peak <= RAM);
	unmap(q, n);
	unmap(p, n);
	unmap(r, n / 2);
	closes();
}

static void
test_errors(void **state)
{
	char *p, *q;
	void *ret = &ret;

	(void)state;
	opens("swap,size=16M");
	p = mixed(N);
	fails(uswap_clone(u, p, (N + 1) * PAGE, &ret), EFAULT, "one managed");
	fails(uswap_clone(u, p + 1, PAGE, &ret), EINVAL, "");
	fails(uswap_clone(u, p, 0, &ret), EINVAL, "");
	works(uswap_wire(u, p + ptoa(9), PAGE));
	fails(uswap_clone(u, p, N * PAGE, &ret), EBUSY, "wired");
	q = cloned(p, 9); /* not a part of it */
	unmap(q, 9);
	works(uswap_unwire(u, p + ptoa(9), PAGE));
	/* A page that the program has protected is cloned like any other. */
	write_pages(p, 0, 1, 1);
	assert_int_equal(mprotect(p, PAGE, PROT_NONE), 0);
	q = cloned(p, N);
	assert_int_equal(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_memory_equal(p, q, PAGE);
	unmap(q, N);
	works(uswap_reserve(u, p, PAGE));
	fails(uswap_clone(u, p, N * PAGE, &ret), EBUSY, "reserved");
	assert_ptr_equal(ret, &ret);
	check_mixed(p, N);
	unmap(p, N);
	closes();
}

/* Reserved pages can be written over their own blocks, which shared ones cannot. */
static void
test_reserve(void **state)
{
	char *p, *q;

	(void)state;
	opens("swap,size=64M");
	p = region(N, 1);
	q = cloned(p, N);
	fails(uswap_reserve(u, p, N * PAGE), EBUSY, "shared with a clone");
	fails(uswap_reserve(u, q, PAGE), EBUSY, "shared with a clone");
	unmap(q, N);
	works(uswap_reserve(u, p, N * PAGE));
	check_pages(p, 0, N, 1);
	unmap(p, N);
	closes();
}

/* Swap space that cannot hold the pages in memory: nothing has changed. */
static void
test_no_space(void **state)
{
	const uint32_t n = 2000;
	struct uswap_stats st;
	void *ret = &ret;
	char *p, *q;

	(void)state;
	opens("swap,size=4M");
	p = region(n, 1);
	fails(uswap_clone(u, p, n * PAGE, &ret), ENOSPC, "cannot hold");
	assert_ptr_equal(ret, &ret);
	check_pages(p, 0, n, 1);
	st = stats();
	assert_int_equal(st.managed, n * PAGE);
	write_pages(p, 0, n, 2);
	check_pages(p, 0, n, 2);
	unmap(p, n);
	closes();
	/* Without any, what has no contents can be cloned. */
	opens(NULL);
	p = region(n, 0);
	q = cloned(p, n);
	check_pages(q, 0, n, 0);
	unmap(p, n);
	unmap(q, n);
	closes();
}

/* ---- numbers ------------------------------------------------------------- */

static struct uswap_region
numbers(const void *p, size_t n)
{
	struct uswap_region r;

	works(uswap_region_stats(u, p, n * PAGE, &r, sizeof(r)));
	return r;
}

/* The same as uswap_residency tells page by page, and uswap_stats in all. */
static void
test_numbers(void **state)
{
	struct uswap_region r, sum = {0};
	uint32_t mapped = 0, resident = 0, blocks = 0, swapped = 0;
	uintptr_t at = 0;
	char *p, *q;
	void *name;

	(void)state;
	opens("swap,size=64M");
	p = mixed(N);
	usleep(10000); /* the pager may not have noted the last page so far */
	r = numbers(p, N);
	assert_int_equal(r.addr, (uintptr_t)p);
	assert_int_equal(r.length, N * PAGE);
	assert_string_equal(r.name, "");
	for (uint32_t i = 0; i < N; i++) {
		unsigned f = flags(p, i);

		mapped += (f & USWAP_MAPPED) != 0;
		resident += (f & USWAP_RESIDENT) != 0;
		blocks += (f & USWAP_SWAPPED) != 0;
		swapped += f == USWAP_SWAPPED;
	}
	assert_int_equal(r.mapped, mapped);
	assert_int_equal(r.resident, resident);
	assert_int_equal(r.blocks, blocks);
	assert_int_equal(r.on[0], blocks);
	assert_int_equal(r.swapped, swapped);
	assert_true(swapped > 0 && resident > 0);
	assert_int_equal(r.shared + r.lost + r.wired + r.reserved, 0);
	/* A part, from before it on. */
	page_out(p, 0, N);
	r = numbers(p - PAGE, N / 2 + 1);
	assert_int_equal(r.addr, (uintptr_t)p);
	assert_int_equal(r.length, N / 2 * PAGE);
	assert_int_equal(r.swapped, N / 4);
	works(uswap_wire(u, p, 3 * PAGE));
	assert_int_equal(numbers(p, N).wired, 3);
	works(uswap_unwire(u, p, 3 * PAGE));
	/* With a second device, and a clone. */
	works(uswap_swapon(u, path("swap2,size=64M,prio=9")));
	q = cloned(p, N);
	write_pages(q, 0, 8, 2);
	page_out(q, 0, N);
	r = numbers(q, N);
	assert_int_equal(r.on[0], 8); /* of higher priority */
	assert_int_equal(r.on[1], r.blocks - 8);
	assert_int_equal(r.shared, r.blocks - 8);
	works(uswap_map_named(u, "here", PAGE, &name));
	works(uswap_reserve(u, name, PAGE));
	assert_string_equal(numbers(name, 1).name, "here");
	assert_int_equal(numbers(name, 1).reserved, 1);
	/* All of them: no block is counted nowhere. */
	while (uswap_region_stats(
		   u, (void *)at, (size_t)1 << 47, &r, sizeof(r)) == 0) {
		sum.length += r.length;
		sum.blocks += r.blocks;
		sum.shared += r.shared;
		sum.resident += r.resident;
		at = r.addr + r.length;
	}
	assert_int_equal(sum.length, stats().managed);
	assert_int_equal(
	    (sum.blocks - sum.shared / 2) * PAGE, stats().swap_used);
	assert_int_equal(
	    sum.resident, stats().pages_active + stats().pages_inactive);
	unmap(p, N);
	unmap(q, N);
	works(uswap_unmap_named(u, "here"));
	fails(uswap_region_stats(u, p, PAGE, &r, sizeof(r)), ENOENT, "managed");
	fails(uswap_region_stats(u, p, 0, &r, sizeof(r)), EINVAL, "0 bytes");
	closes();
	(void)unlink(path("swap2"));
}

/* ---- while others write -------------------------------------------------- */

#define WRITERS 2

/*
 * A writer has every second page, in an order of its own, and writes the number of
 * the pass into one after the other.  So at any moment the first of them hold the
 * pass, and the others the one before.
 */
struct writer {
	pthread_t thread;
	uint32_t *page; /* the order */
	uint32_t n;
	char *mem;
	_Atomic bool *stop;
	_Atomic uint64_t passes;
};

/* Not always at the beginning of the page. */
static volatile uint64_t *
word_of(char *mem, uint32_t page)
{
	return (volatile uint64_t *)(void *)(mem + ptoa(page)) + page % 512;
}

static void *
write_passes(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(w->stop)) {
		uint64_t pass = w->passes + 1;

		for (uint32_t i = 0; i < w->n && !atomic_load(w->stop); i++)
			*word_of(w->mem, w->page[i]) = pass;
		atomic_store(&w->passes, pass);
		usleep(500);
	}
	return NULL;
}

static void
start_writer(struct writer *w, char *mem, uint32_t n, uint32_t k)
{
	struct rng r = {k};

	w->page = calloc(n, sizeof(*w->page));
	assert_non_null(w->page);
	w->mem = mem;
	for (uint32_t i = k; i < n; i += WRITERS) {
		uint32_t at = (uint32_t)rng_below(&r, ++w->n);

		w->page[w->n - 1] = w->page[at];
		w->page[at] = i;
	}
	assert_int_equal(pthread_create(&w->thread, NULL, write_passes, w), 0);
}

/* How many pages hold the newest pass that is there; the rest, the one before. */
static uint32_t
check_moment(const struct writer *w, const uint64_t *seen)
{
	uint64_t pass = seen[w->page[0]];
	uint32_t i = 0, newest;

	while (i < w->n && seen[w->page[i]] == pass)
		i++;
	newest = i;
	for (; i < w->n; i++)
		if (seen[w->page[i]] != pass - 1)
			fail_msg("page %u of %u is of pass %ju, the first of "
				 "%ju, and %u of that",
			    i, w->n, (uintmax_t)seen[w->page[i]],
			    (uintmax_t)pass, newest);
	return newest;
}

/* n pages, of which threads write all, all the time. */
static void
moments(uint32_t n, unsigned clones)
{
	struct writer w[WRITERS] = {0};
	_Atomic bool stop = false;
	uint64_t *seen = calloc(n, sizeof(*seen));
	uint32_t middle = 0;
	char *p, *q;

	assert_non_null(seen);
	opens("swap,size=256M");
	p = region(n, 0);
	for (uint32_t k = 0; k < WRITERS; k++) {
		w[k].stop = &stop;
		start_writer(&w[k], p, n, k);
	}
	for (uint32_t k = 0; k < WRITERS; k++)
		while (atomic_load(&w[k].passes) == 0)
			usleep(1000);
	for (unsigned i = 0; i < clones; i++) {
		uint64_t before = atomic_load(&w[0].passes), first;

		q = cloned(p, n);
		atomic_store(&stop, i + 1 == clones);
		for (uint32_t k = 0; k < n; k++)
			seen[k] = *word_of(q, k);
		first = seen[w[0].page[0]];
		/* Not older than the call, not newer than its return. */
		assert_true(
		    first >= before && first <= atomic_load(&w[0].passes) + 1);
		for (uint32_t k = 0; k < WRITERS; k++)
			middle += check_moment(&w[k], seen) < w[k].n;
		unmap(q, n);
	}
	/* They did write meanwhile. */
	assert_true(middle > 0);
	for (uint32_t k = 0; k < WRITERS; k++) {
		pthread_join(w[k].thread, NULL);
		free(w[k].page);
	}
	free(seen);
	unmap(p, n);
	closes();
}

/* In memory; and with page-out at work on the same pages. */
static void
test_moment(void **state)
{
	(void)state;
	moments(1500, 5);
	moments(BUDGET + BUDGET / 16, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_apart),
	    cmocka_unit_test(test_shared),
	    cmocka_unit_test(test_in_memory),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_reserve),
	    cmocka_unit_test(test_no_space),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_moment),
	};

	api_begin();
	return api_end(api_run(tests));
}
