/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap: every operation of the userfaultfd pmap on this kernel, in each way in
 * which pages go out.  What happens at once with others: test_pmap_race.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "page/uffd.h"
#include "support/pmap.h"
#include "support/touch.h"

/* More than one cluster, and no multiple of the 64 that are looked at at once.
 */
#define PAGES 300

static char *buffer; /* PAGES, what is entered */

static uintptr_t
at(const char *p, uint32_t i)
{
	return (uintptr_t)p + ptoa(i);
}

static void
fill(uint32_t n, uint32_t version)
{
	for (uint32_t i = 0; i < n; i++)
		pattern(buffer + ptoa(i), i, version);
}

/* A managed region of PAGES that holds version 1 from its first page on. */
static char *
full(uint32_t n)
{
	char *p = region(PAGES);

	fill(n, 1);
	assert_int_equal(pmap_enter(pm, at(p, 0), buffer, n, false), 0);
	return p;
}

/* Takes exactly n pages out, into the frames from the first on. */
static void
takes_out(char *p, uint32_t n)
{
	int error = 0;

	assert_int_equal(pmap_remove(pm, (uintptr_t)p, frame(0), n, &error), n);
	assert_int_equal(resident(p, n), 0);
}

/* Takes out fewer than all n, because of the error. */
static void
stops(char *p, uint32_t n, uint32_t out, int why)
{
	uint32_t before = resident(p, n);
	int error = 0;

	assert_int_equal(
	    pmap_remove(pm, (uintptr_t)p, frame(0), n, &error), out);
	assert_int_equal(error, why);
	assert_int_equal(resident(p, n), before - out);
}

/* ---- in and out ---------------------------------------------------------- */

static void
test_enter(void **state)
{
	char *p = region(PAGES);

	(void)state;
	assert_int_equal(resident(p, PAGES), 0);
	fill(PAGES, 1);
	/* One that is there already, in the middle, stays. */
	assert_int_equal(
	    pmap_enter(pm, at(p, 100), buffer + ptoa(7), 1, false), 0);
	assert_int_equal(pmap_enter(pm, at(p, 0), buffer, PAGES, false), 0);
	assert_int_equal(resident(p, PAGES), PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(p + ptoa(i), i == 100 ? 7 : i, 1));
	fill(PAGES, 2);
	assert_int_equal(pmap_enter(pm, at(p, 0), buffer, PAGES, false), 0);
	assert_true(holds(p, 0, 1) && holds(p + ptoa(PAGES - 1), PAGES - 1, 1));
	for (uint32_t i = 0; i < PAGES; i++)
		p[ptoa(i)] = 1; /* writable */
	assert_true(no_fault());
	region_end(p, PAGES);
}

/* The kernel has moved pages already, and says that there are some. */
static void
test_moved_twice(void **state)
{
	struct uffdio_move m = {.dst = (uintptr_t)frame(3),
	    .len = ptoa(PAGES - 6),
	    .mode = UFFDIO_MOVE_MODE_DONTWAKE};
	char *p = full(PAGES);

	(void)state;
	m.src = at(p, 3);
	if (strcmp(pm->how, "move") != 0) {
		region_end(p, PAGES);
		return;
	}
	assert_int_equal(ioctl(pm->fd, UFFDIO_MOVE, &m), 0);
	takes_out(p, PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(frame(i), i, 1));
	discard(frame(0), PAGES);
	region_end(p, PAGES);
}

