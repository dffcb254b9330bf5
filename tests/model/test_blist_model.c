/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist against its twin: a byte for each block and memchr.  After each random
 * operation both must have given the same answer, block for block; now and
 * then the whole state is compared and blist_check() runs.
 *
 * USWAP_OPS or the first argument: how many operations (200000).
 */
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "base/blist.h"
#include "../support/seed.h"

#define SAME(a, b, what)                                                       \
	KASSERT((a) == (b), "%s: blist %llu, twin %llu", what,                 \
	    (unsigned long long)(a), (unsigned long long)(b))

struct twin {
	char *free; /* 1 free, 0 in use */
	uint32_t n;
	uint32_t avail;
	uint32_t cursor;
};

/* The end of the stretch of equal blocks that begins at b. */
static uint32_t
twin_end(const struct twin *t, uint32_t b)
{
	const char *p = memchr(t->free + b, !t->free[b], t->n - b);

	return p == NULL ? t->n : (uint32_t)(p - t->free);
}

static uint32_t
twin_find(const struct twin *t, uint32_t from, uint32_t count)
{
	uint32_t b, e;

	for (b = from; b < t->n; b = e) {
		e = twin_end(t, b);
		if (t->free[b] && e - b >= count)
			return b;
	}
	return BLIST_NONE;
}

/* Sets a range to free or in use; returns how many blocks changed. */
static uint32_t
twin_set(struct twin *t, uint32_t blk, uint32_t count, char to)
{
	uint32_t i, changed = 0;

	for (i = blk; i < blk + count; i++) {
		changed += t->free[i] != to;
		t->free[i] = to;
	}
	t->avail += to ? changed : -changed;
	return changed;
}

static uint32_t
twin_alloc(struct twin *t, uint32_t *count, uint32_t maxcount)
{
	uint32_t b;

	b = twin_find(t, t->cursor, *count);
	if (b == BLIST_NONE)
		b = twin_find(t, 0, *count);
	if (b == BLIST_NONE)
		return b;
	*count = US_MIN(twin_end(t, b) - b, maxcount);
	twin_set(t, b, *count, 0);
	t->cursor = b + *count < t->n ? b + *count : 0;
	return b;
}

static void
twin_resize(struct twin *t, uint32_t n, bool freenew)
{
	uint32_t old = t->n;

	if (n < old)
		twin_set(t, n, old - n, 0);
	t->free = realloc(t->free, n);
	KASSERT(t->free != NULL, "no memory");
	t->n = n;
	if (n > old) {
		memset(t->free + old, 0, n - old);
		if (freenew)
			twin_set(t, old, n - old, 1);
	}
	if (t->cursor >= n)
		t->cursor = 0;
}

static uint32_t
below(struct rng *r, uint32_t n)
{
	return (uint32_t)rng_below(r, n);
}

/* 1..n, mostly small. */
static uint32_t
length(struct rng *r, uint32_t n)
{
	static const uint32_t most[] = {1, 4, 16, 70, 300, 5000, UINT32_MAX};
	uint32_t upto = most[below(r, nitems(most))];

	return 1 + below(r, US_MIN(n, upto));
}

/* Runs in use, from the beginning to the end. */
static void
compare_used(const struct blist *bl, const struct twin *t)
{
	uint32_t at = 0, i, n;

	for (;; at = i + n) {
		for (i = at; i < t->n && t->free[i]; i++)
			continue;
		SAME(blist_used(bl, at, &n), i < t->n ? i : BLIST_NONE, "used");
		if (i == t->n)
			break;
		for (uint32_t k = i; k < i + n; k++)
			SAME(k < t->n && !t->free[k], 1, "in use");
		SAME(i + n == t->n || t->free[i + n], 1, "end of a run");
	}
}

static void
compare(const struct blist *bl, const struct twin *t)
{
	uint32_t i;

	for (i = 0; i < t->n; i++)
		SAME(blist_isfree(bl, i), t->free[i], "isfree");
	compare_used(bl, t);
	blist_check(bl);
}

static void
try_alloc(struct rng *r, struct blist *bl, struct twin *t)
{
	uint32_t bn, tn, max, b;

	bn = tn = length(r, t->n);
	max = below(r, 2) ? bn : bn + below(r, 300);
	b = blist_alloc(bl, &bn, max);
	SAME(b, twin_alloc(t, &tn, max), "alloc: block");
	SAME(bn, tn, "alloc: count");
}

