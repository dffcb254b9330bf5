/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handler: a thread that answers faults without ever waiting for I/O.
 *
 * Each has a block queue and requests of its own: it starts a read, and the
 * completion, which it reaps later, enters the page and wakes the thread.
 */
#ifndef USWAP_HANDLER_H
#define USWAP_HANDLER_H

#include "daemon/vigil.h"
#include "pager/pager.h"

/*
 * Reads one handler may have in flight; and how many of those that no fault waits for,
 * when another of the kind is started.
 */
#define HANDLER_IO 64
#define AHEAD_IO   8

/* Faults that wait for memory, and that it holds. */
#define HANDLER_FAULTS 128

/*
 * What a thread that answers its own faults (see inline.h) leaves to another: a
 * fault, or reading ahead of a stream: the window behind its last page, which is at
 * fault.va, or what it comes to by leaps from there.
 */
struct note {
	struct pmap_fault fault;
	uint32_t window; /* pages or leaps, 0: a fault */
	int32_t stride; /* 0: in order */
};

/* Its thread's own, but what others look at: (L) with the lock. */
struct handler {
	struct pager *pg;
	struct pmap *pmap; /* by which it enters pages: pg->pmap, as a rule */
	struct handler *helper; /* to which it leaves notes, or NULL */
	struct blkq *q;
	struct pgio *io; /* free requests */
	struct pgio *all; /* as many as the queue is deep, HANDLER_IO at most */
	uint32_t reading; /* reads under way that faults wait for */
	struct vigil *vigil; /* a lone handler's, or NULL */
	uint32_t awake; /* so many waits more */
	struct spin near; /* waits for reads ... */
	struct spin
	    between; /* ... and for faults alone: whether they are in vain */
	struct note note[PMAP_FAULTS_MAX]; /* (L) left for it ... */
	_Atomic uint32_t notes; /* (L) ... so many */
	struct pmap_fault fault[HANDLER_FAULTS]; /* taken, and not answered */
	uint32_t taken; /* so many */
	uint64_t waiting_since;
	_Atomic bool
	    waiting; /* those that are left could not have a page so far */
};

/* q was created by the thread that will use the handler.  0 or -ENOMEM. */
int handler_init(struct handler *, struct pager *, struct blkq *q);
/* Nothing in flight.  The queue is destroyed too. */
void handler_destroy(struct handler *);

/*
 * Answers what can be answered now: completed reads, then faults.  Returns
 * whether there may be more; if not, handler_wait is next, which also passes on
 * the reads that were started.  Lock not held.
 */
bool handler_step(struct handler *);

/* Waits until it is time for a step, after one that said so.  Lock not held. */
void handler_wait(struct handler *);

/* Leaves a note, if there is room.  Lock held; any thread. */
bool handler_note(struct handler *, struct note);

/* ---- while the program forks; the pager is still (pager_still) ----------- */

/*
 * Waits until nothing is in flight; answers nothing new, and drops what was noted.
 * Lock not held.
 */
void handler_stop(struct handler *);
/*
 * Answers the faults of one thread, wholly before it goes on, for which the pmap
 * must be quiet; those of others are passed over: they wait until they are woken.
 * Notes are its, as nobody else may leave any.  Nothing is in flight before and
 * after.  Lock not held.
 */
void handler_step_for(struct handler *, pid_t tid);
/* In the forked child: gives the memory back. */
void handler_forget(struct handler *);

/* ---- for pagein.c and ahead.c --------------------------------------------- */

/* Takes a free request, NULL if there is none; gives one back. */
struct pgio *handler_io_get(struct handler *);
void handler_io_put(struct handler *, struct pgio *);

#endif
