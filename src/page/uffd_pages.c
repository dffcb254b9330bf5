/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uffd_pages: pages into the program and out of it.
 *
 * Into the program a page goes by UFFDIO_COPY: unlike a move it needs no TLB
 * shoot-down, since nothing was mapped there before.
 *
 * Out of it a page goes by UFFDIO_MOVE (Linux 6.8): the page itself changes
 * its address, so there is no moment at which a write could be lost, and the
 * kernel refuses pages that a device still writes to (EBUSY).
 *
 * Where there is no MOVE, the page is write-protected, copied and dropped.  A
 * thread that writes meanwhile faults (`protect`) and waits, so nothing is
 * lost either, with one exception that cannot be seen from user space: a
 * device that is transferring into the page by DMA (an O_DIRECT read in
 * flight) goes on writing to the page that was dropped.
 *
 * A range may have been cut by the program (mprotect) into several mappings,
 * and most ioctls accept no range that crosses mappings.  Nobody keeps a map
 * of the mappings here: a refused range is tried again in smaller steps.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "page/pmap.h"
#include "page/uffd.h"

/* Bits of an entry of /proc/self/pagemap. */
#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_SWAPPED (UINT64_C(1) << 62)
#define PM_UFFD_WP (UINT64_C(1) << 57)
#define PM_THERE   (PM_PRESENT | PM_SWAPPED)

/* Entries looked at in one go: 512 bytes of stack. */
#define RUN_MAX 64

/*
 * EBUSY may mean that an O_DIRECT read has just completed and its pin is about
 * to go.  A page that is shared or still pinned stays so for longer.
 */
#define TRIES_BUSY 8

/* Runs per system call: what the kernel takes is UIO_MAXIOV, 1024. */
#define DISCARD_MAX 1024

/* One ioctl on n pages from va: how many it did (> 0), or -errno. */
typedef int try_t(struct uffdpmap *, uintptr_t va, const char *src, uint32_t n);

/* ---- single ioctls --------------------------------------------------- */

/* `done` is what the ioctl left in its result field, in bytes. */
static int
result(int ret, int64_t done)
{
	if (done > 0)
		return (int)atop(done);
	KASSERT(ret != 0, "an ioctl that neither worked nor failed");
	return -errno;
}

static int
copy_mode(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n,
    uint64_t mode)
{
	struct uffdio_copy c = {
	    .dst = va, .src = (uintptr_t)src, .len = ptoa(n), .mode = mode};
	int ret = ioctl(u->pm.fd, UFFDIO_COPY, &c);

	return result(ret, c.copy);
}

static int
try_copy(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	return copy_mode(u, va, src, n, 0);
}

static int
try_zeropage(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	struct uffdio_zeropage z = {
	    .range = {va, ptoa(n)}, .mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE};
	int ret = ioctl(u->pm.fd, UFFDIO_ZEROPAGE, &z);

	(void)src;
	return result(ret, z.zeropage);
}

static int
try_protect(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	struct uffdio_writeprotect w = {
	    .range = {va, ptoa(n)}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};

	(void)src;
	return ioctl(u->pm.fd, UFFDIO_WRITEPROTECT, &w) == 0 ? (int)n : -errno;
}

static int
try_unprotect(struct uffdpmap *u, uintptr_t va, const char *src, uint32_t n)
{
	struct uffdio_writeprotect w = {.range = {va, ptoa(n)}, .mode = 0};

	(void)src;
	return ioctl(u->pm.fd, UFFDIO_WRITEPROTECT, &w) == 0 ? (int)n : -errno;
}

/*
 * MOVE asks of the frame that it is managed, but not of the page: from what
 * the program has mapped behind our back it would take the contents.  So the
 * first page is looked at, by an ioctl that does nothing else to it; the
 * others are in the same mapping, or MOVE refuses.
 */
static int
try_move(struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n)
{
	struct uffdio_move m = {.dst = (uintptr_t)frame,
	    .src = va,
	    .len = ptoa(n),
	    .mode = UFFDIO_MOVE_MODE_DONTWAKE}; /* nobody waits for a frame */
	int ret = try_unprotect(u, va, NULL, 1);

	if (ret < 0)
		return ret;
	ret = ioctl(u->pm.fd, UFFDIO_MOVE, &m);
	return result(ret, m.move);
}

int
uffd_wake(struct pmap *pm, uintptr_t va, uint32_t n)
{
	struct uffdio_range r = {va, ptoa(n)};

	return ioctl(pm->fd, UFFDIO_WAKE, &r) == 0 ? 0 : uffd_gone(-errno);
}

/* ---- many pages ------------------------------------------------------- */

/*
 * Does all of a range that can be done.  The step halves when a range is
 * refused and doubles when one is accepted, so a whole range takes one ioctl
 * and a range that is all gone about one a page.  Pages that are there
 * already are passed over, but their waiters may go.
 */