static void
test_zero(void **state)
{
	static const char zeros[PAGE_SIZE];
	uint8_t own[PAGES];
	char *p = region(PAGES);
	struct pmap_fault f;
	struct toucher t;

	(void)state;
	assert_int_equal(pmap_zero(pm, at(p, 0), PAGES, true), 0);
	assert_int_equal(resident(p, PAGES), PAGES);
	for (uint32_t i = 0; i < PAGES; i++) {
		assert_memory_equal(p + ptoa(i), zeros, PAGE_SIZE);
		p[ptoa(i)] = 1;
	}
	assert_true(no_fault());
	region_end(p, PAGES);

	p = region(PAGES);
	touch_start(&t, p + ptoa(8), false, 'x');
	assert_true(fault_waits(&f));
	assert_int_equal(pmap_zero(pm, at(p, 0), PAGES, false), 0);
	assert_int_equal(touch_end(&t), 0);
	assert_int_equal(t.value, 0);
	assert_int_equal(resident(p, PAGES), PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_memory_equal(p + ptoa(i), zeros, PAGE_SIZE);
	assert_true(no_fault());
	pmap_own(pm, at(p, 0), PAGES, own);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_int_equal(own[i], 0);
	touch_start(&t, p + ptoa(9) + 5, true, 'x');
	assert_true(fault_waits(&f));
	assert_int_equal(f.va, at(p, 9));
	assert_true(f.protect && f.write);
	assert_false(atomic_load(&t.done));
	assert_int_equal(pmap_unprotect(pm, f.va, 1), 0);
	assert_int_equal(touch_end(&t), 0);
	assert_int_equal(p[ptoa(9) + 5], 'x');
	assert_int_equal(p[ptoa(10) + 5], 0);
	pmap_own(pm, at(p, 0), PAGES, own);
	for (uint32_t i = 0; pm->shares && i < PAGES; i++)
		assert_int_equal(own[i], i == 9);
	region_end(p, PAGES);

	/* A page that is there keeps its contents, either way. */
	p = full(3);
	assert_int_equal(pmap_zero(pm, at(p, 0), 1, true), 0);
	assert_int_equal(pmap_zero(pm, at(p, 1), 2, false), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(holds(p + ptoa(i), i, 1));
	assert_int_equal(pmap_unprotect(pm, at(p, 0), PAGES), 0);
	p[ptoa(1)] = 1;
	assert_true(no_fault());
	region_end(p, PAGES);
}

static void
test_remove(void **state)
{
	char *p = full(PAGES);

	(void)state;
	/* Twice: after a discard the frames can be used again. */
	for (uint32_t version = 1; version <= 2; version++) {
		takes_out(p, PAGES);
		for (uint32_t i = 0; i < PAGES; i++)
			assert_true(holds(frame(i), i, version));
		discard(frame(0), PAGES);
		fill(PAGES, 2);
		assert_int_equal(
		    pmap_enter(pm, at(p, 0), buffer, PAGES, false), 0);
	}
	takes_out(p, PAGES);
	/* Back from the frames, as a soft fault does it. */
	assert_int_equal(pmap_enter(pm, at(p, 0), frame(0), PAGES, false), 0);
	discard(frame(0), PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(p + ptoa(i), i, 2));
	region_end(p, PAGES);
}

/* Runs in any order, one after the other. */
static void
test_look(void **state)
{
	static const uint32_t runs[][2] = {{7, 1}, {20, 64}, {8, 3}, {299, 1}};
	struct iovec v[nitems(runs)];
	char *p = full(PAGES);
	uint32_t got = 0;

	(void)state;
	takes_out(p, PAGES);
	for (uint32_t k = 0; k < nitems(runs); k++)
		v[k] = (struct iovec){frame(runs[k][0]), ptoa(runs[k][1])};
	memset(buffer, 0xa5, ptoa(PAGES));
	pmap_look(pm, v, nitems(runs), buffer);
	for (uint32_t k = 0; k < nitems(runs); k++)
		for (uint32_t i = 0; i < runs[k][1]; i++)
			assert_true(
			    holds(buffer + ptoa(got++), runs[k][0] + i, 1));
	assert_int_equal(buffer[ptoa(got)], (char)0xa5);
	discard(frame(0), PAGES);
	region_end(p, PAGES);
}

/* Any number of runs at once; the other frames keep what they hold. */
static void
test_discard(void **state)
{
	static const struct {
		uint32_t first, n;
	} runs[] = {{0, 1}, {2, 1}, {10, 64}, {100, 100}, {299, 1}};
	struct iovec v[nitems(runs)];
	bool given[PAGES] = {false};
	char *p = full(PAGES);

	(void)state;
	takes_out(p, PAGES);
	for (uint32_t k = 0; k < nitems(runs); k++) {
		v[k] = (struct iovec){frame(runs[k].first), ptoa(runs[k].n)};
		for (uint32_t i = 0; i < runs[k].n; i++)
			given[runs[k].first + i] = true;
	}
	pmap_discard(pm, v, nitems(runs));
	for (uint32_t i = 0; i < PAGES; i++) {
		int error = 0;

		if (!given[i]) {
			assert_true(holds(frame(i), i, 1));
			continue;
		}
		/* It takes another page. */
		assert_int_equal(
		    pmap_enter(pm, at(p, i), buffer + ptoa(i), 1, false), 0);
		assert_int_equal(
		    pmap_remove(pm, at(p, i), frame(i), 1, &error), 1);
		assert_true(holds(frame(i), i, 1));
	}
	discard(frame(0), PAGES);
	region_end(p, PAGES);
}

/* It ends at the first page that is not there, wherever that is. */
static void
test_remove_some(void **state)
{
	static const uint32_t holes[] = {0, 1, 63, 64, 65, 128, 256, 298, 299};
	static const char zeros[PAGE_SIZE];
	char *p;

	(void)state;
	for (unsigned k = 0; k < nitems(holes); k++) {
		uint32_t hole = holes[k];

		p = full(PAGES);
		assert_int_equal(pmap_drop(pm, at(p, hole), 1), 0);
		stops(p, PAGES, hole, -ENOENT);
		for (uint32_t i = 0; i < hole; i++)
			assert_true(holds(frame(i), i, 1));
		for (uint32_t i = hole + 1; i < PAGES; i++)
			assert_true(holds(p + ptoa(i), i, 1));
		/* The rest is as it was: writable. */
		for (uint32_t i = hole + 1; i < PAGES; i++)
			p[ptoa(i)] = 1;
		assert_true(no_fault());
		if (hole > 0)
			discard(frame(0), hole);
		region_end(p, PAGES);
	}
	/* The shared page of zeros goes like any other. */
	p = full(1);
	assert_int_equal(pmap_zero(pm, at(p, 1), 2, false), 0);
	takes_out(p, 3);
	assert_true(holds(frame(0), 0, 1));
	assert_memory_equal(frame(1), zeros, PAGE_SIZE);
	assert_memory_equal(frame(2), zeros, PAGE_SIZE);
	discard(frame(0), 3);
	region_end(p, PAGES);
}

static void
test_drop(void **state)
{
	char *p = full(PAGES);
	struct pmap_fault f;
	struct toucher t;

	(void)state;
	assert_int_equal(pmap_drop(pm, at(p, 10), 200), 0);
	assert_int_equal(resident(p, PAGES), PAGES - 200);
	touch_start(&t, p + ptoa(209), false, 0);
	assert_true(fault_waits(&f)); /* missing, not zeros */
	assert_int_equal(f.va, at(p, 209));
	assert_false(f.write || f.protect);
	assert_int_equal(pmap_zero(pm, f.va, 1, true), 0);
	assert_int_equal(touch_end(&t), 0);
	assert_int_equal(t.value, 0);
	assert_true(holds(p + ptoa(9), 9, 1));
	assert_true(holds(p + ptoa(210), 210, 1));
	region_end(p, PAGES);
}

static void
test_unmanage(void **state)
{
	char *p = full(2), *q = plain(3);

	(void)state;
	/* What a range holds when it is taken over stays. */
	pattern(q + ptoa(1), 1, 3);
	assert_int_equal(pmap_manage(pm, at(q, 0), 3), 0);
	assert_true(holds(q + ptoa(1), 1, 3));
	assert_int_equal(resident(q, 3), 1);
	assert_int_equal(pmap_unmanage(pm, at(p, 0), PAGES), 0);
	assert_true(holds(p + ptoa(1), 1, 1));
	assert_int_equal(p[ptoa(5)], 0); /* the kernel's again */
	assert_true(no_fault());
	munmap(p, ptoa(PAGES));
	region_end(q, 3);
}

/* ---- faults -------------------------------------------------------------- */

static void
test_fault(void **state)
{
	char *p = region(PAGES);
	struct pmap_fault f;
	struct toucher t;

	(void)state;
	fill(PAGES, 1);
	for (int write = 0; write <= 1; write++) {
		uint32_t i = 20 + (uint32_t)write;

		touch_start(&t, p + ptoa(i) + 4095, write != 0, 'w');
		assert_true(fault_waits(&f));
		assert_int_equal(f.va, at(p, i));
		assert_int_equal(f.write, write);
		assert_false(f.protect);
		/* Woken for nothing, it asks again. */
		assert_int_equal(pmap_wake(pm, f.va, 1), 0);
		memset(&f, 0, sizeof(f));
		assert_true(fault_waits(&f));
		assert_int_equal(f.va, at(p, i));
		assert_false(atomic_load(&t.done));
		assert_int_equal(
		    pmap_enter(pm, f.va, buffer + ptoa(i), 1, false), 0);
		assert_int_equal(touch_end(&t), 0);
		assert_int_equal(
		    p[ptoa(i) + 4095], write ? 'w' : buffer[ptoa(i) + 4095]);
		assert_int_equal(t.value, p[ptoa(i) + 4095]);
	}
	region_end(p, PAGES);
}

/* A sealed page can be read; a write to it, also a device's, is a fault. */
static void
test_sealed(void **state)
{
	char *p = region(PAGES), *from = buffer + ptoa(9);
	struct pmap_fault f;
	struct toucher t;
	int pipes[2];

	(void)state;
	if (!pm->seals) {
		region_end(p, PAGES);
		return;
	}
	fill(PAGES, 1);
	assert_int_equal(pmap_enter(pm, at(p, 0), buffer, PAGES, true), 0);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(p + ptoa(i), i, 1));
	assert_true(no_fault());
	assert_int_equal(pmap_sealed(pm, at(p, 0), PAGES), PAGES);
	touch_start(&t, p + ptoa(70), true, 'w');
	assert_true(fault_waits(&f));
	assert_int_equal(f.va, at(p, 70));
	assert_true(f.protect && f.write);
	assert_false(atomic_load(&t.done));
	assert_int_equal(pmap_sealed(pm, at(p, 0), PAGES), PAGES);
	assert_int_equal(pmap_unprotect(pm, f.va, 1), 0);
	assert_int_equal(touch_end(&t), 0);
	assert_int_equal(pmap_sealed(pm, at(p, 0), PAGES), 70);
	assert_int_equal(pmap_sealed(pm, at(p, 70), 1), 0);
	assert_int_equal(pmap_sealed(pm, at(p, 71), 5), 5);
	/* Dropped behind our back, and what the kernel has there by then. */
	assert_int_equal(madvise(p + ptoa(3), PAGE_SIZE, MADV_DONTNEED), 0);
	assert_int_equal(pmap_sealed(pm, at(p, 0), PAGES), 3);
	assert_int_equal(pmap_zero(pm, at(p, 3), 1, true), 0);
	assert_int_equal(pmap_sealed(pm, at(p, 0), PAGES), 3);
	/* What is read from it needs no fault. */
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], from, 8), 8);
	assert_int_equal(write(pipes[1], p + ptoa(9), 8), 8);
	assert_true(no_fault());
	close(pipes[0]);
	close(pipes[1]);
	takes_out(p, PAGES);
	discard(frame(0), PAGES);
	region_end(p, PAGES);
}

