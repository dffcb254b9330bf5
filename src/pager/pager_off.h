/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pager_off: takes a device of swap space away while pages go in and out.
 *
 * The device is closed for allocation.  Then its blocks are visited in the
 * order of the device, and of each page that has one of them,
 *	in memory	the block is freed: the page will be written elsewhere
 *	reserved	a block elsewhere takes its place, without I/O
 *	swapped		the block is copied to another device, a *cluster* at
 *			a time, and the assignment switched
 *	busy, writing	it is left for the next pass
 * until nothing is in use any more.
 *
 * Pages being copied are not busy, and nobody waits for them.  This is right
 * since a block that is assigned on a closing device does not change: nothing
 * new is written there.  So the old block serves faults until the new one is
 * written, whatever happens to the page meanwhile; and the assignment is
 * switched only if it still is what it was when the copying began, and no
 * transfer is under way for the page.  Else the copy is thrown away, and the
 * next pass finds what there is to do.
 *
 * A block that clones share is copied once, and all of its owners are switched to
 * the copy together.
 *
 * Like the daemons it works in bounded steps and is a thread's own; the table
 * of blocks and the buffers are outside the budget.
 */
#ifndef USWAP_PAGER_OFF_H
#define USWAP_PAGER_OFF_H

#include <stdatomic.h>

#include "pager/pager.h"

/* Clusters in flight: while one is written, others are read. */
#define SWAPOFF_IO 4

/*
 * Blocks whose pages are looked up at once, by a walk over all objects: 512 MiB
 * of device, for 1.5 MiB of table; and as much again for owners of shared blocks
 * beyond the first.  Where those do not fit, fewer blocks are looked up.
 */
#define SWAPOFF_WINDOW (1u << 17)
#define SWAPOFF_MORE   (1u << 17)

/*
 * So many blocks between two that are wanted are read along with them: 32 KiB
 * take less time than a request of its own.
 */
#define SWAPOFF_GAP 8

_Static_assert(SWAPOFF_MORE >= 32767, "the owners of one block must fit");

/* A page of a cluster. */
struct moved {
	uint32_t place; /* in the cluster */
	uint64_t tag;
};

/* A cluster on its way: read, verified, written in one or more runs. */
struct move {
	struct blkreq req;
	struct move *next; /* free list */
	char *buf; /* CLUSTER_MAX pages: the blocks from `from` on */
	swblk_t from;
	uint32_t n; /* pages to be moved, by place */
	uint32_t at; /* of these, done */
	uint32_t count; /* pages of the write in flight ... */
	swblk_t to; /* ... and their new blocks */
	bool read_alone; /* several could not be read: one by one from here */
	bool write_alone; /* the same for writing */
	struct moved page[CLUSTER_MAX];
	struct iovec iov[CLUSTER_MAX];
};

/* Whose page a block of the window holds. */
struct block_owner {
	uint32_t object; /* id + 1; 0 none */
	pindex_t pindex;
	uint32_t next; /* another owner, by its number + 1 in more; 0 none */
};

/* Its thread's own, but stop. */
struct swapoff {
	struct pager *pg;
	struct blkq *q; /* depth >= SWAPOFF_IO */
	struct swdev *dev; /* NULL: nothing to do */
	swblk_t first; /* its place in the block space ... */
	uint32_t blocks; /* ... and size */
	struct move *all, *free; /* SWAPOFF_IO of them */
	struct block_owner *owner; /* of the window; kept while moves fly */
	struct block_owner *more; /* see block_owner.next ... */
	uint32_t n_more; /* ... so many in use */
	uint32_t window; /* its size */
	uint32_t base; /* its first block, on the device */
	uint32_t at; /* blocks of the window visited */
	bool looked_up; /* owner is complete */
	uint32_t object; /* looking up: where the walk is */
	pindex_t pindex;
	bool force; /* pages that cannot be read are given up */
	bool progress; /* this pass did something */
	int error; /* why it ends before its time */
	_Atomic bool stop; /* any thread: interrupt it */
	bool pause; /* what is in flight goes on, and nothing is begun */
	uint64_t lost; /* pages that could not be read */
};

/* q was created by the thread that will call swapoff_step.  0 or -ENOMEM. */
int swapoff_init(struct swapoff *, struct pager *, struct blkq *q);
/* Nothing under way.  The queue is destroyed too. */
void swapoff_destroy(struct swapoff *);
/* In the forked child of a process where it pauses: gives the memory back. */
void swapoff_forget(struct swapoff *);

/*
 * Begins to take a device away.  Lock held.  -EBUSY: it is being taken away
 * already.  -ENOMEM, unless forced: the other devices have less free than is
 * in use on it.  -EIO, unless forced: it is away, and has pages.
 */
int swapoff_begin(struct swapoff *, struct swdev *, bool force);
/*
 * One bounded piece of work.  Returns whether there may be more; if not,
 * blkq_wait with a short limit is next.  Lock not held.
 */
bool swapoff_step(struct swapoff *);
/*
 * Whether it is over.  Then *ret is 0 and the device is closed; or -ENOMEM (the
 * space was used up), -EIO (the device is away), -EAGAIN (all that is left is held
 * for forked children) or -EINTR (stop was set), and it is in full use again.
 */
bool swapoff_over(const struct swapoff *, int *ret);

/* ---- pager_owner.c ------------------------------------------------------- */

/* A new window: at most `size` blocks from `base` on.  Lock held, as below. */
void owners_begin(struct swapoff *, uint32_t base, uint32_t size);
/* A piece of the walk; the window may become smaller. */
void owners_lookup(struct swapoff *);
/*
 * The owners of block k of the window, as they were when it was looked up:
 * NULL, or the first; and the one after an owner.
 */
static inline const struct block_owner *
owner_first(const struct swapoff *so, uint32_t k)
{
	return so->owner[k].object == 0 ? NULL : &so->owner[k];
}
static inline const struct block_owner *
owner_next(const struct swapoff *so, const struct block_owner *w)
{
	return w->next == 0 ? NULL : &so->more[w->next - 1];
}
/* The object of an owner that still has the block; NULL if it has not. */
struct object *owner_has(
    const struct pager *, const struct block_owner *, swblk_t);

/* ---- pager_move.c -------------------------------------------------------- */

enum move_rv {
	MOVE_PEND, /* a transfer is in flight */
	MOVE_DONE,
	MOVE_FULL, /* there is no block to be had */
};

/* A block elsewhere, for a page that needs one; or SWBLK_NONE.  Lock held. */
swblk_t move_alloc(struct pager *, uint32_t *n);
/* Starts the reading of what was added.  Lock held. */
void move_start(struct swapoff *, struct move *);
/*
 * A transfer is complete: starts the next, unless the whole is to end.  Lock
 * not held.
 */
enum move_rv move_goes_on(struct swapoff *, struct move *);

#endif
