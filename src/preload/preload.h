/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * preload: what `uswap run` puts into an unmodified program.
 *
 * Life of a process
 *	TRACKING  The hooks note which private anonymous memory the program
 *		  maps.  No thread, no descriptor, no pager.
 *	ACTIVE	  The writable part of it passed the budget: a pager was started
 *		  and manages every range of the table, now and from now on.
 *	OFF	  Everything passes through: a program that locked all its memory.
 * A forked child goes on as its parent was.
 *
 * Rules of this room
 *	- The hooks run inside the program's allocator, with its locks held:
 *	  nothing here calls malloc, and no lock of ours is held while one of
 *	  the allocator's is taken.
 *	- One lock covers the table and the system call it mirrors, so that an
 *	  address is never given out again before the table knows it is free.
 *	  All signals are blocked meanwhile: a handler might call mmap.
 *	- The pager's threads need neither this lock nor these hooks.
 */
#ifndef USWAP_PRELOAD_H
#define USWAP_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/ranges.h"
#include "uswap.h"

/* What the program is to find instead of the C library's. */
#define HOOK __attribute__((visibility("default")))

#define PAGE ((size_t)4096)

/* Where the last page ends that has a byte of these. */
static inline uintptr_t
page_end(uintptr_t a, size_t len)
{
	return (a + len + PAGE - 1) & ~(PAGE - 1);
}

/*
 * Smaller mappings are many, come and go, and a call of the pager's for each would
 * cost ten times what they cost.  So they are young first: in the table, but the
 * kernel's, and managed together when there is that much of them, as far as they
 * are still there.  With --inline they stay the kernel's: there a system call cannot
 * wait for a page, and programs give it small buffers and small stacks.
 */
#define SMALL     ((size_t)64 << 10)
#define YOUNG_MAX ((size_t)1 << 20)

enum preload_state { TRACKING, ACTIVE, OFF };

/*
 * Invariants (under the lock)
 *	1. ACTIVE: every range of the table but the young ones is managed by u,
 *	   nothing else is.
 *	2. TRACKING, OFF: nothing is managed or young; OFF: the table is empty.
 *	3. home is the process this memory belongs to: a vfork child, which
 *	   borrows it, has another pid.
 */
struct preload {
	enum preload_state state; /* the lock */
	struct ranges ranges; /* the lock */
	/* What was managed and has MADV_GUARD_INSTALL's guards instead. */
	struct ranges guards; /* the lock */
	bool lock_future; /* changed under it: mlockall(MCL_FUTURE) */
	uswap_t *u; /* set once, on becoming ACTIVE */
	int home; /* changed by the fork handler only */
	bool top; /* likewise: the process `uswap run` became */

	/* From the environment, constant after the constructor. */
	uint64_t ram;
	const char *swap; /* specs, one a line */
	const char *stats; /* a file, or NULL */
	unsigned when_full; /* USWAP_FULL_GROW, ... */
	bool verbose;
	bool inline_faults; /* --inline: see sigbus.c */
	char program[256];
	uint64_t started_ns;
};

extern struct preload preload;

/* The lock, and what is to be restored after it: the signal mask, errno. */
struct guard {
	uint64_t mask;
	int error;
};

/* Of the calling thread, while it holds the lock, or waits for it. */
extern _Thread_local bool preload_holds_lock;
void preload_lock(struct guard *);
void preload_unlock(struct guard *);

/* Starts the pager if the budget is passed.  Under the lock. */
void preload_grown(void);
/* Starts it if there is none, whatever the program has.  Under the lock. */
void preload_start_now(void);
/*
 * Has the young ranges managed, all of them: 0 or -errno, and some may be young
 * still.  What is done to memory that will be managed, but for mapping, unmapping and
 * protecting it, is done after that.  Under the lock.
 */
int preload_settle(void);
/* The same, if any part of [start, end) is young. */
int preload_settle_range(uintptr_t start, uintptr_t end);
/* Whether a mapping of so many writable bytes more would start it. */
bool preload_would_start(size_t more);

/* hooks.c: puts what is not in the table, and can be, into it.  Under the lock. */
void preload_fill_gaps(uintptr_t start, uintptr_t end);
/* advice.c, in a forked child, under the lock: as it was advised before the fork. */
void advice_forked(void);
/*
 * lock.c, without the lock: what was mapped, or grown by mremap, is locked if it
 * has to be; 0 or -errno.
 */
int lock_new(void *addr, size_t len);
int lock_grown(void *addr, size_t len);

/* say: one line on the stderr of the start; nothing if that is gone. */
void say_init(void);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_text(const char *text, size_t len);

/* alloc.c */
/* Whether pthread_create would enter an allocator that we do not precede. */
bool alloc_is_foreign(void);
/* Brackets the creation of the pager's threads. */
void alloc_pager_begin(void);
void alloc_pager_end(void);

/* fork.c */
void fork_init(void);
/*
 * starts.c: brings in what the start of a thread looks at: first noted, without our
 * lock, then touched, under it.
 */
void starts_note(void);
void starts_touch(void);
/* sigbus.c: in the constructor, once inline_faults is known. */
void sigbus_init(void);

/* golang.c: whether the program is written in Go. */
bool is_golang(void);

/* exit.c */
void exit_init(void);
/* In a forked child: it is a process of its own. */
void exit_forked(void);

#endif
