/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * follow: on which CPU a fault handler runs.
 *
 * A hand-off to a thread on another CPU costs several times one on the same:
 * that CPU sleeps, and is woken by an interrupt which, under a hypervisor, is
 * an exit.  A handler per CPU does not help, for all of them are woken by each
 * fault.  So there is one, as long as one can do the work, and it runs where
 * the program does: now and then it looks on which CPU the thread is that
 * faulted.  Several, when asked for or on large machines, stay where they are.
 *
 * Context: the handler's thread.  Nothing allocates.
 */
#ifndef USWAP_FOLLOW_H
#define USWAP_FOLLOW_H

#include <stdint.h>

/* One handler's: where it is, and where it saw the program. */
struct follower {
	uint64_t looked; /* at how many faults */
	int here, there; /* CPUs, -1 not known */
	unsigned times; /* seen there, one after the other */
};

/* As many handlers as this machine is likely to need. */
unsigned follower_handlers(void);

/* Binds the calling thread to the index-th of the CPUs it may use. */
void follower_init(struct follower *, unsigned index);

/*
 * A lone handler has answered `faults` in its life, the last of thread tid (0:
 * not known).  Looks, if it is time, and binds the calling thread anew.
 */
void follower_look(struct follower *, uint64_t faults, uint32_t tid);

#endif
