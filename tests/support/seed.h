/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seed: the randomness of tests.  A run is repeated with USWAP_SEED=<number>.
 */
#ifndef USWAP_TEST_SEED_H
#define USWAP_TEST_SEED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rng {
	uint64_t s;
};

/* splitmix64: one word of state, and good enough to shake a test with. */
static inline uint64_t
rng_next(struct rng *r)
{
	uint64_t z = (r->s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Uniform in 0..n-1, n > 0. */
static inline uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

/* The seed of this run, printed so that a failure can be repeated. */
static inline uint64_t
test_seed(void)
{
	const char *text = getenv("USWAP_SEED");
	uint64_t seed;

	if (text != NULL)
		seed = strtoull(text, NULL, 10);
	else
		seed = (uint64_t)time(NULL) * 1000003u ^ (uint64_t)clock();
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

#endif