struct reader {
	int fd;
	char *at;
	ssize_t got;
};

static void *
reader_main(void *arg)
{
	struct reader *r = arg;

	r->got = read(r->fd, r->at, 2);
	return NULL;
}

/* read(2) into two pages that are missing waits for both. */
static void
test_fault_in_kernel(void **state)
{
	char *p = region(2);
	struct reader r = {.at = p + PAGE_SIZE - 1};
	struct pmap_fault f;
	pthread_t thread;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], "ab", 2), 2);
	r.fd = fd[0];
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &r), 0);
	for (uint32_t seen = 0; seen != 3;) {
		assert_true(fault_waits(&f));
		assert_true(f.write);
		seen |= f.va == at(p, 0) ? 1 : 2;
		assert_int_equal(pmap_zero(pm, f.va, 1, true), 0);
	}
	pthread_join(thread, NULL);
	assert_int_equal(r.got, 2);
	assert_memory_equal(r.at, "ab", 2);
	close(fd[0]);
	close(fd[1]);
	region_end(p, 2);
}

/* One batch answers many threads; each fault is told once. */
static void
test_fault_many(void **state)
{
	enum { N = PMAP_FAULTS_MAX };
	char *p = region(N);
	struct toucher t[N];
	struct pmap_fault f[N + 1];
	uint32_t seen = 0, most = 0;

	(void)state;
	fill(N, 1);
	for (uint32_t i = 0; i < N; i++)
		touch_start(&t[i], p + ptoa(i), i % 2 != 0, 'x');
	for (uint32_t told = 0, got; told < N; told += got) {
		assert_true(fault_waits(&f[0]));
		got = 1 + pmap_next_faults(pm, f + 1, N);
		most = US_MAX(most, got);
		for (uint32_t i = 0; i < got; i++) {
			uint32_t which = (uint32_t)atop(f[i].va - at(p, 0));

			assert_true(which < N && (seen & 1u << which) == 0);
			assert_int_equal(f[i].write, which % 2);
			assert_false(f[i].protect);
			seen |= 1u << which;
		}
		usleep(20000); /* so that several are waiting */
	}
	assert_true(most > 1);
	assert_true(no_fault());
	assert_int_equal(pmap_enter(pm, at(p, 0), buffer, N, false), 0);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(touch_end(&t[i]), 0);
		assert_int_equal(
		    p[ptoa(i)], i % 2 != 0 ? 'x' : buffer[ptoa(i)]);
	}
	region_end(p, N);
}

