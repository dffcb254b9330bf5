/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blist of the device's own blocks, and counts beside it.  A swap block is
 * the device's first block in the block space plus its place in that list.
 */
#include "base/base.h"
#include "base/mem.h"
#include "swap/swdev.h"
#include "swap/swspace.h"

static void
swdev_release(struct swdev *d)
{
	if (d->more != NULL)
		mem_unmap(d->more, d->blocks * sizeof(d->more[0]));
	blist_destroy(d->bl);
	mem_unmap(d, sizeof(*d));
}

/* The list comes with every block in use, and the label stays so. */
struct swdev *
swdev_create(struct blkdev *dev, int prio, uint32_t first)
{
	struct swdev *d = mem_map(sizeof(*d));

	if (d == NULL)
		return NULL;
	d->dev = dev;
	d->prio = prio;
	d->first = first;
	d->blocks = blkdev_pages(dev);
	d->bl = blist_create(d->blocks);
	d->more = mem_map(d->blocks * sizeof(d->more[0]));
	if (d->bl == NULL || d->more == NULL) {
		swdev_release(d);
		return NULL;
	}
	blist_free(d->bl, SWDEV_LABEL, d->blocks - SWDEV_LABEL);
	return d;
}

struct blkdev *
swdev_destroy(struct swdev *d)
{
	struct blkdev *dev = d->dev;

	KASSERT(
	    d->used == 0, "%s: %u blocks in use", blkdev_name(dev), d->used);
	swdev_release(d);
	return dev;
}

swblk_t
swdev_alloc(struct swdev *d, uint32_t min, uint32_t *n)
{
	uint32_t at;

	if (d->closing)
		return SWBLK_NONE;
	at = blist_alloc(d->bl, &min, *n);
	if (at == BLIST_NONE)
		return SWBLK_NONE;
	*n = min;
	d->used += min;
	return (swblk_t){d->first + at};
}

/* Owners beyond the first, of a block that has one. */
static uint32_t
sharers(const struct swdev *d, uint32_t at)
{
	return d->more[at] & ~SWDEV_FAILED;
}

/*
 * Where a run that was given out lies.  The list finds blocks freed twice, but
 * takes the label for blocks in use, and so it takes retired ones.
 */
static uint32_t
run_at(const struct swdev *d, swblk_t blk, uint32_t n)
{
	uint32_t at = blk.v - d->first;

	KASSERT(at >= SWDEV_LABEL && at < d->blocks && n >= 1 &&
		    n <= d->blocks - at,
	    "%s: blocks %u+%u were never given out", blkdev_name(d->dev), at,
	    n);
	KASSERT(n <= d->used, "%s: %u blocks given back, %u in use",
	    blkdev_name(d->dev), n, d->used);
	return at;
}

/*
 * One owner less.  True if the block is free now: it is not while others own
 * it, nor when it failed.
 */
static bool
last_owner(struct swdev *d, uint32_t at)
{
	uint16_t *more = &d->more[at];

	KASSERT(*more != SWDEV_RETIRED, "%s: block %u is retired",
	    blkdev_name(d->dev), at);
	if (sharers(d, at) > 0) {
		--*more;
		d->extra--;
		return false;
	}
	d->used--;
	if (*more == 0)
		return true;
	*more = SWDEV_RETIRED;
	d->bad++;
	return false;
}

uint32_t
swdev_free(struct swdev *d, swblk_t blk, uint32_t n)
{
	uint32_t at = run_at(d, blk, n), end = at + n, run, freed = 0;

	for (; at < end; at += run + 1) {
		for (run = 0; at + run < end && last_owner(d, at + run); run++)
			continue;
		if (run > 0)
			blist_free(d->bl, at, run);
		freed += run;
	}
	return freed;
}

static void
assert_owned(const struct swdev *d, uint32_t at)
{
	KASSERT(!blist_isfree(d->bl, at) && d->more[at] != SWDEV_RETIRED,
	    "%s: block %u has no owner", blkdev_name(d->dev), at);
}

bool
swdev_share(struct swdev *d, swblk_t blk, uint32_t n)
{
	uint32_t at = run_at(d, blk, n), i;

	for (i = at; i < at + n; i++) {
		assert_owned(d, i);
		if (sharers(d, i) == SWDEV_SHARERS)
			return false;
	}
	for (i = at; i < at + n; i++)
		d->more[i]++;
	d->extra += n;
	return true;
}

bool
swdev_is_shared(const struct swdev *d, swblk_t blk)
{
	return sharers(d, run_at(d, blk, 1)) > 0;
}

/* To the list a bad block is one in use that nobody gives back. */
void
swdev_retire(struct swdev *d, swblk_t blk)
{
	uint32_t at = run_at(d, blk, 1);

	assert_owned(d, at);
	d->more[at] |= SWDEV_FAILED;
	(void)last_owner(d, at);
}

bool
swdev_next_owned(const struct swdev *d, uint32_t *at, uint32_t *n)
{
	uint32_t from = US_MAX(*at, SWDEV_LABEL), i, end;

	while ((i = blist_used(d->bl, from, n)) != BLIST_NONE) {
		end = i + *n;
		while (i < end && d->more[i] == SWDEV_RETIRED)
			i++;
		for (*at = i; i < end && d->more[i] != SWDEV_RETIRED;)
			i++;
		*n = i - *at;
		if (*n > 0)
			return true;
		from = end;
	}
	return false;
}

static void
check_owners(const struct swdev *d)
{
	uint64_t extra = 0;
	uint32_t bad = 0, i;

	for (i = 0; i < d->blocks; i++) {
		if (d->more[i] == 0)
			continue;
		KASSERT(i >= SWDEV_LABEL && !blist_isfree(d->bl, i),
		    "(4) block %u has 0x%x and no owner", i, d->more[i]);
		if (d->more[i] == SWDEV_RETIRED)
			bad++;
		else
			extra += sharers(d, i);
	}
	KASSERT(extra == d->extra && bad == d->bad,
	    "(4) %ju owners more, %u bad", extra, bad);
}

void
swdev_check(const struct swdev *d)
{
	uint32_t nfree = blist_avail(d->bl), i;

	KASSERT(d->first > 0 && d->first <= UINT32_MAX - d->blocks &&
		    d->blocks == blkdev_pages(d->dev),
	    "(1) %u blocks at %u", d->blocks, d->first);
	blist_check(d->bl);
	KASSERT(blist_blocks(d->bl) == d->blocks, "(2) %u blocks of %u",
	    blist_blocks(d->bl), d->blocks);
	for (i = 0; i < SWDEV_LABEL; i++)
		KASSERT(!blist_isfree(d->bl, i), "(2) label block %u free", i);
	KASSERT((uint64_t)d->used + d->bad + nfree == d->blocks - SWDEV_LABEL,
	    "(3) %u used, %u bad, %u free of %u", d->used, d->bad, nfree,
	    d->blocks);
	KASSERT(!d->inherited || d->closing, "(5) inherited and in use");
	KASSERT(d->held <= d->used + d->extra, "(6) %ju held", d->held);
	check_owners(d);
}
