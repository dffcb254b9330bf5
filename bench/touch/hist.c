/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "touch.h"

static unsigned
class_of(uint64_t ns)
{
	unsigned shift;

	if (ns < 1 << HIST_SUB)
		return (ns);
	shift = 63 - HIST_SUB - __builtin_clzll(ns);
	return (
	    (shift + 1) << HIST_SUB | (ns >> shift & ((1 << HIST_SUB) - 1)));
}

/* The middle of a class. */
static uint64_t
time_of(unsigned class)
{
	unsigned shift = class >> HIST_SUB;
	uint64_t low;

	if (shift == 0)
		return (class);
	shift--;
	low = (1 << HIST_SUB) | (class & ((1 << HIST_SUB) - 1));
	return ((low << shift) + ((UINT64_C(1) << shift) >> 1));
}

void
hist_add(struct hist *h, uint64_t ns)
{
	h->count[class_of(ns)]++;
}

void
hist_merge(struct hist *to, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_CLASSES; i++)
		to->count[i] += from->count[i];
}

void
hist_print(const struct hist *h)
{
	const char *sep = "";

	printf("[");
	for (unsigned i = 0; i < HIST_CLASSES; i++) {
		if (h->count[i] == 0)
			continue;
		printf("%s[%" PRIu64 ",%" PRIu64 "]", sep, time_of(i),
		    h->count[i]);
		sep = ",";
	}
	printf("]");
}
