/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swdev: one device of swap space: its place in the block space and which of
 * its blocks are free.  swspace's own; nobody else includes this.
 */
#ifndef USWAP_SWDEV_H
#define USWAP_SWDEV_H

#include "base/blist.h"
#include "block/block.h"
#include "swap/swblk.h"
#include "swap/swspace.h"

/*
 * What is known of a block beside whether it is free: how many owners it has
 * beyond the first, and SWDEV_FAILED if one of them retired it.  Without owners
 * a retired block is SWDEV_RETIRED.
 */
#define SWDEV_FAILED  0x8000u
#define SWDEV_RETIRED 0xffffu
#define SWDEV_SHARERS 0x7ffeu /* at most, beyond the first */

/*
 * The place and the size are constant from creation to the end; the rest is
 * under the pager's lock.
 *
 * swdev_check verifies:
 *
 * (1) The device covers [first, first + blocks) of the block space: not block
 *     0, as many blocks as it has, the end within 32 bits.
 * (2) The list has as many blocks, and those of the label are not free.
 * (3) Every block outside the label is free, used or bad:
 *     used + bad + free = blocks - SWDEV_LABEL.
 * (4) Only used blocks have owners; extra is the sum of those beyond the first.
 *     As many blocks are bad as are SWDEV_RETIRED.
 * (5) An inherited device is closing.
 * (6) There are no more holds than owners.
 *
 * A device that is *closing* (FreeBSD's SW_CLOSING) gives nothing out; what is
 * given back to it stays with it, and is there if it is opened again.  So it is
 * with one that is *away*, except that it is tried now and then.  An *inherited*
 * one is the parent process's, closing for ever, and only read.
 */
struct swdev {
	struct blkdev *dev; /* owned: closed with it */
	struct blist *bl; /* free: can be given out */
	int prio; /* changes live, like closing and away */
	bool closing;
	bool away; /* as swspace_alloc saw it last */
	bool inherited;
	uint32_t first; /* in the block space */
	uint32_t blocks; /* size, with label */
	uint32_t used; /* given out and not given back */
	uint32_t bad; /* retired: neither used nor free, for ever */
	uint16_t *more; /* for each block; memory only where it was shared */
	uint64_t extra; /* owners beyond the first of each block */
	uint64_t held; /* of all owners, those that are holds: swhold.h */
};

/* More than SWDEV_LABEL blocks.  NULL (dev still the caller's): no memory. */
struct swdev *swdev_create(struct blkdev *dev, int prio, uint32_t first);
/* Nothing may be in use.  Returns what the caller has to close. */
struct blkdev *swdev_destroy(struct swdev *);

/* A run of min to *n blocks and its length in *n; or SWBLK_NONE. */
swblk_t swdev_alloc(struct swdev *, uint32_t min, uint32_t *n);
/* Returns how many of them are free now: those that had no other owner. */
uint32_t swdev_free(struct swdev *, swblk_t, uint32_t n);
/* One more owner of each.  False, nothing changed: one has SWDEV_SHARERS. */
bool swdev_share(struct swdev *, swblk_t, uint32_t n);
bool swdev_is_shared(const struct swdev *, swblk_t);
/* The next run of blocks that have an owner, from *at on the device on. */
bool swdev_next_owned(const struct swdev *, uint32_t *at, uint32_t *n);
/* The block is not given out again when the last owner is gone. */
void swdev_retire(struct swdev *, swblk_t);

void swdev_check(const struct swdev *);

/* What it adds to the space: neither label nor bad. */
static inline uint32_t
swdev_total(const struct swdev *d)
{
	return d->blocks - SWDEV_LABEL - d->bad;
}

/* Whether its blocks are part of the space. */
static inline bool
swdev_counts(const struct swdev *d)
{
	return !d->closing && !d->away;
}

/* One past its last block. */
static inline uint32_t
swdev_end(const struct swdev *d)
{
	return d->first + d->blocks;
}

#endif
