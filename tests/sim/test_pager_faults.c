/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fail the n-th: the same world again and again, and each time another single
 * request fails.  A failed write loses nothing; a failed read loses at most
 * the one page that was read alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "sim/sim.h"
#include "support/things.h"

#define EVENTS 3000
#define MOST   60

static struct sim s;

/* A small world under pressure on one disk, which makes no errors itself. */
static void
small_world(struct sim_params *p, uint64_t seed)
{
	sim_random_params(p, seed);
	p->pager = (struct pager_params){.budget = 64,
	    .buffers = 32,
	    .frames = 128,
	    .free_low = 8,
	    .free_high = 16,
	    .inactive_goal = 8};
	p->n_pages = 256;
	p->disks = 1;
	p->busy_in = 0;
	p->disk[0] = (struct simdisk_params){.pages = 600,
	    .seed = seed,
	    .latency_min_ns = 1000,
	    .latency_max_ns = 20000};
	p->handlers = 2;
	p->threads = 4;
	p->weight[EV_THREAD] = 300;
	p->weight[EV_HANDLER] = p->weight[EV_CLOCK] = 200;
	p->weight[EV_PAGEOUT] = 100;
	/* Nothing that takes blocks or pages out of play. */
	p->weight[EV_UNMAP] = p->weight[EV_DONTNEED] = 0;
	p->weight[EV_RAW_UNMAP] = p->weight[EV_SWAPON] = 0;
	p->weight[EV_SWAPOFF] = 0;
	p->weight[EV_CLONE] = 0; /* which share what is lost */
}

/* clones: how often ranges are cloned. */
static void
each_read(uint32_t clones)
{
	uint64_t hit = 0, lost = 0, cloned = 0;

	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;

		small_world(&p, 1 + n % 3);
		p.errors = true;
		p.weight[EV_CLONE] = clones;
		p.disk[0].fail_read_nth = n;
		sim_run(&s, &p, EVENTS);
		assert_true(s.pg.ctr.read_errors <= 1);
		assert_true(s.lost <= s.pg.ctr.read_errors);
		hit += s.pg.ctr.read_errors;
		lost += s.lost;
		cloned += s.cloned;
	}
	assert_true(hit == MOST);
	assert_true(lost > 0);
	assert_true(clones == 0 || cloned > MOST);
}

static void
test_nth_read(void **state)
{
	(void)state;
	each_read(0);
}

/* Who does not read a shared block loses nothing. */
static void
test_clone_nth_read(void **state)
{
	(void)state;
	each_read(20);
}

static void
each_write(uint32_t clones)
{
	uint64_t hit = 0;

	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;

		small_world(&p, 1 + n % 3);
		p.errors = false;
		p.weight[EV_CLONE] = clones;
		p.disk[0].fail_write_nth = n;
		sim_run(&s, &p, EVENTS);
		assert_true(s.pg.ctr.write_errors <= 1);
		assert_true(s.lost == 0);
		hit += s.pg.ctr.write_errors;
	}
	assert_true(hit > MOST / 4);
}

static void
test_nth_write(void **state)
{
	(void)state;
	each_write(0);
}

/* Among them those of a clone, whose pages are written all the same. */
static void
test_clone_nth_write(void **state)
{
	(void)state;
	each_write(20);
}

/* ---- while a device is taken away ---------------------------------------- */

/*
 * Two disks, the first of which holds all there is when it is to go.  What the
 * other one fails from then on is the test's, and so are the events.
 */
static void
before_swapoff(uint64_t seed, bool errors, struct sim_params *p)
{
	small_world(p, seed);
	p->errors = errors;
	p->disks = 2;
	p->disk[1] = p->disk[0];
	p->prio[0] = 1;
	p->prio[1] = 0;
	p->weight[EV_MOVER] = 50;
	sim_open(&s, p);
	for (unsigned i = 0; i < 8; i++)
		sim_program_event(&s, EV_MAP);
	while (s.event < EVENTS)
		sim_event(&s);
}

