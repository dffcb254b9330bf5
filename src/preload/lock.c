/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock: mlock and its relatives on managed memory.
 *
 * Locked managed memory is wired by the pager, which is without the lock for
 * it, as in advice.c; RANGE_LOCKED says what is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "preload/bring.h"
#include "preload/pieces.h"
#include "preload/preload.h"
#include "preload/raw.h"

/* ---- mlock --------------------------------------------------------------- */

/*
 * Locks do not nest, wirings do: a flag, RANGE_LOCKED or RANGE_KEPT, says which
 * pieces are wired, once for each.  It is set first, so that of two threads one
 * wires.
 */
static bool
claim(uintptr_t a, uintptr_t end, unsigned flag, struct piece *p)
{
	struct guard g;
	bool room;

	preload_lock(&g);
	room = ranges_reserve(&preload.ranges, 1);
	*p = piece_at(a, end);
	if (room && p->managed)
		ranges_flag(&preload.ranges, p->start, p->end, flag, 0);
	preload_unlock(&g);
	return room;
}

static void
mark(const struct piece *p, unsigned set, unsigned clear)
{
	struct guard g;

	preload_lock(&g);
	if (ranges_reserve(&preload.ranges, 1))
		ranges_flag(&preload.ranges, p->start, p->end, set, clear);
	preload_unlock(&g);
}

/* Wires a piece that has been claimed, unless it is wired by that flag already. */
static int
wire(const struct piece *p, unsigned flag)
{
	int error;

	if (p->flags & flag)
		return 0;
	error = uswap_wire(preload.u, (void *)p->start, p->end - p->start);
	if (error != 0)
		mark(p, 0, flag);
	return error;
}

/* The kernel knows nothing of what the pager wires: its limit is kept here. */
static bool
is_limited(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[0].effective & ((uint32_t)1 << CAP_IPC_LOCK)) == 0;
}

/* Whether one may lock at all, which the kernel tells who locks nothing. */
static int
may_lock_any(void)
{
	return syscall(SYS_mlock, NULL, 0L) != 0 && errno == EPERM ? -EPERM : 0;
}

/* Whether [start, end) may be locked beside what is; under the lock. */
static int
may_lock(uintptr_t start, uintptr_t end)
{
	uint64_t bytes = end - start;
	const struct range *e;
	struct rlimit rl;
	uintptr_t a;

	if (may_lock_any() != 0)
		return -EPERM;
	if (!is_limited() || getrlimit(RLIMIT_MEMLOCK, &rl) != 0)
		return 0;
	for (a = 0; (e = ranges_at(&preload.ranges, a)) != NULL; a = e->end)
		if ((e->flags & RANGE_LOCKED) && e->start < start)
			bytes += (e->end < start ? e->end : start) - e->start;
	for (a = end; (e = ranges_at(&preload.ranges, a)) != NULL; a = e->end)
		if (e->flags & RANGE_LOCKED)
			bytes += e->end - (e->start > end ? e->start : end);
	return bytes <= rl.rlim_cur ? 0 : -ENOMEM;
}

static int
mlock_managed(uintptr_t start, uintptr_t end, int flags)
{
	struct piece p;
	uintptr_t a;
	int error = 0;

	for (a = start; a < end && error == 0; a = p.end) {
		if (!claim(a, end, RANGE_LOCKED, &p))
			return -ENOMEM;
		if (p.managed)
			error = wire(&p, RANGE_LOCKED);
		else
			error =
			    to_kernel(syscall(SYS_mlock2, a, p.end - a, flags));
	}
	if (error == -EIO)
		return -EAGAIN;
	return error == -EAGAIN ? -ENOMEM : error; /* it is protected */
}

