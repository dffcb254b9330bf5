/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock: mutexes that know their owner and their rank.
 *
 * A thread may take a lock only if its rank is higher than that of every
 * lock it holds, so no cycle of waiting can form.  All ranks stand in the
 * table below; both rules are asserted on every call.
 *
 * Nothing here allocates.  A thread that holds one of these locks must not
 * touch managed memory (the fault handler needs the lock to answer) and must
 * have its signals blocked (a handler of the program's could touch it).
 */
#ifndef USWAP_LOCK_H
#define USWAP_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

enum lock_rank {
	RANK_NONE,
	RANK_FORK, /* held across fork() */
	RANK_CALL, /* the mailbox of the clerk; a range to page out */
	RANK_VM, /* the pager's state: objects, pages, queues, swap space */
	RANK_BLKDEV, /* what an NBD device has in transit */
	RANK_BLKQ, /* completions another thread gives to a queue */
	RANK_LOG, /* one message at a time */
	RANK_COUNT
};

struct mtx {
	pthread_mutex_t m;
	enum lock_rank rank; /* constant after mtx_init */
	_Atomic uint64_t owner; /* a thread's mark, 0 when free */
};

struct cv {
	pthread_cond_t c;
};

void mtx_init(struct mtx *, enum lock_rank);
void mtx_destroy(struct mtx *);
void mtx_lock(struct mtx *);
void mtx_unlock(struct mtx *);
bool mtx_owned(const struct mtx *);
#define mtx_assert(m) KASSERT(mtx_owned(m), "lock not held")

/* cv_wait: the mutex is released while waiting and held again on return. */
void cv_init(struct cv *);
void cv_destroy(struct cv *);
void cv_wait(struct cv *, struct mtx *);
/* cv_timedwait: like cv_wait; returns false when msec went by unsignalled. */
bool cv_timedwait(struct cv *, struct mtx *, unsigned msec);
void cv_broadcast(struct cv *);

#endif
