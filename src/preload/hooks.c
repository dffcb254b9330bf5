/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks: mmap, munmap, mremap, mprotect.
 *
 * Each hook takes the lock, calls its *_locked part, which returns 0 or -errno
 * like the library, and turns that into the C library's convention.
 *
 * A call that fails must leave what it was about as it was.  So what is to
 * replace managed memory is mapped elsewhere first, where it can fail, and then
 * moved there by the library, which moves and forgets at once.
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
	*end = page_end(*start, len);
	return true;
}

static bool
any(const void *addr, size_t len)
{
	uintptr_t start, end;

	return span(addr, len, &start, &end) &&
	       ranges_any(&preload.ranges, start, end);
}

/* What had guards is something else now, or nothing. */
static void
no_guards(const void *addr, size_t len)
{
	uintptr_t start, end;

	if (preload.guards.n > 0 && span(addr, len, &start, &end) &&
	    ranges_reserve(&preload.guards, 1))
		ranges_remove(&preload.guards, start, end);
}

/* Ends the management of a range that is about to be replaced. */
static int
forget(void *addr, size_t len)
{
	uintptr_t start, end;

	if (preload.state != ACTIVE || !span(addr, len, &start, &end) ||
	    !ranges_age(&preload.ranges, start, end, false))
		return 0;
	return uswap_forget(preload.u, addr, len);
}

/* ---- mmap ---------------------------------------------------------------- */

/* Whether what is there is to be replaced; NOREPLACE prevails over FIXED. */
static bool
replaces(int flags)
{
	return (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
}

/* Memory that could be managed, by its kind. */
static bool
pageable(int flags)
{
	return (flags & MAP_TYPE) == MAP_PRIVATE && (flags & MAP_ANONYMOUS) &&
	       !(flags &
		   (MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_LOCKED));
}

/* The same, by its size, too. */
static bool
candidate(size_t len, int flags)
{
	return pageable(flags) && (len >= SMALL || !preload.inline_faults);
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
		for (unsigned f = RANGE_LOCKED; f <= RANGE_KEPT; f <<= 1)
			if (e->flags & f)
				uswap_unwire(preload.u, (void *)a,
				    (e->end < end ? e->end : end) - a);
	}
	error = uswap_advise(preload.u, addr, end - start, USWAP_DONTNEED);
	if (error != 0)
		return error;
	/* mmap looks at no other bits of it, mprotect does. */
	prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
	if (raw_mprotect(addr, end - start, prot, -1) != 0)
		error = -errno;
	/* What the program advised was about the memory before this. */
	(void)raw_madvise(addr, end - start, MADV_KEEPONFORK);
	(void)raw_madvise(addr, end - start, MADV_DODUMP);
	ranges_add(&preload.ranges, start, end, range_prot(prot));
	return error;
}

/*
 * Any other mapping over managed memory.  The name of the place is the only
 * thing that can be wrong with the second call, and it is the program's.
 */
static int
map_onto(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = raw_mmap(NULL, len, prot, flags & ~MAP_FIXED, fd, off), *ret;
	int error;

	if (p == MAP_FAILED)
		return -errno;
	error = uswap_remap(
	    preload.u, p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, addr, &ret);
	if (error != 0)
		raw_munmap(p, len);
	return error;
}

/*
 * Huge pages are longer than the program says, and are not moved: refused, as
 * where none are reserved, if the kernel has nothing else to say of them.
 */
static int
huge_onto(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	flags = (flags & ~MAP_FIXED) | MAP_FIXED_NOREPLACE;
	if (raw_mmap(addr, len, prot, flags, fd, off) == MAP_FAILED &&
	    errno != EEXIST)
		return -errno;
	return -ENOMEM;
}

/* A new mapping of a kind and size to be managed. */
static int
take_in(void *addr, size_t len, int prot)
{
	bool young = preload.state == ACTIVE && len < SMALL;
	unsigned flags =
	    range_prot(prot) | (young ? (unsigned)RANGE_YOUNG : 0U);
	uintptr_t start, end;
	int error = 0;

	span(addr, len, &start, &end);
	if (preload.state == ACTIVE && !young)
		error = uswap_manage(preload.u, addr, end - start);
	/* In the place of the heap it is the heap's. */
	if (error == -EINVAL)
		return 0;
	if (error == 0)
		ranges_add(&preload.ranges, start, end, flags);
	if (error == 0 && preload.ranges.young > YOUNG_MAX)
		error = preload_settle();
	if (error != 0) {
		if (preload.verbose)
			say("mmap refused: %s", uswap_error());
		(void)forget(addr, len);
		raw_munmap(addr, len);
		ranges_remove(&preload.ranges, start, end);
		return -ENOMEM;
	}
	preload_grown();
	return 0;
}

