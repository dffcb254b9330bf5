/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim: a whole pager in one thread, from one seed.
 *
 * The disks, the address space and the clock are simulated, and so are the
 * threads.  The lock of the pager is replaced by simlock.c: wherever somebody
 * takes or releases it, another "thread" may run one step on top of the
 * stack, as it could on another CPU.  What a run does depends on its seed and
 * parameters alone.
 *
 * The oracle is a shadow of the program's memory: an access finds the bytes
 * that were last written there, or the page is poisoned and an injected error
 * accounts for it.  A thread that is not woken stays asleep, and is missed.
 */
#ifndef USWAP_TEST_SIM_H
#define USWAP_TEST_SIM_H

#include "block/engine_sim.h"
#include "daemon/clone.h"
#include "daemon/handler.h"
#include "page/pmap_sim.h"
#include "pager/pager_off.h"
#include "support/seed.h"

#define SIM_HANDLERS 3
#define SIM_DISKS    4
#define SIM_THREADS  6
#define SIM_PAGEOUT  SIM_HANDLERS /* the actor after the handlers */
#define SIM_SWAPOFF  (SIM_HANDLERS + 1) /* and the one after it */
#define SIM_ACTORS   (SIM_HANDLERS + 2)

enum sim_event {
	EV_THREAD, /* a thread of the program goes on */
	EV_HANDLER,
	EV_PAGEOUT,
	EV_CLOCK,
	EV_MAP,
	EV_GROW,
	EV_UNMAP,
	EV_DONTNEED,
	EV_RAW_DROP, /* the program drops a page behind our back */
	EV_RAW_UNMAP, /* it unmaps pages, and we are told later */
	EV_MOVE,
	EV_RESERVE,
	EV_WIRE,
	EV_UNWIRE,
	EV_RANGE, /* a range is paged out on request */
	EV_SWAPON,
	EV_SWAPOFF, /* a device is taken away, or that is interrupted */
	EV_MOVER, /* that goes on */
	EV_CLONE, /* a range is cloned, while the others go on */
	EV_COUNT
};

/* The world.  sim_random_params draws one; all fields may be changed after. */
struct sim_params {
	uint64_t seed;
	uint32_t n_pages; /* addresses of the program */
	struct pager_params pager;
	unsigned handlers, disks, threads;
	struct simdisk_params disk[SIM_DISKS];
	int prio[SIM_DISKS];
	bool crypt[SIM_DISKS]; /* encrypted */
	uint32_t busy_in; /* see pmap_sim.h */
	uint32_t scan_in; /* one access in N begins a scan */
	uint32_t preempt_in; /* one lock operation in N; 0 never */
	uint32_t weight[EV_COUNT];
	bool strict; /* pageout runs only when it was kicked */
	bool errors; /* a read may come back wrong */
};

/* A thread of the program: one access at a time. */
struct simthread {
	bool pending; /* it has faulted and sleeps, or was woken */
	bool write;
	uintptr_t va;
	int dir; /* a scan under way: 1 or -1 */
	uint32_t left; /* its pages */
};

struct sim {
	struct sim_params par;
	struct rng rng;
	struct simclock clock;
	struct pmap *pmap;
	struct blkdev *disk[SIM_DISKS]; /* NULL: not in use */
	struct pager pg;
	struct handler handler[SIM_HANDLERS];
	struct pageout pageout;
	struct swapoff swapoff;
	unsigned leaving; /* the disk that is taken away */
	bool running[SIM_ACTORS]; /* somewhere on the stack */
	bool kicked, again; /* strict: what pageout's thread would know */
	bool grew; /* the budget was exceeded with permission */
	bool draining; /* threads end what they began and begin nothing */
	bool quiet; /* no preemption: the harness itself looks */
	struct simthread thread[SIM_THREADS];
	char *shadow; /* n_pages, what the program must see */
	bool *poisoned; /* pages found lost since they were last new */
	bool *wired;
	bool *gone; /* unmapped behind our back */
	/* The clone being made: n pages at from, which go to the hole at to. */
	struct {
		const struct object *o; /* NULL: none */
		uintptr_t from, to;
		uint32_t n;
		bool frozen; /* when last looked at */
	} clone;
	uint64_t event, version;
	const char *what; /* the event under way */
	uint64_t reserved, refused; /* ranges; refused: for want of space */
	uint64_t cloned, clone_full,
	    clone_busy; /* the same, and what it said */
	uint64_t off, off_full, off_stopped; /* devices taken away, or not */
	uint64_t touches, lost, ctr[EV_COUNT];
};

void sim_random_params(struct sim_params *, uint64_t seed);
void sim_open(struct sim *, const struct sim_params *);
/* One event, drawn by weight; every so often followed by sim_check. */
void sim_event(struct sim *);
/* Every access answered, nothing in flight, nothing left to do. */
void sim_drain(struct sim *);
/* Begins to take disk i away: 0 or -errno. */
int sim_swapoff(struct sim *, unsigned i, bool force);
/* Adds a disk, if there is a place. */
void sim_swapon(struct sim *);
/* Goes on until that is over, and nothing else happens. */
void sim_swapoff_end(struct sim *);
/* Reads the whole program once and compares it. */
void sim_read_all(struct sim *);
/* Every module's invariants and the laws of memory. */
void sim_check(struct sim *);
/* Drains, unmaps everything, and finds nothing left over. */
void sim_close(struct sim *);
/* Open, n events, read everything, close. */
void sim_run(struct sim *, const struct sim_params *, uint64_t events);

/* Says what and where, and aborts. */
void sim_fail(struct sim *, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* ---- sim_program.c: the program and its requests ------------------------- */

/* A thread goes on; false when it sleeps. */
bool sim_thread(struct sim *, struct simthread *);
/* One more writes, if it can without waiting. */
void sim_write(struct sim *, uintptr_t va);
void sim_program_event(struct sim *, enum sim_event);
void sim_unmap(struct sim *, uintptr_t start, uintptr_t end);
/* Clones n pages at va, which are one object's, to a hole at `to`: 0 or -errno. */
int sim_clone(struct sim *, uintptr_t va, uint32_t n, uintptr_t to);
/* Before anybody else runs: whether the moment of a clone has come. */
void sim_clone_moment(struct sim *);

/* ---- shared -------------------------------------------------------------- */

static inline uint32_t
sim_below(struct sim *s, uint64_t n)
{
	return (uint32_t)rng_below(&s->rng, n);
}
/* One step of a handler or of the page-out thread, if it is not running. */
bool sim_step(struct sim *, unsigned actor);
/* Everybody may do something, and time goes by. */
void sim_round(struct sim *);

/* simlock.c calls this at every lock operation, outside the lock. */
extern void (*simlock_preempt)(void);

#endif
