/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swspace and swmap against their twins: a byte for each block of each device,
 * and an array of assignments.  After each random operation everything that
 * can be seen must be the same; now and then the checks run.
 *
 * USWAP_OPS or the first argument: how many operations of each (300000).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "block/engine.h"
#include "swap/swmap.h"
#include "swap/swspace.h"
#include "../support/seed.h"

#define SAME(a, b, what)                                                       \
	KASSERT((a) == (b), "%s: %llu, twin %llu", what,                       \
	    (unsigned long long)(a), (unsigned long long)(b))

static struct rng rng;
static int logfd;

static uint32_t
below(uint64_t n)
{
	return (uint32_t)rng_below(&rng, n);
}

/* Mostly small, but up to max. */
static uint32_t
small(uint32_t max)
{
	return 1 + below(below(4) == 0 ? max : US_MIN(max, 8u));
}

/* ---- swspace ------------------------------------------------------------- */

#define DEVS   5
#define BLOCKS 4000

enum { FREE, USED, BAD, LABEL };

struct twin_dev {
	struct blkdev *dev;
	int prio;
	bool closing;
	uint32_t first; /* in the block space, as seen */
	uint32_t n;
	char blk[BLOCKS];
	uint8_t more[BLOCKS]; /* owners beyond the first */
	bool failed[BLOCKS]; /* one of them retired it */
};

static struct {
	struct twin_dev dev[DEVS]; /* by descending priority, then age */
	unsigned ndev;
	struct blkdev *next; /* whose turn it is in its group */
	bool full, full_said, almost;
	unsigned said; /* messages, in all */
} tw;

static unsigned closed; /* devices, in all */

static void
fake_close(struct blkdev *dev)
{
	closed++;
	free(dev);
}

static const struct blkdev_ops fake_ops = {.close = fake_close};

/* Not on devices that are closing. */
static uint32_t
twin_count(int what)
{
	uint32_t n = 0, b;
	unsigned i;

	for (i = 0; i < tw.ndev; i++)
		for (b = 0; !tw.dev[i].closing && b < tw.dev[i].n; b++)
			n += tw.dev[i].blk[b] == what;
	return n;
}

static uint32_t
longest(const struct twin_dev *d)
{
	uint32_t b, run = 0, max = 0;

	for (b = 0; !d->closing && b < d->n; b++) {
		run = d->blk[b] == FREE ? run + 1 : 0;
		max = US_MAX(max, run);
	}
	return max;
}

/* The rules of the water marks, in the words of swspace.h. */
static uint32_t
twin_low(void)
{
	uint32_t total = twin_count(FREE) + twin_count(USED);

	return US_MIN((total + 7) / 8, 128);
}

static void
twin_marks(void)
{
	uint32_t avail = twin_count(FREE), total = avail + twin_count(USED);

	if (avail > 0)
		tw.full = false;
	if (avail > US_MIN(total / 2, 512))
		tw.almost = tw.full_said = false;
	if (avail < twin_low() && !tw.almost) {
		tw.almost = true;
		tw.said++;
	}
}

/* Who must give a run, and of what length at least; -1 when nobody can. */
static int
twin_choose(uint32_t n, uint32_t min, uint32_t *least)
{
	uint32_t run[DEVS];
	unsigned lo, hi, i, k;

	for (lo = 0; lo < tw.ndev; lo = hi) {
		k = 0;
		for (hi = lo; hi < tw.ndev; hi++) {
			if (tw.dev[hi].prio != tw.dev[lo].prio)
				break;
			if (tw.dev[hi].dev == tw.next)
				k = hi - lo;
			run[hi] = longest(&tw.dev[hi]);
		}
		for (*least = n;; *least = US_MAX(*least / 2, min)) {
			for (i = 0; i < hi - lo; i++) {
				unsigned at = lo + (k + i) % (hi - lo);

				if (run[at] >= *least)
					return (int)at;
			}
			if (*least == min)
				break;
		}
	}
	return -1;
}

/* Served: the turn is with the one behind it, or the first of its group. */
static void
twin_turn(unsigned i)
{
	int prio = tw.dev[i].prio;

	if (i + 1 == tw.ndev || tw.dev[i + 1].prio != prio)
		for (; i > 0 && tw.dev[i - 1].prio == prio; i--)
			continue;
	else
		i++;
	tw.next = tw.dev[i].dev;
}