/* ---- poison -------------------------------------------------------------- */

static void
test_poison(void **state)
{
	char *p = full(3), *q = plain(1);
	struct toucher waits, other;
	struct pmap_fault f;
	char c = 'x';

	(void)state;
	assert_int_equal(pmap_drop(pm, at(p, 1), 1), 0);
	touch_start(&waits, p + ptoa(1), false, 0);
	assert_true(fault_waits(&f));
	/* Who waits for it is woken into the signal, and nobody else. */
	touch_start(&other, p + ptoa(10), true, 'o');
	assert_int_equal(pmap_poison(pm, at(p, 1)), 0);
	assert_int_equal(touch_end(&waits), SIGBUS);
	assert_true(fault_waits(&f));
	assert_int_equal(f.va, at(p, 10));
	assert_int_equal(pmap_zero(pm, f.va, 1, true), 0);
	assert_int_equal(touch_end(&other), 0);
	assert_int_equal(touch(p + ptoa(1), false, &c), SIGBUS);
	assert_int_equal(touch(p + ptoa(1) + 4095, true, &c), SIGBUS);
	assert_int_equal(touch(p + ptoa(2), true, &c), 0);
	assert_true(holds(p, 0, 1));
	assert_true(no_fault());
	region_end(p, PAGES);

	/* Nothing is put where the program has something else, or nothing. */
	q[0] = 'q';
	assert_int_equal(pmap_poison(pm, at(q, 0)), -ENOENT);
	assert_int_equal(touch(q, false, &c), 0);
	assert_int_equal(c, 'q');
	munmap(q, PAGE_SIZE);
	assert_int_equal(pmap_poison(pm, at(q, 0)), -ENOENT);
	assert_int_equal(touch(q, false, &c), SIGSEGV);
}

