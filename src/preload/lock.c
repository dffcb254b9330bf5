/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock: mlock and its relatives on managed memory.
 *
 * Locked managed memory is wired by the pager, which is without the lock for
 * it, as in advice.c; RANGE_LOCKED says what is.
 */
#include <errno.h>
#include <sys/mman.h>

#include "preload/pieces.h"
#include "preload/preload.h"
#include "preload/raw.h"

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