static void
op_alloc(struct swspace *s)
{
	uint32_t n = small(256), min = below(2) ? 1 : small(n), got = n;
	uint32_t least, b;
	int i = twin_choose(n, min, &least);
	swblk_t blk = swspace_alloc(s, &got, min);
	struct twin_dev *d;
	devblk_t at;

	SAME(swblk_valid(blk), i >= 0, "found");
	if (i < 0) {
		SAME(got, n, "length of nothing");
		if (min == 1) {
			tw.full = true;
			tw.said += !tw.full_said;
			tw.full_said = true;
		}
		return;
	}
	d = &tw.dev[i];
	KASSERT(swspace_locate(s, blk, &at) == d->dev, "not device %d", i);
	KASSERT(got >= least && got <= n, "%u of %u..%u", got, least, n);
	KASSERT(got <= d->n && at.v <= d->n - got, "beyond the device");
	for (b = at.v; b < at.v + got; b++)
		SAME((int)d->blk[b], (int)FREE, "state of an offered block");
	KASSERT(got == n || b == d->n || d->blk[b] != FREE, "cut short");
	memset(d->blk + at.v, USED, got);
	memset(d->failed + at.v, false, got);
	SAME(blk.v - at.v, d->first, "place in the block space");
	twin_turn((unsigned)i);
	twin_marks();
}

/* A random used block, if one is found at once, and those behind it. */
static struct twin_dev *
pick_used(uint32_t *blk, uint32_t *run)
{
	struct twin_dev *d = &tw.dev[below(tw.ndev)];
	uint32_t max = small(600);
	char *p;

	*blk = below(d->n);
	p = memchr(d->blk + *blk, USED, d->n - *blk);
	if (p == NULL)
		return NULL;
	*blk = (uint32_t)(p - d->blk);
	for (*run = 0; *run < max && *blk + *run < d->n; (*run)++)
		if (d->blk[*blk + *run] != USED)
			break;
	return d;
}

/* One owner less. */
static void
twin_leave(struct twin_dev *d, uint32_t b)
{
	if (d->more[b] > 0)
		d->more[b]--;
	else
		d->blk[b] = d->failed[b] ? BAD : FREE;
}

static void
op_share(struct swspace *s)
{
	uint32_t b, n;
	struct twin_dev *d = pick_used(&b, &n);

	if (d == NULL)
		return;
	KASSERT(swspace_share(s, (swblk_t){d->first + b}, n), "%u owners",
	    UINT8_MAX);
	while (n-- > 0)
		d->more[b++]++;
}

static void
op_free(struct swspace *s)
{
	uint32_t b, n;
	struct twin_dev *d = pick_used(&b, &n);

	if (d == NULL)
		return;
	swspace_free(s, (swblk_t){d->first + b}, n);
	while (n-- > 0)
		twin_leave(d, b++);
	twin_marks();
}

static void
op_retire(struct swspace *s)
{
	uint32_t b, n;
	struct twin_dev *d = pick_used(&b, &n);

	if (d == NULL)
		return;
	swspace_retire(s, (swblk_t){d->first + b});
	d->failed[b] = true;
	twin_leave(d, b);
	twin_marks();
}

/* The lowest place: try each, as nobody else would. */
static uint32_t
twin_place(uint32_t n)
{
	uint32_t first = 1, i;

	for (i = 0; i < tw.ndev; i++) {
		if (first <= tw.dev[i].first + tw.dev[i].n &&
		    tw.dev[i].first <= first + n) {
			first++;
			i = UINT32_MAX; /* from the beginning */
		}
	}
	return first;
}

static void
op_on(struct swspace *s)
{
	static const uint32_t sizes[] = {10, 100, 700, BLOCKS};
	uint32_t n = 1 + below(sizes[below(nitems(sizes))]);
	struct blkdev *dev = calloc(1, sizeof(*dev));
	int prio = (int)below(3) - 1, rv;
	static unsigned serial;
	struct twin_dev *d;
	char name[32];
	unsigned at;

	KASSERT(dev != NULL, "memory");
	snprintf(name, sizeof(name), "fake %u", serial++);
	blkdev_init(dev, &fake_ops, name, n);
	rv = swspace_on(s, dev, prio);
	SAME(rv, n <= SWDEV_LABEL ? -EINVAL : 0, "on");
	if (rv != 0) {
		blkdev_close(dev);
		return;
	}
	for (at = 0; at < tw.ndev && tw.dev[at].prio >= prio; at++)
		continue;
	d = &tw.dev[at];
	memmove(d + 1, d, (tw.ndev - at) * sizeof(*d));
	d->n = 0; /* not in its own way */
	d->first = UINT32_MAX - 1;
	tw.ndev++;
	d->first = twin_place(n);
	d->dev = dev;
	d->prio = prio;
	d->closing = false;
	d->n = n;
	memset(d->blk, FREE, n);
	memset(d->blk, LABEL, SWDEV_LABEL);
	memset(d->more, 0, sizeof(d->more));
	memset(d->failed, false, sizeof(d->failed));
	tw.full = tw.full_said = false;
	tw.almost = twin_count(FREE) < twin_low();
}

