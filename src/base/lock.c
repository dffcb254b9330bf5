/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock: pthread mutexes and condition variables, with the two rules asserted.
 *
 * Each thread keeps one bit for each rank it holds.  Taking a lock demands
 * that no bit at or above its rank is set: that is the whole deadlock rule,
 * and it also catches a thread taking the same lock twice.  Because all locks
 * of a thread differ in rank, a bit is enough and unlocking may happen in any
 * order.
 *
 * The address of that word is the thread's mark as an owner: it differs
 * between living threads, needs no system call, and the thread that calls
 * fork() keeps it in the child, so that a lock held across fork() can be
 * released there.
 *
 * The word must be reachable from a fault handler without the dynamic linker
 * allocating thread-local storage on first use: hence the initial-exec model.
 *
 * Only the thread itself stores its own mark into `owner`, and only it clears
 * it, both with the mutex held.  So "is it mine?" has a definite answer with a
 * relaxed load, whatever other threads do meanwhile.
 */
#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "base/base.h"
#include "base/lock.h"

static _Thread_local unsigned held __attribute__((tls_model("initial-exec")));

static uint64_t
my_mark(void)
{
	return (uint64_t)(uintptr_t)&held;
}

/* Notes the lock as this thread's. */
static void
take(struct mtx *mtx)
{
	atomic_store_explicit(&mtx->owner, my_mark(), memory_order_relaxed);
	held |= 1u << mtx->rank;
}

/* Forgets it again, the mutex still being locked. */
static void
drop(struct mtx *mtx)
{
	held &= ~(1u << mtx->rank);
	atomic_store_explicit(&mtx->owner, 0, memory_order_relaxed);
}

/* Whether this thread holds a lock of this rank or a higher one. */
static bool
holds_from(unsigned rank)
{
	return held >> rank != 0;
}

void
mtx_init(struct mtx *mtx, enum lock_rank rank)
{
	int error;

	KASSERT(rank > RANK_NONE && rank < RANK_COUNT, "rank %d", (int)rank);
	mtx->rank = rank;
	atomic_init(&mtx->owner, 0);
	error = pthread_mutex_init(&mtx->m, NULL);
	KASSERT(error == 0, "pthread_mutex_init: error %d", error);
}

void
mtx_destroy(struct mtx *mtx)
{
	int error;

	KASSERT(atomic_load_explicit(&mtx->owner, memory_order_relaxed) == 0,
	    "destroying a held lock of rank %d", (int)mtx->rank);
	error = pthread_mutex_destroy(&mtx->m);
	KASSERT(error == 0, "pthread_mutex_destroy: error %d", error);
}

void
mtx_lock(struct mtx *mtx)
{
	int error;

	KASSERT(!holds_from(mtx->rank), "lock of rank %d while holding %#x",
	    (int)mtx->rank, held);
	error = pthread_mutex_lock(&mtx->m);
	KASSERT(error == 0, "pthread_mutex_lock: error %d", error);
	take(mtx);
}

void
mtx_unlock(struct mtx *mtx)
{
	int error;

	mtx_assert(mtx);
	drop(mtx);
	error = pthread_mutex_unlock(&mtx->m);
	KASSERT(error == 0, "pthread_mutex_unlock: error %d", error);
}

bool
mtx_owned(const struct mtx *mtx)
{
	return atomic_load_explicit(&mtx->owner, memory_order_relaxed) ==
	       my_mark();
}

/* Timeouts count on CLOCK_MONOTONIC: setting the time of day moves none. */
void
cv_init(struct cv *cv)
{
	pthread_condattr_t attr;
	int error;

	error = pthread_condattr_init(&attr);
	KASSERT(error == 0, "pthread_condattr_init: error %d", error);
	error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	KASSERT(error == 0, "pthread_condattr_setclock: error %d", error);
	error = pthread_cond_init(&cv->c, &attr);
	KASSERT(error == 0, "pthread_cond_init: error %d", error);
	pthread_condattr_destroy(&attr);
}

void
cv_destroy(struct cv *cv)
{
	int error;

	error = pthread_cond_destroy(&cv->c);
	KASSERT(error == 0, "pthread_cond_destroy: error %d", error);
}

/*
 * Waiting takes the mutex again at the end, so it obeys the rule of ranks
 * like mtx_lock: nothing of a higher rank may be held meanwhile.
 */
static int
wait_until(struct cv *cv, struct mtx *mtx, const struct timespec *deadline)
{
	int error;

	mtx_assert(mtx);
	drop(mtx);
	KASSERT(!holds_from(mtx->rank),
	    "waiting with rank %d while holding %#x", (int)mtx->rank, held);
	if (deadline == NULL)
		error = pthread_cond_wait(&cv->c, &mtx->m);
	else
		error = pthread_cond_timedwait(&cv->c, &mtx->m, deadline);
	KASSERT(error == 0 || error == ETIMEDOUT, "waiting: error %d", error);
	take(mtx);
	return error;
}

void
cv_wait(struct cv *cv, struct mtx *mtx)
{
	wait_until(cv, mtx, NULL);
}

bool
cv_timedwait(struct cv *cv, struct mtx *mtx, unsigned msec)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += msec / 1000;
	ts.tv_nsec += (long)(msec % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return wait_until(cv, mtx, &ts) == 0;
}

void
cv_broadcast(struct cv *cv)
{
	int error;

	error = pthread_cond_broadcast(&cv->c);
	KASSERT(error == 0, "pthread_cond_broadcast: error %d", error);
}
