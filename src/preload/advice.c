/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * advice: madvise, mlock and their relatives on managed memory.
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

/* A part of a walk: one range of the table, or a gap (managed false). */
struct piece {
	uintptr_t start;
	uintptr_t end;
	bool managed;
	unsigned flags;
};

/* The piece that begins at a, cut off at end. */
static struct piece
piece_at(uintptr_t a, uintptr_t end)
{
	const struct range *e = ranges_at(&preload.ranges, a);
	struct piece p = {a, end, false, 0};

	if (e == NULL || e->start >= end)
		return p;
	p.managed = e->start <= a;
	p.flags = e->flags;
	p.end = p.managed ? e->end : e->start;
	if (p.end > end)
		p.end = end;
	return p;
}

/*
 * [*start, *end) of a call that accepts any address; false when it is empty or
 * nothing of it is managed: then it is the kernel's.
 */
static bool
managed_span(const void *addr, size_t len, uintptr_t *start, uintptr_t *end)
{
	uintptr_t a = (uintptr_t)addr;

	if (preload.state != ACTIVE || len == 0 || len > UINTPTR_MAX - a - PAGE)
		return false;
	*start = a & ~(PAGE - 1);
	*end = (a + len + PAGE - 1) & ~(PAGE - 1);
	return ranges_any(&preload.ranges, *start, *end);
}

static int
to_kernel(long result)
{
	return result == 0 ? 0 : -errno;
}

/* The same, for those who do not hold the lock. */
static struct piece
look_at(uintptr_t a, uintptr_t end)
{
	struct guard g;
	struct piece p;

	preload_lock(&g);
	p = piece_at(a, end);
	preload_unlock(&g);
	return p;
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

/* ---- mlock --------------------------------------------------------------- */

/*
 * Locks do not nest, wirings do: RANGE_LOCKED says which pieces are wired,
 * once.  It is set first, so that of two threads one wires.
 */
static bool
claim(uintptr_t a, uintptr_t end, struct piece *p)
{
	struct guard g;
	bool room;

	preload_lock(&g);
	room = ranges_reserve(&preload.ranges, 1);
	*p = piece_at(a, end);
	if (room && p->managed)
		ranges_flag(&preload.ranges, p->start, p->end, RANGE_LOCKED, 0);
	preload_unlock(&g);
	return room;
}

static void
unclaim(const struct piece *p)
{
	struct guard g;

	preload_lock(&g);
	if (ranges_reserve(&preload.ranges, 1))
		ranges_flag(&preload.ranges, p->start, p->end, 0, RANGE_LOCKED);
	preload_unlock(&g);
}

static int
mlock_managed(uintptr_t start, uintptr_t end, int flags)
{
	struct piece p;
	uintptr_t a;
	int error = 0;

	for (a = start; a < end && error == 0; a = p.end) {
		if (!claim(a, end, &p))
			return -ENOMEM;
		if (!p.managed) {
			error =
			    to_kernel(syscall(SYS_mlock2, a, p.end - a, flags));
		} else if (!(p.flags & RANGE_LOCKED)) {
			error = uswap_wire(preload.u, (void *)a, p.end - a);
			if (error != 0)
				unclaim(&p);
		}
	}
	if (error == -EIO)
		return -EAGAIN;
	return error == -EAGAIN ? -ENOMEM : error; /* it is protected */
}

/*
 * What the kernel locks before the pager starts leaves the table for good: it
 * is never to be paged, and the kernel does not move locked pages.
 */
static int
mlock_kernel(const void *addr, size_t len, int flags)
{
	uintptr_t start, end;
	int error;

	if (!ranges_reserve(&preload.ranges, 1))
		return -ENOMEM;
	/* mlock2 came with Linux 4.4; without flags it is mlock. */
	error = to_kernel(syscall(SYS_mlock2, addr, len, flags));
	if (error == 0 && preload.state == TRACKING && len > 0) {
		start = (uintptr_t)addr & ~(PAGE - 1);
		end = ((uintptr_t)addr + len + PAGE - 1) & ~(PAGE - 1);
		ranges_remove(&preload.ranges, start, end);
	}
	return error;
}

/* Unwires what is wired; the kernel is told about the whole of it. */
static int
munlock_locked(uintptr_t start, uintptr_t end)
{
	uintptr_t a;

	for (a = start; a < end;) {
		struct piece p = piece_at(a, end);

		if (!ranges_reserve(&preload.ranges, 1))
			return -ENOMEM;
		if (p.managed && (p.flags & RANGE_LOCKED)) {
			uswap_unwire(
			    preload.u, (void *)p.start, p.end - p.start);
			ranges_flag(
			    &preload.ranges, p.start, p.end, 0, RANGE_LOCKED);
		}
		a = p.end;
	}
	return 0;
}

static int
hook_mlock(const void *addr, size_t len, int flags)
{
	uintptr_t start, end;
	struct guard g;
	bool managed;
	int error;

	preload_lock(&g);
	managed = (flags & ~MLOCK_ONFAULT) == 0 &&
		  managed_span(addr, len, &start, &end);
	if (!managed)
		error = mlock_kernel(addr, len, flags);
	preload_unlock(&g);
	if (managed)
		error = mlock_managed(start, end, flags);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

HOOK int
mlock(const void *addr, size_t len)
{
	return hook_mlock(addr, len, 0);
}

HOOK int
mlock2(const void *addr, size_t len, unsigned flags)
{
	return hook_mlock(addr, len, (int)flags);
}

HOOK int
munlock(const void *addr, size_t len)
{
	uintptr_t start, end;
	struct guard g;
	int error = 0;

	preload_lock(&g);
	if (managed_span(addr, len, &start, &end))
		error = munlock_locked(start, end);
	if (error == 0)
		error = to_kernel(syscall(SYS_munlock, addr, len));
	preload_unlock(&g);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

HOOK int
munlockall(void)
{
	struct guard g;
	int error = 0;

	preload_lock(&g);
	if (preload.state == ACTIVE)
		error = munlock_locked(0, UINTPTR_MAX & ~(PAGE - 1));
	if (error == 0)
		error = to_kernel(syscall(SYS_munlockall));
	preload_unlock(&g);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

/*
 * A program that locks all it will ever map has decided against paging: the
 * kernel will not let a page of it go, and that is said.
 */
HOOK int
mlockall(int flags)
{
	bool all = false;
	struct guard g;
	int error;

	preload_lock(&g);
	error = preload.state == ACTIVE
		    ? -ENOMEM
		    : to_kernel(syscall(SYS_mlockall, flags));
	if (error == 0 && preload.state == TRACKING) {
		if (flags & MCL_CURRENT)
			ranges_clear(&preload.ranges);
		if (flags & MCL_FUTURE) {
			ranges_clear(&preload.ranges);
			preload.state = OFF;
			all = true;
		}
	}
	preload_unlock(&g);
	if (all)
		say("%s has locked all its memory (mlockall): none of it will "
		    "be paged, and --ram does not bound it",
		    preload.program);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}
