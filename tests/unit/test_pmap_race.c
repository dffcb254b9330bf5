/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap_race: threads of the program, and its devices, write while pages are
 * taken out.  No write may be lost, and none may reach a page that is out.
 *
 * The test's own thread takes pages out, and answers the faults of the others
 * by bringing them back.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/pmap.h"

#define PAGES    64
#define WRITERS  3
#define SECONDS  1.0
#define CHILDREN 20

/* Page i goes out into frame i, and nowhere else. */
static struct {
	char *mem;
	bool out[PAGES];
	char *left; /* what a page held when it went */
	uint64_t removed, brought, busy;
	pid_t child; /* shares what is there, for a moment; 0 none */
	bool forks; /* there is to be one, time and again */
	uint64_t children;
	_Atomic int running; /* threads of the program */
	_Atomic bool stop;
} w;

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
bring(uint32_t i)
{
	uintptr_t va = (uintptr_t)w.mem + ptoa(i);

	/* Since it is out nobody has written to it. */
	assert_memory_equal(frame(i), w.left + ptoa(i), PAGE_SIZE);
	assert_int_equal(pmap_enter(pm, va, frame(i), 1, false), 0);
	discard(frame(i), 1);
	w.out[i] = false;
	w.brought++;
}

static void
answer_all(void)
{
	struct pmap_fault f;

	while (pmap_next_faults(pm, &f, 1) == 1) {
		uint32_t i = (uint32_t)atop(f.va - (uintptr_t)w.mem);

		assert_true(i < PAGES);
		if (w.out[i])
			bring(i);
		else /* it was asked for while it went, or came, and is here */
			assert_int_equal(pmap_unprotect(pm, f.va, 1), 0);
	}
}

static void
take_out(struct rng *r)
{
	uint32_t first = (uint32_t)rng_below(r, PAGES), n = 0, most, out;
	int error = 0;

	most = 1 + (uint32_t)rng_below(r, PAGES - first);
	while (n < most && !w.out[first + n])
		n++;
	if (n == 0)
		return;
	out = pmap_remove(
	    pm, (uintptr_t)w.mem + ptoa(first), frame(first), n, &error);
	if (out < n)
		assert_int_equal(error, -EBUSY);
	w.busy += out < n;
	w.removed += out;
	for (uint32_t i = first; i < first + out; i++) {
		memcpy(w.left + ptoa(i), frame(i), PAGE_SIZE);
		w.out[i] = true;
	}
}

/* A child that lives for some milliseconds. */
static void
share(void)
{
	if (w.child != 0 && waitpid(w.child, NULL, WNOHANG) != w.child)
		return;
	w.child = fork();
	assert_true(w.child >= 0);
	if (w.child == 0) {
		usleep(3000);
		_exit(0);
	}
	w.children++;
}

/*
 * Until the program's threads have ended, which a busy machine may delay; then
 * everything is back.
 */
static void
page_until_the_end(void)
{
	struct rng r = {test_seed()};
	double end = seconds() + SECONDS;

	while (atomic_load(&w.running) > 0) {
		answer_all();
		if (seconds() > end &&
		    (!w.forks || w.children > CHILDREN || seconds() > end + 60))
			atomic_store(&w.stop, true);
		else
			take_out(&r);
		if (w.forks)
			share();
	}
	if (w.child != 0)
		assert_int_equal(waitpid(w.child, NULL, 0), w.child);
	w.child = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		if (w.out[i])
			bring(i);
}

static void
begin(int threads, bool forks)
{
	w.forks = forks;
	w.children = 0;
	w.mem = region(PAGES);
	assert_int_equal(pmap_zero(pm, (uintptr_t)w.mem, PAGES, true), 0);
	w.left = aligned_alloc(PAGE_SIZE, ptoa(PAGES));
	w.removed = w.brought = w.busy = 0;
	atomic_store(&w.stop, false);
	atomic_store(&w.running, threads);
}

static void
finish(void)
{
	printf("%llu pages out, %llu back, %llu times busy, %llu children\n",
	    (unsigned long long)w.removed, (unsigned long long)w.brought,
	    (unsigned long long)w.busy, (unsigned long long)w.children);
	assert_true(!w.forks || w.children > CHILDREN);
	assert_int_equal(w.removed, w.brought);
	region_end(w.mem, PAGES);
	free(w.left);
}

/* ---- threads that write -------------------------------------------------- */

struct writer {
	pthread_t thread;
	unsigned index;
	uint64_t wrote[PAGES]; /* how often, in our word of each page */
};

/* Each has a word of its own in every page, and adds to it. */
static void *
writer_main(void *arg)
{
	struct writer *me = arg;
	struct rng r = {me->index};

	while (!atomic_load(&w.stop)) {
		uint32_t i = (uint32_t)rng_below(&r, PAGES);
		volatile uint64_t *word =
		    (uint64_t *)(w.mem + ptoa(i)) + me->index * 150;

		for (int k = 0; k < 50; k++) {
			*word += 1;
			me->wrote[i]++;
		}
	}
	atomic_fetch_sub(&w.running, 1);
	return NULL;
}