/* ---- errors -------------------------------------------------------------- */

/* A hole in the middle: -ENOENT, and all the rest is done all the same. */
static void
test_hole(void **state)
{
	char *p = full(PAGES);

	(void)state;
	munmap(p + ptoa(100), ptoa(10));
	stops(p, PAGES, 100, -ENOENT);
	assert_int_equal(
	    pmap_enter(pm, at(p, 0), buffer, PAGES, false), -ENOENT);
	assert_true(holds(p + ptoa(99), 99, 1));
	discard(frame(0), 100);
	assert_int_equal(pmap_drop(pm, at(p, 0), PAGES), -ENOENT);
	assert_int_equal(resident(p, 100), 0);
	assert_int_equal(pmap_zero(pm, at(p, 0), PAGES, false), -ENOENT);
	for (uint32_t i = 0; i < PAGES; i++)
		if (i < 100 || i >= 110)
			assert_int_equal(p[ptoa(i)], 0);
	/* Nothing has to be done in a hole, so this is no error. */
	assert_int_equal(pmap_unprotect(pm, at(p, 0), PAGES), 0);
	for (uint32_t i = 0; i < PAGES; i++)
		if (i < 100 || i >= 110)
			p[ptoa(i)] = 1;
	assert_true(no_fault());
	munmap(p, ptoa(PAGES));
}