/* Takes the first disk away while the program runs; how that ended. */
static void
take_away(const struct sim_params *p, bool errors)
{
	uint64_t rounds = 0;

	assert_true(s.pg.space.total - s.pg.space.avail > 100);
	assert_int_equal(sim_swapoff(&s, 0, errors), 0);
	for (unsigned i = 0; i < 2; i++)
		simdisk_set(s.disk[i], &p->disk[i]);
	while (s.swapoff.dev != NULL) {
		sim_event(&s);
		assert_true(rounds++ < 100000);
	}
	assert_int_equal(s.off, 1);
	assert_null(s.disk[0]);
	assert_true(s.pg.ctr.pages_moved > 0);
	sim_read_all(&s);
	assert_true(errors || s.lost == 0);
	sim_close(&s);
}

/* Each read of the device that goes: at most the one page is lost. */
static void
test_swapoff_nth_read(void **state)
{
	uint64_t hit = 0, lost = 0;

	(void)state;
	for (uint64_t i = 2; i < 2 * MOST + 2; i++) {
		struct sim_params p;

		before_swapoff(1 + i % 3, true, &p);
		p.disk[0].fail_read_nth = i / 2;
		take_away(&p, true);
		assert_true(s.lost <= 1 && s.pg.ctr.read_errors <= 1);
		hit += s.pg.ctr.read_errors;
		lost += s.lost;
	}
	assert_true(hit > MOST / 4 && lost > 0);
}

/* One read in n, so that pages read alone fail as well. */
static void
test_swapoff_reads_fail(void **state)
{
	uint64_t lost = 0;

	(void)state;
	for (uint64_t n = 2; n <= MOST; n++) {
		struct sim_params p;

		before_swapoff(1 + n % 3, true, &p);
		p.disk[0].read_error_in = (uint32_t)n;
		take_away(&p, true);
		assert_true(s.lost <= s.pg.ctr.read_errors);
		lost += s.lost;
	}
	assert_true(lost > MOST);
}

/* Each write to the one that stays, and then many: nothing is lost. */
static void
test_swapoff_nth_write(void **state)
{
	uint64_t hit = 0;

	(void)state;
	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;

		before_swapoff(1 + n % 3, false, &p);
		p.disk[1].fail_write_nth = n;
		take_away(&p, false);
		hit += s.pg.ctr.write_errors;
	}
	assert_true(hit > MOST / 4);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim_params p;

		before_swapoff(seed, false, &p);
		p.disk[1].write_error_in = 10;
		p.disk[1].torn_write_in = 10;
		take_away(&p, false);
	}
}

static void
forget_ahead(void)
{
	struct page *p;

	mtx_lock(&s.pg.lock);
	while ((p = pageq_first(&s.pg.pages, PQ_AHEAD)) != NULL)
		pager_ahead_gone(&s.pg, p);
	mtx_unlock(&s.pg.lock);
}

/*
 * Nothing can be read any more: all is lost but what was read ahead just before.
 * That lies in memory, and is written to the other disk from there.
 */
static void
test_swapoff_read_ahead(void **state)
{
	uint64_t moved = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim_params p;
		uint32_t ahead;

		before_swapoff(seed, true, &p);
		while (
		    s.pg.pages.q[PQ_AHEAD].count == 0 && s.event < 3 * EVENTS)
			sim_event(&s);
		ahead = s.pg.pages.q[PQ_AHEAD].count;
		s.par.preempt_in = 0; /* nobody else reads */
		assert_int_equal(sim_swapoff(&s, 0, true), 0);
		p.disk[0].read_error_in = 1;
		simdisk_set(s.disk[0], &p.disk[0]);
		for (unsigned i = 0; s.swapoff.dev != NULL && i < 1000; i++) {
			(void)sim_step(&s, SIM_SWAPOFF);
			s.clock.now_ns += p.disk[0].latency_max_ns;
		}
		assert_true(s.pg.ctr.pages_moved <= ahead);
		moved += s.pg.ctr.pages_moved;
		forget_ahead();
		sim_swapoff_end(&s);
		sim_read_all(&s);
		assert_true(s.lost <= s.swapoff.lost);
		sim_close(&s);
	}
	assert_true(moved > 10);
}

