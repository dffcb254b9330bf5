/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager's operations, one at a time, in a world without chance: which
 * blocks pages have before and after, what is read and written, what is said.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "sim/sim.h"

static struct sim s;
static struct pager *const pg = &s.pg;
static int logfd = -1;

/* One disk, one handler, one thread of the program; messages are kept. */
static void
opens_with(uint32_t buffers, uint32_t n_pages, uint32_t blocks, bool errors)
{
	struct sim_params p;

	sim_random_params(&p, 1);
	p.pager = (struct pager_params){.budget = 1024,
	    .buffers = buffers,
	    .frames = 2048,
	    .free_low = 8,
	    .free_high = 16,
	    .inactive_goal = 8};
	p.n_pages = n_pages;
	p.handlers = p.threads = p.disks = 1;
	for (unsigned i = 0; i < SIM_DISKS; i++)
		p.disk[i] =
		    (struct simdisk_params){.pages = blocks + SWDEV_LABEL,
			.latency_min_ns = 1000,
			.latency_max_ns = 1000};
	memset(p.crypt, 0, sizeof(p.crypt)); /* what it holds is looked at */
	p.busy_in = p.preempt_in = 0;
	p.strict = false;
	p.errors = errors;
	sim_open(&s, &p);
	logfd = memfd_create("log", 0);
	assert_true(logfd >= 0);
	log_setup(logfd, LOG_NOTE);
}

static void
opens(uint32_t n_pages, uint32_t blocks, bool errors)
{
	opens_with(512, n_pages, blocks, errors);
}

static void
closes(void)
{
	sim_close(&s);
	log_setup(STDERR_FILENO, LOG_NOTE);
	close(logfd);
}