static int
sweep(struct uffdpmap *u, try_t *try, uintptr_t va, const char *src, uint32_t n)
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
		} else if (r == -EAGAIN && again++ < UFFD_TRIES) {
			sched_yield();
		} else if (r == -EEXIST) {
			uffd_wake(&u->pm, va + ptoa(done), 1);
			done++;
		} else if (r == -EAGAIN || r == -ENOMEM) {
			return r;
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
uffd_enter(struct pmap *pm, uintptr_t va, const void *src, uint32_t n)
{
	return sweep(uffdpmap(pm), try_copy, va, src, n);
}

static int
zero_shared(struct uffdpmap *u, uintptr_t va, uint32_t n)
{
	int error, perror;

	/*
	 * Waiters stay asleep until the protection is on.  A thread that was
	 * not waiting may write before: its page is private by then, and
	 * protecting it keeps what it wrote.
	 */
	error = sweep(u, try_zeropage, va, NULL, n);
	perror = sweep(u, try_protect, va, NULL, n);
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
		r = sweep(u, try_copy, va + ptoa(done), u->zeros, k);
		if (r != 0)
			error = r;
	}
	return error;
}

int
uffd_unprotect(struct pmap *pm, uintptr_t va, uint32_t n)
{
	return sweep(uffdpmap(pm), try_unprotect, va, NULL, n);
}

/* ---- what is there ------------------------------------------------------ */

/*
 * mincore tells about the same as the pagemap, except for pages in the
 * kernel's own swap (it says no) and write protection.  Of a range with holes
 * it tells nothing, so each page is asked for alone then.
 */
static int
look_mincore(uintptr_t va, uint32_t n, uint64_t *map)
{
	unsigned char vec[RUN_MAX];
	uint32_t i;

	if (syscall(SYS_mincore, va, ptoa(n), vec) != 0) {
		if (errno != ENOMEM)
			return -errno;
		for (i = 0; i < n; i++) {
			vec[i] = 0;
			(void)syscall(
			    SYS_mincore, va + ptoa(i), PAGE_SIZE, &vec[i]);
		}
	}
	for (i = 0; i < n; i++)
		map[i] = (vec[i] & 1) != 0 ? PM_PRESENT : 0;
	return 0;
}

/* Reads the pagemap of n <= RUN_MAX pages.  What is unmapped is not there. */
static int
look(struct uffdpmap *u, uintptr_t va, uint32_t n, uint64_t *map)
{
	ssize_t r;

	KASSERT(n <= RUN_MAX, "%u pages", n);
	if (u->pagemap_fd < 0)
		return look_mincore(va, n, map);
	r = pread(u->pagemap_fd, map, n * sizeof(*map),
	    (off_t)(atop(va) * sizeof(*map)));
	if (r < 0)
		return -errno;
	return (size_t)r == n * sizeof(*map) ? 0 : -ENOENT;
}

int
uffd_resident(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	struct uffdpmap *u = uffdpmap(pm);
	uint64_t map[RUN_MAX];
	uint32_t done, i, k;
	int error;

	for (done = 0; done < n; done += k) {
		k = US_MIN(n - done, RUN_MAX);
		error = look(u, va + ptoa(done), k, map);
		if (error != 0)
			return error;
		for (i = 0; i < k; i++)
			vec[done + i] = (map[i] & PM_THERE) != 0;
	}
	return 0;
}

/* ---- out of the program ------------------------------------------------ */

static void
frame_check(const struct uffdpmap *u, const char *frame, uint32_t n)
{
	uintptr_t off = (uintptr_t)frame - (uintptr_t)u->pm.frames;

	KASSERT((off & PAGE_MASK) == 0 && atop(off) <= u->pm.n_frames &&
		    n <= u->pm.n_frames - atop(off),
	    "%u pages at %p are no frames", n, (const void *)frame);
}

/*
 * EINVAL is what MOVE says of a range that crosses mappings and of a page in
 * a mapping unlike the frames' (not readable and writable, or locked).  A
 * page of the kernel's zeros is moved like any other.
 */
static uint32_t
remove_move(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint32_t done = 0, step = n;
	unsigned tries = 0;
	int r;

	while (done < n) {
		step = US_MIN(step, n - done);
		r = try_move(u, va + ptoa(done), frame + ptoa(done), step);
		KASSERT(r != -EEXIST, "the frame holds memory");
		if (r > 0) {
			done += (uint32_t)r;
			step *= 2;
			tries = 0;
		} else if ((r == -EAGAIN && tries++ < UFFD_TRIES) ||
			   (r == -EBUSY && tries++ < TRIES_BUSY)) {
			sched_yield();
		} else if ((r == -EINVAL || r == -ENOENT) && step > 1) {
			step /= 2;
		} else {
			*ret_err = r == -EINVAL   ? -EACCES
				   : r == -EAGAIN ? -EBUSY
						  : uffd_gone(r);
			break;
		}
	}
	return done;
}

