/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api: the public calls do what include/uswap.h says, on a real pager.
 * Errors: test_api_errors; mremap: test_api_remap; swap space that is full or
 * wrong: test_api_space; fork: test_api_fork.
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/api.h"
#include "support/seed.h"

/* ---- opening ------------------------------------------------------------- */

static void
test_open(void **state)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;
	uswap_t *second;
	char *p;

	(void)state;
	works(uswap_probe());
	/* NULL: the defaults. */
	works(uswap_open(NULL, &u));
	assert_true(stats().ram_budget >= RAM);
	works(uswap_close(u));
	/* Options of an older program, which ended before `handlers`. */
	opt.size = offsetof(struct uswap_options, handlers);
	opt.ram = 32 * MIB;
	opt.handlers = 12345;
	works(uswap_open(&opt, &u));
	assert_int_equal(stats().ram_budget, 32 * MIB);
	works(uswap_close(u));
	/* Two at once, each with its own. */
	opens("swap,size=64M");
	opt.size = sizeof(opt);
	opt.handlers = 16;
	works(uswap_open(&opt, &second));
	p = region(4, 1);
	assert_int_equal(uswap_is_managed(u, p, 4 * PAGE), 1);
	assert_int_equal(uswap_is_managed(second, p, 4 * PAGE), 0);
	assert_int_equal(stats().ram_budget, RAM);
	works(uswap_close(second));
	check_pages(p, 0, 4, 1);
	unmap(p, 4);
	closes();
}

/* Four times the budget, by two threads: what is it all about. */
static void *
writer(void *arg)
{
	char *p = arg;

	write_pages(p, 0, 2 * BUDGET, 1);
	check_pages(p, 0, 2 * BUDGET, 1);
	return NULL;
}