/* It fails, or is interrupted, at any time: the device is as it was. */
static void
test_swapoff_fails(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;
		uint64_t total, steps = 0;

		before_swapoff(1 + n % 3, false, &p);
		total = s.pg.space.total;
		assert_int_equal(sim_swapoff(&s, 0, false), 0);
		assert_int_equal(
		    s.pg.space.total, total / 2); /* they are of one size */
		while (s.swapoff.dev != NULL) {
			if (steps++ == n)
				atomic_store(&s.swapoff.stop, true);
			(void)sim_step(&s, SIM_SWAPOFF);
			if (steps % 8 == 0)
				sim_round(&s);
		}
		assert_int_equal(s.off + s.off_stopped, 1);
		if (s.off_stopped == 1)
			assert_int_equal(s.pg.space.total, total);
		while (s.event < 2 * EVENTS)
			sim_event(&s);
		sim_read_all(&s);
		assert_int_equal(s.lost, 0);
		sim_close(&s);
	}
}

/* The device is away from some step on: it keeps its pages until it is back. */
static void
test_swapoff_away(void **state)
{
	uint64_t stopped = 0;

	(void)state;
	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;
		uint64_t steps = 0;

		before_swapoff(1 + n % 3, false, &p);
		/* Nobody else is to meet it away: no transfer in flight. */
		while (blkq_inflight(s.pageout.q) > 0 ||
		       blkq_inflight(s.handler[0].q) > 0)
			sim_round(&s);
		assert_int_equal(sim_swapoff(&s, 0, false), 0);
		while (s.swapoff.dev != NULL) {
			if (steps++ == n / 3 % 8)
				simdisk_away(s.disk[0], true);
			(void)sim_step(&s, SIM_SWAPOFF);
			s.clock.now_ns += p.disk[0].latency_max_ns / 4;
		}
		assert_int_equal(s.off + s.off_stopped, 1);
		stopped += s.off_stopped;
		if (s.off_stopped == 1) {
			assert_int_equal(sim_swapoff(&s, 0, false), -EIO);
			simdisk_away(s.disk[0], false);
			assert_int_equal(s.pg.space.bad, 0);
		}
		while (s.event < 2 * EVENTS)
			sim_event(&s);
		sim_read_all(&s);
		assert_int_equal(s.lost, 0);
		sim_close(&s);
	}
	assert_true(stopped > MOST / 4);
}

/* A thousand times on and off: nothing is used up. */
static void
test_swapoff_leaks(void **state)
{
	unsigned long size = 0;
	struct sim_params p;

	(void)state;
	before_swapoff(1, false, &p);
	/* No objects that come, go or grow: they cost memory. */
	s.par.weight[EV_MAP] = s.par.weight[EV_GROW] = 0;
	s.par.weight[EV_MOVE] = 0;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(sim_swapoff(&s, i % 2, false), 0);
		while (s.swapoff.dev != NULL)
			sim_event(&s);
		sim_swapon(&s);
		if (i == 100)
			size = address_space();
	}
	assert_int_equal(s.off, 1000);
	assert_true(size > 0);
	assert_int_equal(address_space(), size);
	assert_true(s.pg.ctr.pages_moved > 10000);
	sim_read_all(&s);
	assert_int_equal(s.lost, 0);
	sim_close(&s);
}

static struct swdev_info
info_of(unsigned disk)
{
	struct swdev_info info;

	for (unsigned i = 0; i < s.pg.space.ndev; i++) {
		swspace_info(&s.pg.space, i, &info);
		if (info.dev == s.disk[disk])
			return info;
	}
	fail_msg("disk %u is not in use", disk);
	return info;
}

static uint32_t
used_on(unsigned disk)
{
	return info_of(disk).used;
}

static uint32_t
bad_on(unsigned disk)
{
	return info_of(disk).bad;
}

/* The cable is cut: what is in memory stays right, the rest is lost. */
static void
test_unplug(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct sim_params p;

		small_world(&p, seed);
		p.errors = true;
		sim_open(&s, &p);
		for (unsigned i = 0; i < 8; i++)
			sim_program_event(&s, EV_MAP);
		while (s.event < EVENTS)
			sim_event(&s);
		simdisk_unplug(s.disk[0]);
		while (s.event < 2 * EVENTS)
			sim_event(&s);
		sim_read_all(&s);
		assert_true(blkdev_gone(s.disk[0]));
		assert_int_equal(s.pg.space.bad, 0);
		sim_close(&s);
	}
}

