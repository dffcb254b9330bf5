/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges: which parts of the address space are the pager's business.
 *
 * A sorted table of address ranges, each with flags.  It mirrors what the
 * kernel knows about the mappings the program made with mmap(): the hooks tell
 * it of each change after the kernel has agreed.
 *
 * Usage
 *	if (!ranges_reserve(r, 1))		before the system call
 *		return ENOMEM;
 *	... the system call ...
 *	ranges_add(r, start, end, flags);	cannot fail
 *
 * Notes
 *	- Addresses and ends are multiples of the page size.
 *	- Neighbours with equal flags are one range.
 *	- Memory comes straight from the kernel: the hooks run inside the
 *	  program's allocator.
 *	- Not locked: the owner serialises.
 */
#ifndef USWAP_PRELOAD_RANGES_H
#define USWAP_PRELOAD_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum {
	RANGE_WRITE = 1, /* mapped with PROT_WRITE */
	RANGE_LOCKED = 2, /* the program has called mlock() on it */
	RANGE_KEPT = 4, /* wired for uswap_preload_keep: see bring.h */
	RANGE_DONTFORK = 8, /* a forked child is not to have it */
	RANGE_WIPEONFORK = 16, /* reads as zeros in a forked child */
	RANGE_NEW = 32, /* locked by the mlockall that goes on */
	RANGE_YOUNG = 64, /* not managed yet: see preload_settle */
	RANGE_OTHER = 128, /* of guards: in memory that was not in the table */
	RANGE_READ = 256, /* mapped with PROT_READ */
};

#define RANGE_PROT (RANGE_READ | RANGE_WRITE)

static inline unsigned
range_prot(int prot)
{
	return (prot & PROT_READ ? RANGE_READ : 0U) |
	       (prot & PROT_WRITE ? RANGE_WRITE : 0U);
}

struct range {
	uintptr_t start;
	uintptr_t end; /* exclusive */
	unsigned flags;
};

/*
 * Invariants
 *	1. v[0..n) is sorted, start < end, and no two ranges overlap.
 *	2. Ranges that touch differ in their flags.
 *	3. writable is the sum of the lengths of those with RANGE_WRITE, young of
 *	   those with RANGE_YOUNG.
 *	4. n <= cap; v is own[] exactly when cap == RANGES_OWN.
 */
#define RANGES_OWN 96
struct ranges {
	struct range *v;
	size_t n;
	size_t cap;
	uint64_t writable; /* bytes */
	uint64_t young; /* bytes */
	/* The first table: a small program needs no memory for it. */
	struct range own[RANGES_OWN];
};

/* An empty table; r is its own name. */
#define RANGES_INIT(r)                                                         \
	{                                                                      \
		.v = (r).own, .cap = RANGES_OWN,                               \
	}

void ranges_clear(struct ranges *); /* forgets everything */

/*
 * ranges_reserve: room for that many of the changes below; each makes at most
 * two ranges more.  False when the kernel refuses memory.
 */
bool ranges_reserve(struct ranges *, size_t changes);

/* [start, end) becomes one range with these flags, whatever was there. */
void ranges_add(
    struct ranges *, uintptr_t start, uintptr_t end, unsigned flags);
void ranges_remove(struct ranges *, uintptr_t start, uintptr_t end);
/* Changes the flags of whatever part of [start, end) is in the table. */
void ranges_flag(struct ranges *, uintptr_t start, uintptr_t end, unsigned set,
    unsigned clear);

/*
 * ranges_move: what mremap(2) did: the flags of [old, old + old_len) are now
 * at new, cut or extended (as the last byte was) to new_len; old is gone
 * unless keep.  Counts as ranges_pieces(old range) + 2 changes.
 */
void ranges_move(struct ranges *, uintptr_t old, size_t old_len, uintptr_t new,
    size_t new_len, bool keep);
/* How many ranges have a part in [start, end). */
size_t ranges_pieces(const struct ranges *, uintptr_t start, uintptr_t end);

/* The first range that ends after addr; NULL when there is none. */
const struct range *ranges_at(const struct ranges *, uintptr_t addr);
/* Whether any part, or every byte, of [start, end) is in the table. */
bool ranges_any(const struct ranges *, uintptr_t start, uintptr_t end);
bool ranges_all(const struct ranges *, uintptr_t start, uintptr_t end);
/* Whether any part of it is in a range that is young, or that is not. */
bool ranges_age(
    const struct ranges *, uintptr_t start, uintptr_t end, bool young);

/* True when every invariant above holds. */
bool ranges_check(const struct ranges *);

#endif
