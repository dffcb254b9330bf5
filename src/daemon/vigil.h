/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vigil: a thread that keeps the other processor awake.
 *
 * While the program's threads wait for reads, the handler is awake, and the processor they
 * were on has nothing to do and halts.  To wake it up for each of them takes its time:
 * under a hypervisor half as long as a read.  So meanwhile somebody turns there, who gives
 * the processor to whoever wants it (sched_yield).  It stops by itself when it was not
 * asked for a while.
 *
 * Only where there are two processors.  Of one, none halts.  Of more, the scheduler would
 * put a thread that is woken on one that is idle.
 *
 * Context: vigil_begin and vigil_end are the owner's, while no handler asks; the rest is
 * the handler's thread's.  Nothing allocates but vigil_begin (the C library may), and no
 * lock is needed.
 */
#ifndef USWAP_VIGIL_H
#define USWAP_VIGIL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* So long it turns after it was asked: longer than a handler waits awake (base/spin.h). */
#define VIGIL_NS UINT64_C(300000)

/* After so many times it was asked it is looked up anew where it is to turn. */
#define VIGIL_LOOK 64

/*
 * Zero: none.  When `cpu` was set, the handler might run on two processors, and was on the
 * other one.
 */
struct vigil {
	pthread_t thread;
	bool begun; /* constant while the handler runs, */
	bool turns; /* as this: there is a thread */
	uint32_t asks; /* the handler's: how many there were */
	_Atomic bool works; /* see vigil_works */
	_Atomic bool over;
	_Atomic int cpu; /* where it is to turn; -1: nowhere */
	_Atomic uint32_t asked; /* so often, with a cpu; a futex */
	_Atomic bool asleep; /* on that futex, or about to be */
};

/*
 * 0, -ENOTSUP with more than two processors or in a class, which the thread would have, too,
 * where sched_yield gives way to nobody else, or -errno: then there is none.
 */
int vigil_begin(struct vigil *);
void vigil_end(struct vigil *);

/* Whether halting was taken care of when that was last looked at.  False also of NULL. */
static inline bool
vigil_works(const struct vigil *v)
{
	return v != NULL &&
	       atomic_load_explicit(&v->works, memory_order_relaxed);
}

/* The processor that the caller is not on is to be awake for VIGIL_NS from now. */
void vigil_ask(struct vigil *);

#endif