/*
 * One of two vanishes, at once or with an error for each block.  Nothing more
 * goes there, hardly a block is taken for bad, and the other's pages are as they
 * were.  Its own cannot be moved, but be given up; then all is well again.
 */
static void
one_of_two(uint64_t seed, bool eio)
{
	struct sim_params p;
	uint64_t errors;

	before_swapoff(seed, true, &p);
	p.prio[0] = p.prio[1];
	if (eio) {
		p.disk[0].read_error_in = p.disk[0].write_error_in = 1;
		simdisk_set(s.disk[0], &p.disk[0]);
	} else {
		simdisk_unplug(s.disk[0]);
	}
	while (!blkdev_gone(s.disk[0]) && s.event < 10 * EVENTS)
		sim_event(&s);
	assert_true(blkdev_gone(s.disk[0]));
	assert_true(s.pg.space.bad <= (eio ? 16 : 0));
	errors = s.pg.ctr.write_errors;
	while (s.event < 12 * EVENTS)
		sim_event(&s);
	/* What was in flight, and a try now and then. */
	assert_true(s.pg.ctr.write_errors <= errors + PAGEOUT_IO + 8);
	assert_int_equal(
	    s.pg.space.total, p.disk[1].pages - SWDEV_LABEL - bad_on(1));
	sim_drain(&s);
	assert_int_equal(sim_swapoff(&s, 0, false), used_on(0) > 0 ? -EIO : 0);
	if (s.swapoff.dev == NULL)
		assert_int_equal(sim_swapoff(&s, 0, true), 0);
	sim_swapoff_end(&s);
	assert_int_equal(s.off, 1);
	sim_read_all(&s);
	errors = s.lost;
	while (s.event < 14 * EVENTS)
		sim_event(&s);
	sim_read_all(&s);
	assert_int_equal(s.lost, errors);
	sim_close(&s);
}

static void
test_unplug_one_of_two(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		one_of_two(seed, false);
		one_of_two(seed, true);
	}
}

/* All writes fail for a while, on the only disk: it is found to be back. */
static void
test_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct sim_params p;
		uint64_t out;

		small_world(&p, seed);
		p.errors = false;
		/* All of it may be in memory by then: no fault, no kick.  The
		 * page-out thread looks now and then while it is at work. */
		p.strict = false;
		sim_open(&s, &p);
		for (unsigned i = 0; i < 8; i++)
			sim_program_event(&s, EV_MAP);
		while (s.event < EVENTS)
			sim_event(&s);
		p.disk[0].write_error_in = 1;
		simdisk_set(s.disk[0], &p.disk[0]);
		while (!blkdev_gone(s.disk[0]))
			sim_event(&s);
		p.disk[0].write_error_in = 0;
		simdisk_set(s.disk[0], &p.disk[0]);
		out = s.pg.ctr.pages_out;
		while (s.event < 20 * EVENTS && s.pg.ctr.pages_out < out + 200)
			sim_event(&s);
		assert_false(blkdev_gone(s.disk[0]));
		assert_true(s.pg.ctr.pages_out >= out + 200);
		assert_true(s.pg.space.bad <= 8);
		sim_read_all(&s);
		assert_int_equal(s.lost, 0);
		sim_close(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nth_read),
	    cmocka_unit_test(test_nth_write),
	    cmocka_unit_test(test_clone_nth_read),
	    cmocka_unit_test(test_clone_nth_write),
	    cmocka_unit_test(test_swapoff_nth_read),
	    cmocka_unit_test(test_swapoff_reads_fail),
	    cmocka_unit_test(test_swapoff_nth_write),
	    cmocka_unit_test(test_swapoff_read_ahead),
	    cmocka_unit_test(test_swapoff_fails),
	    cmocka_unit_test(test_swapoff_away),
	    cmocka_unit_test(test_swapoff_leaks),
	    cmocka_unit_test(test_unplug),
	    cmocka_unit_test(test_unplug_one_of_two),
	    cmocka_unit_test(test_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
