/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uffd_pages: pages into the program, and the ioctls.
 *
 * Into the program a page goes by UFFDIO_COPY: unlike a move it needs no TLB
 * shoot-down, since nothing was mapped there before.
 *
 * A range may have been cut by the program (mprotect) into several mappings,
 * and most ioctls accept no range that crosses mappings.  Nobody keeps a map
 * of the mappings here: a refused range is tried again in smaller steps.
 */
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "base/base.h"
#include "page/pmap.h"
#include "page/uffd.h"

/* ---- single ioctls --------------------------------------------------- */

/* `done` is what the ioctl left in its result field, in bytes. */
int
uffd_result(int ret, int64_t done)
{
	if (done > 0)
		return (int)atop(done);
	KASSERT(ret != 0, "an ioctl that neither worked nor failed");
	return -errno;
}

int
uffd_copy_mode(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n,
    uint64_t mode)
{
	struct uffdio_copy c = {
	    .dst = va, .src = (uintptr_t)src, .len = ptoa(n), .mode = mode};
	int ret = uffd_ioctl(u, UFFDIO_COPY, &c);

	return uffd_result(ret, c.copy);
}

static int
try_copy(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	return uffd_copy_mode(
	    u, va, src, n, u->pm.quiet ? UFFDIO_COPY_MODE_DONTWAKE : 0);
}

static int
try_copy_sealed(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	return uffd_copy_mode(u, va, src, n,
	    UFFDIO_COPY_MODE_WP |
		(u->pm.quiet ? UFFDIO_COPY_MODE_DONTWAKE : 0));
}

static int
try_zeropage(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	struct uffdio_zeropage z = {
	    .range = {va, ptoa(n)}, .mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE};
	int ret = uffd_ioctl(u, UFFDIO_ZEROPAGE, &z);

	(void)src;
	return uffd_result(ret, z.zeropage);
}

int
uffd_try_protect(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	struct uffdio_writeprotect w = {
	    .range = {va, ptoa(n)}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};

	(void)src;
	return uffd_ioctl(u, UFFDIO_WRITEPROTECT, &w) == 0 ? (int)n : -errno;
}

int
uffd_try_unprotect(
    struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	struct uffdio_writeprotect w = {.range = {va, ptoa(n)},
	    .mode = u->pm.quiet ? UFFDIO_WRITEPROTECT_MODE_DONTWAKE : 0};

	(void)src;
	return uffd_ioctl(u, UFFDIO_WRITEPROTECT, &w) == 0 ? (int)n : -errno;
}

int
uffd_wake(struct pmap *pm, uintptr_t va, uint32_t n)
{
	struct uffdpmap *u = uffdpmap(pm);
	struct uffdio_range r = {va, ptoa(n)};

	if (pm->quiet || u->here != NULL)
		return 0; /* not now; inline, nobody sleeps in the kernel */
	return uffd_ioctl(u, UFFDIO_WAKE, &r) == 0 ? 0 : uffd_gone(-errno);
}

/* ---- many pages ------------------------------------------------------- */

/* A page must not be given up because there was no memory for it. */
static void
wait_for_kernel(unsigned times)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	if (times < UFFD_TRIES)
		sched_yield();
	else
		(void)nanosleep(&ms, NULL);
}

/*
 * Does all of a range that can be done.  The step halves when a range is
 * refused and doubles when one is accepted, so a whole range takes one ioctl
 * and a range that is all gone about one a page.  Pages that are there
 * already are passed over, but their waiters may go.
 */
int
uffd_sweep(struct uffdpmap *u, uffd_try_t *try, uintptr_t va, const char *src,
    uint32_t n)
{
	uint32_t done = 0, step = n;
	unsigned again = 0;
	int r, error = 0;

	while (done < n) {
		step = US_MIN(step, n - done);
		r = try(u, va + ptoa(done),
		    src == NULL ? NULL : src + ptoa(done), step);
		if (r > 0) {
			done += (uint32_t)r;
			step *= 2;
			again = 0;
		} else if (r == -EAGAIN || r == -ENOMEM) {
			wait_for_kernel(again++);
		} else if (r == -EEXIST) {
			uffd_wake(&u->pm, va + ptoa(done), 1);
			done++;
		} else if (step > 1) {
			step /= 2;
		} else {
			error = uffd_gone(r);
			done++;
		}
	}
	return error;
}

int
uffd_enter(
    struct pmap *pm, uintptr_t va, const void *src, uint32_t n, bool sealed)
{
	return uffd_sweep(
	    uffdpmap(pm), sealed ? try_copy_sealed : try_copy, va, src, n);
}

static int
zero_shared(struct uffdpmap *u, uintptr_t va, uint32_t n)
{
	int error, perror;

	/*
	 * Waiters stay asleep until the protection is on.  A thread that was
	 * not waiting may write before: its page is private by then, and
	 * protecting it keeps what it wrote.  uffd_own sees that.
	 */
	error = uffd_sweep(u, try_zeropage, va, NULL, n);
	perror = uffd_sweep(u, uffd_try_protect, va, NULL, n);
	uffd_wake(&u->pm, va, n);
	return error != 0 ? error : perror;
}

int
uffd_zero(struct pmap *pm, uintptr_t va, uint32_t n, bool writable)
{
	struct uffdpmap *u = uffdpmap(pm);
	uint32_t done, k;
	int r, error = 0;

	if (!writable)
		return zero_shared(u, va, n);
	for (done = 0; done < n; done += k) {
		k = US_MIN(n - done, CLUSTER_MAX);
		r = uffd_sweep(u, try_copy, va + ptoa(done), u->zeros, k);
		if (r != 0)
			error = r;
	}
	return error;
}

int
uffd_unprotect(struct pmap *pm, uintptr_t va, uint32_t n)
{
	return uffd_sweep(uffdpmap(pm), uffd_try_unprotect, va, NULL, n);
}
