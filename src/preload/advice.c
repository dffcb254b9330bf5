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
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "preload/bring.h"
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

	preload.lock_future = false;
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

/* ---- guards -------------------------------------------------------------- */

/*
 * The kernel's guards are in the place of pages, and the pager could fill such a
 * place: what has guards is not managed.  It held nothing, so nothing is lost but
 * the bound on it, until the guards are removed.  A kernel that has no guards says
 * so of an empty range, before anything is dropped.
 */
static int
install_guards(struct piece p)
{
	void *addr = (void *)p.start;
	size_t len = p.end - p.start;
	int error = 0;

	if (p.flags & RANGE_LOCKED)
		return -EINVAL;
	if (raw_madvise(addr, 0, MADV_GUARD_INSTALL) != 0)
		return -errno;
	if (!ranges_reserve(&preload.ranges, 1) ||
	    !ranges_reserve(&preload.guards, 1))
		return -ENOMEM;
	if (preload.state == ACTIVE)
		error = uswap_forget(preload.u, addr, len);
	if (error != 0)
		return error;
	ranges_remove(&preload.ranges, p.start, p.end);
	ranges_add(&preload.guards, p.start, p.end, 0);
	return to_kernel(raw_madvise(addr, len, MADV_GUARD_INSTALL));
}

/*
 * In memory that is not managed they are known all the same, lest it be taken in
 * with what the kernel has joined it to: see preload_fill_gaps.
 */
static int
install_others(uintptr_t start, size_t len)
{
	uintptr_t end = page_end(start, len);
	int error;

	if (!ranges_reserve(&preload.guards, 1))
		return -ENOMEM;
	error = to_kernel(raw_madvise((void *)start, len, MADV_GUARD_INSTALL));
	if ((error == 0 || error == -ENOMEM) && start < end)
		ranges_add(&preload.guards, start, end, RANGE_OTHER);
	return error;
}