/* Before the pager starts it leaves the table for good, and stays the kernel's. */
HOOK int
uswap_preload_keep(const void *addr, size_t len)
{
	uintptr_t start, end;
	struct piece p;
	struct guard g;
	int error = 0;

	if (!preload.inline_faults ||
	    len > UINTPTR_MAX - (uintptr_t)addr - PAGE)
		return 0;
	start = (uintptr_t)addr & ~(PAGE - 1);
	end = page_end((uintptr_t)addr, len);
	preload_lock(&g);
	if (preload.state == TRACKING) {
		if (ranges_reserve(&preload.ranges, 1))
			ranges_remove(&preload.ranges, start, end);
		else
			error = -ENOMEM;
	}
	preload_unlock(&g);
	if (preload.state != ACTIVE)
		return error;
	for (; start < end && error == 0; start = p.end) {
		if (!claim(start, end, RANGE_KEPT, &p))
			return -ENOMEM;
		if (p.managed)
			error = wire(&p, RANGE_KEPT);
	}
	return error;
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
		end = page_end((uintptr_t)addr, len);
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
lock_any(const void *addr, size_t len, int flags)
{
	uintptr_t start, end;
	struct guard g;
	bool managed;
	int error;

	preload_lock(&g);
	managed = (flags & ~MLOCK_ONFAULT) == 0 &&
		  managed_span(addr, len, &start, &end);
	error = managed ? may_lock(start, end) : mlock_kernel(addr, len, flags);
	preload_unlock(&g);
	return managed && error == 0 ? mlock_managed(start, end, flags) : error;
}

int
lock_new(void *addr, size_t len)
{
	int error = lock_any(addr, len, 0);

	return error == -EAGAIN ? -ENOMEM : error;
}

/* The table says that it is locked, as what is before it; the pager not yet. */
int
lock_grown(void *addr, size_t len)
{
	uintptr_t start, end;
	struct guard g;
	bool lock;

	preload_lock(&g);
	lock = managed_span(addr, len, &start, &end) &&
	       (piece_at(start, end).flags & RANGE_LOCKED);
	if (lock)
		ranges_flag(&preload.ranges, start, end, 0, RANGE_LOCKED);
	preload_unlock(&g);
	return lock ? mlock_managed(start, end, 0) : 0;
}

static int
hook_mlock(const void *addr, size_t len, int flags)
{
	int error = lock_any(addr, len, flags);

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
	preload.lock_future = false;
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

/* ---- mlockall ------------------------------------------------------------ */

/*
 * What has a name is the program's: files, heap, stacks.  The kernel locks that;
 * of mappings without a name some are the pager's, which must not be locked.
 * Lines that are cut off in a page have a name.
 */
static void
lock_named(int how)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/maps",
	    O_RDONLY | O_CLOEXEC);
	char buf[4096 + 1], *line, *end, *at;
	size_t kept = 0;
	long n;

	while (fd >= 0 &&
	       (n = syscall(SYS_read, fd, buf + kept, 4096 - kept)) > 0) {
		buf[kept + (size_t)n] = '\0';
		for (line = buf; (end = strchr(line, '\n')) != NULL;
		     line = end + 1) {
			uintptr_t from = strtoul(line, &at, 16);
			uintptr_t to = strtoul(at + 1, &at, 16);

			*end = '\0';
			if (strchr(at, '/') != NULL || strchr(at, '[') != NULL)
				(void)syscall(SYS_mlock2, from, to - from, how);
		}
		kept = strlen(line) < 2048 ? strlen(line) : 0;
		memmove(buf, line, kept);
	}
	if (fd >= 0)
		syscall(SYS_close, fd);
}

/*
 * All managed memory that can be touched, or none: what this call has wired is
 * marked, to be told from what was.  More than the budget can hold is refused
 * before anything is brought in.
 */
static int
mlockall_managed(int flags)
{
	uintptr_t a, top = UINTPTR_MAX & ~(PAGE - 1);
	struct piece p;
	struct guard g;
	int error;

	preload_lock(&g);
	(void)preload_settle(); /* what stays young is the kernel's to lock */
	error = may_lock(0, preload.ranges.writable);
	if (preload.ranges.writable > preload.ram / 2)
		error = error == -EPERM ? error : -ENOMEM;
	preload_unlock(&g);
	for (a = 0; a < top && error == 0; a = p.end) {
		p = look_at(a, top);
		if (!p.managed || (p.flags & RANGE_LOCKED) ||
		    !(p.flags & RANGE_WRITE))
			continue;
		error = mlock_managed(p.start, p.end, 0);
		if (error == 0)
			mark(&p, RANGE_NEW, 0);
	}
	for (a = 0; a < top; a = p.end) {
		p = look_at(a, top);
		if (!p.managed || !(p.flags & RANGE_NEW))
			continue;
		mark(&p, 0, RANGE_NEW | (error != 0 ? RANGE_LOCKED : 0));
		if (error != 0)
			uswap_unwire(
			    preload.u, (void *)p.start, p.end - p.start);
	}
	if (error == 0)
		lock_named(flags & MCL_ONFAULT ? MLOCK_ONFAULT : 0);
	return error;
}

/* While there is a pager. */
static int
mlockall_active(int flags)
{
	const int all = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
	int error = 0;

	/* What is nonsense changes nothing, and the kernel says so. */
	if ((flags & ~all) != 0 || (flags & (MCL_CURRENT | MCL_FUTURE)) == 0)
		return to_kernel(syscall(SYS_mlockall, flags));
	if (flags & MCL_CURRENT)
		error = mlockall_managed(flags);
	else
		error = may_lock_any();
	if (error == 0)
		preload.lock_future = (flags & MCL_FUTURE) != 0;
	return error;
}

/*
 * Before there is a pager.  A program that locks all it will ever map has decided
 * against paging: the kernel will not let a page of it go, and that is said.
 */
static int
mlockall_locked(int flags, bool *ret_all)
{
	int error = to_kernel(syscall(SYS_mlockall, flags));

	if (error != 0 || preload.state != TRACKING)
		return error;
	ranges_clear(&preload.ranges);
	*ret_all = (flags & MCL_FUTURE) != 0;
	if (*ret_all)
		preload.state = OFF;
	return 0;
}

HOOK int
mlockall(int flags)
{
	bool all = false, active;
	struct guard g;
	int error = 0;

	preload_lock(&g);
	active = preload.state == ACTIVE;
	if (!active)
		error = mlockall_locked(flags, &all);
	preload_unlock(&g);
	if (active)
		error = mlockall_active(flags);
	if (all)
		say("%s has locked all its memory (mlockall): none of it will "
		    "be paged, and --ram does not bound it",
		    preload.program);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}
