/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How blocks are given out over all devices.
 *
 * A run lies on one device by construction, since it comes out of one device's
 * list (swdev.h); the uncovered block between two ranges of the block space
 * makes that hold as well for whoever extends a run by comparing neighbours
 * (swmap_extent).
 *
 * There are at most SWDEV_MAX devices, so every search over them is linear.
 *
 * swspace_check verifies, after swdev_check of each device:
 *
 * (1) dev[0..ndev) are set and in descending priority, the rest is NULL; the
 *     cursor is one of them (0 when there are none).
 * (2) Between the ranges of any two devices is an uncovered block.
 * (3) bad is the sum over devices of what is bad; avail and total are the sums
 *     over those that count of what is free, and of swdev_total.
 * (4) full only if nothing is free.
 * (5) almost_full below the low water mark, and not above the high one.
 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "base/log.h"
#include "swap/swdev.h"
#include "swap/swspace.h"

/* A space without devices is full, but there is nothing to complain about. */
void
swspace_init(struct swspace *s)
{
	*s = (struct swspace){.full = true, .almost_full = true};
}

void
swspace_destroy(struct swspace *s)
{
	unsigned i;

	for (i = 0; i < s->ndev; i++)
		blkdev_close(swdev_destroy(s->dev[i]));
	swspace_init(s);
}

/* ---- numbers of a device, and their sums --------------------------------- */

static uint64_t
used_on(const struct swdev *d)
{
	return d->used;
}

static uint64_t
owners_on(const struct swdev *d)
{
	return d->used + d->extra;
}

static uint64_t
holds_on(const struct swdev *d)
{
	return d->held;
}

static uint64_t
slow_on(const struct swdev *d)
{
	struct blkdev_stats st;

	blkdev_stats(d->dev, &st);
	return st.slow;
}

static uint64_t
sum(const struct swspace *s, uint64_t (*number)(const struct swdev *))
{
	uint64_t n = 0;

	for (unsigned i = 0; i < s->ndev; i++)
		n += number(s->dev[i]);
	return n;
}

/* ---- the block space ---------------------------------------------------- */

/*
 * Is [first, first + n) free, with a block to spare on either side?  64 bits,
 * for a candidate may end beyond what 32 can address.
 */
static bool
range_fits(const struct swspace *s, uint64_t first, uint64_t n)
{
	unsigned i;

	if (first + n > UINT32_MAX)
		return false;
	for (i = 0; i < s->ndev; i++) {
		const struct swdev *d = s->dev[i];

		if (first <= swdev_end(d) && d->first <= first + n)
			return false;
	}
	return true;
}

/*
 * The lowest place for n blocks, or 0.  It begins at block 1 or one block
 * after the end of some device: anything else could be moved down.  So holes
 * left by devices that are gone are used again.
 */
static uint32_t
range_find(const struct swspace *s, uint32_t n)
{
	uint64_t best = 0;
	unsigned i;

	if (range_fits(s, 1, n))
		return 1;
	for (i = 0; i < s->ndev; i++) {
		uint64_t first = (uint64_t)swdev_end(s->dev[i]) + 1;

		if ((best == 0 || first < best) && range_fits(s, first, n))
			best = first;
	}
	return (uint32_t)best;
}

/* The device of a block; a block of none is a programmer's error. */
static struct swdev *
swdev_find(const struct swspace *s, swblk_t blk)
{
	unsigned i;

	for (i = 0; i < s->ndev; i++) {
		struct swdev *d = s->dev[i];

		if (blk.v >= d->first && blk.v < swdev_end(d))
			return d;
	}
	KASSERT(false, "block %u is on no device", blk.v);
	return NULL;
}

unsigned
swspace_device(const struct swspace *s, swblk_t blk)
{
	const struct swdev *d = swdev_find(s, blk);
	unsigned i = 0;

	while (s->dev[i] != d)
		i++;
	return i;
}

struct blkdev *
swspace_locate(const struct swspace *s, swblk_t blk, devblk_t *ret)
{
	const struct swdev *d = swdev_find(s, blk);

	ret->v = blk.v - d->first;
	return d->dev;
}

/* ---- what is said about the space ---------------------------------------- */

