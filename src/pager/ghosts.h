/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ghosts: whether pages that were only read should be given a second chance.
 *
 * A page that leaves by way of the inactive queue can be touched there, which costs
 * a fault without I/O.  What is sealed can be dropped at once, which is much
 * cheaper, but then a page in constant use is read from disk again each time its
 * turn comes.  So for some that were dropped it is remembered when (a ghost): one that
 * is read again before it would have left the inactive queue was dropped too early.
 * While such pages are many, none is dropped at once, and those are counted that are
 * touched while inactive.  The pages of streams are counted for themselves.
 *
 * Context: the pager's lock; never sleeps, allocates nothing.
 */
#ifndef USWAP_GHOSTS_H
#define USWAP_GHOSTS_H

#include "base/base.h"

/* Remembered at once; a power of two. */
#define GHOSTS 1024

/*
 * Invariants (ghosts_check):
 *	G1  |worth[]| <= WORTH_MAX of ghosts.c
 *	G2  of `distance` pages no more than GHOSTS / 2 are remembered
 */
struct ghosts {
	uint32_t clock; /* pages that have left, in all */
	uint32_t distance; /* how many leave while one is inactive */
	uint32_t one_in; /* the logarithm: one page in so many is remembered */
	int32_t worth[2]; /* > 0: second chances pay; [1]: of streams */
	struct ghost {
		uint32_t page; /* a part of its hash, and the kind; 0: none */
		uint32_t when; /* clock */
	} ghost[GHOSTS];
};

/* Whether pages are to have their second chance; else they may be dropped. */
bool ghosts_worth(const struct ghosts *, bool stream);
/* n pages left, in whichever way; the inactive queue is to have `distance`. */
void ghosts_left(struct ghosts *, uint32_t n, uint32_t distance);
/* Page i of an object was dropped without a chance; it is read again. */
void ghosts_dropped(struct ghosts *, uint32_t object, pindex_t i, bool stream);
void ghosts_back(struct ghosts *, uint32_t object, pindex_t i);
/* One that had a chance took it, or did not. */
void ghosts_chance(struct ghosts *, bool stream, bool taken);

void ghosts_check(const struct ghosts *);

#endif