static void
test_map(void **state)
{
	struct uswap_stats st;
	pthread_t t[2];
	char *p[2];

	(void)state;
	opens("swap,size=128M");
	for (int i = 0; i < 2; i++) {
		p[i] = region(2 * BUDGET, 0);
		assert_int_equal(pthread_create(&t[i], NULL, writer, p[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	st = stats();
	assert_int_equal(st.managed, 4 * BUDGET * PAGE);
	assert_true(st.pages_out >= 3 * BUDGET && st.pages_in >= BUDGET);
	assert_true(st.ram_used <= RAM && st.ram_peak <= RAM);
	assert_true(st.ram_peak >= st.ram_used && st.swap_used > 0);
	assert_int_equal(st.over_budget + st.read_errors + st.write_errors, 0);
	for (int i = 0; i < 2; i++) {
		check_pages(p[i], 0, 2 * BUDGET, 1);
		unmap(p[i], 2 * BUDGET);
	}
	closes();
}

/* ---- taking over, letting go --------------------------------------------- */

static void
test_manage(void **state)
{
	const uint32_t n = 2 * BUDGET;
	char *p = mmap(NULL, (n + 20) * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uswap_stats st;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	write_pages(p, 0, 20, 1);
	opens("swap,size=64M");
	assert_int_equal(uswap_is_managed(u, p, n * PAGE), 0);
	/* The length is rounded up. */
	works(uswap_manage(u, p, 9 * PAGE + 1));
	st = stats();
	assert_int_equal(st.managed, 10 * PAGE);
	assert_int_equal(st.pages_active, 10);
	assert_int_equal(uswap_is_managed(u, p + 9 * PAGE, PAGE), 1);
	assert_int_equal(uswap_is_managed(u, p + 9 * PAGE, n * PAGE), 1);
	assert_int_equal(uswap_is_managed(u, p + 10 * PAGE, n * PAGE), 0);
	page_out(p, 0, 10);
	check_pages(p, 0, 20, 1);
	/* Let go, what is in memory stays, and nothing is counted any more. */
	works(uswap_forget(u, p + 2 * PAGE, 3 * PAGE));
	check_pages(p, 0, 20, 1);
	assert_int_equal(stats().managed, 7 * PAGE);
	assert_int_equal(uswap_is_managed(u, p + 2 * PAGE, 3 * PAGE), 0);
	assert_int_equal(uswap_is_managed(u, p + 4 * PAGE, 2 * PAGE), 1);
	works(uswap_forget(u, p, n * PAGE));
	works(uswap_forget(u, p, n * PAGE)); /* nothing is no error */
	assert_int_equal(stats().pages_active, 0);
	check_pages(p, 0, 20, 1);
	/* More than the budget is there: it has to leave. */
	write_pages(p, 0, n, 2);
	works(uswap_manage(u, p, n * PAGE));
	until(st, st.ram_used <= RAM);
	check_pages(p, 0, n, 2);
	unmap(p, n);
	check_pages(p + n * PAGE, 0, 20, 0);
	munmap(p + n * PAGE, 20 * PAGE);
	closes();
}

/*
 * Ranges of two pages with another between them, taken over in random order: they share
 * what the pager keeps of them, and each comes and goes by itself.
 */
static void
test_neighbours(void **state)
{
	enum { N = 600, STEP = 3 };
	char *p = mmap(NULL, N * STEP * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rng r = {test_seed()};
	uint32_t order[N], i;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	write_pages(p, 0, N * STEP, 1);
	for (i = 0; i < N; i++) {
		uint32_t k = (uint32_t)rng_below(&r, i + 1);

		order[i] = order[k];
		order[k] = i * STEP;
	}
	opens("swap,size=64M");
	for (i = 0; i < N; i++)
		works(uswap_manage(u, p + order[i] * PAGE, 2 * PAGE));
	assert_int_equal(stats().managed, 2 * N * PAGE);
	works(uswap_pageout(u, p, N * STEP * PAGE));
	assert_int_equal(stats().pages_active, 0);
	/* No hole is left, where the pager might put something. */
	for (i = 0; i < N; i += 2) {
		char *q = p + order[i] * PAGE;

		works(uswap_forget(u, q, 2 * PAGE));
		assert_ptr_equal(
		    mmap(q, 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		    q);
	}
	assert_int_equal(stats().managed, N * PAGE);
	for (i = 1; i < N; i += 2)
		check_pages(p, order[i], order[i] + 2, 1);
	for (i = 0; i < N; i += 2) {
		char *q = p + order[i] * PAGE;

		assert_int_equal(q[0] | q[PAGE], 0);
		write_pages(p, order[i], order[i] + STEP, 2);
		/* With the page behind it, which its neighbour may touch. */
		works(uswap_manage(u, q, STEP * PAGE));
	}
	works(uswap_pageout(u, p, N * STEP * PAGE));
	for (i = 0; i < N; i++)
		check_pages(
		    p, order[i], order[i] + (i % 2 ? 2 : STEP), i % 2 ? 1 : 2);
	unmap(p, N * STEP);
	closes();
}

/* ---- advice -------------------------------------------------------------- */

/* Tebibytes of address space, as some run-times reserve them, and four uses. */
static void
test_reservation(void **state)
{
	const size_t len = (size_t)20 << 40, step = len / 4;
	char *p;

	(void)state;
	p = mmap(NULL, len, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		skip(); /* a sanitizer's address space */
	opens("swap,size=64M");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(
		    mprotect(p + i * step, 64 * PAGE, PROT_READ | PROT_WRITE),
		    0);
		write_pages(p + i * step, 0, 32, (uint32_t)i + 1);
	}
	alarm(20);
	works(uswap_manage(u, p, len));
	alarm(0);
	assert_int_equal(stats().managed, len);
	assert_int_equal(stats().pages_active, 4 * 32);
	works(uswap_pageout(u, p, len));
	for (size_t i = 0; i < 4; i++) {
		check_pages(p + i * step, 0, 32, (uint32_t)i + 1);
		write_pages(p + i * step, 0, 64, 9);
	}
	works(uswap_unmap(u, p, len));
	closes();
}

static void
test_dontneed(void **state)
{
	char *p, *q;
	uint64_t used;

	(void)state;
	opens("swap,size=64M");
	p = region(100, 1);
	page_out(p, 0, 50);
	used = stats().swap_used;
	assert_int_equal(used, 50 * PAGE);
	works(uswap_advise(u, p + 10 * PAGE, 60 * PAGE, USWAP_DONTNEED));
	assert_int_equal(stats().swap_used, used - 40 * PAGE);
	assert_int_equal(stats().pages_active, 30);
	check_pages(p, 10, 70, 0);
	check_pages(p, 0, 10, 1);
	check_pages(p, 70, 100, 1);
	/* They are pages like any other. */
	write_pages(p, 10, 70, 2);
	page_out(p, 0, 100);
	check_pages(p, 10, 70, 2);
	/* What is not managed is left alone. */
	q = mmap(p + 40 * PAGE, 10 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(q, MAP_FAILED);
	munmap(q, 10 * PAGE);
	works(uswap_forget(u, p + 40 * PAGE, 10 * PAGE));
	write_pages(p, 40, 50, 3);
	works(uswap_advise(u, p, 100 * PAGE, USWAP_DONTNEED));
	check_pages(p, 0, 40, 0);
	check_pages(p, 40, 50, 3);
	check_pages(p, 50, 100, 0);
	assert_int_equal(stats().swap_used, 0);
	unmap(p, 100);
	closes();
}

static void
test_willneed(void **state)
{
	struct uswap_stats st;
	unsigned char vec[100];
	uint64_t faults;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(1000, 1);
	page_out(p, 0, 1000);
	works(uswap_advise(u, p, 1000 * PAGE, USWAP_WILLNEED));
	until(st, st.pages_active == 1000);
	faults = stats().faults;
	check_pages(p, 0, 1000, 1);
	assert_int_equal(stats().faults, faults);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(
		    flags(p, i), USWAP_MAPPED | USWAP_RESIDENT | USWAP_SWAPPED);
	/* What is not managed is not touched. */
	works(uswap_forget(u, p + 300 * PAGE, 100 * PAGE));
	assert_int_equal(madvise(p + 300 * PAGE, 100 * PAGE, MADV_DONTNEED), 0);
	page_out(p, 0, 300);
	page_out(p, 400, 1000);
	works(uswap_advise(u, p, 1000 * PAGE, USWAP_WILLNEED));
	until(st, st.pages_active == 900);
	memset(vec, 0xff, sizeof(vec));
	assert_int_equal(mincore(p + 300 * PAGE, 100 * PAGE, vec), 0);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(vec[i], 0);
	unmap(p, 1000);
	closes();
}

/*
 * Terabytes of which three pages are used.  Looking at each of their windows in
 * turn would take seconds, in which no fault is answered.
 */
static void
test_sparse(void **state)
{
	const size_t len = (size_t)12 << 40, third = len / 3;
	uint64_t start;
	void *ret;
	char *p;

	(void)state;
	opens("swap,size=1M");
	if (SANITIZED) { /* they have no room for it */
		closes();
		return;
	}
	works(uswap_map(u, len, &ret));
	p = ret;
	for (size_t i = 0; i < 3; i++)
		p[i * third] = (char)(i + 1);
	page_out(p + third, 0, 1);
	start = clock_now_ns(&clock_real);
	works(uswap_advise(u, p + third / 2, third, USWAP_DONTNEED));
	assert_true(p[0] == 1 && p[third] == 0 && p[2 * third] == 3);
	assert_int_equal(stats().swap_used, 0);
	works(uswap_unmap(u, p, len));
	assert_in_range(clock_now_ns(&clock_real) - start, 0, 2000000000);
	closes();
}

/* ---- residency ----------------------------------------------------------- */

static void
test_residency(void **state)
{
	const uint32_t n = 2 * BUDGET; /* more than one call can tell */
	static unsigned char vec[2 * BUDGET + 1];
	uint32_t mapped = 0;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(n, 0);
	assert_int_equal(flags(p, 0), 0);
	write_pages(p, 0, 2, 1);
	becomes(p, 0, USWAP_MAPPED | USWAP_RESIDENT);
	page_out(p, 0, 2);
	assert_int_equal(flags(p, 0), USWAP_SWAPPED);
	check_pages(p, 0, 1, 1);
	becomes(p, 0, USWAP_MAPPED | USWAP_RESIDENT | USWAP_SWAPPED);
	/* Zeros leave without a block, and unchanged pages without a write. */
	write_pages(p, 1, 2, 0);
	page_out(p, 0, 2);
	assert_int_equal(flags(p, 1), 0);
	assert_int_equal(stats().zero_drops, 1);
	assert_int_equal(stats().clean_drops, 1);
	assert_int_equal(stats().pages_out, 2);
	check_pages(p, 0, 1, 1);
	check_pages(p, 1, 2, 0);
	write_pages(p, n - 100, n, 1);
	becomes(p, 0, USWAP_MAPPED | USWAP_RESIDENT | USWAP_SWAPPED);
	becomes(p, n - 1, USWAP_MAPPED | USWAP_RESIDENT);
	memset(vec, 0xee, sizeof(vec));
	works(uswap_residency(u, p, n * PAGE, vec));
	for (uint32_t i = 3; i < n; i++) /* 2 may have come along with 1 */
		mapped += (vec[i] & USWAP_MAPPED) != 0;
	assert_int_equal(mapped, 100);
	assert_int_equal(vec[0], flags(p, 0));
	assert_int_equal(vec[n - 1], USWAP_MAPPED | USWAP_RESIDENT);
	assert_int_equal(vec[n], 0xee);
	unmap(p, n);
	closes();
}

/* ---- numbers ------------------------------------------------------------- */

static void
test_stats(void **state)
{
	struct {
		struct uswap_stats st;
		uint64_t newer[4];
	} x;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(10, 1);
	/* An older program's, which knows the first two. */
	memset(&x, 0xee, sizeof(x));
	works(uswap_stats(u, &x.st, 2 * sizeof(uint64_t)));
	assert_int_equal(x.st.ram_budget, RAM);
	assert_true(x.st.ram_used >= 10 * PAGE);
	assert_int_equal(x.st.ram_peak, UINT64_C(0xeeeeeeeeeeeeeeee));
	/* A newer one's, whose numbers are not known here. */
	works(uswap_stats(u, &x.st, sizeof(x)));
	assert_int_equal(x.st.managed, 10 * PAGE);
	for (int i = 0; i < 4; i++)
		assert_int_equal(x.newer[i], 0);
	assert_true(x.st.swap_total > 63 * MIB && x.st.swap_total <= 64 * MIB);
	assert_true(x.st.metadata > 0 && x.st.faults >= 1);
	unmap(p, 10);
	closes();
}

static _Atomic bool stop;

/* Keeps the pager busy: twice the budget, over and over. */
static void *
rewrite(void *arg)
{
	for (uint32_t version = 1; !stop; version++)
		for (uint32_t i = 0; i < 2 * BUDGET && !stop; i++)
			pattern((char *)arg + i * PAGE, i, version);
	return NULL;
}

/* Whenever one looks, the numbers are of one moment. */
static void
test_stats_agree(void **state)
{
	struct uswap_stats st;
	pthread_t t;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(2 * BUDGET, 0);
	stop = false;
	assert_int_equal(pthread_create(&t, NULL, rewrite, p), 0);
	until(st, st.pages_out > BUDGET);
	for (int i = 0; i < 500; i++) {
		st = stats();
		assert_true(st.swap_used <= st.swap_total);
		assert_true(st.ram_used <= st.ram_peak && st.ram_used <= RAM);
		assert_true((st.pages_active + st.pages_inactive) * PAGE <=
			    st.ram_used);
	}
	stop = true;
	pthread_join(t, NULL);
	unmap(p, 2 * BUDGET);
	closes();
}

/* As snprintf: whatever the size, the same beginning and the same result. */
static void
snprintf_like(int json)
{
	char whole[4096], part[4096];
	int need = uswap_report(u, json, NULL, 0);

	assert_true(need > 100 && (size_t)need < sizeof(whole));
	assert_int_equal(uswap_report(u, json, whole, sizeof(whole)), need);
	assert_int_equal(strlen(whole), need);
	for (int size = 0; size <= need + 1; size++) {
		memset(part, '#', sizeof(part));
		assert_int_equal(
		    uswap_report(u, json, part, (size_t)size), need);
		assert_int_equal(part[size], '#');
		if (size == 0)
			continue;
		assert_int_equal(strlen(part), size > need ? need : size - 1);
		assert_memory_equal(part, whole, strlen(part));
	}
}

static void
test_report(void **state)
{
	struct uswap_stats st;
	char text[4096];
	const char *at = text;
	uint64_t value;
	char *p, *end;

	(void)state;
	opens("swap,size=64M");
	p = region(10, 1);
	page_out(p, 0, 10);
	snprintf_like(0);
	snprintf_like(1);
	(void)uswap_report(u, 1, text, sizeof(text));
	st = stats();
	/* One object of names and numbers, in order, and nothing else. */
#define FIELD(name, unit, about)                                               \
	assert_memory_equal(                                                   \
	    at, at == text ? "{\"" : ", \"", at == text ? 2 : 3);              \
	at += at == text ? 2 : 3;                                              \
	assert_memory_equal(at, #name "\": ", strlen(#name "\": "));           \
	at += strlen(#name "\": ");                                            \
	value = strtoull(at, &end, 10);                                        \
	assert_ptr_not_equal(end, at);                                         \
	assert_int_equal(value, st.name);                                      \
	at = end;
	USWAP_STATS(FIELD)
	assert_string_equal(at, "}");
	assert_true(st.pages_out == 10 && st.swap_used == 10 * PAGE);
	unmap(p, 10);
	closes();
}

/* ---- wiring -------------------------------------------------------------- */

static void
test_wire(void **state)
{
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(600, 1);
	page_out(p, 0, 600);
	works(uswap_wire(u, p, 500 * PAGE));
	assert_int_equal(stats().pages_wired, 500);
	works(uswap_wire(u, p, PAGE)); /* twice, so it takes two to undo */
	assert_int_equal(stats().pages_wired, 500);
	works(uswap_pageout(u, p, 600 * PAGE));
	for (uint32_t i = 0; i < 600; i++)
		assert_int_equal((flags(p, i) & USWAP_MAPPED) != 0, i < 500);
	works(uswap_unwire(u, p, 600 * PAGE));
	assert_int_equal(stats().pages_wired, 1);
	works(uswap_pageout(u, p, 600 * PAGE));
	assert_int_equal(flags(p, 0) & USWAP_MAPPED, USWAP_MAPPED);
	assert_int_equal(flags(p, 1) & USWAP_MAPPED, 0);
	works(uswap_unwire(u, p, PAGE));
	works(uswap_unwire(u, p, PAGE)); /* once more is no harm */
	assert_int_equal(stats().pages_wired, 0);
	page_out(p, 0, 600);
	check_pages(p, 0, 600, 1);
	/* What is dropped or unmapped is not wired any more. */
	works(uswap_wire(u, p, 100 * PAGE));
	works(uswap_advise(u, p, 50 * PAGE, USWAP_DONTNEED));
	assert_int_equal(stats().pages_wired, 50);
	unmap(p, 600);
	closes();
}

/* All or nothing, half of the budget, and 255 times. */
static void
test_wire_limits(void **state)
{
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(BUDGET, 1);
	fails(uswap_wire(u, p, (BUDGET / 2 + 1) * PAGE), ENOMEM, "half");
	assert_int_equal(stats().pages_wired, 0);
	works(uswap_wire(u, p + PAGE, BUDGET / 2 * PAGE));
	assert_int_equal(stats().pages_wired, BUDGET / 2);
	fails(uswap_wire(u, p, PAGE), ENOMEM, "half");
	works(uswap_wire(u, p + PAGE, PAGE));
	works(uswap_unwire(u, p, BUDGET * PAGE));
	works(uswap_unwire(u, p, BUDGET * PAGE));
	for (int i = 0; i < 255; i++)
		works(uswap_wire(u, p + PAGE, PAGE));
	fails(uswap_wire(u, p, 3 * PAGE), EAGAIN, "255");
	assert_int_equal(stats().pages_wired, 1);
	for (int i = 0; i < 255; i++) {
		assert_int_equal(stats().pages_wired, 1);
		works(uswap_unwire(u, p + PAGE, PAGE));
	}
	assert_int_equal(stats().pages_wired, 0);
	check_pages(p, 0, BUDGET, 1);
	unmap(p, BUDGET);
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_open),
	    cmocka_unit_test(test_map),
	    cmocka_unit_test(test_manage),
	    cmocka_unit_test(test_neighbours),
	    cmocka_unit_test(test_reservation),
	    cmocka_unit_test(test_dontneed),
	    cmocka_unit_test(test_willneed),
	    cmocka_unit_test(test_sparse),
	    cmocka_unit_test(test_residency),
	    cmocka_unit_test(test_stats),
	    cmocka_unit_test(test_stats_agree),
	    cmocka_unit_test(test_report),
	    cmocka_unit_test(test_wire),
	    cmocka_unit_test(test_wire_limits),
	};

	api_begin();
	return api_end(api_run(tests));
}