/* After every change of avail, or of total and with it of the marks. */
static void
swspace_sizecheck(struct swspace *s)
{
	char left[16], all[16];

	if (s->avail > 0)
		s->full = false;
	if (s->avail > swspace_hiwat(s)) {
		s->almost_full = false;
		s->full_said = false;
	} else if (s->avail < swspace_lowat(s) && !s->almost_full) {
		s->almost_full = true;
		log_msg(LOG_NOTE,
		    "swap space is almost full: %s of %s left; "
		    "give the program more with --swap",
		    size_text(left, ptoa(s->avail)),
		    size_text(all, ptoa(s->total)));
	}
}

/*
 * Full and said are two things.  The former follows the space block by block,
 * as whoever waits for a block needs it; the latter has the hysteresis, as
 * people need it.  It is a note only: pages in memory may give up their blocks,
 * and when that does not help either, the page-out daemon says so.
 */
static void
swspace_note_full(struct swspace *s)
{
	char all[16];

	s->full = true;
	if (s->full_said)
		return;
	s->full_said = true;
	if (s->total == 0)
		log_msg(LOG_ERROR,
		    "no swap space: a page could not be paged out and stays "
		    "in memory; give the program more with --swap");
	else
		log_msg(LOG_NOTE,
		    "swap space is full: a page could not be paged out, for "
		    "all of %s is in use, and stays in memory for now",
		    size_text(all, ptoa(s->total)));
}

/* ---- adding a device ---------------------------------------------------- */

/*
 * Behind those of the same priority.  The cursor stays with its device: else
 * a device could be passed over, or served twice.
 */
static void
swspace_insert(struct swspace *s, struct swdev *d)
{
	unsigned at, i;

	for (at = s->ndev; at > 0 && s->dev[at - 1]->prio < d->prio; at--)
		continue;
	for (i = s->ndev; i > at; i--)
		s->dev[i] = s->dev[i - 1];
	s->dev[at] = d;
	if (s->ndev > 0 && s->cursor >= at)
		s->cursor++;
	s->ndev++;
}

/* New space begins a new story: what was said about the old is forgotten. */
static void
swspace_count_in(struct swspace *s, const struct swdev *d)
{
	s->total += swdev_total(d);
	s->avail += blist_avail(d->bl);
	s->full = false;
	s->full_said = false;
	s->almost_full = s->avail < swspace_lowat(s);
}

/* A device begins or ceases to be closing, or away. */
static void
swspace_change(struct swspace *s, struct swdev *d, bool closing, bool away)
{
	bool counted = swdev_counts(d);

	d->closing = closing;
	d->away = away;
	if (!counted && swdev_counts(d))
		swspace_count_in(s, d);
	if (!counted || swdev_counts(d))
		return;
	s->total -= swdev_total(d);
	s->avail -= blist_avail(d->bl);
	swspace_sizecheck(s);
}

int
swspace_on(struct swspace *s, struct blkdev *dev, int prio)
{
	uint32_t n = blkdev_pages(dev), first;
	struct swdev *d;

	if (n <= SWDEV_LABEL)
		return -EINVAL;
	if (s->ndev == SWDEV_MAX || (first = range_find(s, n)) == 0)
		return -ENOSPC;
	d = swdev_create(dev, prio, first);
	if (d == NULL)
		return -ENOMEM;
	swspace_insert(s, d);
	swspace_count_in(s, d);
	return 0;
}

/* ---- giving out and taking back ------------------------------------------ */

/* One past the last device of the same priority as `lo`. */
static unsigned
group_end(const struct swspace *s, unsigned lo)
{
	unsigned hi = lo + 1;

	while (hi < s->ndev && s->dev[hi]->prio == s->dev[lo]->prio)
		hi++;
	return hi;
}

/*
 * From the devices [lo, hi), which are of one priority.  All of them are asked
 * for a length before it is halved; a list that has a run of the length asked
 * gives as much of it as there is up to *n.  So at least half of the longest
 * run there is will be found, in few steps, and a single block always.
 *
 * One cursor serves all priorities: outside this group it says nothing about
 * it, and any device is as good a start as the first.
 */
static swblk_t
group_alloc(
    struct swspace *s, unsigned lo, unsigned hi, uint32_t *n, uint32_t min)
{
	unsigned start = s->cursor >= lo && s->cursor < hi ? s->cursor : lo;
	unsigned i, left;
	uint32_t want;
	swblk_t blk;