static void
writers(bool forks)
{
	static struct writer t[WRITERS];
	uint64_t total = 0;

	begin(WRITERS, forks);
	memset(t, 0, sizeof(t));
	for (unsigned i = 0; i < WRITERS; i++) {
		t[i].index = i;
		pthread_create(&t[i].thread, NULL, writer_main, &t[i]);
	}
	page_until_the_end();
	for (unsigned k = 0; k < WRITERS; k++) {
		pthread_join(t[k].thread, NULL);
		for (uint32_t i = 0; i < PAGES; i++) {
			uint64_t *word =
			    (uint64_t *)(w.mem + ptoa(i)) + k * 150;

			assert_int_equal(*word, t[k].wrote[i]);
			total += t[k].wrote[i];
		}
	}
	printf("%llu writes\n", (unsigned long long)total);
	assert_true(w.removed > 100 && total > 1000);
	finish();
}

static void
test_writers(void **state)
{
	(void)state;
	writers(false);
}

static void
test_writers_forked(void **state)
{
	(void)state;
	writers(true);
}

/* ---- a device that writes ------------------------------------------------ */

struct device_reader {
	pthread_t thread;
	int fd;
	uint64_t reads, wrong;
};

#define VERSIONS 8

/* Each read brings another version of all pages than the one before. */
static void *
device_main(void *arg)
{
	struct device_reader *me = arg;

	while (!atomic_load(&w.stop)) {
		uint32_t version = (uint32_t)(me->reads % VERSIONS);
		ssize_t n = pread(
		    me->fd, w.mem, ptoa(PAGES), (off_t)ptoa(version * PAGES));

		me->wrong += n != (ssize_t)ptoa(PAGES);
		for (uint32_t i = 0; i < PAGES; i++)
			me->wrong += !holds(w.mem + ptoa(i), i, version);
		me->reads++;
	}
	atomic_fetch_sub(&w.running, 1);
	return NULL;
}

/* A file of all versions, open with O_DIRECT; -1 where there is none. */
static int
versions_file(void)
{
	const char *dir = getenv("TMPDIR");
	char path[256], page[PAGE_SIZE] __attribute__((aligned(8)));
	int fd;

	snprintf(path, sizeof(path), "%s/uswap-pmap-XXXXXX",
	    dir != NULL ? dir : "/var/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	for (uint32_t i = 0; i < PAGES * VERSIONS; i++) {
		pattern(page, i % PAGES, i / PAGES);
		assert_int_equal(write(fd, page, PAGE_SIZE), PAGE_SIZE);
	}
	assert_int_equal(fsync(fd), 0);
	close(fd);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	unlink(path);
	return fd;
}

/*
 * While the device writes to a page, it stays: what is read arrives.  Without
 * MOVE that cannot be had; README.md says so.
 */
static void
direct_io(bool forks)
{
	struct device_reader t = {0};

	if (!moves())
		skip();
	t.fd = versions_file();
	if (t.fd < 0)
		skip();
	begin(1, forks);
	pthread_create(&t.thread, NULL, device_main, &t);
	page_until_the_end();
	pthread_join(t.thread, NULL);
	close(t.fd);
	printf("%llu reads\n", (unsigned long long)t.reads);
	assert_int_equal(t.wrong, 0);
	assert_true(t.reads > 10 && w.removed > 100 && w.busy > 0);
	finish();
}

static void
test_direct_io(void **state)
{
	(void)state;
	direct_io(false);
}

/* The same with pages that are shared by the time, or have been. */
static void
test_direct_io_forked(void **state)
{
	(void)state;
	direct_io(true);
}

/* ---- zeros, and who did not wait for them -------------------------------- */

static void *
toucher(void *arg)
{
	uint64_t n = 0;

	(void)arg;
	while (!atomic_load(&w.stop))
		__atomic_store_n(
		    w.mem + ptoa(n++ * 7 % PAGES), 1, __ATOMIC_RELAXED);
	return NULL;
}

/* What was written to before it was protected is known to be. */
static void
zeros_once(uint64_t *late)
{
	uintptr_t va = (uintptr_t)w.mem;
	struct pmap_fault f[PMAP_FAULTS_MAX];
	uint8_t own[PAGES];

	assert_int_equal(pmap_drop(pm, va, PAGES), 0);
	assert_int_equal(pmap_zero(pm, va, PAGES, false), 0);
	pmap_own(pm, va, PAGES, own);
	for (uint32_t i = 0; i < PAGES; i++) {
		char is = __atomic_load_n(w.mem + ptoa(i), __ATOMIC_RELAXED);

		*late += is;
		assert_true(own[i] || is == 0);
	}
	assert_int_equal(pmap_unprotect(pm, va, PAGES), 0);
	(void)pmap_next_faults(pm, f, PMAP_FAULTS_MAX);
}

static void
test_zeros(void **state)
{
	double end = seconds() + SECONDS;
	uint64_t late = 0, rounds = 0;
	pthread_t t;

	(void)state;
	if (!pm->shares)
		skip();
	atomic_store(&w.stop, false);
	w.mem = region(PAGES);
	pthread_create(&t, NULL, toucher, NULL);
	for (; seconds() < end; rounds++)
		zeros_once(&late);
	atomic_store(&w.stop, true);
	pthread_join(t, NULL);
	printf("%llu of %llu pages were written to at once\n",
	    (unsigned long long)late, (unsigned long long)rounds * PAGES);
	region_end(w.mem, PAGES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_zeros),
	    cmocka_unit_test(test_writers),
	    cmocka_unit_test(test_direct_io),
	    cmocka_unit_test(test_writers_forked),
	    cmocka_unit_test(test_direct_io_forked),
	};
	int failed = 0;

	for (unsigned i = 0; i < nitems(ways); i++) {
		way_begin(&ways[i]);
		failed += cmocka_run_group_tests_name(
		    ways[i].name, tests, NULL, NULL);
		pmap_close(pm);
	}
	return failed;
}
