/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctx: one pager with its threads; what a uswap_t points to.
 *
 * The threads
 *	clerk	  owns the pager's file descriptors and does what callers ask
 *	handlers  answer faults, one for every eight CPUs
 *	vigil	  keeps a processor awake while a lone handler's reads are waited for
 *	pageout	  makes free pages
 *	swapoff	  while a device is taken away: moves what is on it
 *
 * All of them share a file table that is not the program's: the clerk leaves
 * the program's before it opens anything, and makes the others.  So a program
 * that closes descriptors it does not know, or counts on their numbers, and a
 * pager that must never lose its userfaultfd, cannot hurt each other.
 *
 * Callers do nothing themselves: a call is put into the mailbox, and the clerk
 * executes it.  Their stacks and arguments may be managed memory, their
 * signal handlers may touch any; none of that may happen with the pager's
 * lock held, and on the clerk it cannot.
 */
#ifndef USWAP_CTX_H
#define USWAP_CTX_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/handler.h"
#include "daemon/inline.h"
#include "daemon/pageout.h"
#include "lib/kin.h"
#include "lib/names.h"
#include "pager/pager.h"
#include "pager/pager_off.h"
#include "uswap.h"

/* One for so many CPUs, if the caller does not say. */
#define CPUS_PER_HANDLER 8
#define HANDLERS_MAX     16
/* Pages whose residency one call can tell. */
#define CALL_VEC 4096

struct call;
typedef int call_fn(struct uswap *, struct call *);

/* The mailbox.  Arguments and results are copied: see above. */
struct call {
	call_fn *fn;
	uintptr_t addr;
	size_t len;
	uintptr_t arg[3];
	int ret;
	uintptr_t out;
	char text[1200]; /* in: a spec; out: the sentence for uswap_error */
	union {
		unsigned char vec[CALL_VEC];
		struct uswap_stats stats;
		struct uswap_region region;
	};
};

struct ctx_thread {
	struct uswap *u;
	pthread_t thread;
	unsigned index;
};

/* A device being taken away, one at a time: see devices.c. */
struct off {
	struct swapoff swapoff; /* its thread's */
	struct ctx_thread thread;
	char name[1024]; /* the clerk's, and constant while it goes on ... */
	bool force;
	bool going; /* the clerk's: from its begin until it was collected */
	int running; /* call_lock: 1 while some thread takes it away */
	bool begun, over; /* call_lock; as far as the thread has come ... */
	int ret; /* ... and with what result; call_lock */
	uint64_t lost; /* set before over: pages that could not be read */
};

/* Work for the page-out thread, which the clerk waits for. */
struct ctx_job {
	int (*fn)(struct uswap *, const struct ctx_job *);
	uintptr_t start, end;
	struct object *dst; /* ctx_clone */
};

/* How far the pager stands still while the program forks: see still.c. */
enum still {
	STILL_NONE,
	STILL_PAGEOUT, /* page-out and swapoff have stopped */
	STILL_ALL, /* the handlers, too */
};

struct uswap {
	struct uswap_options opt; /* constant, like what follows */
	unsigned nhandlers;
	bool private_files;
	int maps_fd; /* the clerk's: see vma.h */
	struct names names; /* the clerk's */
	uint64_t
	    first_ram_pages; /* constant: the budget, before all forks ... */
	uint64_t ram_pages; /* ... and now; pager's lock */
	/* Page-out's, or set before it is there: where swap files are. */
	char swap_dir[1024];
	struct pmap *pmap;
	struct pager pager; /* its own lock */
	struct handler handler[HANDLERS_MAX]; /* each its thread's */
	struct inline_pool inline_pool; /* with inline delivery: see sigbus.h */
	struct pageout pageout; /* its thread's */
	struct ctx_thread clerk_thread, pageout_thread;
	struct ctx_thread handler_thread[HANDLERS_MAX];
	struct vigil vigil; /* the lone handler's */

	struct mtx call_lock; /* call, state below; RANK_CALL */
	struct cv call_cv; /* any change of what call_lock guards */
	struct call call;
	bool call_taken; /* a caller owns the mailbox */
	bool call_posted; /* it is the clerk's turn */
	bool call_done;
	int started; /* threads that are ready */
	int failure; /* why one of them could not start, -errno */
	int created; /* the clerk's: threads besides it */
	int ended; /* threads that have left their loops */
	bool release; /* all have: they may take down what is theirs */
	/* Set by the clerk, cleared by pageout. */
	struct mtx job_lock; /* RANK_CALL */
	struct cv job_cv;
	const struct ctx_job *_Atomic job;
	int job_ret; /* job_lock */
	struct ctl *ctl; /* NULL without a control socket: see ctl.h */

	struct off off;

	_Atomic bool stop;
	_Atomic bool dead; /* this is a forked child that could have no pager */

