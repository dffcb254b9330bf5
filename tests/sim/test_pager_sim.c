/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random worlds, random runs.  USWAP_RUNS worlds of USWAP_EVENTS events, from
 * the seed USWAP_SEED on; a fixed one by default, so that a change of the code
 * is all that can change the result.  Before them, a world made for a purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "sim/sim.h"

static uint64_t
number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static struct sim s;

/* A thread writes to each page of the program, in order. */
static void
write_all(void)
{
	for (uint32_t i = 0; i < s.par.n_pages; i++) {
		s.thread[0] = (struct simthread){.pending = true,
		    .write = true,
		    .va = SIMPMAP_BASE + ptoa(i)};
		sim_drain(&s);
	}
}

/*
 * With little swap space: when it is full the pager grows, and when an eighth
 * of it is free again the pager pages out again.
 */
static void
test_small_space(void **state)
{
	uintptr_t va = SIMPMAP_BASE, end;
	struct pager *pg = &s.pg;
	struct sim_params p;

	(void)state;
	sim_random_params(&p, 1);
	p.pager.budget = 64;
	p.pager.frames = 128;
	p.pager.free_low = 8;
	p.pager.free_high = 16;
	p.pager.inactive_goal = 8;
	p.n_pages = 256;
	p.disks = 1;
	p.disk[0] = (struct simdisk_params){.pages = 32 + SWDEV_LABEL};
	p.errors = false;
	p.preempt_in = 0;
	sim_open(&s, &p);
	end = va + ptoa(p.n_pages);
	while (pg->map.pages < p.n_pages)
		sim_program_event(&s, EV_MAP);
	write_all();
	sim_check(&s);
	assert_true(pg->grow && pg->resident > pg->budget);
	for (; pg->grow && va < end; va += PAGE_SIZE) {
		assert_in_range(pg->space.avail, 0, 3);
		sim_unmap(&s, va, va + PAGE_SIZE);
	}
	assert_int_equal(pg->space.avail, 4);
	sim_unmap(&s, va, end - ptoa(80));
	sim_read_all(&s);
	assert_false(pg->grow);
	assert_in_range(pg->resident, 1, pg->budget);
	sim_close(&s);
}

static void
test_random_runs(void **state)
{
	uint64_t seed = number("USWAP_SEED", 1);
	uint64_t runs = number("USWAP_RUNS", getenv("USWAP_SEED") ? 1 : 200);
	uint64_t events = number("USWAP_EVENTS", 5000);
	uint64_t touches = 0, lost = 0, out = 0, soft = 0, disk = 0, grew = 0;
	uint64_t reserved = 0, refused = 0, off = 0, full = 0, stopped = 0;
	uint64_t moved = 0, cloned = 0, clone_full = 0, clone_busy = 0;

	(void)state;
	for (uint64_t i = 0; i < runs; i++) {
		struct sim_params p;

		sim_random_params(&p, seed + i);
		sim_run(&s, &p, events);
		touches += s.touches;
		lost += s.lost;
		out += s.pg.ctr.pages_out;
		soft += s.pg.ctr.faults_soft;
		disk += s.pg.ctr.faults_disk;
		grew += s.pg.ctr.over_budget > 0;
		reserved += s.reserved;
		refused += s.refused;
		off += s.off;
		full += s.off_full;
		stopped += s.off_stopped;
		moved += s.pg.ctr.pages_moved;
		cloned += s.cloned;
		clone_full += s.clone_full;
		clone_busy += s.clone_busy;
	}
	printf("%ju runs from seed %ju: %ju accesses, %ju soft and %ju disk "
	       "faults, %ju pages out, %ju pages lost, %ju runs over budget\n",
	    (uintmax_t)runs, (uintmax_t)seed, (uintmax_t)touches,
	    (uintmax_t)soft, (uintmax_t)disk, (uintmax_t)out, (uintmax_t)lost,
	    (uintmax_t)grew);
	printf(
	    "%ju ranges reserved, %ju refused; %ju devices taken away, %ju not for want of space, %ju "
	    "interrupted; %ju pages moved\n",
	    (uintmax_t)reserved, (uintmax_t)refused, (uintmax_t)off,
	    (uintmax_t)full, (uintmax_t)stopped, (uintmax_t)moved);
	printf("%ju ranges cloned, %ju not for want of space, %ju busy\n",
	    (uintmax_t)cloned, (uintmax_t)clone_full, (uintmax_t)clone_busy);
	/* A simulation in which nothing happens would pass as well. */
	if (runs >= 100 && events >= 5000)
		assert_true(out > 10000 && disk > 1000 && soft > 1000 &&
			    reserved > 200 && refused > 20 && off > 100 &&
			    full > 0 && stopped > 5 && moved > 2000 &&
			    cloned > 500 && clone_full > 5 && clone_busy > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_small_space),
	    cmocka_unit_test(test_random_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
