/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pair: a handler and the one thread whose faults it answers, on one processor.
 *
 * The two are never at work at the same time, but the scheduler, which does not know
 * that, gives each an idle processor.  One that has halted takes its time to wake up;
 * under a hypervisor as long as the disk needs for a page, or much longer.  On
 * one processor, and with the handler awake while it reads, none halts between a
 * fault and its answer.
 *
 * The handler binds itself.  The thread is the program's, which may ask where it is
 * allowed to run and whose new threads inherit that: it is bound only from before it is
 * woken to after, and only then is the page entered for which it waits.  Should it run
 * earlier, then as far as the same fault.  (Unless a signal has ended its wait: then its
 * handler may see the binding, for some microseconds.)
 *
 * A thread of a real-time class that does not leave the processor of a pair holds up
 * its faults, for the handler cannot go to another one.
 *
 * All of it is the handler's thread's own; locks are not needed, and not to be held: what
 * binds may sleep.  Nothing allocates.
 */
#ifndef USWAP_PAIR_H
#define USWAP_PAIR_H

#include "base/cpus.h"
#include "page/pmap.h"

/* So many faults of one thread, and of no other, make a pair. */
#define PAIR_MIN 32

/*
 * The mean time of PAIR_READS reads is taken.  After each PAIR_TRY such times at home
 * another processor is tried: a disk may interrupt only one, and where that has halted
 * completions are late.
 */
#define PAIR_READS 64
#define PAIR_TRY   16

/* So often is the thread woken for one page, at most. */
#define PAIR_WAKES 3

/*
 * Zero at first.
 *
 * (1) Together only after PAIR_MIN faults in a row of thread tid.
 * (2) While they are together, and only then, the handler has bound itself to `cpu`,
 *     which is one of `both`.
 * (3) Outside pair_wake no thread of the program's is bound, or meek, but one that is owed.
 */
struct pair {
	bool may; /* constant: whether there is to be any */
	bool together;
	pid_t owed; /* whom to unbind and make normal still; 0: nobody */
	pid_t tid; /* of the last fault */
	uintptr_t va; /* of the last fault */
	uint32_t faults; /* of it, in a row, PAIR_MIN at most */
	cpu_set_t own; /* where the handler may run, unbound */
	cpu_set_t theirs; /* where the thread may */
	cpu_set_t both; /* where both may */
	cpu_set_t all; /* see cpus_unbind */
	int cpu; /* where they are */
	int home; /* where reads took least */
	int tried; /* the last other one */
	uint32_t reads; /* counted here */
	uint32_t times; /* means taken at home since another was tried */
	uint64_t sum_ns; /* of so many reads here */
	uint64_t home_ns; /* of one at home, the last time; 0: not known yet */
};

/* A fault was taken.  Parts them if it is another thread's. */
void pair_fault(struct pair *, pid_t tid, uintptr_t va);

/* Brings them together, if it is time for that, or parts them; whether they are. */
bool pair_join(struct pair *, bool calm);
/* Until there have been PAIR_MIN faults again. */
void pair_part(struct pair *);

/* A read of one page has taken so long. */
void pair_read(struct pair *, uint64_t ns);

/* Whether the thread is here and was last seen to wait for the page at va. */
static inline bool
pair_awaits(const struct pair *p, uintptr_t va)
{
	return p->together && p->va == va;
}

/*
 * The thread is woken, here, for the page at va, which it awaits, and which is to be
 * entered next.  Parts them if that may not be.
 */
void pair_wake(struct pair *, struct pmap *, uintptr_t va);

/* Verifies the invariants, as far as they can be seen from inside. */
void pair_check(const struct pair *);

#endif