/* Memory that is not managed, or none at all, is left alone. */
static void
test_not_ours(void **state)
{
	char *p = plain(4);
	uint8_t vec[4] = {1, 1, 1, 1};
	int error = 0, r;

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		pattern(p + ptoa(i), i, 5);
	fill(4, 1);
	for (int mapped = 1; mapped >= 0; mapped--) {
		assert_int_equal(
		    pmap_enter(pm, at(p, 0), buffer, 4, false), -ENOENT);
		assert_int_equal(pmap_zero(pm, at(p, 0), 4, true), -ENOENT);
		assert_int_equal(pmap_zero(pm, at(p, 0), 4, false), -ENOENT);
		assert_int_equal(pmap_unprotect(pm, at(p, 0), 4), -ENOENT);
		assert_int_equal(
		    pmap_remove(pm, at(p, 0), frame(0), 4, &error), 0);
		assert_int_equal(error, -ENOENT);
		for (uint32_t i = 0; mapped && i < 4; i++)
			assert_true(holds(p + ptoa(i), i, 5));
		if (mapped)
			munmap(p, ptoa(4));
	}
	assert_int_equal(pmap_drop(pm, at(p, 0), 4), -ENOENT);
	assert_int_equal(pmap_manage(pm, at(p, 0), 4), -ENOENT);
	r = pmap_resident(pm, at(p, 0), 4, vec);
	assert_true(r == -ENOENT || (r == 0 && vec[0] + vec[3] == 0));
}

/* Runs are dropped together, whatever becomes of one of them. */
static void
test_drop_runs(void **state)
{
	char *p = full(PAGES);
	struct iovec run[PAGES / 4];
	uint32_t n = PAGES / 4;

	(void)state;
	for (uint32_t i = 0; i < n; i++)
		run[i] = (struct iovec){p + ptoa(4 * i), ptoa(1 + i % 2)};
	assert_int_equal(pmap_drop_runs(pm, run, n), 0);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_int_equal(resident(p + ptoa(i), 1), i % 4 > (i / 4) % 2);
	assert_int_equal(syscall(SYS_mlock, p + ptoa(2), PAGE_SIZE), 0);
	assert_int_equal(munmap(p + ptoa(7), PAGE_SIZE), 0);
	for (uint32_t i = 0; i < n; i++)
		run[i] = (struct iovec){p + ptoa(4 * i + 2), ptoa(2)};
	assert_int_equal(pmap_drop_runs(pm, run, n), -ENOENT);
	assert_int_equal(pmap_drop_runs(pm, run, 1), -EACCES);
	assert_int_equal(resident(p + ptoa(2), 1), 1);
	assert_int_equal(resident(p + ptoa(6), 1), 0);
	for (uint32_t i = 2; i < n; i++)
		assert_int_equal(resident(p + ptoa(4 * i + 2), 2), 0);
	assert_int_equal(syscall(SYS_munlock, p + ptoa(2), PAGE_SIZE), 0);
	region_end(p, PAGES);
}

