/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swspace: swap space over all devices: who gives the next run of blocks.
 *
 * Devices are kept in order of priority.  Among those of the highest priority
 * that still has room, allocations go round robin, one allocation (not one
 * page) per device, so that a run stays together and devices work in parallel.
 * The first SWDEV_LABEL blocks of a device are never given out: a label
 * may live there.
 *
 * A device leaves in three steps: it is *closing*, from when on nothing is given
 * out from it and its free blocks do not count; then whoever took blocks from
 * it brings them back; then it is taken out.  In between it can be opened
 * again, as if nothing had happened.
 *
 * Context: everything is serialised by the pager's lock (RANK_VM), held by
 * the caller.  Nothing sleeps or allocates, except swspace_on.
 */
#ifndef USWAP_SWSPACE_H
#define USWAP_SWSPACE_H

#include "block/block.h"
#include "swap/swblk.h"

#define SWDEV_MAX   32 /* devices at once */
#define SWDEV_LABEL 2 /* blocks left alone at the start of a device */

/*
 * Water marks in blocks: below low the space is almost full and says so once;
 * above high, or when a device was added, it may say so again.  In a space
 * of less than 4 MiB they are an eighth and a half of it: marks that it cannot
 * reach would be passed once and never again.
 */
#define SWSPACE_LOWAT 128
#define SWSPACE_HIWAT 512

struct swdev; /* swdev.h */

struct swspace {
	struct swdev *dev[SWDEV_MAX]; /* by descending priority; NULL ends */
	unsigned ndev;
	unsigned cursor; /* where the next allocation starts looking */
	/* neither label nor bad, nor on a device that is closing or away */
	uint64_t total;
	uint64_t avail; /* of these, free now */
	uint64_t bad; /* retired after errors, all devices */
	uint64_t slow_before; /* slow transfers of devices taken out */
	bool full; /* one block was refused, and none is free since */
	bool full_said; /* the message: not again before the high mark */
	bool almost_full; /* with hysteresis: see the water marks */
};

static inline uint64_t
swspace_lowat(const struct swspace *s)
{
	return US_MIN(howmany(s->total, 8), SWSPACE_LOWAT);
}
static inline uint64_t
swspace_hiwat(const struct swspace *s)
{
	return US_MIN(s->total / 2, SWSPACE_HIWAT);
}

void swspace_init(struct swspace *);
/* Every device must be unused; closes them. */
void swspace_destroy(struct swspace *);

/*
 * Adds a device (opened by block).  From 0 the space owns and later closes it.
 * -ENOMEM; -ENOSPC too many devices or block space used up; -EINVAL too small.
 */
int swspace_on(struct swspace *, struct blkdev *, int prio);

/*
 * swspace_alloc(s, &n, min): a run of at most *n and at least min blocks on
 * one device; sets *n to its length.  Among devices of one priority, a run of
 * *n is looked for on all, then of half as many or more, and so on down to
 * min.  Devices that are away (blkdev_gone) do not count, and are but tried now
 * and then (blkdev_try).  SWBLK_NONE, *n unchanged, when no device has a run of
 * min blocks: with min 1 that means the space is full, which is noted and logged
 * once.
 */
swblk_t swspace_alloc(struct swspace *, uint32_t *n, uint32_t min);
/*
 * Devices go and come back while nobody holds the lock, or looks: swspace_alloc
 * looks first.  Who counts on `avail` looks, and then takes what was seen: so much
 * can be had, even on a device that is gone by then.
 */
void swspace_look(struct swspace *);
swblk_t swspace_alloc_seen(struct swspace *, uint32_t *n, uint32_t min);
/* The caller owns them no more.  What has no other owner is free. */
void swspace_free(struct swspace *, swblk_t, uint32_t n);
/*
 * The caller owns the block no more, and it is bad: it is never given out again,
 * whoever frees it last.
 */
void swspace_retire(struct swspace *, swblk_t);

/*
 * swspace_share(s, blk, n): one more owner of each of n blocks in a row on one
 * device, each with an owner already.  Each owner frees or retires the block
 * once; nobody may write to a block that is shared.  False, nothing changed,
 * when one of them has 32767 owners.
 */
bool swspace_share(struct swspace *, swblk_t, uint32_t n);
/* Whether the block has more than one owner. */
bool swspace_shared(const struct swspace *, swblk_t);

/* Which device a block is on: its number, as in swspace_info. */
unsigned swspace_device(const struct swspace *, swblk_t);
/* The device of a block (which must be on one) and its place there. */
struct blkdev *swspace_locate(const struct swspace *, swblk_t, devblk_t *);

/* ---- one device ---------------------------------------------------------- */

/* The first device of that name; NULL when there is none. */
struct swdev *swspace_find(const struct swspace *, const char *name);
/* Changes the priority: behind those of the same one, as if added now. */
void swspace_set_prio(struct swspace *, struct swdev *, int prio);

/* Free blocks on all other devices. */
uint64_t swspace_elsewhere(const struct swspace *, const struct swdev *);
/* Its blocks that are given out and not given back. */
uint32_t swspace_used_on(const struct swdev *);
/* The same over all devices, closing or not. */
uint64_t swspace_used(const struct swspace *);
/* Each block counted once for each of its owners. */
uint64_t swspace_owned(const struct swspace *);
/* Transfers that took longer than BLK_SLOW_NS, of all devices there were. */
uint64_t swspace_slow(const struct swspace *);
/* Of these owners, those that are holds (swhold.h). */
uint64_t swspace_held(const struct swspace *);
/* Whether a device is in use, and by holds only. */
bool swspace_only_held(const struct swdev *);
/* Its place in the block space: *n blocks from the one returned on. */
swblk_t swspace_place(const struct swdev *, uint32_t *n);

/* Begins to take a device away; it must not be closing. */
void swspace_close(struct swspace *, struct swdev *);
bool swspace_is_closing(const struct swdev *);
/* Whether a block is on a device that is closing. */
bool swspace_closing(const struct swspace *, swblk_t);
/* The device is not taken away after all. */
void swspace_reopen(struct swspace *, struct swdev *);
/*
 * Takes out a closing device with nothing in use.  Returns what the caller has
 * to close, better without the lock.  The others stay where they are; the hole
 * in the block space is for the next that fits.
 */
struct blkdev *swspace_off(struct swspace *, struct swdev *);

/*
 * In a forked child, which may read what its parent has written and no more: all
 * devices are closing for ever, and what is given back to them is forgotten.
 */
void swspace_inherit(struct swspace *);

/* For reports: device i < ndev. */
struct swdev_info {
	const char *name;
	int prio;
	bool closing;
	bool away; /* see blkdev_gone */
	bool inherited; /* see swspace_inherit */
	uint32_t blocks; /* size, with label */
	uint32_t used; /* given out: neither label nor bad */
	uint32_t bad; /* retired */
	struct blkdev *dev;
};
void swspace_info(const struct swspace *, unsigned i, struct swdev_info *);

/* Verifies the invariants numbered in swspace.c and swdev.h. */
void swspace_check(const struct swspace *);

#endif
