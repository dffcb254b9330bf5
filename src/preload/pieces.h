/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pieces: the walk over a range of addresses that may be managed in part.
 *
 *	for (a = start; a < end; a = p.end) {
 *		p = piece_at(a, end);
 *		... p.managed: the library's, else the kernel's ...
 *	}
 *
 * Under the lock of preload.h, but for look_at, which takes it.
 */
#ifndef USWAP_PRELOAD_PIECES_H
#define USWAP_PRELOAD_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of a walk: one range of the table, or a gap (managed false). */
struct piece {
	uintptr_t start;
	uintptr_t end;
	bool managed;
	unsigned flags; /* RANGE_... */
};

/* The piece that begins at a, cut off at end. */
struct piece piece_at(uintptr_t a, uintptr_t end);
struct piece look_at(uintptr_t a, uintptr_t end);

/*
 * [*start, *end) of a call that accepts any address; false when it is empty or
 * nothing of it is in the table, or is managed: then it is the kernel's.
 */
bool tracked_span(
    const void *addr, size_t len, uintptr_t *start, uintptr_t *end);
bool managed_span(
    const void *addr, size_t len, uintptr_t *start, uintptr_t *end);

/* What a system call returned, as 0 or -errno. */
int to_kernel(long result);

#endif