	for (want = *n;; want = US_MAX(want / 2, min)) {
		i = start;
		for (left = hi - lo; left > 0; left--) {
			struct swdev *d = s->dev[i];

			i = i + 1 < hi ? i + 1 : lo;
			if (d->away && !blkdev_try(d->dev))
				continue;
			blk = swdev_alloc(d, want, n);
			if (swblk_valid(blk)) {
				s->cursor = i;
				if (swdev_counts(d))
					s->avail -= *n;
				return blk;
			}
		}
		if (want == min)
			return SWBLK_NONE;
	}
}

/* Devices go and come back without the lock; here it becomes known. */
void
swspace_look(struct swspace *s)
{
	for (unsigned i = 0; i < s->ndev; i++) {
		struct swdev *d = s->dev[i];
		bool away = blkdev_gone(d->dev);

		if (away != d->away)
			swspace_change(s, d, d->closing, away);
	}
}

/*
 * Priority comes before length: a short run on a fast device is taken rather
 * than a long one on a slow device.  Who disagrees asks for a larger min.
 */
swblk_t
swspace_alloc_seen(struct swspace *s, uint32_t *n, uint32_t min)
{
	unsigned lo, hi;
	swblk_t blk;

	KASSERT(min >= 1 && min <= *n, "%u to %u blocks", min, *n);
	for (lo = 0; lo < s->ndev; lo = hi) {
		hi = group_end(s, lo);
		blk = group_alloc(s, lo, hi, n, min);
		if (swblk_valid(blk)) {
			swspace_sizecheck(s);
			return blk;
		}
	}
	if (min == 1)
		swspace_note_full(s);
	return SWBLK_NONE;
}

swblk_t
swspace_alloc(struct swspace *s, uint32_t *n, uint32_t min)
{
	swspace_look(s);
	return swspace_alloc_seen(s, n, min);
}

/*
 * After an owner, or the last one, has left blocks of d: `freed` of them are
 * free, and what failed meanwhile is bad, of which there were `bad`.
 */
static void
swspace_left(
    struct swspace *s, const struct swdev *d, uint32_t freed, uint32_t bad)
{
	bad = d->bad - bad;
	s->bad += bad;
	if (!swdev_counts(d))
		return;
	s->avail += freed;
	s->total -= bad;
	swspace_sizecheck(s);
}

void
swspace_free(struct swspace *s, swblk_t blk, uint32_t n)
{
	struct swdev *d = swdev_find(s, blk);
	uint32_t bad = d->bad;

	swspace_left(s, d, swdev_free(d, blk, n), bad);
}

/* It was not free before and is not now: avail stays. */
void
swspace_retire(struct swspace *s, swblk_t blk)
{
	struct swdev *d = swdev_find(s, blk);
	uint32_t bad = d->bad;

	swdev_retire(d, blk);
	swspace_left(s, d, 0, bad);
}

bool
swspace_share(struct swspace *s, swblk_t blk, uint32_t n)
{
	return swdev_share(swdev_find(s, blk), blk, n);
}

bool
swspace_shared(const struct swspace *s, swblk_t blk)
{
	return swdev_is_shared(swdev_find(s, blk), blk);
}

/* ---- taking a device away ------------------------------------------------ */

struct swdev *
swspace_find(const struct swspace *s, const char *name)
{
	unsigned i;

	for (i = 0; i < s->ndev; i++)
		if (strcmp(blkdev_name(s->dev[i]->dev), name) == 0)
			return s->dev[i];
	return NULL;
}

/* The cursor stays with its device, or goes to the one behind it. */
static void
swspace_extract(struct swspace *s, const struct swdev *d)
{
	unsigned at = 0, i;

	while (s->dev[at] != d)
		at++;
	s->ndev--;
	for (i = at; i < s->ndev; i++)
		s->dev[i] = s->dev[i + 1];
	s->dev[s->ndev] = NULL;
	if (s->cursor > at)
		s->cursor--;
	if (s->cursor == s->ndev)
		s->cursor = 0;
}

void
swspace_set_prio(struct swspace *s, struct swdev *d, int prio)
{
	swspace_extract(s, d);
	d->prio = prio;
	swspace_insert(s, d);
}

uint64_t
swspace_elsewhere(const struct swspace *s, const struct swdev *d)
{
	return s->avail - (swdev_counts(d) ? blist_avail(d->bl) : 0);
}

uint32_t
swspace_used_on(const struct swdev *d)
{
	return d->used;
}

bool
swspace_only_held(const struct swdev *d)
{
	return d->used > 0 && d->held == owners_on(d);
}