/* What the table calls it: by its name, for they are all different. */
static struct swdev *
find(struct swspace *s, const struct twin_dev *d)
{
	struct swdev *dev = swspace_find(s, blkdev_name(d->dev));
	uint32_t n;

	KASSERT(dev != NULL, "no device of that name");
	SAME(swspace_place(dev, &n).v, d->first, "place");
	SAME(n, d->n, "size");
	return dev;
}

static void
twin_take_out(unsigned at)
{
	struct twin_dev *d = &tw.dev[at];

	if (tw.next == d->dev) /* the one behind it, or the first of all */
		tw.next = at + 1 < tw.ndev ? d[1].dev
			  : at > 0         ? tw.dev[0].dev
					   : NULL;
	memmove(d, d + 1, (tw.ndev - at - 1) * sizeof(*d));
	tw.ndev--;
}

/* Brings everything back, as whoever took it would. */
static void
empty(struct swspace *s, struct twin_dev *d)
{
	uint32_t b;

	for (b = 0; b < d->n; b++)
		while (d->blk[b] == USED) {
			SAME(swspace_shared(s, (swblk_t){d->first + b}),
			    d->more[b] > 0, "shared");
			swspace_free(s, (swblk_t){d->first + b}, 1);
			twin_leave(d, b);
		}
}

/* A device begins to leave, comes back, or is gone. */
static void
op_off(struct swspace *s)
{
	unsigned at = below(tw.ndev), gone = closed;
	struct twin_dev *d = &tw.dev[at];
	struct swdev *dev = find(s, d);

	SAME(swspace_is_closing(dev), d->closing, "closing");
	if (!d->closing) {
		swspace_close(s, dev);
		d->closing = true;
		twin_marks();
	} else if (below(2)) {
		swspace_reopen(s, dev);
		d->closing = false;
		tw.full = tw.full_said = false;
		tw.almost = twin_count(FREE) < twin_low();
	} else {
		empty(s, d);
		SAME(swspace_used_on(dev), 0, "used");
		blkdev_close(swspace_off(s, dev));
		SAME(closed, gone + 1, "closed");
		twin_take_out(at);
	}
}

/* Behind those that have the priority already. */
static void
op_prio(struct swspace *s)
{
	unsigned at = below(tw.ndev), to;
	struct twin_dev d = tw.dev[at];

	d.prio = (int)below(3) - 1;
	swspace_set_prio(s, find(s, &tw.dev[at]), d.prio);
	twin_take_out(at);
	for (to = 0; to < tw.ndev && tw.dev[to].prio >= d.prio; to++)
		continue;
	memmove(
	    &tw.dev[to + 1], &tw.dev[to], (tw.ndev - to) * sizeof(tw.dev[0]));
	tw.dev[to] = d;
	tw.ndev++;
}

static unsigned
messages(void)
{
	static char buf[1 << 20];
	char *p;
	ssize_t len = pread(logfd, buf, sizeof(buf), 0);
	unsigned n = 0;

	KASSERT(len >= 0 && len < (ssize_t)sizeof(buf), "%zd bytes", len);
	for (p = buf; p < buf + len; p++)
		n += *p == '\n';
	return n;
}

