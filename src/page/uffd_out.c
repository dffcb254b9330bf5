/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uffd_out: pages out of the program, and what is there.
 *
 * Out of it a page goes by UFFDIO_MOVE (Linux 6.8): the page itself changes
 * its address, so there is no moment at which a write could be lost, and the
 * kernel refuses pages that a device still writes to (EBUSY).
 *
 * It refuses, too, what is shared with another process after a fork.  Such a
 * page is write-protected, copied and dropped.  A thread that writes meanwhile
 * faults (`protect`) and waits.  No device writes to it: the kernel lets a
 * device have a page only after it is the process's alone, and from the
 * protection on that is a write that waits.  So whether the page is shared is
 * asked once more when it is protected; what is not stays.
 *
 * Pages that were shared until the others ended are refused until a write fault
 * tells the kernel that they are the process's alone.
 *
 * And it moves only between mappings that may be written to and are protected
 * alike.  For a page that may be executed the frame is made so, too, for the
 * moment; what the program may only read, or not even that, is copied.  Nobody
 * but a debugger writes to it, and should the program permit it meanwhile, that
 * is a write that waits.
 *
 * Where there is no MOVE, all pages go by the copy, and one thing can be lost
 * that cannot be seen from user space: a device that is transferring into the
 * page by DMA (an O_DIRECT read in flight) goes on writing to the page that was
 * dropped.  With MOVE that leaves a page which the program has protected while
 * a device writes to it.
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

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* Bits of an entry of /proc/self/pagemap. */
#define PM_PRESENT (UINT64_C(1) << 63)
#define PM_SWAPPED (UINT64_C(1) << 62)
#define PM_UFFD_WP (UINT64_C(1) << 57)
#define PM_ALONE   (UINT64_C(1) << 56) /* no other process maps it */
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

/*
 * The page of zeros is nobody's own; what the kernel has in its own swap, or is just
 * moving, is not that page.  Where nothing can be seen nothing is shared.
 */
void
uffd_own(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	uint64_t map[RUN_MAX];
	uint32_t done, i, k;

	for (done = 0; done < n; done += k) {
		k = US_MIN(n - done, RUN_MAX);
		if (look(uffdpmap(pm), va + ptoa(done), k, map) != 0)
			memset(map, 0, sizeof(map));
		for (i = 0; i < k; i++)
			vec[done + i] = (map[i] & (PM_ALONE | PM_SWAPPED)) != 0;
	}
}

/*
 * What is protected has been so since it was entered, if it was not moved by mremap:
 * the kernel takes the bit away with the page, and only our ioctl puts it there.
 */
uint32_t
uffd_sealed(struct pmap *pm, uintptr_t va, uint32_t n)
{
	const uint64_t sealed = PM_PRESENT | PM_UFFD_WP;
	uint64_t map[RUN_MAX];
	uint32_t done, i, k;

	for (done = 0; done < n; done += k) {
		k = US_MIN(n - done, RUN_MAX);
		if (look(uffdpmap(pm), va + ptoa(done), k, map) != 0)
			return done;
		for (i = 0; i < k; i++)
			if ((map[i] & sealed) != sealed)
				return done + i;
	}
	return n;
}

/* ---- out of the program ------------------------------------------------ */

/*
 * MOVE asks of the frame that it is managed, but not of the page: from what
 * the program has mapped behind our back it would take the contents.  So the
 * first page is looked at, by an ioctl that at most takes a protection from it, which it
 * does not need to be moved; the others are in the same mapping, or MOVE refuses.
 */
static int
try_move(struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n)
{
	struct uffdio_move m = {.dst = (uintptr_t)frame,
	    .src = va,
	    .len = ptoa(n),
	    .mode = UFFDIO_MOVE_MODE_DONTWAKE}; /* nobody waits for a frame */
	int ret = uffd_try_unprotect(u, va, NULL, 1);

	if (ret < 0)
		return ret;
	ret = uffd_ioctl(u, UFFDIO_MOVE, &m);
	return uffd_result(ret, m.move);
}

static void
frame_check(const struct uffdpmap *u, const char *frame, uint32_t n)
{
	uintptr_t off = (uintptr_t)frame - (uintptr_t)u->pm.frames;

	KASSERT((off & PAGE_MASK) == 0 && atop(off) <= u->pm.n_frames &&
		    n <= u->pm.n_frames - atop(off),
	    "%u pages at %p are no frames", n, (const void *)frame);
}

