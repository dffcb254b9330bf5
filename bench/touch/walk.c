/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk: which page is next.
 *
 * The skewed orders draw a rank and visit the page that has it.  Ranks are
 * spread over the pages by a multiplication: were hot pages neighbours, reading
 * ahead would look like knowing them.
 */
#include <math.h>

#include "touch.h"

#define STRIDE 7
#define THETA  0.99
/* A prime above any number of pages: rank * SPREAD % n meets each page once. */
#define SPREAD UINT64_C(2654435761)

static uint64_t
draw(struct walk *w)
{
	return (mix(w->seed += UINT64_C(0x9e3779b97f4a7c15)));
}

/* In [0, 1). */
static double
draw_unit(struct walk *w)
{
	return ((double)(draw(w) >> 11) * 0x1p-53);
}

void
walk_init(struct walk *w, enum order order, size_t n, uint64_t seed)
{
	*w = (struct walk){.order = order, .n = n, .seed = mix(seed + 1)};
	if (order != ORDER_ZIPF)
		return;
	for (size_t i = 1; i <= n; i++)
		w->zeta += pow((double)i, -THETA);
	w->alpha = 1 / (1 - THETA);
	w->eta = (1 - pow(2 / (double)n, 1 - THETA)) /
		 (1 - (1 + pow(0.5, THETA)) / w->zeta);
}

/* Gray et al., "Quickly generating billion-record synthetic databases". */
static size_t
zipf(struct walk *w)
{
	double u = draw_unit(w), uz = u * w->zeta;

	if (uz < 1)
		return (0);
	if (uz < 1 + pow(0.5, THETA))
		return (1);
	return (
	    (size_t)((double)w->n * pow(w->eta * u - w->eta + 1, w->alpha)));
}

/* The page that is visited as number i of a strided pass. */
static size_t
strided(size_t i, size_t n)
{
	size_t offset = 0, length;

	for (;; offset++, i -= length) {
		length = (n - offset + STRIDE - 1) / STRIDE;
		if (i < length)
			return (offset + i * STRIDE);
	}
}

size_t
walk_next(struct walk *w)
{
	size_t i = w->at++ % w->n;

	switch (w->order) {
	case ORDER_BACKWARD:
		return (w->n - 1 - i);
	case ORDER_STRIDE:
		return (strided(i, w->n));
	case ORDER_UNIFORM:
		return (draw(w) % w->n);
	case ORDER_ZIPF:
		return (zipf(w) % w->n * SPREAD % w->n);
	case ORDER_LOG:
		i = (size_t)exp(draw_unit(w) * log((double)w->n + 1)) - 1;
		return (i % w->n * SPREAD % w->n);
	case ORDER_FORWARD:
	default:
		return (i);
	}
}
