/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager stands still while the program forks, so that the child's copy of all
 * that the pager knows, and of the page tables, is of one moment.
 *
 * First page-out and swapoff end what is in flight and stop; then the handlers.
 * The forking thread is not in clone(2) yet: it may still touch managed memory, its
 * stack for one, and what other libraries do before a fork.  So the first handler
 * goes on answering that thread, and only that one.  While the thread waits for an
 * answer it is not in clone, and when it goes on the answer is complete: nothing
 * changes while it may be.
 *
 * Other threads' faults are taken and dropped.  They are woken at the end, and
 * fault again.
 *
 * With inline delivery the program's threads are kept away from the pager, but for
 * the forking one, which answers its faults itself; the one handler helps it, and
 * what it could not do alone is complete before it goes on, too (inline.c).
 */
#include "lib/ctx.h"
#include "lib/sigbus.h"

/* ---- the threads --------------------------------------------------------- */

static void
note(struct uswap *u, int change)
{
	mtx_lock(&u->call_lock);
	u->parked += change;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
}

void
still_park(struct uswap *u, enum still stage)
{
	mtx_lock(&u->call_lock);
	u->parked++;
	cv_broadcast(&u->call_cv);
	while (atomic_load(&u->still) >= stage)
		cv_wait(&u->call_cv, &u->call_lock);
	u->parked--;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
}

void
still_handler(struct uswap *u, struct handler *h, unsigned index)
{
	handler_stop(h);
	if (index > 0) {
		still_park(u, STILL_ALL);
		return;
	}
	note(u, 1);
	while (atomic_load(&u->still) == STILL_ALL) {
		handler_step_for(h, u->fork_tid);
		blkq_wait(h->q, -1);
	}
	note(u, -1);
}

/* ---- on the clerk -------------------------------------------------------- */

static void
kick_all(struct uswap *u)
{
	blkq_kick(u->pageout.q);
	for (unsigned i = 0; i < u->nhandlers; i++)
		blkq_kick(u->handler[i].q);
}

/* Returns when so many threads of each kind have stopped. */
static void
stop_at(struct uswap *u, enum still stage)
{
	int most = stage == STILL_ALL ? (int)u->nhandlers + 1 : 1;

	atomic_store(&u->still, stage);
	kick_all(u);
	mtx_lock(&u->call_lock);
	/* A swapoff may end meanwhile; none can begin. */
	while (u->parked < most + u->off.running)
		(void)cv_timedwait(&u->call_cv, &u->call_lock, 100);
	mtx_unlock(&u->call_lock);
}

void
still_begin(struct uswap *u, pid_t tid)
{
	struct pager *pg = &u->pager;

	u->fork_tid = tid;
	stop_at(u, STILL_PAGEOUT);
	mtx_lock(&pg->lock);
	pager_still(pg, true);
	mtx_unlock(&pg->lock);
	if (ctx_inline(u))
		sigbus_still(u, tid);
	stop_at(u, STILL_ALL);
	mtx_lock(&pg->lock);
	pager_tidy(pg);
	mtx_unlock(&pg->lock);
	pmap_set_quiet(u->pmap, true);
}

static void
resume_to(struct uswap *u, enum still stage)
{
	mtx_lock(&u->call_lock);
	atomic_store(&u->still, stage);
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
	kick_all(u);
}

void
still_faults_go_on(struct uswap *u)
{
	struct pager *pg = &u->pager;

	/* The first handler is not to find the pmap quiet again. */
	resume_to(u, STILL_PAGEOUT);
	mtx_lock(&u->call_lock);
	while (u->parked > 1 + u->off.running)
		cv_wait(&u->call_cv, &u->call_lock);
	mtx_unlock(&u->call_lock);
	pmap_set_quiet(u->pmap, false);
	mtx_lock(&pg->lock);
	pager_still(pg, false);
	if (ctx_inline(u))
		sigbus_go_on(u);
	for (uint32_t i = 0; i < pg->map.n; i++)
		(void)pmap_wake(u->pmap, pg->map.e[i].start,
		    (uint32_t)atop(pg->map.e[i].end - pg->map.e[i].start));
	mtx_unlock(&pg->lock);
}

void
still_end(struct uswap *u)
{
	resume_to(u, STILL_NONE);
}