static int
mmap_locked(
    void *addr, size_t len, int prot, int flags, int fd, off_t off, void **ret)
{
	bool over = replaces(flags) && any(addr, len);
	/* A small piece of something managed stays managed. */
	bool wanted = preload.state != OFF &&
		      (over ? pageable(flags) : candidate(len, flags));
	uintptr_t start, end;
	int error;
	void *p;

	if (!ranges_reserve(&preload.ranges, 3))
		return -ENOMEM;
	if (over && span(addr, len, &start, &end) &&
	    preload_settle_range(start, end) != 0)
		return -ENOMEM;
	/* Filling it at once would pass the budget at once. */
	if (wanted && (preload.state == ACTIVE || preload_would_start(len)))
		flags &= ~MAP_POPULATE;
	if (over && wanted && preload.state == ACTIVE &&
	    (off & (off_t)(PAGE - 1)) == 0 && span(addr, len, &start, &end) &&
	    ranges_all(&preload.ranges, start, end)) {
		*ret = addr;
		return map_over(addr, start, end, prot);
	}
	if (over && preload.state == ACTIVE && (flags & MAP_HUGETLB))
		return huge_onto(addr, len, prot, flags, fd, off);
	if (over && preload.state == ACTIVE) {
		error = map_onto(addr, len, prot, flags, fd, off);
		if (error != 0)
			return error;
		p = addr;
	} else {
		p = raw_mmap(addr, len, prot, flags, fd, off);
		if (p == MAP_FAILED)
			return -errno;
	}
	*ret = p;
	no_guards(p, len);
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
	if (!(flags & MAP_FIXED) && !preload.lock_future &&
	    !candidate(len, flags))
		return raw_mmap(addr, len, prot, flags, fd, off);
	preload_lock(&g);
	error = mmap_locked(addr, len, prot, flags, fd, off, &p);
	preload_unlock(&g);
	if (error == 0 && preload.lock_future && prot != PROT_NONE) {
		error = lock_new(p, len);
		if (error != 0)
			munmap(p, len);
	}
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

	no_guards(addr, len);
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

/*
 * Memory that becomes writable counts; it may be what passes the budget.  A
 * call that meets a hole has changed what is before it: then all counts as
 * writable that may be.
 */
static int
mprotect_locked(void *addr, size_t len, int prot, int key)
{
	uintptr_t start, end;
	bool write = prot & PROT_WRITE;
	int error;

	if (!ranges_reserve(&preload.ranges, 1))
		return -ENOMEM;
	error = raw_mprotect(addr, len, prot, key) == 0 ? 0 : -errno;
	if ((error == 0 || (error == -ENOMEM && write)) &&
	    span(addr, len, &start, &end)) {
		ranges_flag(&preload.ranges, start, end, range_prot(prot),
		    RANGE_PROT & ~range_prot(prot));
		preload_grown();
	}
	return error;
}

static int
hook_mprotect(void *addr, size_t len, int prot, int key)
{
	struct guard g;
	int error;

	preload_lock(&g);
	error = mprotect_locked(addr, len, prot, key);
	preload_unlock(&g);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

HOOK int
mprotect(void *addr, size_t len, int prot)
{
	return hook_mprotect(addr, len, prot, -1);
}

/* Key -1 is no key: the same as mprotect. */
HOOK int
pkey_mprotect(void *addr, size_t len, int prot, int key)
{
	return hook_mprotect(addr, len, prot, key);
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

/*
 * Shared memory of no old length is not moved, but mapped once more.  What is to
 * be replaced is the library's to replace, as with map_onto.
 */
static int
map_again(struct move *m, void **ret)
{
	uintptr_t old = (uintptr_t)m->old, new = (uintptr_t)m->new;
	int error;
	void *p;

	/* It would be replaced by itself. */
	if (old > new &&old - new < m->new_len)
		return -EINVAL;
	p = raw_mremap(m->old, 0, m->new_len, MREMAP_MAYMOVE, NULL);
	if (p == MAP_FAILED)
		return -errno;
	error = uswap_remap(
	    preload.u, p, m->new_len, m->new_len, m->flags, m->new, ret);
	if (error != 0)
		raw_munmap(p, m->new_len);
	return error;
}

/*
 * Some mappings are not managed, as stacks, but the kernel may have joined one with
 * its managed neighbour, and moves both at once: then it becomes managed, too.  What
 * is locked was not joined, and is not to be paged; it cannot be made cold.
 */
void
preload_fill_gaps(uintptr_t start, uintptr_t end)
{
	const struct range *e;
	uintptr_t a, stop;

	for (a = start; a < end && ranges_reserve(&preload.ranges, 1);
	     a = stop) {
		e = ranges_at(&preload.ranges, a);
		if (e != NULL && e->start <= a) {
			stop = e->end;
			continue;
		}
		stop = e == NULL || e->start > end ? end : e->start;
		if (ranges_any(&preload.guards, a, stop))
			continue;
		if (raw_madvise((void *)a, stop - a, MADV_COLD) == 0 &&
		    (preload.state != ACTIVE ||
			uswap_manage(preload.u, (void *)a, stop - a) == 0))
			ranges_add(&preload.ranges, a, stop, RANGE_PROT);
	}
}

static int
mremap_locked(struct move *m, void **ret)
{
	uintptr_t old = (uintptr_t)m->old, new;
	bool keep = (m->flags & MREMAP_DONTUNMAP) != 0;
	size_t pieces;
	int error = 0;

	m->from = any(m->old, m->old_len);
	m->onto = (m->flags & MREMAP_FIXED) && any(m->new, m->new_len);
	if (m->from)
		error = preload_settle_range(old, old + m->old_len);
	if (m->onto && error == 0)
		error = preload_settle_range(
		    (uintptr_t)m->new, (uintptr_t)m->new + m->new_len);
	if (error != 0)
		return -ENOMEM;
	if (m->from && preload.state == ACTIVE)
		preload_fill_gaps(old, old + m->old_len);
	pieces = ranges_pieces(&preload.ranges, old, old + m->old_len);
	if (!ranges_reserve(&preload.ranges, pieces + 4))
		return -ENOMEM;
	if (preload.state == ACTIVE && m->onto && m->old_len == 0 &&
	    m->flags == (MREMAP_MAYMOVE | MREMAP_FIXED)) {
		error = map_again(m, ret);
	} else if (preload.state == ACTIVE && m->old_len > 0 &&
		   (m->from || m->onto)) {
		error = uswap_remap(preload.u, m->old, m->old_len, m->new_len,
		    m->flags, m->new, ret);
	} else {
		*ret = raw_mremap(
		    m->old, m->old_len, m->new_len, m->flags, m->new);
		error = *ret == MAP_FAILED ? -errno : 0;
	}
	if (error != 0)
		return error;
	new = (uintptr_t)*ret;
	no_guards(*ret, m->new_len);
	if (!keep)
		no_guards(m->old, m->old_len);
	if (m->from) {
		ranges_move(
		    &preload.ranges, old, m->old_len, new, m->new_len, keep);
		if (m->new_len > m->old_len) /* what is new is not wired */
			ranges_flag(&preload.ranges, new + m->old_len,
			    new + m->new_len, 0, RANGE_KEPT);
		if (keep) /* the lock went with the pages */
			ranges_flag(&preload.ranges, old, old + m->old_len, 0,
			    RANGE_LOCKED | RANGE_KEPT);
	} else if (m->onto) {
		ranges_remove(&preload.ranges, new, new + m->new_len);
	}
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
	if (!span(old, old_len, &start, &end) &&
	    (old_len != 0 || start % PAGE != 0))
		return raw_mremap(old, old_len, new_len, flags, m.new);
	m.old_len = end - start;
	if (!span(NULL, new_len, &start, &end))
		return raw_mremap(old, old_len, new_len, flags, m.new);
	m.new_len = end - start;
	preload_lock(&g);
	error = mremap_locked(&m, &p);
	preload_unlock(&g);
	if (error == 0 && m.from && m.new_len > m.old_len)
		(void)lock_grown((char *)p + m.old_len, m.new_len - m.old_len);
	if (error == 0)
		return p;
	errno = -error;
	return MAP_FAILED;
}
