/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inline: faults answered by the threads that have them.
 *
 * A thread that gets a SIGBUS where it would be put to sleep answers its fault in
 * the signal handler: it enters the page, or reads it, and goes on, without
 * another thread.  What it cannot do there it leaves to a handler thread, the
 * helper: reading ahead, reading from devices that take threads of their own, and
 * reading again what came back wrong.
 *
 * Context: any thread of the program's that holds no lock, with all signals
 * blocked and cancellation disabled.  Async-signal-safe; nothing allocates, but
 * that a handler's first read makes a context of asynchronous I/O.
 */
#ifndef USWAP_INLINE_H
#define USWAP_INLINE_H

#include "daemon/fault.h"

/* So many threads answer faults at once; others wait for their turn. */
#define INLINE_MAX 64

struct inline_pool {
	struct pager *pg;
	struct handler handler[INLINE_MAX]; /* with room for one read each */
	struct handler *free[INLINE_MAX]; /* the lock */
	uint32_t nfree; /* the lock */
};

/* here: the pmap for the program's threads.  0 or -ENOMEM. */
int inline_init(struct inline_pool *, struct pager *, struct pmap *here,
    struct handler *helper);
/* In a forked child, whose threads are not in inline_fault: the queues are its own. */
void inline_forked(struct inline_pool *);
/* No thread is in inline_fault. */
void inline_destroy(struct inline_pool *);

/*
 * Answers the fault, or waits until it was worth trying again, for a moment at
 * most: then pending signals are taken, and the thread faults again.
 */
enum answer inline_fault(struct inline_pool *, const struct pmap_fault *);

#endif
