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
 * earlier, then as far as the same fault.
 *
 * All of it is the handler's thread's own.  Nothing allocates.
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
 * (2) The handler is bound, to `cpu`, while they are together, and only then.
 * (3) No thread of the program's is bound outside pair_wake.
 */
struct pair {
	bool may; /* constant: whether there is to be any */
	bool together;
	pid_t tid; /* of the last fault */
	uint32_t faults; /* of it, in a row, PAIR_MIN at most */
	int cpu, home; /* where they are; where reads took least */
	cpu_set_t own; /* where the handler may run, unbound */
	cpu_set_t both; /* so, and the thread, too */
	cpu_set_t all; /* see cpus_unbind */
	uint64_t preempted; /* so often was the handler, at the last look */
	uint32_t reads, times;
	uint64_t sum_ns; /* of so many reads here */
	uint64_t home_ns; /* of one at home, the last time; 0: not known yet */
};

/* A fault was taken.  Parts them if it is another thread's. */
void pair_fault(struct pair *, pid_t tid);

/* Brings them together, if it is time for that, or parts them; whether they are. */
bool pair_join(struct pair *, bool calm);
void pair_part(struct pair *);

/* A read of one page has taken so long. */
void pair_read(struct pair *, uint64_t ns);

/*
 * The thread is woken, here, for the page at va, which is to be entered next.  Only
 * together; afterwards not any more, if that could not be.
 */
void pair_wake(struct pair *, struct pmap *, uintptr_t va);

#endif