/* What had guards is managed again, if it was. */
static void
guards_removed(uintptr_t start, uintptr_t end)
{
	const struct range *e;
	uintptr_t a, stop;
	bool other;

	for (a = start; (e = ranges_at(&preload.guards, a)) != NULL; a = stop) {
		a = e->start > a ? e->start : a;
		stop = e->end < end ? e->end : end;
		if (a >= end || !ranges_reserve(&preload.guards, 1))
			break;
		other = e->flags & RANGE_OTHER;
		ranges_remove(&preload.guards, a, stop);
		if (!other)
			preload_fill_gaps(a, stop);
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

/* So often a page may leave between its touch and the kernel's look. */
#define POPULATE_TRIES 1000

/*
 * With inline delivery the kernel says EFAULT of a page that is out, or write-protected,
 * as of one that the program may not touch.  So each is touched, and looked at then:
 * not all of them need be there at one time.
 */
static int
populate_touched(char *p, size_t len, int advice)
{
	int error = 0;

	(void)uswap_advise(preload.u, p, len, USWAP_WILLNEED);
	for (size_t at = 0; at < len && error == 0; at += PAGE)
		for (unsigned i = 0; i < POPULATE_TRIES; i++) {
			error = to_kernel(raw_madvise(p + at, PAGE, advice));
			if (error != -EFAULT ||
			    !uswap_preload_bring(
				p + at, PAGE, advice == MADV_POPULATE_WRITE))
				break;
		}
	return error;
}

static int
populate(void *addr, size_t len, int advice)
{
	int error = to_kernel(raw_madvise(addr, len, advice));

	if (error == -EFAULT && preload.inline_faults)
		error = populate_touched(addr, len, advice);
	return error;
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
		return populate(addr, len, advice);
	}
}

/* What the program lets go of need not be kept any more. */
static int
drop(struct piece p)
{
	void *addr = (void *)p.start;
	size_t len = p.end - p.start;

	if (p.flags & RANGE_KEPT) {
		if (!ranges_reserve(&preload.ranges, 1))
			return -ENOMEM;
		uswap_unwire(preload.u, addr, len);
		ranges_flag(&preload.ranges, p.start, p.end, 0, RANGE_KEPT);
	}
	return uswap_advise(preload.u, addr, len, USWAP_DONTNEED);
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
		return drop(p);
	case MADV_DONTNEED_LOCKED:
		return drop(p);
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
	case MADV_GUARD_INSTALL:
		return install_guards(p);
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
		else if (advice == MADV_GUARD_INSTALL)
			e = install_others(p.start, p.end - p.start);
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
	bool early = is_of_forks(advice) || advice == MADV_GUARD_INSTALL;
	bool managed = aligned && (preload.state == ACTIVE || early) &&
		       tracked_span(addr, len, start, end);

	if (managed && is_slow(advice))
		return true;
	if (managed)
		*ret = advise_all(*start, *end, advice);
	else if (advice == MADV_GUARD_INSTALL && aligned)
		*ret = install_others((uintptr_t)addr, len);
	else
		*ret = to_kernel(raw_madvise(addr, len, advice));
	if (advice == MADV_GUARD_REMOVE && aligned &&
	    (*ret == 0 || *ret == -ENOMEM) && preload.guards.n > 0)
		guards_removed((uintptr_t)addr, page_end((uintptr_t)addr, len));
	return false;
}

static int
hook_madvise(void *addr, size_t len, int advice)
{
	uintptr_t start, end;
	struct guard g;
	bool slow;
	int error;

	preload_lock(&g);
	slow = madvise_locked(addr, len, advice, &start, &end, &error);
	preload_unlock(&g);
	return slow ? advise_all(start, end, advice) : error;
}

HOOK int
madvise(void *addr, size_t len, int advice)
{
	int error = hook_madvise(addr, len, advice);

	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

/* ---- process_madvise ----------------------------------------------------- */

/* What the kernel takes at once: UIO_MAXIOV. */
#define VECTOR_MAX 1024
/* MAX_RW_COUNT. */
#define BYTES_MAX ((size_t)0x7ffff000)

/*
 * Whether a descriptor that the kernel takes for a process is this one.  Linux 6.13
 * tells, and is the first to take advice that matters.  Negative ones have always
 * been names for oneself.
 */
static bool
is_self(int pidfd)
{
	struct {
		uint64_t mask, cgroup;
		uint32_t pid, tgid, more[10];
	} info = {.mask = 1};

	if (pidfd < 0)
		return true;
	return syscall(SYS_ioctl, pidfd, _IOWR(0xff, 11, info), &info) == 0 &&
	       info.tgid == (uint32_t)raw_getpid();
}

/*
 * How many bytes the ranges have, as the kernel counts them; or -errno.  Whether they
 * can be read it says itself: it reads them before it looks at the advice, which is
 * none.
 */
static ssize_t
bytes_of(int pidfd, const struct iovec *v, size_t n, unsigned flags)
{
	size_t bytes = 0;

	(void)uswap_preload_bring(v, n * sizeof(*v), 0);
	if (syscall(SYS_process_madvise, pidfd, v, n, -1, flags) < 0 &&
	    errno == EFAULT)
		return -EFAULT;
	for (size_t i = 0; i < n; i++) {
		if ((ssize_t)v[i].iov_len < 0)
			return -EINVAL;
		bytes += v[i].iov_len < BYTES_MAX - bytes ? v[i].iov_len
							  : BYTES_MAX - bytes;
	}
	return (ssize_t)bytes;
}

/* Bytes advised, or what was wrong with the first range. */
HOOK ssize_t
process_madvise(
    int pidfd, const struct iovec *v, size_t n, int advice, unsigned flags)
{
	ssize_t done = 0, left;
	int error = 0;

	/* Of no ranges at all, the kernel says what else is wrong. */
	if (preload.state != ACTIVE || n > VECTOR_MAX || !is_self(pidfd) ||
	    syscall(SYS_process_madvise, pidfd, v, 0, advice, flags) != 0)
		return syscall(SYS_process_madvise, pidfd, v, n, advice, flags);
	left = bytes_of(pidfd, v, n, flags);
	if (left < 0)
		error = (int)left;
	/* Behind the last byte nothing is looked at, nor is the advice. */
	for (size_t i = 0; left > 0 && error == 0; i++) {
		size_t len =
		    v[i].iov_len < (size_t)left ? v[i].iov_len : (size_t)left;

		left -= (ssize_t)len;
		error = hook_madvise(v[i].iov_base, len, advice);
		if (error == 0)
			done += (ssize_t)len;
	}
	if (done > 0 || error == 0)
		return done;
	errno = -error;
	return -1;
}