/* What is certainly not there is not there, and ends where a page is. */
static void
test_absent(void **state)
{
	static const uint32_t there[] = {0, 3, 64, 65, 200, PAGES - 2};
	char *p = region(PAGES);
	uint32_t i = 0;

	(void)state;
	fill(1, 1);
	for (size_t k = 0; k < nitems(there); k++)
		assert_int_equal(
		    pmap_enter(pm, at(p, there[k]), buffer, 1, false), 0);
	while (i < PAGES) {
		uint32_t n = (uint32_t)pmap_absent(pm, at(p, i), PAGES - i);

		assert_true(n <= PAGES - i);
		assert_true(n == 0 || resident(p + ptoa(i), n) == 0);
		i += n;
		/* Exact, where it is known at all. */
		if (n > 0 && i < PAGES)
			assert_int_equal(resident(p + ptoa(i), 1), 1);
		i += i < PAGES;
	}
}

/* A range of several mappings, which differ in nothing that matters. */
static void
test_cut(void **state)
{
	char *p = full(PAGES);

	(void)state;
	assert_int_equal(madvise(p + ptoa(5), ptoa(3), MADV_DONTDUMP), 0);
	assert_int_equal(madvise(p + ptoa(64), ptoa(1), MADV_DONTDUMP), 0);
	assert_int_equal(madvise(p + ptoa(200), ptoa(99), MADV_DONTDUMP), 0);
	takes_out(p, PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(frame(i), i, 1));
	assert_int_equal(pmap_enter(pm, at(p, 0), frame(0), PAGES, false), 0);
	discard(frame(0), PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(p + ptoa(i), i, 1));
	assert_int_equal(pmap_drop(pm, at(p, 0), PAGES), 0);
	assert_int_equal(pmap_zero(pm, at(p, 0), PAGES, false), 0);
	assert_int_equal(pmap_unprotect(pm, at(p, 0), PAGES), 0);
	for (uint32_t i = 0; i < PAGES; i++)
		p[ptoa(i)] = 1;
	assert_true(no_fault());
	region_end(p, PAGES);
}

/* Faults that a page of this protection must still raise. */
static void
is_protected(char *p, bool read)
{
	char c;

	assert_int_equal(touch(p, true, &c), SIGSEGV);
	assert_int_equal(touch(p, false, &c), read ? 0 : SIGSEGV);
}

/* What is protected leaves like all else, and is protected when it is back. */
static void
test_mprotect(void **state)
{
	const int rw = PROT_READ | PROT_WRITE;
	char *p = full(PAGES);

	(void)state;
	assert_int_equal(mprotect(p + ptoa(20), ptoa(5), PROT_READ), 0);
	assert_int_equal(mprotect(p + ptoa(70), ptoa(5), PROT_NONE), 0);
	assert_int_equal(mprotect(p + ptoa(75), ptoa(3), PROT_READ), 0);
	assert_int_equal(mprotect(p + ptoa(90), ptoa(9), rw | PROT_EXEC), 0);
	takes_out(p, PAGES);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(holds(frame(i), i, 1));
	assert_int_equal(pmap_enter(pm, at(p, 0), frame(0), PAGES, false), 0);
	discard(frame(0), PAGES);
	is_protected(p + ptoa(22), true);
	is_protected(p + ptoa(71), false);
	assert_int_equal(mprotect(p, ptoa(PAGES), rw), 0);
	for (uint32_t i = 0; i < PAGES; i++) {
		assert_true(holds(p + ptoa(i), i, 1));
		p[ptoa(i)] = 1;
	}
	assert_true(no_fault());
	region_end(p, PAGES);
}