/* How many of n pages are there and shared.  Without the pagemap: not known. */
static uint32_t
count_shared(struct uffdpmap *u, uintptr_t va, uint32_t n)
{
	uint64_t map[RUN_MAX];
	uint32_t i = 0;

	if (u->pagemap_fd < 0 || look(u, va, n, map) != 0)
		return 0;
	while (i < n && (map[i] & (PM_PRESENT | PM_ALONE)) == PM_PRESENT)
		i++;
	return i;
}

/*
 * Linux 6.18 was seen to answer EEXIST when it had moved pages: it tries again
 * by itself, and meets its own work.  A frame is empty when it is given here, so
 * what is in it now was at va, and is there no more; both are looked at, lest
 * memory that a frame should not hold be taken for the page.  How many pages.
 */
static uint32_t
moved_after_all(struct uffdpmap *u, uintptr_t va, const char *frame, uint32_t n)
{
	uint64_t in[RUN_MAX], out[RUN_MAX];
	uint32_t i = 0;

	n = US_MIN(n, RUN_MAX);
	if (look(u, (uintptr_t)frame, n, in) != 0 || look(u, va, n, out) != 0)
		return 0;
	while (i < n && (in[i] & PM_THERE) != 0 && (out[i] & PM_THERE) == 0)
		i++;
	return i;
}

/*
 * Pages that a child had, too, are the program's alone again when they are written to.
 * Of protected ones that would be faults, and ours.
 */
