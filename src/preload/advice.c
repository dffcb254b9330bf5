/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * advice: madvise on managed memory.
 *
 * A range may be managed in part: it is walked piece by piece, managed pieces
 * go to the library, the others to the kernel.
 *
 * What reads or writes swap space does so without the lock, for other threads
 * map memory meanwhile: the lock is taken for each look at the table.  A piece
 * that the program changes at the same time may or may not be advised, as in
 * the kernel.
 */
#include <errno.h>
#include <sys/mman.h>

#include "preload/pieces.h"
#include "preload/preload.h"
#include "preload/raw.h"

/* Newer than the oldest headers we are built with. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

/* ---- madvise ------------------------------------------------------------- */

/* These stop at a hole. */
static bool
populates(int advice)
{
	return advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
}

/* What moves pages to swap space or from it. */
static bool
is_slow(int advice)
{
	return advice == MADV_WILLNEED || advice == MADV_PAGEOUT ||
	       populates(advice);
}

static int
advise_slowly(struct piece p, int advice)
{
	void *addr = (void *)p.start;
	size_t len = p.end - p.start;

	switch (advice) {
	case MADV_PAGEOUT:
		/* The kernel's answer for locked memory. */
		if (p.flags & RANGE_LOCKED)
			return -EINVAL;
		/* What cannot leave stays, as there. */
		(void)uswap_pageout(preload.u, addr, len);
		return 0;
	case MADV_WILLNEED:
		return uswap_advise(preload.u, addr, len, USWAP_WILLNEED);
	default:
		/* More would push out the beginning. */
		if (len > preload.ram / 2)
			len = (preload.ram / 2) & ~(PAGE - 1);
		return to_kernel(raw_madvise(addr, len, advice));
	}
}

static int
advise_managed(struct piece p, int advice)
{
	void *addr = (void *)p.start;
	size_t len = p.end - p.start;

	if (is_slow(advice))
		return advise_slowly(p, advice);
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		/* The kernel's answer for locked memory. */
		if (p.flags & RANGE_LOCKED)
			return -EINVAL;
		return uswap_advise(preload.u, addr, len, USWAP_DONTNEED);
	case MADV_DONTNEED_LOCKED:
		return uswap_advise(preload.u, addr, len, USWAP_DONTNEED);
	case MADV_COLD: /* would send pages to the machine's swap space */
		return p.flags & RANGE_LOCKED ? -EINVAL : 0;
	case MADV_HUGEPAGE: /* pages are 4 KiB, and move */
	case MADV_NOHUGEPAGE:
	case MADV_COLLAPSE:
	case MADV_MERGEABLE: /* a shared page cannot be moved */
	case MADV_UNMERGEABLE:
	case MADV_NORMAL: /* of files only; keeps mappings apart: lib/remap.c */
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_DONTFORK: /* fork has a rule of its own here */
	case MADV_DOFORK:
		return 0;
	case MADV_GUARD_INSTALL: /* as kernels answer that have it not */
	case MADV_GUARD_REMOVE:
		return -EINVAL;
	default:
		return to_kernel(raw_madvise(addr, len, advice));
	}
}

/*
 * As the kernel: a hole is ENOMEM, but what is mapped gets the advice.  Under
 * the lock, but for slow advice.
 */
static int
advise_all(uintptr_t start, uintptr_t end, int advice)
{
	uintptr_t a;
	int error = 0;

	for (a = start; a < end;) {
		struct piece p =
		    is_slow(advice) ? look_at(a, end) : piece_at(a, end);
		int e;

		if (p.managed)
			e = advise_managed(p, advice);
		else
			e = to_kernel(raw_madvise(
			    (void *)p.start, p.end - p.start, advice));
		if (e != 0 && (e != -ENOMEM || populates(advice)))
			return e;
		if (e != 0)
			error = e;
		a = p.end;
	}
	return error;
}

HOOK int
madvise(void *addr, size_t len, int advice)
{
	uintptr_t start, end;
	struct guard g;
	bool managed;
	int error;

	preload_lock(&g);
	managed = ((uintptr_t)addr & (PAGE - 1)) == 0 &&
		  managed_span(addr, len, &start, &end);
	if (!managed)
		error = to_kernel(raw_madvise(addr, len, advice));
	else if (!is_slow(advice))
		error = advise_all(start, end, advice);
	preload_unlock(&g);
	if (managed && is_slow(advice))
		error = advise_all(start, end, advice);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}
