/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks: mmap, munmap, mremap, mprotect.
 *
 * Each hook takes the lock, calls its *_locked part, which returns 0 or -errno
 * like the library, and turns that into the C library's convention.
 *
 * The order is forced: uswap_forget comes before the system call that takes
 * the mapping away (the pager must not touch what may already be somebody
 * else's), and the table follows after it.  When that system call then fails,
 * contents may be lost that the program still believes in; the range is
 * unmapped, so that it meets SIGSEGV and not wrong bytes.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "preload/preload.h"
#include "preload/raw.h"

/*
 * The range that a system call is about, [*start, *end).  False when the call
 * is malformed: then the kernel is to say so.
 */
static bool
span(const void *addr, size_t len, uintptr_t *start, uintptr_t *end)
{
	*start = *end = (uintptr_t)addr;
	if ((*start & (PAGE - 1)) != 0 || len == 0 ||
	    len > UINTPTR_MAX - *start - PAGE)
		return false;
	*end = *start + ((len + PAGE - 1) & ~(PAGE - 1));
	return true;
}

static bool
any(const void *addr, size_t len)
{
	uintptr_t start, end;

	return span(addr, len, &start, &end) &&
	       ranges_any(&preload.ranges, start, end);
}

/* Ends the management of a range that is about to be replaced. */
static int
forget(void *addr, size_t len)
{
	return preload.state == ACTIVE ? uswap_forget(preload.u, addr, len) : 0;
}

/* The range was forgotten, and the call that was to replace it has failed. */
static void
lost(void *addr, size_t len)
{
	uintptr_t start, end;

	if (preload.state != ACTIVE || !span(addr, len, &start, &end))
		return;
	raw_munmap(addr, len);
	ranges_remove(&preload.ranges, start, end);
}

/* ---- mmap ---------------------------------------------------------------- */

/* Memory that could be managed, by its kind. */
static bool
pageable(int flags)
{
	return (flags & MAP_TYPE) == MAP_PRIVATE && (flags & MAP_ANONYMOUS) &&
	       !(flags &
		   (MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_LOCKED));
}

/*
 * An anonymous MAP_FIXED inside managed memory, as heaps commit and reset their
 * reservations: the same as dropping the contents and changing the protection,
 * and the region stays one.
 */
static int
map_over(void *addr, uintptr_t start, uintptr_t end, int prot)
{
	uintptr_t a;
	const struct range *e;
	int error;

	for (a = start; a < end; a = e->end) {
		e = ranges_at(&preload.ranges, a);
		if (e->flags & RANGE_LOCKED)
			uswap_unwire(preload.u, (void *)a,
			    (e->end < end ? e->end : end) - a);
	}
	error = uswap_advise(preload.u, addr, end - start, USWAP_DONTNEED);
	if (error != 0)
		return error;
	if (raw_mprotect(addr, end - start, prot) != 0)
		error = -errno;
	ranges_add(
	    &preload.ranges, start, end, prot & PROT_WRITE ? RANGE_WRITE : 0);
	return error;
}

/* A new mapping of a kind and size to be managed. */
static int
take_in(void *addr, size_t len, int prot)
{
	uintptr_t start, end;
	int error;

	span(addr, len, &start, &end);
	if (preload.state == ACTIVE) {
		error = uswap_manage(preload.u, addr, end - start);
		if (error != 0) {
			if (preload.verbose)
				say("mmap refused: %s", uswap_error());
			raw_munmap(addr, len);
			ranges_remove(&preload.ranges, start, end);
			return -ENOMEM;
		}
	}
	ranges_add(
	    &preload.ranges, start, end, prot & PROT_WRITE ? RANGE_WRITE : 0);
	preload_grown();
	return 0;
}

static int
mmap_locked(
    void *addr, size_t len, int prot, int flags, int fd, off_t off, void **ret)
{
	bool over = (flags & MAP_FIXED) && any(addr, len);
	/* A small piece of something managed stays managed. */
	bool wanted = preload.state != OFF && pageable(flags) &&
		      (len >= CANDIDATE_MIN || over);
	uintptr_t start, end;
	int error;
	void *p;

	if (!ranges_reserve(&preload.ranges, 2))
		return -ENOMEM;
	/* Filling it at once would pass the budget at once. */
	if (wanted && (preload.state == ACTIVE || preload_would_start(len)))
		flags &= ~MAP_POPULATE;
	if (over && wanted && preload.state == ACTIVE &&
	    span(addr, len, &start, &end) &&
	    ranges_all(&preload.ranges, start, end)) {
		*ret = addr;
		return map_over(addr, start, end, prot);
	}
	if (over && (error = forget(addr, len)) != 0)
		return error;
	p = raw_mmap(addr, len, prot, flags, fd, off);
	if (p == MAP_FAILED) {
		error = -errno;
		if (over)
			lost(addr, len);
		return error;
	}
	*ret = p;
	if (over && span(addr, len, &start, &end))
		ranges_remove(&preload.ranges, start, end);
	return wanted ? take_in(p, len, prot) : 0;
}

HOOK void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	struct guard g;
	void *p = MAP_FAILED;
	int error;

	/* A mapping of another kind in a place of the kernel's choice. */
	if (!(flags & MAP_FIXED) && (len < CANDIDATE_MIN || !pageable(flags)))
		return raw_mmap(addr, len, prot, flags, fd, off);
	preload_lock(&g);
	error = mmap_locked(addr, len, prot, flags, fd, off, &p);
	preload_unlock(&g);
	if (error == 0)
		return p;
	errno = -error;
	return MAP_FAILED;
}

