/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kin: the forked children of a process with a pager, as long as they have
 * something of it: swap blocks, and a share of its budget.
 *
 * How is known that a child is gone?  It has a mapping, which it inherits, of a
 * file of which the parent keeps the descriptor and no mapping.  The kernel does
 * not seal a file against writing (F_SEAL_WRITE) while it is mapped writable, so
 * a seal that holds tells that the child, and each descendant that inherited the
 * mapping from it and with it the blocks, has ended or executed another program;
 * by whatever way, and without a protocol.
 *
 * How does it get the swap files?  The pager's descriptors are in a file table of
 * their own (ctx.h).  The child's clerk connects to a socket whose name is in the
 * child's copy of struct birth, shows the token that is there, too, and is sent
 * them.  They are the parent's open files, so that a lock on a file holds until
 * all have closed it.
 *
 * And when the parent ends first?  Its children have the descriptor of another such
 * file, its *will*, which only the parent maps: there stands what it has left of the
 * budget.  Sealing succeeds once, and who succeeds has inherited it: daemon(3) leaves
 * the program with all that it had.
 *
 * Context: the clerk, and the page-out thread, which is stopped while the clerk
 * makes a child.
 */
#ifndef USWAP_KIN_H
#define USWAP_KIN_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "swap/swhold.h"

/* Children at once; each takes a descriptor, so there may be fewer. */
#define KIDS_MAX 1024

/*
 * So long after a fork nobody pages out for it.  Most children execute a program
 * long before; and at first both have the same memory.
 */
#define KIN_GRACE_MS 20

struct uswap;

struct kid {
	pid_t pid; /* 0: it did not say */
	int witness; /* see above */
	uint32_t ram_pages; /* its share ... */
	uint64_t due_ns; /* ... which this process does without from now on */
	struct swhold *hold; /* the blocks it may read */
};

/* The child that is about to be made; it finds this in its copy. */
struct birth {
	struct kid kid; /* its pid is not known so far */
	void *mapping; /* of the witness */
	pid_t parent;
	int listener;
	struct sockaddr_un address;
	socklen_t address_len;
	uint64_t token[2];
};

struct kin {
	struct kid kid[KIDS_MAX]; /* pager's lock, like n */
	unsigned n;
	struct birth birth; /* the clerk's */
	/*
	 * Page-out's, or the clerk's while that stands still.  In a child: what it
	 * came with beyond its share, and until when it may keep that.
	 */
	uint32_t grace_pages;
	uint64_t grace_ns;
	int will; /* the clerk's; -1: there has been no child */
	uint64_t *will_ram; /* pager's lock: in it, ram_pages as it is */
	int parents_will; /* page-out's; -1: none, or dealt with */
	uint64_t looked_ns; /* page-out's: when it last looked who is gone */
	pid_t late; /* pager's lock: whose socket to look at again; 0: none */
	bool waits; /* pager's lock: some of these times are to come */
};

/*
 * Whether a child could be made now: 0; -EAGAIN, there are too many; -ENOMEM, the
 * budget is too small for two; -ENOTSUP.  err holds a sentence then.
 */
int kin_check(struct uswap *, char *err, size_t errlen);
/*
 * Prepares for a child, with all that is in flight at an end; undone by
 * kin_give_up.  0 or -errno, and a sentence.
 */
int kin_prepare(struct uswap *, char *err, size_t errlen);
void kin_give_up(struct uswap *);
/*
 * After the fork, in the parent: the child, if there is one, has its share; and,
 * the devices being as they were, its descriptors.  The latter waits for it.
 */
void kin_add(struct uswap *);
void kin_hand_over(struct uswap *);

/*
 * On the page-out thread: adapts the budget when the time has come, and looks now and
 * then who is gone; returns for how many milliseconds it may sleep, -1 for ever.
 */
int kin_tick(struct uswap *);

void kin_init(struct kin *);
/* Takes back what children had that are gone.  Without the pager's lock. */
void kin_reap(struct uswap *);
/*
 * The pager ends: its blocks are nobody's, whether children live or not, and what it
 * had of the budget goes to one of them.
 */
void kin_forget(struct uswap *);

/* In the child, its only thread: what its parent's children have is not its. */
void kin_forked(struct uswap *);
/* When its pager can hear of it: its budget, with the time of grace. */
void kin_begin(struct uswap *);
/* On its clerk: fetches the descriptors.  0 or -errno, and a sentence. */
int kin_fetch(struct uswap *, char *err, size_t errlen);

#endif