	struct mtx fork_lock; /* held from uswap_fork_begin to _end */
	bool left; /* pager's lock: some page has left memory */
	pid_t parent; /* the pager's this is a copy of; 0: none */
	bool crypt; /* the clerk's: some space is encrypted, so a child's is */
	struct kin kin;
	_Atomic enum still
	    still; /* the clerk's to change, with call_lock held */
	int parked; /* call_lock: threads that have stopped */
	pid_t fork_tid; /* constant while still */
	sigset_t fork_signals; /* fork_lock: what it had blocked before */
};

/* Whether threads answer their own faults: the one handler helps them. */
static inline bool
ctx_inline(const struct uswap *u)
{
	return (u->opt.flags & USWAP_FAULT_INLINE) != 0;
}

/*
 * Starts everything, or, in a forked child, starts it again; err holds a sentence
 * on failure.  0 or -errno.
 */
int ctx_start(struct uswap *, char *err, size_t errlen);
/* What would help against an error of a thread, or of its queue. */
const char *ctx_start_hint(int error);
/* Nothing is managed any more.  Stops and frees everything. */
void ctx_stop(struct uswap *);
/* A thread of the pager's: on the clerk only, whose file table it gets. */
int ctx_thread_create(
    struct ctx_thread *, struct uswap *, unsigned index, void *(*body)(void *));
/* Stops taking away a device, if that is going on. */
void ctx_end_swapoff(struct uswap *);
/* uswap_swapoff in the calling thread, which is one of the pager's. */
int ctx_swapoff_here(struct uswap *, const char *name, unsigned flags);
/* The clerk's body, and one for each other kind of thread. */
void *ctx_handler_main(void *);
void *ctx_pageout_main(void *);

/* The clerk only: has the page-out thread do a job, and returns its result. */
int ctx_pageout_do(struct uswap *, const struct ctx_job *);
/* Jobs: pages [start, end) out; makes dst a clone of what start and end show. */
int ctx_page_out(struct uswap *, const struct ctx_job *);
int ctx_clone(struct uswap *, const struct ctx_job *);

/*
 * Executes c->fn(u, c) on the clerk and returns its result, which is in c->ret,
 * too; c is copied in and out.  On failure c->text is the calling thread's
 * uswap_error().
 */
int ctx_call(struct uswap *, struct call *c);
/*
 * The same in three steps, for several calls without others in between.  All
 * signals are blocked, and uswap_error() is the caller's business.
 */
void mailbox_take(struct uswap *);
void mailbox_use(struct uswap *, struct call *);
void mailbox_leave(struct uswap *);

/* ---- still.c ------------------------------------------------------------- */

/* In the threads' loops: stops here while the pager stands as still as that. */
void still_park(struct uswap *, enum still);
void still_handler(struct uswap *, struct handler *, unsigned index);
/*
 * On the clerk.  From begin on nothing is in flight and nothing changes, but that
 * the faults of the thread tid are answered; then those of others, too; then all
 * is as before.
 */
void still_begin(struct uswap *, pid_t tid);
void still_faults_go_on(struct uswap *);
void still_end(struct uswap *);

/* ---- fork.c -------------------------------------------------------------- */

/* On the clerk of a forked child, before its threads. */
int fork_rebuild(struct uswap *, char *err, size_t errlen);
/* On its page-out thread, before the first page leaves. */
void fork_own_space(struct uswap *);

/* ---- remap.c ------------------------------------------------------------- */

/* Protects what reads as zeros of [first, end) again.  Lock held. */
void regions_protect_zeros(
    struct pager *, const struct object *, pindex_t first, pindex_t end);

/* Says why in the calling thread's uswap_error(), and returns error. */
int ctx_error(int error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* On the clerk: the sentence of a call that fails for its range; error. */
int ctx_refuse(struct call *c, int error, const char *what);
/* 0, or -EBUSY as above: a part of the range has a name. */
int ctx_refuse_named(struct uswap *, struct call *, uintptr_t va, size_t len);

/*
 * The functions that run on the clerk: regions.c, remap.c, space.c; those of devices.c
 * are its own.
 */
call_fn do_map, do_manage, do_forget, do_unmap, do_remap, do_is_managed,
    do_part;
call_fn do_clone, do_region_stats;
/* text: the name. */
call_fn do_map_named, do_unmap_named;
call_fn do_dontneed, do_wire, do_unwire, do_reserve, do_pageout, do_residency;
call_fn do_swapon, do_stats;
/* do_swapon, with the size of a file of no given size following from ram_pages. */
int space_swapon(struct uswap *, struct call *, uint64_t ram_pages);
/* A device opened by a thread of the pager's: addr and, its priority, arg[0]. */
call_fn do_swapon_opened;

#endif