/* What the program has locked stays, and frames hold nothing of it. */
static void
test_mlock(void **state)
{
	char *p = full(PAGES);

	(void)state;
	/* The sanitizers take the place of the C library's calls and do nothing. */
	assert_int_equal(syscall(SYS_mlock, p + ptoa(10), ptoa(5)), 0);
	stops(p, PAGES, 10, -EACCES);
	discard(frame(0), 10);
	stops(p + ptoa(10), PAGES - 10, 0, -EACCES);
	assert_int_equal(syscall(SYS_munlock, p + ptoa(10), ptoa(5)), 0);
	takes_out(p + ptoa(10), PAGES - 10);
	discard(frame(0), PAGES - 10);
	region_end(p, PAGES);
}

static pid_t
child_of(char *p, int fd[2])
{
	pid_t pid;
	char c;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fd[1]);
		(void)!read(fd[0], &c, 1);
		for (uint32_t i = 0; i < 8; i++)
			if (!holds(p + ptoa(i), i, 1))
				_exit(1);
		_exit(0);
	}
	close(fd[0]);
	return pid;
}

static void
end_child(pid_t pid, int fd)
{
	int status;

	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The eight pages of p leave as they are, without a fault. */
static void
leaves_whole(char *p)
{
	takes_out(p, 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(holds(frame(i), i, 1));
	discard(frame(0), 8);
	assert_true(no_fault());
}

/* What is shared with a child leaves, and the child keeps what it had. */
static void
test_shared(void **state)
{
	char *p = full(8);
	int fd[2];
	pid_t pid = child_of(p, fd);

	(void)state;
	leaves_whole(p);
	end_child(pid, fd[1]);
	region_end(p, PAGES);
}

/* A part of the pages shared, the others written to since. */
static void
test_shared_some(void **state)
{
	char *p = full(8);
	int fd[2];
	pid_t pid = child_of(p, fd);

	(void)state;
	for (uint32_t i = 0; i < 8; i += i == 2 ? 3 : 1)
		*(volatile char *)(p + ptoa(i)) = p[ptoa(i)];
	leaves_whole(p);
	end_child(pid, fd[1]);
	region_end(p, PAGES);
}

/* Alone again, the kernel does not know it so far. */
static void
leaves_alone(char *p)
{
	int fd[2];
	pid_t pid = child_of(p, fd);

	end_child(pid, fd[1]);
	leaves_whole(p);
	region_end(p, PAGES);
}

static void
test_was_shared(void **state)
{
	char *p;

	(void)state;
	leaves_alone(full(8));
	if (!pm->seals)
		return;
	/* Nobody answers what it would fault on. */
	p = region(PAGES);
	fill(8, 1);
	assert_int_equal(pmap_enter(pm, at(p, 0), buffer, 8, true), 0);
	leaves_alone(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_enter),
	    cmocka_unit_test(test_zero),
	    cmocka_unit_test(test_moved_twice),
	    cmocka_unit_test(test_remove),
	    cmocka_unit_test(test_look),
	    cmocka_unit_test(test_discard),
	    cmocka_unit_test(test_remove_some),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_unmanage),
	    cmocka_unit_test(test_fault),
	    cmocka_unit_test(test_sealed),
	    cmocka_unit_test(test_fault_in_kernel),
	    cmocka_unit_test(test_fault_many),
	    cmocka_unit_test(test_poison),
	    cmocka_unit_test(test_hole),
	    cmocka_unit_test(test_not_ours),
	    cmocka_unit_test(test_drop_runs),
	    cmocka_unit_test(test_absent),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_mprotect),
	    cmocka_unit_test(test_mlock),
	    cmocka_unit_test(test_shared),
	    cmocka_unit_test(test_shared_some),
	    cmocka_unit_test(test_was_shared),
	};
	int failed = 0;

	buffer = aligned_alloc(PAGE_SIZE, ptoa(PAGES));
	for (unsigned i = 0; i < nitems(ways); i++) {
		way_begin(&ways[i]);
		failed += cmocka_run_group_tests_name(
		    ways[i].name, tests, NULL, NULL);
		pmap_close(pm);
	}
	free(buffer);
	return failed;
}