/* How often it was said since opens. */
static unsigned
said(const char *what)
{
	static char text[65536];
	ssize_t len = pread(logfd, text, sizeof(text) - 1, 0);
	unsigned n = 0;

	assert_true(len >= 0);
	text[len] = '\0';
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

static uintptr_t
va_of(uint32_t i)
{
	return SIMPMAP_BASE + ptoa(i);
}

/* Addresses [first, first + n) become an object. */
static struct object *
map(uint32_t first, uint32_t n)
{
	struct object *o;

	mtx_lock(&pg->lock);
	o = pager_alloc(pg, va_of(first), n);
	assert_non_null(o);
	assert_int_equal(pmap_manage(s.pmap, va_of(first), n), 0);
	assert_int_equal(
	    map_insert(&pg->map, va_of(first), va_of(first + n), o), 0);
	mtx_unlock(&pg->lock);
	return o;
}

/* The program reads a page, and finds in it what it must. */
static void
reads(uint32_t i)
{
	s.thread[0] = (struct simthread){.pending = true, .va = va_of(i)};
	sim_drain(&s);
}

/* The program fills a page with one byte. */
static void
puts_byte(uint32_t i, char c)
{
	bool poisoned;
	char *mem;

	s.thread[0] =
	    (struct simthread){.pending = true, .write = true, .va = va_of(i)};
	sim_drain(&s);
	mem = simpmap_touch(s.pmap, va_of(i), true, &poisoned);
	assert_non_null(mem);
	memset(mem, c, PAGE_SIZE);
	memset(s.shadow + ptoa(i), c, PAGE_SIZE);
}

static void
fill(uint32_t first, uint32_t end, char c)
{
	for (uint32_t i = first; i < end; i++)
		puts_byte(i, c);
}

/* One step of work until writes are in flight, or until all is done. */
static void
work(bool finish)
{
	struct pageout *po = &s.pageout;

	po->force = true;
	while (finish || blkq_inflight(po->q) == 0) {
		if (!pageout_step(po) && blkq_inflight(po->q) == 0)
			break;
		if (finish)
			blkq_wait(po->q, 1);
	}
	po->force = false;
}

static void
page_out(struct object *o, pindex_t i, pindex_t end)
{
	while (i < end) {
		i = pageout_piece(&s.pageout, o, i, end);
		work(true);
	}
	sim_check(&s);
}

static uint32_t
block(const struct object *o, pindex_t i)
{
	return swmap_get(&o->swmap, i).v;
}

static uint64_t
used(void)
{
	return pg->space.total - pg->space.avail;
}

static void
check_haspage(const struct object *o, pindex_t i, uint32_t max, bool has,
    uint32_t before, uint32_t after)
{
	uint32_t b = max, a = max;

	assert_int_equal(pager_haspage(pg, o, i, &b, &a), has);
	assert_int_equal(b, before);
	assert_int_equal(a, after);
}

/* Many pages are one write, one run of blocks; haspage sees how far. */
static void
test_haspage(void **state)
{
	struct object *o;

	(void)state;
	opens(100, 1000, false);
	o = map(0, 100);
	check_haspage(o, 50, 256, false, 0, 0);
	fill(0, 100, 'a');
	page_out(o, 0, 100);
	assert_int_equal(pg->ctr.swap_writes, 1);
	assert_int_equal(pg->ctr.pages_out, 100);
	for (pindex_t i = 1; i < 100; i++)
		assert_int_equal(block(o, i), block(o, 0) + i);
	check_haspage(o, 50, 256, true, 50, 49);
	check_haspage(o, 50, 7, true, 7, 7);
	check_haspage(o, 50, 0, true, 0, 0);
	check_haspage(o, 0, 256, true, 0, 99);
	check_haspage(o, 99, 256, true, 99, 0);
	/* What is in memory cannot be read, and ends a run. */
	reads(60);
	assert_int_equal(pg->ctr.pages_in, 1);
	check_haspage(o, 60, 256, false, 0, 0);
	check_haspage(o, 50, 256, true, 50, 9);
	/* So does a page without a block. */
	puts_byte(70, 'b');
	pager_unswapped(pg, o, 70);
	check_haspage(o, 70, 256, false, 0, 0);
	check_haspage(o, 65, 256, true, 4, 4);
	closes();
}

static void
second_disk(void)
{
	mtx_lock(&pg->lock);
	assert_int_equal(
	    blkdev_open_sim(&s.par.disk[1], &s.clock, &s.disk[1]), 0);
	assert_int_equal(swspace_on(&pg->space, s.disk[1], 0), 0);
	mtx_unlock(&pg->lock);
}

/* A run never goes on on another device. */
static void
test_two_devices(void **state)
{
	struct object *o;
	uint32_t before, after;

	(void)state;
	opens(40, 20, false);
	second_disk();
	o = map(0, 40);
	fill(0, 40, 'a');
	page_out(o, 0, 40);
	assert_int_equal(pg->ctr.swap_writes, 2);
	assert_int_equal(used(), 40);
	for (pindex_t i = 0; i < 40; i++) {
		before = after = 256;
		assert_true(pager_haspage(pg, o, i, &before, &after));
		assert_int_equal(before, i % 20);
		assert_int_equal(after, 19 - i % 20);
	}
	closes();
}

/* A block is kept after a read: unchanged, the page leaves without I/O. */
static void
test_kept_after_read(void **state)
{
	struct object *o;
	uint32_t blk;

	(void)state;
	opens(10, 1000, false);
	o = map(0, 10);
	fill(0, 10, 'a');
	page_out(o, 0, 10);
	blk = block(o, 5);
	reads(5);
	assert_int_equal(block(o, 5), blk);
	page_out(o, 5, 6);
	assert_int_equal(pg->ctr.clean_drops, 1);
	puts_byte(5, 'b');
	puts_byte(5, 'a'); /* as it was */
	page_out(o, 5, 6);
	assert_int_equal(pg->ctr.clean_drops, 2);
	assert_int_equal(pg->ctr.swap_writes, 1);
	assert_int_equal(block(o, 5), blk);
	assert_int_equal(used(), 10);
	reads(5);
	closes();
}

static bool
sealed(const struct object *o, pindex_t i)
{
	const struct page *p =
	    page_of(&pg->pages, object_slot(&pg->objects, o, i));

	return (p->flags & PG_SEALED) != 0;
}

/*
 * What a stream has read leaves without being moved or looked at, unless somebody
 * wrote to it, dropped it, or its block went.
 */
static void
test_sealed(void **state)
{
	struct object *o;

	(void)state;
	opens(128, 1000, false);
	o = map(0, 128);
	fill(0, 128, 'a');
	page_out(o, 0, 128);
	for (uint32_t i = 0; i < 128; i++)
		reads(i);
	assert_true(sealed(o, 30) && sealed(o, 60) && sealed(o, 127));
	puts_byte(60, 'b'); /* ... and those behind it */
	assert_true(!sealed(o, 60) && !sealed(o, 127) && sealed(o, 59));
	assert_int_equal(pmap_drop(s.pmap, va_of(30), 1), 0);
	memset(s.shadow + ptoa(30), 0, PAGE_SIZE);
	mtx_lock(&pg->lock);
	pager_unswapped(pg, o, 40);
	pager_wire(pg, page_of(&pg->pages, object_slot(&pg->objects, o, 41)));
	mtx_unlock(&pg->lock);
	assert_true(!sealed(o, 41));
	page_out(o, 0, 128);
	/* Dropped by itself: read as zeros.  No block: written, as is 60. */
	assert_false(slot_is_page(object_slot(&pg->objects, o, 30)));
	assert_false(swblk_valid(swmap_get(&o->swmap, 30)));
	assert_true(swblk_valid(swmap_get(&o->swmap, 40)));
	assert_int_equal(pg->ctr.pages_out, 128 + 2);
	assert_int_equal(pg->ctr.clean_drops, 128 - 4);
	for (uint32_t i = 0; i < 128; i++)
		reads(i);
	closes();
}

static void
note_memory(void *arg)
{
	++*(int *)arg;
}

/* Who waits for memory hears of pages that leave without ever having had a frame. */
static void
test_sealed_tells(void **state)
{
	struct object *o;
	int told_of = 0;

	(void)state;
	opens(128, 1000, false);
	o = map(0, 128);
	fill(0, 128, 'a');
	page_out(o, 0, 128);
	for (uint32_t i = 0; i < 128; i++)
		reads(i);
	for (uint32_t i = 40; i < 120; i++)
		assert_true(sealed(o, i));
	pg->event_arg = &told_of;
	pg->have_memory = note_memory;
	page_out(o, 40, 120);
	pg->have_memory = NULL;
	assert_int_equal(pg->ctr.clean_drops, 80);
	assert_true(told_of > 0);
	closes();
}

/* Forty pages in an order in which no stream is seen: the powers of 6 modulo 41. */
static void
reads_scattered(void)
{
	uint32_t power = 1;

	for (uint32_t i = 0; i < 40; i++, power = power * 6 % 41)
		reads(power - 1);
}

/*
 * A pmap that counts what is moved, and that does not give up the page `held`, which
 * the program has locked behind our back.
 */
static struct {
	uint32_t removed;
	uintptr_t held;
} spy;

static uint32_t
spy_sealed(struct pmap *pm, uintptr_t va, uint32_t n)
{
	(void)pm;
	return pmap_sealed(s.pmap, va, n);
}

static uint32_t
spy_remove(struct pmap *pm, uintptr_t va, void *frame, uint32_t n, int *ret_err)
{
	uint32_t before = (uint32_t)atop(spy.held - va), done = n;

	(void)pm;
	if (before < n)
		done = before;
	if (done > 0)
		done = pmap_remove(s.pmap, va, frame, done, ret_err);
	spy.removed += done;
	if (done == before)
		*ret_err = -EACCES;
	return done;
}

static int
spy_drop(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	int error = 0;

	(void)pm;
	for (uint32_t i = 0; i < n; i++)
		if (spy.held - (uintptr_t)runs[i].iov_base < runs[i].iov_len)
			error = -EPERM;
		else
			(void)pmap_drop_runs(s.pmap, &runs[i], 1);
	return error;
}

static int
spy_resident(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	(void)pm;
	return pmap_resident(s.pmap, va, n, vec);
}

static void
spy_look(struct pmap *pm, const struct iovec *runs, uint32_t n, void *dst)
{
	(void)pm;
	pmap_look(s.pmap, runs, n, dst);
}

static void
spy_discard(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	(void)pm;
	pmap_discard(s.pmap, runs, n);
}

/* Pages out, and how many of the pages had to be moved for that. */
static uint32_t
moved(struct object *o, pindex_t first, pindex_t end, uintptr_t held)
{
	static const struct pmap_ops ops = {.sealed = spy_sealed,
	    .remove = spy_remove,
	    .drop = spy_drop,
	    .resident = spy_resident,
	    .look = spy_look,
	    .discard = spy_discard};
	struct pmap pm = *s.pmap;

	pm.ops = &ops;
	spy.removed = 0;
	spy.held = held;
	pg->pmap = &pm;
	if (held != 0)
		(void)pageout_piece(&s.pageout, o, first, end);
	else
		page_out(o, first, end);
	pg->pmap = s.pmap;
	return spy.removed;
}

/*
 * Pages that are read alone are sealed, too, until it shows that they are written: then
 * their windows are not, and after some sixteen of those no new window.
 */
static void
test_sealed_alone(void **state)
{
	const uint32_t n = 40 * OBJECT_LEAF, step = OBJECT_LEAF;
	uint32_t broken = 0, unsealed = 0;
	struct object *o;

	(void)state;
	opens(n, 2 * n, false);
	o = map(0, n);
	fill(0, n, 'a');
	page_out(o, 0, n);
	reads_scattered();
	assert_int_equal(moved(o, 0, n, 0), 0);
	assert_int_equal(pg->ctr.clean_drops, 40);
	/* The window is known to be read: no other page is unsealed, ... */
	reads_scattered();
	puts_byte(7, 'b');
	assert_true(!sealed(o, 7) && sealed(o, 6) && sealed(o, 8));
	/* ... and not at the second time, when it is not any more. */
	puts_byte(9, 'b');
	assert_true(!sealed(o, 9) && sealed(o, 8) && !sealed(o, 10));
	for (uint32_t i = 0; i < 40; i++)
		unsealed += !sealed(o, i);
	assert_true(unsealed > 2);
	assert_int_equal(moved(o, 0, n, 0), unsealed);
	assert_int_equal(pg->ctr.pages_out, n + 2);
	/* In the others each first page is written to. */
	for (uint32_t i = step; i < n; i += step) {
		reads(i + 11);
		broken += sealed(o, i + 11);
		puts_byte(i + 11, 'c');
	}
	assert_in_range(broken, 16, 20);
	page_out(o, 0, n);
	reads(step + 40);
	reads(7);
	assert_true(!sealed(o, step + 40) && sealed(o, 7));
	closes();
}

/* A page that the kernel does not drop is not given up, whatever it says. */
static void
test_sealed_held(void **state)
{
	struct object *o;

	(void)state;
	opens(40, 1000, false);
	o = map(0, 40);
	fill(0, 40, 'a');
	page_out(o, 0, 40);
	reads_scattered();
	page_out(o, 0, 40);
	reads_scattered();
	puts_byte(20, 'b');
	assert_true(sealed(o, 19) && !sealed(o, 20) && sealed(o, 21));
	/* Of its run none is, of the other one all are. */
	assert_int_equal(moved(o, 0, 40, va_of(10)), 20);
	assert_int_equal(pg->ctr.clean_drops, 40 + 19);
	assert_true(slot_is_page(object_slot(&pg->objects, o, 10)));
	assert_false(sealed(o, 10));
	for (uint32_t i = 0; i < 40; i++)
		reads(i);
	puts_byte(10, 'b');
	reads(10);
	closes();
}

/* Reads a page; page-out goes on until it has nothing to do. */
static void
reads_and_rests(pindex_t i)
{
	reads(i);
	while (pageout_step(&s.pageout))
		;
}

/*
 * n random pages, each with two of the `hot` first ones, a power of two, in their turn but in
 * no order that is taken for a stream.  How often a hot one came from disk.
 */
static uint64_t
reads_hot(uint32_t rounds, pindex_t n, pindex_t hot)
{
	static uint32_t seed = 1, turn;
	uint64_t from_disk = 0, before;

	for (; rounds > 0; rounds--) {
		seed = seed * 1664525 + 1013904223;
		reads_and_rests(hot + (seed >> 8) % (n - hot));
		before = pg->ctr.faults_disk;
		for (int k = 0; k < 2; k++, turn++)
			reads_and_rests(turn * (2 * turn + 1) % hot);
		from_disk += pg->ctr.faults_disk - before;
	}
	return from_disk;
}

/*
 * Pages in constant use that are only read are given a second chance, once it shows that
 * dropping them was wrong.  Who took it enters without a seal, and has another one.
 */
static void
test_second_chance(void **state)
{
	const uint32_t n = 4000, hot = 128;

	(void)state;
	opens(n, 2 * n, false);
	map(0, n);
	fill(0, n, 'a');
	sim_drain(&s);
	pg->inactive_goal = 100;
	(void)reads_hot(4000, n, hot);
	/* If all were dropped it would be a thousand. */
	assert_in_range(reads_hot(8000, n, hot), 0, 100);
	closes();
}

/*
 * A disk that does not keep up: what waits for it is as much as is needed, and the
 * program keeps the rest.  What is inactive has time to be touched.
 */
static void
test_slow_disk(void **state)
{
	struct pageq *q = pg->pages.q;
	uint32_t active;

	(void)state;
	opens(1000, 3000, false);
	map(0, 1000);
	fill(0, 1000, 'a');
	pg->free_low = (uint32_t)pager_free(pg) + 200;
	pg->free_high = pg->free_low + 100; /* more than one write */
	pg->inactive_goal = 100;
	s.pageout.async_max = 1;
	for (int i = 0; i < 200; i++)
		(void)pageout_step(&s.pageout);
	assert_int_equal(blkq_inflight(s.pageout.q), 1);
	active = q[PQ_ACTIVE].count + q[PQ_STREAM].count;
	assert_in_range(active, 200, 500);
	s.pageout.async_max = PAGEOUT_IO;
	sim_drain(&s);
	assert_int_equal(q[PQ_LAUNDRY].count, 0);
	assert_in_range(q[PQ_INACTIVE].count, 90, 100);
	closes();
}

/* ---- few read buffers ---------------------------------------------------- */

/* All but so many of those that are free are in use from here on. */
static uint32_t held[512], nheld;

static void
leave_buffers(uint32_t n)
{
	for (nheld = 0; blist_avail(pg->frames.in) > n; nheld++) {
		uint32_t one = 1;

		held[nheld] = frames_alloc_in(&pg->frames, &one);
	}
}

static void
give_buffers_back(void)
{
	while (nheld > 0)
		frames_free(&pg->frames, held[--nheld], 1);
}

/* What runs down and has room for one page reads that which is waited for. */
static void
test_down_short(void **state)
{
	struct object *o;

	(void)state;
	opens(600, 1000, false);
	o = map(0, 600);
	fill(0, 512, 'a');
	page_out(o, 0, 512);
	leave_buffers(1);
	for (uint32_t i = 400; i > 300; i--)
		reads(i);
	assert_int_equal(pg->ctr.waits_memory, 0);
	assert_int_equal(pg->ctr.swap_reads, 100);
	give_buffers_back();
	closes();
}

/* Single pages of an object are read, in no order, so often. */
static void
reads_single(struct object *o, uint32_t first, uint32_t end, uint32_t times)
{
	uint64_t until = pg->ctr.faults_disk + times;
	struct rng r = {1};

	for (uint32_t n = 0; pg->ctr.faults_disk < until; n++) {
		if (n % 64 == 0)
			page_out(o, first, end);
		reads(first + (uint32_t)rng_below(&r, end - first));
	}
}

/* How much is read ahead of what lies before page `end`. */
static uint32_t
ahead_before(pindex_t end)
{
	struct page *p = pageq_first(&pg->pages, PQ_AHEAD);
	uint32_t n = 0;

	for (; p != NULL; p = pageq_next(&pg->pages, p))
		n += p->pindex < end;
	return n;
}

/* What was read ahead of streams that have ended makes room for others. */
static void
test_stale_ahead(void **state)
{
	struct object *o;
	uint64_t before;

	(void)state;
	opens_with(64, 600, 1000, false);
	o = map(0, 600);
	fill(0, 512, 'a');
	page_out(o, 0, 512);
	for (uint32_t at = 0; at < 300; at += 100)
		for (uint32_t i = at; i < at + 10; i++)
			reads(i);
	assert_in_range(ahead_before(200), 32, 63);
	reads_single(o, 300, 500, 4 * 64 - 30);
	assert_in_range(ahead_before(200), 32, 63);
	reads_single(o, 300, 500, 2 * 4 * 64);
	assert_int_equal(ahead_before(200), 0);
	page_out(o, 300, 500);
	before = pg->ctr.pages_ahead;
	for (uint32_t i = 300; i < 428; i++)
		reads(i);
	assert_in_range(pg->ctr.pages_ahead - before, 32, 128);
	closes();
}

/* ---- a handler of its own ------------------------------------------------ */

/* The faults that there are to read, the first first. */
static struct pmap_fault told[2 * HANDLER_FAULTS];
static uint32_t ntold;

static uint32_t
told_next(struct pmap *pm, struct pmap_fault *f, uint32_t n)
{
	(void)pm;
	n = US_MIN(n, ntold);
	ntold -= n;
	memcpy(f, told, n * sizeof(*f));
	memmove(told, told + n, ntold * sizeof(*f));
	return n;
}

/* Who is woken faults again. */
static int
told_wake(struct pmap *pm, uintptr_t va, uint32_t n)
{
	(void)pm;
	(void)n;
	told[ntold++] = (struct pmap_fault){
	    .va = va, .write = true, .tid = va == va_of(5) ? 7 : 1000};
	return 0;
}

static const struct pmap_ops told_ops = {
    .next_faults = told_next, .wake = told_wake};

/* Whether the handler holds a fault of this thread's, or will read one. */
static bool
to_be_answered(const struct handler *h, pid_t tid)
{
	for (uint32_t i = 0; i < h->taken; i++)
		if (h->fault[i].tid == tid)
			return true;
	for (uint32_t i = 0; i < ntold; i++)
		if (told[i].tid == tid)
			return true;
	return false;
}

/*
 * A fault waits for memory, more than can be held do, and behind them the page-out
 * thread has one itself, on a page that it takes out.
 */
static void
test_own_fault(void **state)
{
	struct handler *h = &s.handler[0];
	struct pmap none = {.ops = &told_ops};
	struct object *o;
	struct page *p;
	uint32_t all;

	(void)state;
	opens(1000, 2000, false);
	o = map(0, 1000);
	fill(0, 10, 'a');
	mtx_lock(&pg->lock);
	pg->pageout_tid = 7;
	all = (uint32_t)pager_free(pg);
	assert_true(pager_copies_begin(pg, all));
	p = page_of(&pg->pages, object_slot(&pg->objects, o, 5));
	page_dequeue(&pg->pages, p);
	pager_busy(pg, p);
	mtx_unlock(&pg->lock);
	h->pmap = &none;
	for (ntold = 0; ntold < HANDLER_FAULTS + 20;)
		(void)told_wake(&none, va_of(20 + ntold), 1);
	(void)told_wake(&none, va_of(5), 1);
	for (int i = 0; i < 100 && to_be_answered(h, 7); i++)
		(void)handler_step(h);
	assert_false(to_be_answered(h, 7));
	assert_true(h->waiting && to_be_answered(h, 1000));
	h->taken = 0;
	h->pmap = s.pmap;
	mtx_lock(&pg->lock);
	pager_unbusy(pg, p);
	page_enqueue(&pg->pages, p, PQ_ACTIVE);
	pager_copies_end(pg, all);
	mtx_unlock(&pg->lock);
	sim_drain(&s);
	closes();
}

/* Faults for single pages, so many more, no two of them for the same. */
static void
tell_single(uint32_t n)
{
	static uint32_t next;

	for (; n > 0; n--, next++)
		told[ntold++] = (struct pmap_fault){
		    .va = va_of(next * next % 397), .tid = 1000};
}

static int
told_enter(
    struct pmap *pm, uintptr_t va, const void *src, uint32_t n, bool seal)
{
	(void)pm;
	return pmap_enter(s.pmap, va, src, n, seal);
}

static const struct pmap_ops told_ops_enter = {
    .next_faults = told_next, .enter = told_enter};

/* While many reads are under way, or done and not looked at yet, others start. */
static void
test_many_reads(void **state)
{
	struct handler *h = &s.handler[0];
	struct pmap front = {.ops = &told_ops_enter};
	struct object *o;
	uint32_t n;

	(void)state;
	opens(397, 500, false);
	o = map(0, 397);
	fill(0, 397, 'a');
	page_out(o, 0, 397);
	h->pmap = &front;
	ntold = 0;
	tell_single(HANDLER_IO);
	for (int i = 0; i < 100 && (handler_step(h) || ntold > 0); i++)
		;
	n = blkq_inflight(h->q);
	assert_in_range(n, HANDLER_IO - 4, HANDLER_IO);
	assert_int_equal(h->reading, n);
	blkq_flush(h->q);
	s.clock.now_ns += 1000000;
	tell_single(1);
	assert_true(handler_step(h));
	assert_int_equal(ntold, 0);
	assert_int_equal(h->reading, n - 4 + 1);
	handler_wait(h);
	assert_int_not_equal(h->awake, 0);
	assert_int_equal(pg->ctr.faults_disk, HANDLER_IO + 1);
	h->pmap = s.pmap;
	sim_drain(&s);
	closes();
}

/* How many reads are started for a note that page `last` of a stream was read. */
static uint64_t
note_reads(pindex_t last)
{
	struct handler *h = &s.handler[0];
	struct note note = {.fault = {.va = va_of(last)}, .window = 8};
	uint64_t before = pg->ctr.swap_reads;

	mtx_lock(&pg->lock);
	assert_true(handler_note(h, note));
	mtx_unlock(&pg->lock);
	(void)handler_step(h);
	sim_drain(&s);
	return pg->ctr.swap_reads - before;
}

/* A stream whose last page is out, as when a range was taken out, is not read ahead of. */
static void
test_late_note(void **state)
{
	struct object *first, *second;

	(void)state;
	opens(200, 500, false);
	first = map(0, 100);
	second = map(100, 100);
	fill(0, 200, 'a');
	page_out(first, 0, 100);
	page_out(second, 0, 100);
	reads(40); /* which is in memory now, and no other */
	assert_int_not_equal(note_reads(40), 0);
	assert_int_equal(note_reads(80), 0);
	/* Nor does it go on in what happens to lie behind. */
	reads(99);
	assert_int_equal(note_reads(99), 0);
	closes();
}

/* Each page-out takes a new block; the old one goes when it is written. */
static void
test_reallocated(void **state)
{
	struct object *o;
	uint32_t old;
	devblk_t at;

	(void)state;
	opens(10, 1000, false);
	o = map(0, 10);
	fill(0, 10, 'a');
	page_out(o, 0, 10);
	old = block(o, 5);
	puts_byte(5, 'b');
	assert_int_equal(block(o, 5), old);
	(void)pageout_piece(&s.pageout, o, 5, 6);
	work(false);
	assert_int_equal(blkq_inflight(s.pageout.q), 1);
	assert_int_equal(block(o, 5), old); /* still the only good copy there */
	assert_int_equal(used(), 11);
	work(true);
	assert_int_not_equal(block(o, 5), old);
	assert_int_equal(used(), 10);
	(void)swspace_locate(&pg->space, swmap_get(&o->swmap, 5), &at);
	assert_int_equal(((char *)simdisk_page(s.disk[0], at))[4095], 'b');
	reads(5);
	closes();
}

/* A block that cannot be written is said, retired, and costs nothing. */
static void
test_write_error(void **state)
{
	struct simdisk_params p;
	struct object *o;
	uint64_t total;
	uint32_t old;

	(void)state;
	opens(10, 1000, false);
	total = pg->space.total;
	o = map(0, 10);
	fill(0, 10, 'a');
	page_out(o, 0, 10);
	old = block(o, 5);
	p = s.par.disk[0];
	p.fail_write_nth = 1;
	simdisk_set(s.disk[0], &p);
	puts_byte(5, 'b');
	page_out(o, 5, 6);
	assert_int_equal(said("writing 1 page at block"), 1);
	assert_int_equal(said(" failed: EIO; the block is retired"), 1);
	assert_int_equal(pg->ctr.write_errors, 1);
	assert_int_equal(pg->ctr.swap_writes, 3);
	assert_int_equal(pg->space.bad, 1);
	assert_int_equal(pg->space.total, total - 1);
	assert_int_equal(used(), 10);
	assert_int_not_equal(block(o, 5), old);
	reads(5);
	/* Of several nobody knows which: each is tried alone, none retired. */
	fill(0, 10, 'c');
	simdisk_set(s.disk[0], &p);
	page_out(o, 0, 10);
	assert_int_equal(said("they are tried again one by one"), 1);
	assert_int_equal(pg->ctr.swap_writes, 3 + 1 + 10);
	assert_int_equal(pg->space.bad, 1);
	for (uint32_t i = 0; i < 10; i++)
		reads(i);
	closes();
}

/* A page that cannot be read alone is lost, and both is said. */
static void
test_read_error(void **state)
{
	struct simdisk_params p;
	struct object *o;

	(void)state;
	opens(10, 1000, true);
	o = map(0, 10);
	fill(0, 10, 'a');
	page_out(o, 0, 10);
	p = s.par.disk[0];
	p.fail_read_nth = 1;
	simdisk_set(s.disk[0], &p);
	reads(5);
	assert_int_equal(s.lost, 1);
	assert_int_equal(said("reading 1 page at block"), 1);
	assert_int_equal(said(" failed: EIO\n"), 1);
	assert_int_equal(said("lost; touching it will end in SIGBUS"), 1);
	assert_int_equal(object_slot(&pg->objects, o, 5), SLOT_LOST);
	assert_int_equal(block(o, 5), 0);
	assert_int_equal(pg->space.bad, 1);
	for (uint32_t i = 0; i < 10; i++)
		reads(i);
	assert_int_equal(s.lost, 1);
	closes();
}

/* freespace gives blocks back and leaves pages in memory alone. */
static void
test_freespace(void **state)
{
	struct object *o;

	(void)state;
	opens(200, 1000, false);
	o = map(0, 200);
	fill(0, 200, 'a');
	page_out(o, 0, 200);
	for (uint32_t i = 60; i < 140; i++)
		reads(i);
	assert_true(o->resident >= 80);
	mtx_lock(&pg->lock);
	pager_freespace(pg, o, 60, 140);
	mtx_unlock(&pg->lock);
	assert_int_equal(used(), 120);
	for (pindex_t i = 0; i < 200; i++)
		assert_int_equal(block(o, i) != 0, i < 60 || i >= 140);
	sim_check(&s);
	assert_int_equal(pg->ctr.pages_out, 200);
	page_out(o, 0, 200);
	assert_int_equal(pg->ctr.pages_out, 280);
	for (uint32_t i = 0; i < 200; i++)
		reads(i);
	closes();
}

/* Pages and blocks go to another object without I/O. */
static void
test_copy(void **state)
{
	struct object *from, *to;
	uint32_t blk[50];

	(void)state;
	opens(200, 1000, false);
	from = map(0, 100);
	to = map(100, 50);
	fill(0, 90, 'a'); /* ten pages have nothing */
	page_out(from, 0, 100);
	for (pindex_t i = 0; i < 50; i++)
		blk[i] = block(from, 50 + i);
	mtx_lock(&pg->lock);
	assert_int_equal(pager_copy(pg, from, 50, to, 0, 50), 0);
	mtx_unlock(&pg->lock);
	for (pindex_t i = 0; i < 50; i++) {
		assert_int_equal(block(to, i), blk[i]);
		assert_int_equal(blk[i] != 0, i < 40);
		assert_int_equal(block(from, 50 + i), 0);
	}
	assert_int_equal(from->swmap.count, 50);
	assert_int_equal(to->swmap.count, 40);
	assert_int_equal(used(), 90);
	assert_true(pg->ctr.swap_writes == 1 && pg->ctr.swap_reads == 0);
	sim_check(&s);
	memcpy(s.shadow + ptoa(100), s.shadow + ptoa(50), ptoa(50));
	memset(s.shadow + ptoa(50), 0, ptoa(50));
	for (uint32_t i = 0; i < 150; i++)
		reads(i);
	closes();
}

/* What a page that is moved has been protected by is not relied on any more. */
static void
test_copy_sealed(void **state)
{
	struct object *from, *to;

	(void)state;
	opens(128, 1000, false);
	from = map(0, 64);
	to = map(64, 64);
	fill(0, 64, 'a');
	page_out(from, 0, 64);
	reads_scattered();
	assert_true(sealed(from, 0) && sealed(from, 39));
	mtx_lock(&pg->lock);
	simpmap_move(s.pmap, va_of(0), va_of(64), 64);
	assert_int_equal(pmap_manage(s.pmap, va_of(0), 128), 0);
	assert_int_equal(pager_copy(pg, from, 0, to, 0, 64), 0);
	mtx_unlock(&pg->lock);
	memcpy(s.shadow + ptoa(64), s.shadow, ptoa(64));
	memset(s.shadow, 0, ptoa(64));
	assert_int_equal(moved(to, 0, 64, 0), 40);
	assert_int_equal(pg->ctr.pages_out, 64);
	for (uint32_t i = 0; i < 128; i++)
		reads(i);
	closes();
}

/* When space is short, pages that are read in give their blocks up. */
static void
test_given_up(void **state)
{
	struct object *o;
	uint64_t avail;

	(void)state;
	opens(40, 40, false);
	o = map(0, 40);
	fill(0, 40, 'a');
	page_out(o, 0, 40);
	assert_true(pg->space.almost_full && pg->space.avail == 0);
	/* Every other page, so that none brings its neighbour. */
	for (uint32_t i = 0; i < 40; i += 2)
		reads(i);
	assert_int_equal(pg->space.avail, 20);
	assert_int_equal(pg->ctr.pages_in, 20);
	for (uint32_t i = 1; i < 40; i += 2)
		reads(i);
	assert_false(pg->space.almost_full);
	avail = pg->space.avail;
	assert_in_range(avail, 21, 39);
	/* The others keep theirs, until somebody needs them. */
	mtx_lock(&pg->lock);
	assert_int_equal(pager_reclaim_blocks(pg, 5), 5);
	mtx_unlock(&pg->lock);
	assert_int_equal(pg->space.avail, avail + 5);
	page_out(o, 0, 40);
	for (uint32_t i = 0; i < 40; i++)
		reads(i);
	closes();
}

/*
 * No leaf for a page: its fault waits, which is said once, and goes on when
 * something was unmapped.
 */
static void
test_tables_full(void **state)
{
	uint32_t leaves, n;

	(void)state;
	opens(400, 1000, false);
	for (n = 0; n < 400; n += 100)
		(void)map(n, 100);
	/* As if the program had touched all that can be recorded. */
	leaves = pg->objects.leaves.max;
	reads(0);
	pg->objects.leaves.max = pg->objects.leaves.used;
	puts_byte(63, 'a'); /* in the same window */
	assert_int_equal(said("tables are full"), 0);
	s.thread[0] = (struct simthread){
	    .pending = true, .write = true, .va = va_of(164)};
	for (n = 0; n < 200; n++) {
		(void)sim_thread(&s, &s.thread[0]);
		sim_round(&s);
	}
	assert_true(s.thread[0].pending);
	assert_int_equal(said("tables are full"), 1);
	assert_int_equal(pg->ctr.waits_memory, 1);
	sim_check(&s);
	sim_unmap(&s, va_of(0), va_of(100));
	sim_drain(&s);
	assert_false(s.thread[0].pending);
	pg->objects.leaves.max = leaves;
	closes();
}

/*
 * Over its budget, because swap space was full until now, the pager gives no
 * memory to copies; what is in read buffers takes none, and is entered.
 */
static void
test_copies(void **state)
{
	uint32_t budget;

	(void)state;
	opens(100, 100, false);
	budget = pg->budget;
	pg->budget = pg->resident + pg->loose;
	assert_true(pager_copies_begin(pg, 0));
	assert_false(pager_copies_begin(pg, 1));
	pg->loose += 2;
	assert_true(pager_free(pg) < 0);
	assert_true(pager_copies_begin(pg, 0));
	assert_false(pager_copies_begin(pg, 1));
	pg->grow = true;
	assert_true(pager_copies_begin(pg, 1));
	pager_copies_end(pg, 1);
	pg->grow = false;
	pg->loose -= 2;
	pg->budget = budget;
	closes();
}

/* ---- shared blocks ------------------------------------------------------- */

/* The object at pages [to, to + n): a clone of those at the first n. */
static struct object *
clone_at(uint32_t to, uint32_t n)
{
	assert_int_equal(sim_clone(&s, va_of(0), n, va_of(to)), 0);
	return map_lookup(&pg->map, va_of(to))->object;
}

/* The same of pages that are in swap space only. */
static struct object *
swapped_clone(struct object *o, uint32_t to, uint32_t n)
{
	uint64_t reads, writes;
	struct object *c;

	page_out(o, 0, n);
	reads = pg->ctr.swap_reads;
	writes = pg->ctr.swap_writes;
	c = clone_at(to, n);
	assert_int_equal(c->npages, n);
	assert_int_equal(pg->ctr.swap_reads, reads);
	assert_int_equal(pg->ctr.swap_writes, writes);
	return c;
}

/* One block, two pages; who changes one gets another block, the last frees it. */
static void
test_shared(void **state)
{
	struct object *o, *c;

	(void)state;
	opens(300, 1000, false);
	o = map(0, 100);
	fill(0, 90, 'a'); /* ten pages have nothing */
	c = swapped_clone(o, 100, 100);
	assert_int_equal(used(), 90);
	assert_int_equal(swspace_owned(&pg->space), 180);
	for (pindex_t i = 0; i < 100; i++)
		assert_int_equal(block(c, i), block(o, i));
	puts_byte(100 + 5, 'b');
	page_out(c, 0, 100);
	assert_int_not_equal(block(c, 5), block(o, 5));
	assert_int_equal(used(), 91);
	/* All zeros: it has no block, the other keeps it. */
	puts_byte(6, 0);
	page_out(o, 0, 100);
	assert_int_equal(block(o, 6), 0);
	assert_int_equal(used(), 91);
	for (uint32_t i = 0; i < 100; i++) {
		reads(i);
		reads(100 + i);
	}
	mtx_lock(&pg->lock);
	pager_freespace(pg, c, 20, 30);
	pager_unswapped(pg, c, 40);
	mtx_unlock(&pg->lock);
	assert_int_equal(used(), 91);
	assert_int_equal(swspace_owned(&pg->space), 180 - 1 - 11);
	sim_unmap(&s, va_of(0), va_of(100));
	assert_int_equal(used(), 79);
	for (uint32_t i = 0; i < 100; i++)
		reads(100 + i);
	closes();
}

/*
 * Full: a page is not written over a block that a clone has as well, and giving
 * such a block up would give nobody space.  A block of its own, it is.
 */
static void
test_shared_full(void **state)
{
	struct object *o, *c;
	uint32_t blk;

	(void)state;
	opens(120, 50, false);
	o = map(0, 50);
	fill(0, 50, 'a');
	c = swapped_clone(o, 50, 50);
	assert_int_equal(pg->space.avail, 0);
	for (uint32_t i = 0; i < 10; i += 2)
		reads(i);
	assert_int_equal(swspace_owned(&pg->space), 100);
	mtx_lock(&pg->lock);
	assert_int_equal(pager_reclaim_blocks(pg, 10), 0);
	mtx_unlock(&pg->lock);
	blk = block(o, 4);
	puts_byte(4, 'b');
	(void)pageout_piece(&s.pageout, o, 4, 5);
	work(true);
	assert_int_equal(block(o, 4), blk);
	assert_int_equal(pg->pages.q[PQ_LAUNDRY].count, 1);
	reads(50 + 4);
	reads(4);
	/* The clone gives its pages up: some of the blocks are free then. */
	sim_unmap(&s, c->base, c->base + ptoa(50));
	page_out(o, 4, 5);
	assert_int_equal(block(o, 4), blk);
	reads(4);
	closes();
}

/* A page in memory becomes part of both by one write, and stays. */
static void
test_clone_in_memory(void **state)
{
	struct object *o, *c;

	(void)state;
	opens(300, 1000, false);
	o = map(0, 100);
	fill(0, 60, 'a');
	page_out(o, 0, 20);
	reads(3);
	puts_byte(5, 'b');
	assert_int_equal(pg->ctr.pages_out, 20);
	c = clone_at(100, 100);
	assert_int_equal(pg->ctr.pages_out, 20 + 40 + 1);
	assert_int_equal(o->resident, 42);
	assert_int_equal(c->resident, 0);
	assert_int_equal(used(), 60);
	for (pindex_t i = 0; i < 60; i++)
		assert_int_equal(block(c, i), block(o, i));
	/* Nothing is written when they leave. */
	page_out(o, 0, 100);
	assert_int_equal(pg->ctr.pages_out, 61);
	assert_int_equal(o->resident, 0);
	for (uint32_t i = 0; i < 100; i++) {
		reads(i);
		reads(100 + i);
	}
	closes();
}

/* What cannot be written cannot be cloned; nothing is changed by that. */
static void
test_clone_no_space(void **state)
{
	struct object *o;

	(void)state;
	opens(300, 30, false);
	o = map(0, 100);
	fill(0, 60, 'a');
	assert_int_equal(sim_clone(&s, va_of(0), 60, va_of(100)), -ENOSPC);
	assert_int_equal(pg->map.n, 1);
	assert_int_equal(swspace_owned(&pg->space), used());
	for (uint32_t i = 0; i < 100; i++)
		reads(i);
	assert_false(o->frozen);
	closes();
}

/*
 * A page whose read is in flight when it is cloned comes in at the n-th time that
 * somebody else may run while the object is frozen, is changed, and leaves at once:
 * behind so many others that nobody looks at it for a while.
 */
static struct {
	void (*otherwise)(void);
	const struct object *o;
	const struct page *page; /* that came in */
	uint32_t left;
	bool unseen; /* it has been out, and not looked at */
} late;

static void
late_write(void)
{
	bool poisoned;
	char *mem;

	s.clock.now_ns += s.par.disk[0].latency_max_ns;
	(void)sim_step(&s, 0);
	mem = simpmap_touch(s.pmap, late.o->base, true, &poisoned);
	if (mem == NULL)
		return; /* it has come in and left before */
	memset(mem, 'b', PAGE_SIZE);
	memset(s.shadow, 'b', PAGE_SIZE);
	s.thread[0].pending = false;
	late.page = page_of(&pg->pages, object_slot(&pg->objects, late.o, 0));
	pg->free_low = pg->free_high = pg->inactive_goal = pg->budget;
}

static void
late_preempt(void)
{
	const struct page *p = late.page;

	late.otherwise();
	late.unseen |= p != NULL && late.o->frozen && late.left == 0 &&
		       p->queue == PQ_INACTIVE && (p->flags & PG_CLEAN) == 0;
	if (late.o->frozen && late.left > 0 && --late.left == 0)
		late_write();
}

/* False: the clone was made before. */
static bool
clone_with_late(uint32_t n, uint32_t pages)
{
	struct object *o;

	opens(2 * pages, 2000, false);
	o = map(0, pages);
	fill(0, pages, 'a');
	page_out(o, 0, 1);
	s.thread[0] = (struct simthread){.write = true, .va = va_of(0)};
	s.thread[0].pending = true;
	assert_true(sim_thread(&s, &s.thread[0]));
	(void)sim_step(&s, 0);
	late.otherwise = simlock_preempt;
	late.o = o;
	late.page = NULL;
	late.left = n;
	simlock_preempt = late_preempt;
	(void)clone_at(pages, pages);
	simlock_preempt = late.otherwise;
	pg->free_low = 8;
	pg->free_high = 16;
	pg->inactive_goal = 8;
	for (uint32_t i = 0; i < pages; i += 50) {
		reads(i);
		reads(pages + i);
	}
	closes();
	return late.left == 0;
}

/* What is out of the program may have been changed before it was: see unrest_of. */
static void
test_clone_late(void **state)
{
	uint32_t n = 1;

	(void)state;
	late.unseen = false;
	while (clone_with_late(n, 900))
		n++;
	assert_true(n > 10 && late.unseen);
}

/* A read that fails loses the page of who reads; the block is bad at the end. */
static void
test_shared_read_error(void **state)
{
	struct simdisk_params p;
	struct object *o, *c;

	(void)state;
	opens(30, 1000, true);
	o = map(0, 10);
	fill(0, 10, 'a');
	c = swapped_clone(o, 10, 10);
	p = s.par.disk[0];
	p.fail_read_nth = 1;
	simdisk_set(s.disk[0], &p);
	reads(5);
	assert_int_equal(object_slot(&pg->objects, o, 5), SLOT_LOST);
	assert_int_equal(s.lost, 1);
	assert_int_equal(pg->space.bad, 0);
	reads(10 + 5);
	assert_int_equal(s.lost, 1);
	/* A lost page is lost in a clone. */
	c = clone_at(20, 10);
	assert_int_equal(object_slot(&pg->objects, c, 5), SLOT_LOST);
	sim_unmap(&s, va_of(0), va_of(30));
	assert_int_equal(pg->space.bad, 1);
	closes();
}

/* ---- shared blocks of a device that leaves -------------------------------- */

/* Copied once, for all who have it: it is shared as before. */
static void
test_shared_moves(void **state)
{
	struct object *o, *c, *d;

	(void)state;
	opens(400, 100, false);
	o = map(0, 100);
	fill(0, 100, 'a');
	c = swapped_clone(o, 100, 100);
	d = swapped_clone(o, 200, 100);
	second_disk(); /* as large: no block is free at the end */
	assert_int_equal(sim_swapoff(&s, 0, false), 0);
	sim_swapoff_end(&s);
	assert_int_equal(s.off, 1);
	assert_int_equal(pg->ctr.pages_moved, 100);
	/* Its transfers count as requests and pages of them; nothing came in. */
	assert_true(pg->ctr.swap_reads > 0 && pg->ctr.swap_writes > 1);
	assert_int_equal(pg->ctr.v_swappgsin, 100);
	assert_int_equal(pg->ctr.v_swappgsout, 200);
	assert_int_equal(pg->ctr.pages_in, 0);
	assert_int_equal(pg->ctr.pages_out, 100);
	assert_int_equal(used(), 100);
	assert_int_equal(swspace_owned(&pg->space), 300);
	for (pindex_t i = 0; i < 100; i++)
		assert_true(
		    block(o, i) == block(c, i) && block(o, i) == block(d, i));
	sim_check(&s);
	for (uint32_t i = 0; i < 100; i++) {
		reads(i);
		reads(100 + i);
		reads(200 + i);
	}
	closes();
}

/* What cannot be read there is lost for all of them. */
static void
test_shared_move_error(void **state)
{
	struct simdisk_params p;
	struct object *o, *c;

	(void)state;
	opens(30, 100, true);
	o = map(0, 10);
	fill(0, 10, 'a');
	c = swapped_clone(o, 10, 10);
	second_disk();
	p = s.par.disk[0];
	p.read_error_in = 1;
	simdisk_set(s.disk[0], &p);
	/* By force, for it would be taken for away. */
	assert_int_equal(sim_swapoff(&s, 0, true), 0);
	sim_swapoff_end(&s);
	assert_int_equal(s.off, 1);
	for (pindex_t i = 0; i < 10; i++) {
		assert_int_equal(object_slot(&pg->objects, o, i), SLOT_LOST);
		assert_int_equal(object_slot(&pg->objects, c, i), SLOT_LOST);
	}
	assert_int_equal(used(), 0);
	closes();
}

/* More owners than the table holds: fewer blocks at a time. */
static void
test_many_owners(void **state)
{
	enum { PAGES = 1000, CLONES = SWAPOFF_MORE / PAGES + 2 };
	static struct object *c[CLONES];
	struct object *o;

	(void)state;
	opens(3 * PAGES, PAGES, false); /* for so many leaves */
	o = map(0, PAGES);
	fill(0, PAGES, 'a');
	page_out(o, 0, PAGES);
	mtx_lock(&pg->lock);
	for (unsigned k = 0; k < CLONES; k++) {
		/* Nobody touches them: they need no addresses of their own. */
		c[k] = pager_alloc(pg, va_of(0), PAGES);
		assert_non_null(c[k]);
		for (pindex_t i = 0; i < PAGES; i++)
			assert_int_equal(pager_share(pg, o, i, c[k], i), 0);
	}
	mtx_unlock(&pg->lock);
	second_disk();
	assert_int_equal(sim_swapoff(&s, 0, false), 0);
	sim_swapoff_end(&s);
	assert_int_equal(s.off, 1);
	assert_int_equal(used(), PAGES);
	assert_int_equal(
	    swspace_owned(&pg->space), (uint64_t)PAGES * (CLONES + 1));
	assert_int_equal(pg->ctr.pages_moved, PAGES);
	sim_check(&s);
	mtx_lock(&pg->lock);
	for (unsigned k = 0; k < CLONES; k++)
		pager_dealloc(pg, c[k]);
	mtx_unlock(&pg->lock);
	assert_int_equal(used(), PAGES);
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_haspage),
	    cmocka_unit_test(test_two_devices),
	    cmocka_unit_test(test_kept_after_read),
	    cmocka_unit_test(test_sealed),
	    cmocka_unit_test(test_sealed_tells),
	    cmocka_unit_test(test_sealed_alone),
	    cmocka_unit_test(test_second_chance),
	    cmocka_unit_test(test_sealed_held),
	    cmocka_unit_test(test_slow_disk),
	    cmocka_unit_test(test_down_short),
	    cmocka_unit_test(test_stale_ahead),
	    cmocka_unit_test(test_own_fault),
	    cmocka_unit_test(test_many_reads),
	    cmocka_unit_test(test_late_note),
	    cmocka_unit_test(test_reallocated),
	    cmocka_unit_test(test_write_error),
	    cmocka_unit_test(test_read_error),
	    cmocka_unit_test(test_freespace),
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_copy_sealed),
	    cmocka_unit_test(test_given_up),
	    cmocka_unit_test(test_tables_full),
	    cmocka_unit_test(test_copies),
	    cmocka_unit_test(test_shared),
	    cmocka_unit_test(test_shared_full),
	    cmocka_unit_test(test_clone_in_memory),
	    cmocka_unit_test(test_clone_no_space),
	    cmocka_unit_test(test_clone_late),
	    cmocka_unit_test(test_shared_read_error),
	    cmocka_unit_test(test_shared_moves),
	    cmocka_unit_test(test_shared_move_error),
	    cmocka_unit_test(test_many_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
