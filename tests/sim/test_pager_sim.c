/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random worlds, random runs.  USWAP_RUNS worlds of USWAP_EVENTS events, from
 * the seed USWAP_SEED on; a fixed one by default, so that a change of the code
 * is all that can change the result.
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

static void
test_random_runs(void **state)
{
	static struct sim s;
	uint64_t seed = number("USWAP_SEED", 1);
	uint64_t runs = number("USWAP_RUNS", getenv("USWAP_SEED") ? 1 : 200);
	uint64_t events = number("USWAP_EVENTS", 5000);
	uint64_t touches = 0, lost = 0, out = 0, soft = 0, disk = 0, grew = 0;
	uint64_t reserved = 0, refused = 0;

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
	}
	printf("%ju runs from seed %ju: %ju accesses, %ju soft and %ju disk "
	       "faults, %ju pages out, %ju pages lost, %ju runs over budget\n",
	    (uintmax_t)runs, (uintmax_t)seed, (uintmax_t)touches,
	    (uintmax_t)soft, (uintmax_t)disk, (uintmax_t)out, (uintmax_t)lost,
	    (uintmax_t)grew);
	/* A simulation in which nothing happens would pass as well. */
	if (runs >= 100 && events >= 5000)
		assert_true(out > 10000 && disk > 1000 && soft > 1000 &&
			    reserved > 200 && refused > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
