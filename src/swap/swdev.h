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

/*
 * All but the counts is constant from creation to the end; the counts and the
 * list are under the pager's lock.
 *
 * swdev_check verifies:
 *
 * (1) The device covers [first, first + blocks) of the block space: not block
 *     0, as many blocks as it has, the end within 32 bits.
 * (2) The list has as many blocks, and those of the label are not free.
 * (3) Every block outside the label is free, used or bad:
 *     used + bad + free = blocks - SWDEV_LABEL.
 */
struct swdev {
	struct blkdev *dev; /* owned: closed with it */
	struct blist *bl; /* free: can be given out */
	int prio;
	uint32_t first; /* in the block space */
	uint32_t blocks; /* size, with label */
	uint32_t used; /* given out and not given back */
	uint32_t bad; /* retired: neither used nor free, for ever */
};

/* More than SWDEV_LABEL blocks.  NULL (dev still the caller's): no memory. */
struct swdev *swdev_create(struct blkdev *dev, int prio, uint32_t first);
/* Nothing may be in use. */
void swdev_destroy(struct swdev *);

/* A run of min to *n blocks and its length in *n; or SWBLK_NONE. */
swblk_t swdev_alloc(struct swdev *, uint32_t min, uint32_t *n);
void swdev_free(struct swdev *, swblk_t, uint32_t n);
/* Takes a block in use out of use for ever. */
void swdev_retire(struct swdev *, swblk_t);

void swdev_check(const struct swdev *);

/* One past its last block. */
static inline uint32_t
swdev_end(const struct swdev *d)
{
	return d->first + d->blocks;
}

#endif
