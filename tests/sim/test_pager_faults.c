/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fail the n-th: the same world again and again, and each time another single
 * request fails.  A failed write loses nothing; a failed read loses at most
 * the one page that was read alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "sim/sim.h"

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
}

static void
test_nth_read(void **state)
{
	uint64_t hit = 0, lost = 0;

	(void)state;
	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;

		small_world(&p, 1 + n % 3);
		p.errors = true;
		p.disk[0].fail_read_nth = n;
		sim_run(&s, &p, EVENTS);
		assert_true(s.pg.ctr.read_errors <= 1);
		assert_true(s.lost <= s.pg.ctr.read_errors);
		hit += s.pg.ctr.read_errors;
		lost += s.lost;
	}
	assert_true(hit == MOST);
	assert_true(lost > 0);
}

static void
test_nth_write(void **state)
{
	uint64_t hit = 0;

	(void)state;
	for (uint64_t n = 1; n <= MOST; n++) {
		struct sim_params p;

		small_world(&p, 1 + n % 3);
		p.errors = false;
		p.disk[0].fail_write_nth = n;
		sim_run(&s, &p, EVENTS);
		assert_true(s.pg.ctr.write_errors <= 1);
		assert_true(s.lost == 0);
		hit += s.pg.ctr.write_errors;
	}
	assert_true(hit > MOST / 4);
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
		sim_close(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nth_read),
	    cmocka_unit_test(test_nth_write),
	    cmocka_unit_test(test_unplug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
