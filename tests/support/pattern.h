/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pattern: page contents that say whose they are: page i, in this version.
 * Version 0 is zeros.
 */
#ifndef USWAP_TEST_PATTERN_H
#define USWAP_TEST_PATTERN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "support/seed.h"

#define PATTERN_WORDS 512 /* of a page */

static inline void
pattern(char *page, uint32_t i, uint32_t version)
{
	struct rng r = {(uint64_t)version << 32 | i};
	uint64_t *w = (uint64_t *)page;

	for (unsigned k = 0; k < PATTERN_WORDS; k++)
		w[k] = version == 0 ? 0 : rng_next(&r);
}

static inline bool
holds(const char *page, uint32_t i, uint32_t version)
{
	uint64_t want[PATTERN_WORDS];

	pattern((char *)want, i, version);
	return memcmp(page, want, sizeof(want)) == 0;
}

#endif
