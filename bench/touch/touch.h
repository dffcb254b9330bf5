/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * touch: what the parts of the benchmark program share.  The program knows
 * nothing of uswap.
 */
#ifndef TOUCH_H
#define TOUCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * hist: how often something took how long.  Each power of two of nanoseconds
 * is cut into 2^HIST_SUB classes: one is 3 % wide.
 */
#define HIST_SUB     5
#define HIST_CLASSES (64 << HIST_SUB)

struct hist {
	uint64_t count[HIST_CLASSES];
};

void hist_add(struct hist *, uint64_t ns);
void hist_merge(struct hist *to, const struct hist *from);
/* [[ns, count], ...], rising, ns being the middle of a class. */
void hist_print(const struct hist *);

/* In which order pages are visited. */
enum order {
	ORDER_FORWARD,
	ORDER_BACKWARD,
	ORDER_STRIDE, /* each 7th page, then each 7th from the next on, ... */
	/* Those that never end: */
	ORDER_UNIFORM,
	ORDER_ZIPF, /* the page of rank r is drawn as often as r^-0.99 */
	ORDER_LOG, /* log-uniform: as many from 1 to 10 as from 10 to 100 */
};

/* A place in an order over n pages. */
struct walk {
	enum order order;
	size_t n;
	uint64_t seed;
	size_t at; /* how many were visited */
	/* ORDER_ZIPF: constants of the distribution */
	double zeta, alpha, eta;
};

void walk_init(struct walk *, enum order, size_t n, uint64_t seed);
size_t walk_next(struct walk *);

/* splitmix64's finalizer */
static inline uint64_t
mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31);
}

#endif