static void
compare_space(struct swspace *s)
{
	struct swdev_info info;
	uint32_t n, used, bad, b, all_used = 0, all_bad = 0;
	uint64_t owned = 0;
	unsigned i;

	SAME(s->ndev, tw.ndev, "ndev");
	SAME(s->avail, twin_count(FREE), "avail");
	SAME(s->total, twin_count(FREE) + twin_count(USED), "total");
	SAME(s->full, tw.full, "full");
	SAME(s->almost_full, tw.almost, "almost full");
	SAME(messages(), tw.said, "messages");
	for (i = 0; i < tw.ndev; i++) {
		const struct twin_dev *d = &tw.dev[i];

		used = bad = n = 0;
		for (b = 0; b < d->n; b++, n++) {
			used += d->blk[b] == USED;
			owned += d->more[b];
			bad += d->blk[b] == BAD;
		}
		swspace_info(s, i, &info);
		KASSERT(info.dev == d->dev, "device %u", i);
		all_used += used;
		all_bad += bad;
		SAME(info.closing, d->closing, "closing");
		SAME(info.prio, d->prio, "priority");
		SAME(info.blocks, n, "blocks");
		SAME(info.used, used, "used");
		SAME(info.bad, bad, "bad");
	}
	SAME(s->bad, all_bad, "bad in all");
	SAME(swspace_used(s), all_used, "used in all");
	SAME(swspace_owned(s), all_used + owned, "owned in all");
}

static void
give_back(struct swspace *s)
{
	unsigned i;

	for (i = 0; i < tw.ndev; i++)
		empty(s, &tw.dev[i]);
	swspace_check(s);
	SAME(s->avail, s->total, "all given back");
	swspace_destroy(s);
}

/* One space from the first device to the last block given back. */
static void
space_round(unsigned ops)
{
	unsigned devs = 1 + below(DEVS), bias = 50, op;
	struct swspace s;

	memset(&tw, 0, sizeof(tw));
	tw.full = tw.almost = true;
	SAME(ftruncate(logfd, 0), 0, "log");
	lseek(logfd, 0, SEEK_SET);
	swspace_init(&s);
	while (ops-- > 0) {
		if (below(200) == 0)
			bias = 20 + below(70);
		op = below(100);
		if (tw.ndev < devs && below(30) == 0)
			op_on(&s);
		else if (tw.ndev > 0 && below(60) == 0)
			op_off(&s);
		else if (tw.ndev > 0 && below(60) == 0)
			op_prio(&s);
		else if (op < bias)
			op_alloc(&s);
		else if (tw.ndev > 0 && op > 98 && below(4) == 0)
			op_retire(&s);
		else if (tw.ndev > 0 && op > 90)
			op_share(&s);
		else if (tw.ndev > 0)
			op_free(&s);
		if (below(16) == 0)
			compare_space(&s);
		if (below(64) == 0)
			swspace_check(&s);
	}
	compare_space(&s);
	give_back(&s);
}

/* ---- swmap --------------------------------------------------------------- */

#define PAGES  70000 /* more than a page of root covers */
#define LEAVES 24

static struct {
	uint32_t blk[PAGES];
	uint32_t n;
} to;

/* The leaves the twin's assignments need. */
static uint32_t
twin_leaves(void)
{
	uint32_t p, n = 0, seen = UINT32_MAX;

	for (p = 0; p < to.n; p++)
		if (to.blk[p] != 0 && p / SWMAP_LEAF != seen) {
			seen = p / SWMAP_LEAF;
			n++;
		}
	return n;
}

static bool
twin_window(uint32_t p)
{
	uint32_t i, w = p / SWMAP_LEAF * SWMAP_LEAF;

	for (i = w; i < w + SWMAP_LEAF && i < to.n; i++)
		if (to.blk[i] != 0)
			return true;
	return false;
}

/* Near the start, near the end, or near what was touched last. */
static uint32_t
page(void)
{
	static uint32_t last;

	switch (below(16)) {
	case 0:
		last = below(US_MIN(to.n, 200u));
		break;
	case 1:
		last = to.n - 1 - below(US_MIN(to.n, 200u));
		break;
	case 2:
		last = below(to.n);
		break;
	default:
		last += below(21);
		last = last < 10 ? 0 : last - 10;
	}
	return last = US_MIN(last, to.n - 1);
}

/* A block, often the one that continues its neighbour's. */
static uint32_t
some_block(uint32_t p)
{
	uint32_t blk = 0;

	if (p > 0 && below(2))
		blk = to.blk[p - 1] == 0 ? 0 : to.blk[p - 1] + 1;
	else if (p + 1 < to.n && below(2))
		blk = to.blk[p + 1] == 0 ? 0 : to.blk[p + 1] - 1;
	if (blk == 0)
		blk = below(4) == 0 ? UINT32_MAX - below(8) : 1 + below(50);
	return blk;
}