/* Frees a part, mostly small, of a stretch that is in use. */
static void
try_free(struct rng *r, struct blist *bl, struct twin *t)
{
	uint32_t b, e, n;

	b = below(r, t->n);
	if (t->free[b])
		b = twin_end(t, b);
	if (b == t->n)
		return;
	e = twin_end(t, b);
	n = below(r, 4) ? length(r, e - b) : e - b;
	blist_free(bl, b, n);
	twin_set(t, b, n, 1);
}

static void
try_fill(struct rng *r, struct blist *bl, struct twin *t)
{
	uint32_t b = below(r, t->n), n = length(r, t->n - b);

	SAME(blist_fill(bl, b, n), twin_set(t, b, n, 0), "fill");
}

static void
try_resize(struct rng *r, struct blist **bl, struct twin *t, uint32_t most)
{
	uint32_t n = below(r, 2) ? 1 + below(r, most) : t->n + below(r, 200);
	bool freenew = below(r, 2);

	KASSERT(blist_resize(bl, n, freenew) == 0, "no memory");
	twin_resize(t, n, freenew);
	SAME(blist_blocks(*bl), n, "blocks");
}

/*
 * One list's life.  Allocating and freeing take turns in being more frequent,
 * so that it is full, empty and fragmented by turns.
 */
static void
life(struct rng *r, uint32_t most, uint64_t ops)
{
	uint32_t n = 1 + below(r, most), bias = 50, what;
	struct blist *bl = blist_create(n);
	struct twin t = {calloc(n, 1), n, 0, 0};
	uint64_t i;

	KASSERT(bl != NULL && t.free != NULL, "no memory");
	for (i = 0; i < ops; i++) {
		if (below(r, 200) == 0)
			bias = 10 + below(r, 81);
		what = below(r, 1000);
		if (what == 0)
			try_resize(r, &bl, &t, most);
		else if (what < 30)
			try_fill(r, bl, &t);
		else if (below(r, 100) < bias)
			try_alloc(r, bl, &t);
		else
			try_free(r, bl, &t);
		SAME(blist_avail(bl), t.avail, "avail");
		if (below(r, 20 + t.n / 16) == 0)
			compare(bl, &t);
	}
	compare(bl, &t);
	free(t.free);
	blist_destroy(bl);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/*
 * Speed, without the twin: runs of `min` to min + 255 blocks come and go in
 * random order in a list of 4 GiB.  With short runs a quarter or more of it
 * stays free; with long ones it fills and about half of all operations are
 * refused allocations, which the rate counts too.
 */
static void
speed(struct rng *r, uint32_t min, uint64_t ops)
{
	static struct {
		uint32_t blk, n;
	} slot[16384];
	const uint32_t n = 1 << 20;
	struct blist *bl = blist_create(n);
	uint64_t i, failed = 0;
	double t0;
	uint32_t s;

	KASSERT(bl != NULL, "no memory");
	memset(slot, 0, sizeof(slot));
	blist_free(bl, 2, n - 2);
	t0 = seconds();
	for (i = 0; i < ops; i++) {
		s = below(r, nitems(slot));
		if (slot[s].n > 0) {
			blist_free(bl, slot[s].blk, slot[s].n);
			slot[s].n = 0;
			continue;
		}
		slot[s].n = min;
		slot[s].blk = blist_alloc(bl, &slot[s].n, min + below(r, 256));
		if (slot[s].blk == BLIST_NONE) {
			slot[s].n = 0;
			failed++;
		}
	}
	t0 = seconds() - t0;
	printf("blist: %.2f million operations per second "
	       "(runs of %u and more; %u%% free, %.1f%% refused)\n",
	    (double)ops / t0 / 1e6, min, blist_avail(bl) / (n / 100),
	    100.0 * (double)failed / (double)ops);
	blist_check(bl);
	blist_destroy(bl);
}

int
main(int argc, char **argv)
{
	/* Around words, nodes of level 1, and of level 2. */
	static const uint32_t sizes[] = {
	    1, 3, 64, 130, 700, 700, 4096, 5000, 5000, 13000, 300000};
	const char *text = argc > 1 ? argv[1] : getenv("USWAP_OPS");
	uint64_t ops = text != NULL ? strtoull(text, NULL, 10) : 200000;
	struct rng r = {test_seed()};
	uint64_t done, part;
	uint32_t most;

	for (done = 0; done < ops; done += part) {
		most = sizes[below(&r, nitems(sizes))];
		part = 1 + rng_below(&r, most > 100000 ? 500 : 4000);
		part = US_MIN(part, ops - done);
		life(&r, most, part);
	}
	printf("%" PRIu64 " operations agree\n", done);
	speed(&r, 1, ops);
	speed(&r, 16, ops);
	speed(&r, 200, ops);
	return 0;
}