static void
make_own(struct uffdpmap *u, uintptr_t va, uint32_t n)
{
	(void)uffd_unprotect(&u->pm, va, n);
	(void)uffd_madvise(va, n, MADV_POPULATE_WRITE);
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
		if (r == -EEXIST) {
			r = (int)moved_after_all(
			    u, va + ptoa(done), frame + ptoa(done), n - done);
			KASSERT(r > 0, "the frame holds memory");
		}
		if (r > 0) {
			done += (uint32_t)r;
			step *= 2;
			tries = 0;
		} else if (r == -EBUSY && tries == 0 &&
			   count_shared(u, va + ptoa(done), 1) > 0) {
			*ret_err = r;
			break;
		} else if (r == -EBUSY && tries++ == 0) {
			make_own(u, va + ptoa(done), n - done);
		} else if ((r == -EAGAIN && tries++ < UFFD_TRIES) ||
			   (r == -EBUSY && tries < TRIES_BUSY)) {
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
 * What the program may not read, the kernel shows in /proc/self/mem, as it does
 * to a debugger.  The bytes of one page, or NULL.
 */
static const char *
look_behind(struct uffdpmap *u, uintptr_t va)
{
	if (u->mem_fd >= 0 &&
	    pread(u->mem_fd, u->behind, PAGE_SIZE, (off_t)va) == PAGE_SIZE)
		return u->behind;
	return NULL;
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
	const char *behind;
	int r;

	while (done < n) {
		r = uffd_copy_mode(u, (uintptr_t)frame + ptoa(done),
		    (const char *)va + ptoa(done), n - done,
		    UFFDIO_COPY_MODE_DONTWAKE);
		if (r == -EFAULT &&
		    (behind = look_behind(u, va + ptoa(done))) != NULL)
			r = uffd_copy_mode(u, (uintptr_t)frame + ptoa(done),
			    behind, 1, UFFDIO_COPY_MODE_DONTWAKE);
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

/*
 * The copies are in the frames; the pages go.  The kernel refuses that of what
 * the program has locked behind our back, when it has dropped what is before:
 * how many are gone.  Of the others the copies go.
 */
static uint32_t
drop_copied(uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint32_t gone = 0;

	if (n == 0 || uffd_madvise(va, n, MADV_DONTNEED) == 0)
		return n;
	while (gone < n && uffd_madvise(va + ptoa(gone), 1, MADV_DONTNEED) == 0)
		gone++;
	if (gone == n)
		return n;
	(void)uffd_madvise(
	    (uintptr_t)frame + ptoa(gone), n - gone, MADV_DONTNEED);
	*ret_err = -EACCES;
	return gone;
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
	error = uffd_sweep(u, uffd_try_protect, va, NULL, there);
	if (error != 0)
		*ret_err = error;
	else
		out = copy_out(u, va, frame, there, ret_err);
	out = drop_copied(va, frame, out, ret_err);
	/* The rest stays as it was found. */
	for (i = out; i < there; i++)
		if ((map[i] & PM_UFFD_WP) == 0)
			uffd_try_unprotect(u, va + ptoa(i), NULL, 1);
	return out;
}

/* Up to RUN_MAX pages that MOVE found busy: those that are shared. */
static uint32_t
remove_shared(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint32_t shared = count_shared(u, va, n), out = 0;
	int error;

	if (shared == 0)
		return 0;
	error = uffd_sweep(u, uffd_try_protect, va, NULL, shared);
	if (error != 0)
		*ret_err = error;
	else
		out = copy_out(
		    u, va, frame, count_shared(u, va, shared), ret_err);
	out = drop_copied(va, frame, out, ret_err);
	if (out < shared)
		(void)uffd_unprotect(&u->pm, va + ptoa(out), shared - out);
	return out;
}

/* Not the C library's: that may be the preloaded one, which asks us. */
static bool
allow(char *frame, uint32_t n, int prot)
{
	return syscall(SYS_mprotect, frame, ptoa(n), prot) == 0;
}

/*
 * Pages that MOVE refuses for their protection, one by one: the next may be one
 * that a device writes to, and only MOVE knows.
 */
static uint32_t
copy_protected(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint32_t out = 0;
	int r;

	do {
		if (remove_run(
			u, va + ptoa(out), frame + ptoa(out), 1, ret_err) == 0)
			return out;
		out++;
		r = out < n ? try_move(u, va + ptoa(out), frame + ptoa(out), 1)
			    : 0;
	} while (r == -EINVAL);
	return r > 0 ? out + 1 : out;
}

/*
 * Up to RUN_MAX pages whose protection MOVE does not like: as executable ones,
 * if that is what they are; else by the copy.
 */
static uint32_t
remove_protected(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	const int rw = PROT_READ | PROT_WRITE;
	uint32_t out = 0;

	if (allow(frame, n, rw | PROT_EXEC))
		out = remove_move(u, va, frame, n, ret_err);
	(void)allow(frame, n, rw);
	if (out > 0 || *ret_err != -EACCES)
		return out;
	return copy_protected(u, va, frame, n, ret_err);
}

static uint32_t
remove_some(
    struct uffdpmap *u, uintptr_t va, char *frame, uint32_t n, int *ret_err)
{
	uint32_t some = US_MIN(n, RUN_MAX), out;

	if (!u->move)
		return remove_run(u, va, frame, some, ret_err);
	out = remove_move(u, va, frame, n, ret_err);
	if (out == 0 && *ret_err == -EACCES)
		out = remove_protected(u, va, frame, some, ret_err);
	if (out == 0 && *ret_err == -EBUSY)
		out = remove_shared(u, va, frame, some, ret_err);
	return out;
}

uint32_t
uffd_remove(
    struct pmap *pm, uintptr_t va, void *frame, uint32_t n, int *ret_err)
{
	struct uffdpmap *u = uffdpmap(pm);
	uint32_t done = 0, out;

	frame_check(u, frame, n);
	do {
		out = remove_some(u, va + ptoa(done),
		    (char *)frame + ptoa(done), n - done, ret_err);
		done += out;
	} while (out > 0 && done < n);
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

/* ---- given back --------------------------------------------------------- */

/* How many runs were done, from the first on. */
uint32_t
uffd_discard_runs(int pidfd, const struct iovec *runs, uint32_t n)
{
	long bytes = syscall(SYS_process_madvise, pidfd, runs,
	    (size_t)US_MIN(n, DISCARD_MAX), MADV_DONTNEED, 0);
	uint32_t done = 0;

	for (; done < n && bytes >= (long)runs[done].iov_len; done++)
		bytes -= (long)runs[done].iov_len;
	return done;
}

/*
 * One system call for all of them where the kernel has it: it then flushes
 * the other CPUs' TLBs once instead of once a run.  It stops at a run that cannot
 * be given back, which then says why.  The last error.
 */
static int
give_back(const struct uffdpmap *u, const struct iovec *runs, uint32_t n)
{
	int error = 0, r;

	for (uint32_t i = 0; i < n; i++) {
		if (u->pidfd != -1 && n - i > 1)
			i += uffd_discard_runs(u->pidfd, runs + i, n - i);
		if (i == n)
			break;
		r = uffd_madvise((uintptr_t)runs[i].iov_base,
		    atop(runs[i].iov_len), MADV_DONTNEED);
		error = r != 0 ? r : error;
	}
	return error;
}

void
uffd_discard(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	struct uffdpmap *u = uffdpmap(pm);
	int error;

	for (uint32_t i = 0; i < n; i++)
		frame_check(
		    u, runs[i].iov_base, (uint32_t)atop(runs[i].iov_len));
	error = give_back(u, runs, n);
	KASSERT(error == 0, "MADV_DONTNEED: errno %d", -error);
}

/* ENOMEM is what madvise says of a range with holes in it, EINVAL of a locked one. */
int
uffd_drop(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	int error = give_back(uffdpmap(pm), runs, n);

	return error == -EINVAL ? -EACCES : error == -ENOMEM ? -ENOENT : error;
}