static void
map_set(struct swmap *m)
{
	uint32_t p = page(), blk = some_block(p);
	bool room = twin_window(p) || m->leaves->used < LEAVES;
	int error = 1;
	swblk_t old = swmap_set(m, p, (swblk_t){blk}, &error);

	SAME(error, room ? 0 : -ENOMEM, "set");
	SAME(old.v, room ? to.blk[p] : 0, "old block");
	if (room)
		to.blk[p] = blk;
}

static void
map_clear(struct swmap *m)
{
	uint32_t p = page();

	SAME(swmap_clear(m, p).v, to.blk[p], "cleared block");
	to.blk[p] = 0;
}

static void
map_next(struct swmap *m)
{
	uint32_t from = page(), end = from + below(3000), p, got = 0;
	bool found;

	for (p = from; p < end && p < to.n; p++)
		if (to.blk[p] != 0)
			break;
	found = p < end && p < to.n;
	SAME(swmap_next(m, from, end, &got), found, "next");
	if (found)
		SAME(got, p, "next page");
}

static void
map_extent(struct swmap *m)
{
	uint32_t p = page(), maxb = below(20), maxa = below(20);
	uint32_t before, after, b, a;

	SAME(swmap_get(m, p).v, to.blk[p], "get");
	if (to.blk[p] == 0)
		return;
	for (b = 0; b < maxb && b < p; b++)
		if (to.blk[p - b - 1] == 0 ||
		    to.blk[p - b - 1] + 1 != to.blk[p - b])
			break;
	for (a = 0; a < maxa && p + a + 1 < to.n; a++)
		if (to.blk[p + a + 1] == 0 ||
		    to.blk[p + a + 1] - 1 != to.blk[p + a])
			break;
	swmap_extent(m, p, maxb, maxa, &before, &after);
	SAME(before, b, "before");
	SAME(after, a, "after");
}

/* Cuts off what has blocks only after clearing them. */
static void
map_resize(struct swmap *m)
{
	uint32_t n = below(3) ? 1 + below(PAGES) : 1 + below(500), p = n;

	while (swmap_next(m, p, to.n, &p)) {
		SAME(swmap_clear(m, p).v, to.blk[p], "cut off block");
		to.blk[p] = 0;
	}
	SAME(swmap_resize(m, n), 0, "resize");
	for (p = n; p < to.n; p++)
		SAME(to.blk[p], 0u, "page cut off");
	to.n = n;
}

static void
compare_map(struct swmap *m)
{
	uint64_t count = 0;
	uint32_t p;

	for (p = 0; p < to.n; p++) {
		SAME(swmap_get(m, p).v, to.blk[p], "page");
		count += to.blk[p] != 0;
	}
	SAME(m->count, count, "count");
	SAME(m->npages, to.n, "npages");
	SAME(m->leaves->used, twin_leaves(), "leaves");
	swmap_check(m);
}

static void
map_round(unsigned ops)
{
	struct pool leaves;
	struct swmap m;
	unsigned bias = 50, op;
	uint32_t p;

	memset(&to, 0, sizeof(to));
	to.n = 1 + below(PAGES);
	SAME(swmap_pool_init(&leaves, LEAVES), 0, "pool");
	SAME(swmap_init(&m, &leaves, to.n), 0, "init");
	while (ops-- > 0) {
		if (below(300) == 0)
			bias = 20 + below(50);
		if (below(1000) == 0)
			map_resize(&m);
		op = below(100);
		if (op < bias)
			map_set(&m);
		else if (op < 75)
			map_clear(&m);
		else if (op < 80)
			map_next(&m);
		else
			map_extent(&m);
		if (below(500) == 0)
			compare_map(&m);
	}
	for (p = 0; swmap_next(&m, p, PINDEX_MAX, &p);)
		SAME(swmap_clear(&m, p).v, to.blk[p], "last block");
	SAME(m.count, 0u, "count at the end");
	SAME(leaves.used, 0u, "leaves at the end");
	swmap_destroy(&m);
	pool_destroy(&leaves);
}

int
main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : getenv("USWAP_OPS");
	unsigned ops = text == NULL ? 300000 : (unsigned)atoi(text), i;

	rng.s = test_seed();
	logfd = memfd_create("log", 0);
	KASSERT(logfd >= 0, "memfd");
	log_setup(logfd, LOG_DEBUG);
	for (i = 0; i < ops; i += 3000) {
		space_round(3000);
		map_round(3000);
	}
	printf("%u operations on each\n", i);
	return 0;
}
