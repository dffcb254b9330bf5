/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blist of the device's own blocks, and counts beside it.  A swap block is
 * the device's first block in the block space plus its place in that list.
 */
#include "base/base.h"
#include "base/mem.h"
#include "swap/swdev.h"
#include "swap/swspace.h"

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
	if (d->bl == NULL) {
		mem_unmap(d, sizeof(*d));
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
	blist_destroy(d->bl);
	mem_unmap(d, sizeof(*d));
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

/*
 * Where a run that was given out lies.  The list finds blocks freed twice, but
 * takes the label for blocks in use, and so it takes retired ones: of those
 * only the count can tell.
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

void
swdev_free(struct swdev *d, swblk_t blk, uint32_t n)
{
	blist_free(d->bl, run_at(d, blk, n), n);
	d->used -= n;
}

/* To the list a bad block is one in use that nobody gives back. */
void
swdev_retire(struct swdev *d, swblk_t blk)
{
	uint32_t at = run_at(d, blk, 1);

	KASSERT(!blist_isfree(d->bl, at), "%s: block %u retired while free",
	    blkdev_name(d->dev), at);
	d->used--;
	d->bad++;
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
}
