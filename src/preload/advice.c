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

/* ---- what a forked child has --------------------------------------------- */

static bool
is_of_forks(int advice)
{
	return advice == MADV_DONTFORK || advice == MADV_DOFORK ||
	       advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK;
}

/*
 * The kernel keeps from a child only what is in memory: the table says what the
 * child itself is to do with the rest.  DONTFORK the pager has its own use for.
 */
static int
advise_fork(struct piece p, int advice)
{
	unsigned set = 0, clear = 0;
	int error = 0;

	if (!ranges_reserve(&preload.ranges, 1))
		return -ENOMEM;
	if (advice == MADV_DONTFORK)
		set = RANGE_DONTFORK;
	else if (advice == MADV_DOFORK)
		clear = RANGE_DONTFORK;
	else if (advice == MADV_WIPEONFORK)
		set = RANGE_WIPEONFORK;
	else
		clear = RANGE_WIPEONFORK;
	if (preload.state == TRACKING ||
	    ((set | clear) & RANGE_WIPEONFORK) != 0)
		error = to_kernel(
		    raw_madvise((void *)p.start, p.end - p.start, advice));
	if (error == 0)
		ranges_flag(&preload.ranges, p.start, p.end, set, clear);
	return error;
}

void
advice_forked(void)
{
	uintptr_t a;
	const struct range *e;

	for (a = 0; (e = ranges_at(&preload.ranges, a)) != NULL;) {
		struct range r = *e;
		void *addr = (void *)r.start;
		size_t len = r.end - r.start;

		a = r.end;
		if (preload.state == ACTIVE && (r.flags & RANGE_LOCKED))
			uswap_unwire(preload.u, addr, len);
		/* Never more ranges than before: no room needed. */
		ranges_flag(&preload.ranges, r.start, r.end, 0, RANGE_LOCKED);
		if (preload.state == ACTIVE && (r.flags & RANGE_WIPEONFORK))
			uswap_advise(preload.u, addr, len, USWAP_DONTNEED);
		if ((r.flags & RANGE_DONTFORK) == 0)
			continue;
		if (preload.state == ACTIVE)
			uswap_forget(preload.u, addr, len);
		raw_munmap(addr, len);
		ranges_remove(&preload.ranges, r.start, r.end);
	}
}

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
		return 0;
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		return advise_fork(p, advice);
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

/* Under the lock; true: it is slow, and remains to be done without. */
static bool
madvise_locked(void *addr, size_t len, int advice, uintptr_t *start,
    uintptr_t *end, int *ret)
{
	bool aligned = ((uintptr_t)addr & (PAGE - 1)) == 0;
	/* The table has to know of some advice before there is a pager, too. */
	bool managed = aligned &&
		       (preload.state == ACTIVE || is_of_forks(advice)) &&
		       tracked_span(addr, len, start, end);

	if (managed && is_slow(advice))
		return true;
	*ret = managed ? advise_all(*start, *end, advice)
		       : to_kernel(raw_madvise(addr, len, advice));
	return false;
}

HOOK int
madvise(void *addr, size_t len, int advice)
{
	uintptr_t start, end;
	struct guard g;
	bool slow;
	int error;

	preload_lock(&g);
	slow = madvise_locked(addr, len, advice, &start, &end, &error);
	preload_unlock(&g);
	if (slow)
		error = advise_all(start, end, advice);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}