/* Where off_t has 64 bits anyway they are one function. */
HOOK void *mmap64(void *, size_t, int, int, int, off_t)
    __attribute__((alias("mmap")));

/* ---- munmap, mprotect ---------------------------------------------------- */

/*
 * munmap can fail when it would split a mapping and there are too many; the
 * range is plain memory then, whose contents the program did not want.
 */
static int
munmap_locked(void *addr, size_t len)
{
	uintptr_t start, end;
	int error = 0;

	if (!any(addr, len))
		return raw_munmap(addr, len) == 0 ? 0 : -errno;
	if (!ranges_reserve(&preload.ranges, 1))
		return -ENOMEM;
	error = forget(addr, len);
	if (error != 0)
		return error;
	if (raw_munmap(addr, len) != 0)
		error = -errno;
	span(addr, len, &start, &end);
	if (error == 0 || preload.state == ACTIVE)
		ranges_remove(&preload.ranges, start, end);
	return error;
}

HOOK int
munmap(void *addr, size_t len)
{
	struct guard g;
	int error;

	preload_lock(&g);
	error = munmap_locked(addr, len);
	preload_unlock(&g);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

/* Memory that becomes writable counts; it may be what passes the budget. */
static int
mprotect_locked(void *addr, size_t len, int prot)
{
	uintptr_t start, end;
	bool write = prot & PROT_WRITE;

	if (!ranges_reserve(&preload.ranges, 1))
		return -ENOMEM;
	if (raw_mprotect(addr, len, prot) != 0)
		return -errno;
	if (span(addr, len, &start, &end)) {
		ranges_flag(&preload.ranges, start, end,
		    write ? RANGE_WRITE : 0, write ? 0 : RANGE_WRITE);
		preload_grown();
	}
	return 0;
}

HOOK int
mprotect(void *addr, size_t len, int prot)
{
	struct guard g;
	int error;

	preload_lock(&g);
	error = mprotect_locked(addr, len, prot);
	preload_unlock(&g);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

/* ---- mremap -------------------------------------------------------------- */

/* One call's arguments, once they are known to be well formed. */
struct move {
	void *old;
	size_t old_len; /* both rounded up */
	size_t new_len;
	int flags;
	void *new;
	bool from; /* the old range is in the table, at least in part */
	bool onto; /* the new place overlaps the table */
};

/* What the kernel would refuse before it unmaps anything. */
static int
move_valid(const struct move *m)
{
	uintptr_t old = (uintptr_t)m->old, new = (uintptr_t)m->new;

	if (!(m->flags & MREMAP_FIXED))
		return 0;
	if (!(m->flags & MREMAP_MAYMOVE) || (new &(PAGE - 1)) != 0 ||
	    (new < old + m->old_len &&old < new + m->new_len))
		return -EINVAL;
	return 0;
}

/*
 * Between managed memory: the library moves pages and swap blocks.  The kernel
 * moves one mapping; a range that is managed in part is never one.
 */
static int
move_active(const struct move *m, void **ret)
{
	uintptr_t old = (uintptr_t)m->old;
	int error;

	if (m->from && !ranges_all(&preload.ranges, old, old + m->old_len))
		return -EFAULT;
	if (m->from && (m->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)))
		return -EINVAL;
	if (m->onto && (error = forget(m->new, m->new_len)) != 0)
		return error;
	if (m->from) {
		error = uswap_remap(preload.u, m->old, m->old_len, m->new_len,
		    m->flags, m->new, ret);
	} else {
		*ret = raw_mremap(
		    m->old, m->old_len, m->new_len, m->flags, m->new);
		error = *ret == MAP_FAILED ? -errno : 0;
	}
	if (error != 0 && m->onto)
		lost(m->new, m->new_len);
	return error;
}

static int
mremap_locked(struct move *m, void **ret)
{
	uintptr_t old = (uintptr_t)m->old, new;
	size_t pieces;
	int error;

	m->from = any(m->old, m->old_len);
	m->onto = (m->flags & MREMAP_FIXED) && any(m->new, m->new_len);
	if ((m->from || m->onto) && (error = move_valid(m)) != 0)
		return error;
	pieces = ranges_pieces(&preload.ranges, old, old + m->old_len);
	if (!ranges_reserve(&preload.ranges, pieces + 2))
		return -ENOMEM;
	if (preload.state == ACTIVE && (m->from || m->onto)) {
		error = move_active(m, ret);
	} else {
		*ret = raw_mremap(
		    m->old, m->old_len, m->new_len, m->flags, m->new);
		error = *ret == MAP_FAILED ? -errno : 0;
	}
	if (error != 0)
		return error;
	new = (uintptr_t)*ret;
	if (m->from)
		ranges_move(&preload.ranges, old, m->old_len, new, m->new_len,
		    (m->flags & MREMAP_DONTUNMAP) != 0);
	else if (m->onto)
		ranges_remove(&preload.ranges, new, new + m->new_len);
	preload_grown();
	return 0;
}

HOOK void *
mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	struct move m = {.old = old, .flags = flags};
	uintptr_t start, end;
	struct guard g;
	va_list ap;
	void *p = MAP_FAILED;
	int error;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		m.new = va_arg(ap, void *);
		va_end(ap);
	}
	if (!span(old, old_len, &start, &end))
		return raw_mremap(old, old_len, new_len, flags, m.new);
	m.old_len = end - start;
	if (!span(NULL, new_len, &start, &end))
		return raw_mremap(old, old_len, new_len, flags, m.new);
	m.new_len = end - start;
	preload_lock(&g);
	error = mremap_locked(&m, &p);
	preload_unlock(&g);
	if (error == 0)
		return p;
	errno = -error;
	return MAP_FAILED;
}