/*
 * Copies up to n protected pages that are there into frames, in the kernel:
 * UFFDIO_COPY takes the program's page as its source.  EFAULT: not readable.
 */
static uint32_t
copy_out(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint32_t done = 0;
	unsigned again = 0;
	int r;

	while (done < n) {
		r = copy_mode(u, (uintptr_t)frame + ptoa(done),
		    (const char *)va + ptoa(done), n - done,
		    UFFDIO_COPY_MODE_DONTWAKE);
		KASSERT(r != -EEXIST, "the frame holds memory");
		if (r > 0) {
			done += (uint32_t)r;
			again = 0;
		} else if (r == -EAGAIN && again++ < UFFD_TRIES) {
			sched_yield();
		} else {
			*ret_err = r == -EFAULT ? -EACCES : r;
			break;
		}
	}
	return done;
}

/* Up to RUN_MAX pages: look, protect, copy, drop. */
static uint32_t
remove_run(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint64_t map[RUN_MAX];
	uint32_t there = 0, out = 0, i;
	int error;

	error = look(u, va, n, map);
	while (error == 0 && there < n && (map[there] & PM_THERE) != 0)
		there++;
	*ret_err = error != 0 ? error : -ENOENT;
	if (there == 0)
		return 0;
	error = sweep(u, try_protect, va, NULL, there);
	if (error != 0)
		*ret_err = error;
	else
		out = copy_out(u, va, frame, there, ret_err);
	if (out > 0) {
		error = uffd_madvise(va, out, MADV_DONTNEED);
		KASSERT(error == 0, "MADV_DONTNEED: errno %d", -error);
	}
	/* The rest stays as it was found. */
	for (i = out; i < there; i++)
		if ((map[i] & PM_UFFD_WP) == 0)
			try_unprotect(u, va + ptoa(i), NULL, 1);
	return out;
}

uint32_t
uffd_remove(
    struct pmap *pm, uintptr_t va, void *frame, uint32_t n, int *ret_err)
{
	struct uffdpmap *u = uffdpmap(pm);
	uint32_t done = 0, k, out;

	frame_check(u, frame, n);
	if (u->move)
		return remove_move(u, va, frame, n, ret_err);
	do {
		k = US_MIN(n - done, RUN_MAX);
		out = remove_run(
		    u, va + ptoa(done), (char *)frame + ptoa(done), k, ret_err);
		done += out;
	} while (out == k && done < n);
	return done;
}

/*
 * The kernel reads through its own mapping of all memory, and dst is warm.
 * Frames that remove copied into have been touched already.
 */
void
uffd_look(struct pmap *pm, const struct iovec *runs, uint32_t n, void *dst)
{
	struct uffdpmap *u = uffdpmap(pm);
	struct iovec to = {.iov_base = dst};
	char *at = dst;

	for (uint32_t i = 0; i < n; i++) {
		frame_check(
		    u, runs[i].iov_base, (uint32_t)atop(runs[i].iov_len));
		to.iov_len += runs[i].iov_len;
	}
	if (u->vm_read && syscall(SYS_process_vm_readv, u->pid, &to, 1L, runs,
			      (size_t)n, 0L) == (long)to.iov_len)
		return;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(at, runs[i].iov_base, runs[i].iov_len);
		at += runs[i].iov_len;
	}
}

/* Whether all of it was done; if not, doing it again run by run does no harm. */
bool
uffd_discard_all(int pidfd, const struct iovec *runs, uint32_t n)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		bytes += runs[i].iov_len;
	return syscall(SYS_process_madvise, pidfd, runs, (size_t)n,
		   MADV_DONTNEED, 0) == (long)bytes;
}

static void
discard_run(const struct iovec *run)
{
	int error = uffd_madvise(
	    (uintptr_t)run->iov_base, atop(run->iov_len), MADV_DONTNEED);

	KASSERT(error == 0, "MADV_DONTNEED: errno %d", -error);
}

/*
 * One system call for all of them where the kernel has it: it then flushes
 * the other CPUs' TLBs once instead of once a run.
 */
void
uffd_discard(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	struct uffdpmap *u = uffdpmap(pm);
	uint32_t i, k;

	for (i = 0; i < n; i++)
		frame_check(
		    u, runs[i].iov_base, (uint32_t)atop(runs[i].iov_len));
	for (i = 0; i < n && u->pidfd >= 0; i += k) {
		k = US_MIN(n - i, DISCARD_MAX);
		if (k == 1 || !uffd_discard_all(u->pidfd, runs + i, k))
			break;
	}
	for (; i < n; i++)
		discard_run(&runs[i]);
}
