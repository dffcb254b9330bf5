/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * simlock: base/lock.c for one thread.
 *
 * It defines all that lock.h declares, so that the linker does not take
 * lock.c from the library.  A lock is a flag; taking one that is taken would
 * hang a real thread, so it asserts.  Just before one is taken and just after
 * it is released is where another thread could do anything, so there the
 * simulation may run one: every place at which the state can change under
 * somebody's hands is reached, and none at which it cannot.
 */
#include "base/lock.h"
#include "sim/sim.h"

void (*simlock_preempt)(void);

static void
preempt(const struct mtx *mtx)
{
	if (mtx->rank == RANK_VM && simlock_preempt != NULL)
		simlock_preempt();
}

void
mtx_init(struct mtx *mtx, enum lock_rank rank)
{
	*mtx = (struct mtx){.rank = rank};
}

void
mtx_destroy(struct mtx *mtx)
{
	KASSERT(mtx->owner == 0, "destroying a lock that is held");
}

void
mtx_lock(struct mtx *mtx)
{
	KASSERT(mtx->owner == 0, "the lock is held already");
	preempt(mtx);
	mtx->owner = 1;
}

void
mtx_unlock(struct mtx *mtx)
{
	KASSERT(mtx->owner == 1, "the lock is not held");
	mtx->owner = 0;
	preempt(mtx);
}

bool
mtx_owned(const struct mtx *mtx)
{
	return mtx->owner != 0;
}

/* Whoever waits in simulation does so through pager.sleep. */
void
cv_init(struct cv *cv)
{
	(void)cv;
}

void
cv_destroy(struct cv *cv)
{
	(void)cv;
}

void
cv_wait(struct cv *cv, struct mtx *mtx)
{
	(void)cv;
	KASSERT(!mtx_owned(mtx), "waiting in simulation");
}

bool
cv_timedwait(struct cv *cv, struct mtx *mtx, unsigned msec)
{
	(void)msec;
	cv_wait(cv, mtx);
	return false;
}

void
cv_broadcast(struct cv *cv)
{
	(void)cv;
}