swblk_t
swspace_place(const struct swdev *d, uint32_t *n)
{
	*n = d->blocks;
	return (swblk_t){d->first};
}

bool
swspace_is_closing(const struct swdev *d)
{
	return d->closing;
}

bool
swspace_closing(const struct swspace *s, swblk_t blk)
{
	return swdev_find(s, blk)->closing;
}

void
swspace_close(struct swspace *s, struct swdev *d)
{
	KASSERT(!d->closing, "%s is closing already", blkdev_name(d->dev));
	swspace_change(s, d, true, d->away);
}

void
swspace_reopen(struct swspace *s, struct swdev *d)
{
	KASSERT(d->closing, "%s is not closing", blkdev_name(d->dev));
	swspace_change(s, d, false, d->away);
}

/* Full, but nothing is missing so far, and what was said was the parent's. */
void
swspace_inherit(struct swspace *s)
{
	for (unsigned i = 0; i < s->ndev; i++) {
		s->dev[i]->closing = true;
		s->dev[i]->inherited = true;
	}
	s->total = s->avail = 0;
	s->full = true;
	s->full_said = false;
	s->almost_full = false;
}

struct blkdev *
swspace_off(struct swspace *s, struct swdev *d)
{
	KASSERT(d->closing, "%s is not closing", blkdev_name(d->dev));
	swspace_extract(s, d);
	s->bad -= d->bad;
	s->slow_before += slow_on(d);
	return swdev_destroy(d);
}

/* ---- reports and checks -------------------------------------------------- */

uint64_t
swspace_used(const struct swspace *s)
{
	return sum(s, used_on);
}

uint64_t
swspace_owned(const struct swspace *s)
{
	return sum(s, owners_on);
}

uint64_t
swspace_held(const struct swspace *s)
{
	return sum(s, holds_on);
}

uint64_t
swspace_slow(const struct swspace *s)
{
	return s->slow_before + sum(s, slow_on);
}

void
swspace_info(const struct swspace *s, unsigned i, struct swdev_info *info)
{
	const struct swdev *d;

	KASSERT(i < s->ndev, "device %u of %u", i, s->ndev);
	d = s->dev[i];
	*info = (struct swdev_info){
	    .name = blkdev_name(d->dev),
	    .prio = d->prio,
	    .closing = d->closing,
	    .away = blkdev_gone(d->dev),
	    .inherited = d->inherited,
	    .blocks = d->blocks,
	    .used = d->used,
	    .bad = d->bad,
	    .dev = d->dev,
	};
}

/* Ends in 64 bits, that a range of nonsense cannot look right. */
static void
check_gaps(const struct swspace *s, unsigned i)
{
	const struct swdev *d = s->dev[i];
	unsigned j;

	for (j = 0; j < i; j++) {
		const struct swdev *o = s->dev[j];

		KASSERT((uint64_t)d->first + d->blocks < o->first ||
			    (uint64_t)o->first + o->blocks < d->first,
		    "(2) devices %u and %u touch", j, i);
	}
}

void
swspace_check(const struct swspace *s)
{
	uint64_t total = 0, avail = 0, bad = 0;
	unsigned i;

	KASSERT(s->ndev <= SWDEV_MAX, "(1) %u devices", s->ndev);
	KASSERT(s->cursor < US_MAX(s->ndev, 1), "(1) cursor at %u of %u",
	    s->cursor, s->ndev);
	for (i = 0; i < s->ndev; i++) {
		KASSERT(i == 0 || s->dev[i - 1]->prio >= s->dev[i]->prio,
		    "(1) priority of device %u", i);
		swdev_check(s->dev[i]);
		check_gaps(s, i);
		bad += s->dev[i]->bad;
		if (!swdev_counts(s->dev[i]))
			continue;
		total += swdev_total(s->dev[i]);
		avail += blist_avail(s->dev[i]->bl);
	}
	for (; i < SWDEV_MAX; i++)
		KASSERT(s->dev[i] == NULL, "(1) device %u of %u", i, s->ndev);
	KASSERT(s->total == total && s->avail == avail && s->bad == bad,
	    "(3) sums");
	KASSERT(!s->full || s->avail == 0, "(4) full");
	KASSERT(s->almost_full ? s->avail <= swspace_hiwat(s)
			       : s->avail >= swspace_lowat(s),
	    "(5) almost_full is %d", s->almost_full);
}
