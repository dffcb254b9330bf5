/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap_uffd: the pmap that userfaultfd makes possible.
 *
 * The one thing to fear here is a fault of our own on managed or frame
 * memory: the thread that should answer it waits for the answer.  Frames are
 * filled by ioctls alone.  The program's pages are read in one place,
 * copy_out (uffd_out.c), which looks first whether they are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/mem.h"
#include "page/pmap.h"
#include "page/uffd.h"

/* Linux 6.7 */
#ifndef PAGEMAP_SCAN
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};
struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

/* The pagemap_fd of a pmap that does without. */
#define UNWANTED (-2)
#ifndef PIDFD_SELF_THREAD
#define PIDFD_SELF_THREAD -10000 /* Linux 6.14 */
#endif

static const struct pmap_ops uffd_ops;

struct uffdpmap *
uffdpmap(struct pmap *pm)
{
	KASSERT(pm->ops == &uffd_ops, "not a userfaultfd pmap");
	return (struct uffdpmap *)pm;
}

/*
 * Not by the C library, whose function may be the preloaded one: that looks at the
 * argument, for which it takes a lock, and a handler of SIGBUS may not wait for it.
 */
static int
raw_ioctl(int fd, unsigned long op, void *arg)
{
	return (int)syscall(SYS_ioctl, fd, op, arg);
}

/*
 * A number that means another file now is refused, for no other has these
 * operations; but so is a range that is not ours any more.  The kernel tells the two
 * apart, or, where it may not be asked, a fresh descriptor does.  If the program has no
 * number left for that either, nobody knows, and a page must not be given up.  The
 * kernel writes nothing but results into arg.
 */
int
uffd_ioctl(struct uffdpmap *u, unsigned long op, void *arg)
{
	int fd, fresh, r, error;

	if (u->here != u)
		return raw_ioctl(u->fd.fd, op, arg);
	fd = herefd_get(&u->fd);
	r = fd < 0 ? -1 : raw_ioctl(fd, op, arg);
	if (r == 0 || (fd >= 0 && (errno == EAGAIN || errno == EEXIST)))
		return r;
	error = errno;
	if (fd >= 0 && herefd_is(&u->fd, fd)) {
		errno = error;
		return r;
	}
	fresh = herefd_again(&u->fd);
	KASSERT(
	    fresh >= 0, "the userfaultfd is out of reach: errno %d", -fresh);
	r = raw_ioctl(fresh, op, arg);
	if (r != 0)
		error = errno;
	herefd_keep(&u->fd, fd, fresh, r == 0);
	errno = error;
	return r;
}

int
uffd_madvise(uintptr_t va, uint64_t n, int advice)
{
	return syscall(SYS_madvise, va, ptoa(n), advice) == 0 ? 0 : -errno;
}

int
uffd_gone(int error)
{
	if (error == -EINVAL || error == -EFAULT || error == -ESRCH)
		return -ENOENT;
	return error;
}

/*
 * Without UFFDIO_POISON a mapping of an empty file takes the page's place:
 * every page of it lies beyond the end, which is SIGBUS.  That lasts until
 * the program unmaps it; drop does not end it.
 */
static int
uffd_poison(struct pmap *pm, uintptr_t va)
{
	struct uffdpmap *u = uffdpmap(pm);
	struct uffdio_poison p = {.range = {va, PAGE_SIZE},
	    .mode = pm->quiet ? UFFDIO_POISON_MODE_DONTWAKE : 0};
	unsigned again = 0;
	int error;
	long r;

	if (u->poison) {
		do
			r = uffd_ioctl(u, UFFDIO_POISON, &p);
		while (r != 0 && errno == EAGAIN && again++ < UFFD_TRIES);
		return r == 0 ? 0 : uffd_gone(-errno);
	}
	/* Over nothing but a page of ours: this tells, and changes nothing. */
	error = uffd_unprotect(pm, va, 1);
	if (error != 0)
		return error;
	r = syscall(SYS_mmap, va, PAGE_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_FIXED, u->poison_fd, 0);
	if (r == -1)
		return -errno;
	return uffd_wake(pm, va, 1);
}

/* Where the kernel finds the first page, it need not look further. */
static uint64_t
uffd_absent(struct pmap *pm, uintptr_t va, uint64_t n)
{
	struct page_region first;
	struct pm_scan_arg scan = {.size = sizeof(scan),
	    .start = va,
	    .end = va + ptoa(n),
	    .vec = (uintptr_t)&first,
	    .vec_len = 1,
	    .max_pages = 1,
	    .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	    .return_mask = PAGE_IS_PRESENT};
	int found;

	do
		found =
		    raw_ioctl(uffdpmap(pm)->pagemap_fd, PAGEMAP_SCAN, &scan);
	while (found < 0 && errno == EINTR);
	if (found < 0)
		return 0;
	return atop((found == 0 ? scan.walk_end : first.start) - va);
}

/*
 * Not the C library's read: a program may have put its own in its place, and
 * the number means another file in its table than in ours.
 */
static uint32_t
uffd_next_faults(struct pmap *pm, struct pmap_fault *f, uint32_t n)
{
	struct uffd_msg m[PMAP_FAULTS_MAX];
	uint32_t got = 0;
	ssize_t r;

	do
		r = syscall(SYS_read, pm->fd, m,
		    US_MIN(n, PMAP_FAULTS_MAX) * sizeof(m[0]));
	while (r < 0 && errno == EINTR);
	for (size_t i = 0; r > 0 && i < (size_t)r / sizeof(m[0]); i++) {
		uint64_t flags = m[i].arg.pagefault.flags;

		if (m[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		f[got].va = trunc_page((uintptr_t)m[i].arg.pagefault.address);
		f[got].protect = (flags & UFFD_PAGEFAULT_FLAG_WP) != 0;
		f[got].write =
		    f[got].protect || (flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0;
		f[got].tid = (pid_t)m[i].arg.pagefault.feat.ptid;
		got++;
	}
	return got;
}

static int
uffd_manage(struct pmap *pm, uintptr_t va, uint64_t n)
{
	struct uffdio_register r = {.range = {va, ptoa(n)},
	    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};

	/* A kernel without huge pages refuses this, and may. */
	(void)uffd_madvise(va, n, MADV_NOHUGEPAGE);
	/* Means nothing for such memory, but would keep mappings apart. */
	(void)uffd_madvise(va, n, MADV_NORMAL);
	return uffd_ioctl(uffdpmap(pm), UFFDIO_REGISTER, &r) == 0
		   ? 0
		   : uffd_gone(-errno);
}

static int
uffd_unmanage(struct pmap *pm, uintptr_t va, uint64_t n)
{
	struct uffdio_range r = {va, ptoa(n)};

	return uffd_ioctl(uffdpmap(pm), UFFDIO_UNREGISTER, &r) == 0
		   ? 0
		   : uffd_gone(-errno);
}

static void
uffd_close(struct pmap *pm)
{
	struct uffdpmap *u = uffdpmap(pm);

	if (u->fd.fd >= 0)
		close(u->fd.fd);
	if (u->pagemap_fd >= 0)
		close(u->pagemap_fd);
	if (u->mem_fd >= 0)
		close(u->mem_fd);
	if (u->poison_fd >= 0)
		close(u->poison_fd);
	if (u->pidfd >= 0)
		close(u->pidfd);
	/* A forked child may have been given none: what is there is its own. */
	if (pm->frames != NULL && getpid() == u->pid)
		mem_unmap(pm->frames, ptoa(pm->n_frames));
	if (u->zeros != NULL)
		mem_unmap(u->zeros, ptoa(CLUSTER_MAX));
	if (u->behind != NULL)
		mem_unmap(u->behind, PAGE_SIZE);
	if (u->here != NULL)
		mem_unmap(u->here, sizeof(*u));
	mem_unmap(u, sizeof(*u));
}

/*
 * Frames look to the kernel exactly like managed memory, for MOVE wants both
 * sides alike.  A child of fork has them only if it gets a pager: see lib/fork.c.
 */
static int
open_frames(struct uffdpmap *u, uint32_t n)
{
	uintptr_t va;
	int error;

	u->pm.frames = mem_map(ptoa(n));
	if (u->pm.frames == NULL)
		return -ENOMEM;
	u->pm.n_frames = n;
	va = (uintptr_t)u->pm.frames;
	error = uffd_madvise(va, n, MADV_DONTFORK);
	if (error != 0)
		return error;
	return uffd_manage(&u->pm, va, n);
}

/*
 * Linux 6.13 lets a process advise itself by a vector; from 6.14 on it need not
 * have a descriptor of itself.  Tried on frames, which hold nothing yet.
 */
static void
open_pidfd(struct uffdpmap *u)
{
	const struct iovec run = {u->pm.frames, PAGE_SIZE};

	u->pidfd = PIDFD_SELF_THREAD;
	if (uffd_discard_runs(u->pidfd, &run, 1) == 1)
		return;
	u->pidfd = -1;
	if (u->here != NULL)
		return; /* a number means nothing to who discards */
	u->pidfd = (int)syscall(SYS_pidfd_open, u->pid, 0);
	if (u->pidfd < 0 || uffd_discard_runs(u->pidfd, &run, 1) == 1)
		return;
	close(u->pidfd);
	u->pidfd = -1;
}

/* A seccomp profile may forbid it. */
static bool
can_vm_read(const struct uffdpmap *u)
{
	char there = 1, here = 0;
	struct iovec to = {&here, 1}, from = {&there, 1};

	return syscall(SYS_process_vm_readv, u->pid, &to, 1L, &from, 1L, 0L) ==
		   1 &&
	       here == 1;
}

/* Reading maps the kernel's page of zeros: address space, but no memory. */
static int
open_zeros(struct uffdpmap *u)
{
	uint32_t i;

	u->zeros = mem_map(ptoa(CLUSTER_MAX));
	u->behind = mem_map(PAGE_SIZE);
	if (u->zeros == NULL || u->behind == NULL)
		return -ENOMEM;
	for (i = 0; i < CLUSTER_MAX; i++)
		(void)*(volatile char *)(u->zeros + ptoa(i));
	return 0;
}

/* The descriptors but the userfaultfd itself, as far as they are wanted. */
static int
open_others(struct uffdpmap *u)
{
	if (u->pagemap_fd != UNWANTED)
		u->pagemap_fd =
		    open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC);
	u->mem_fd = open("/proc/thread-self/mem", O_RDONLY | O_CLOEXEC);
	if (u->poison)
		return 0;
	u->poison_fd =
	    (int)syscall(SYS_memfd_create, "uswap-poison", MFD_CLOEXEC);
	return u->poison_fd < 0 ? -errno : 0;
}

static int
no_memory(const struct uffdpmap *u, int error, char *err, size_t errlen)
{
	strf(err, errlen, "no memory for %u frames: errno %d", u->pm.n_frames,
	    -error);
	return error;
}

/* A twin with a way of its own to the userfaultfd. */
static int
open_here(struct uffdpmap *u)
{
	struct uffdpmap *here = mem_map(sizeof(*here));

	if (here == NULL)
		return -ENOMEM;
	*here = *u;
	here->here = u->here = here;
	return 0;
}

int
pmap_here(struct pmap *pm, struct pmap **ret)
{
	struct uffdpmap *here = uffdpmap(pm)->here;
	int fd = herefd_get(&here->fd);

	*ret = &here->pm;
	return fd < 0 ? -ENOSYS : 0;
}

void
pmap_close_here(struct pmap *pm)
{
	herefd_close(&uffdpmap(pm)->here->fd);
}

int
pmap_open_uffd(uint32_t n_frames, unsigned without, struct pmap **ret,
    char *err, size_t errlen)
{
	struct uffdpmap *u = mem_map(sizeof(*u));
	bool inline_ = (without & PMAP_INLINE) != 0;
	uint64_t features;
	int error;

	KASSERT(n_frames > 0, "no frames");
	if (u == NULL) {
		strf(err, errlen, "no memory");
		return -ENOMEM;
	}
	u->pm.ops = &uffd_ops;
	u->pid = getpid();
	u->pagemap_fd = u->mem_fd = u->poison_fd = u->pidfd = -1;
	if (without & PMAP_NO_PAGEMAP)
		u->pagemap_fd = UNWANTED;
	error = uffd_open(inline_, &features, err, errlen);
	herefd_init(&u->fd, error);
	if (error < 0) {
		uffd_close(&u->pm);
		return error;
	}
	u->pm.fd = inline_ ? -1 : u->fd.fd;
	u->move = (features & UFFD_FEATURE_MOVE) != 0 &&
		  (without & PMAP_NO_MOVE) == 0;
	u->poison = (features & UFFD_FEATURE_POISON) != 0 &&
		    (without & PMAP_NO_POISON) == 0;
	u->vm_read =
	    u->move && (without & PMAP_NO_VM_READ) == 0 && can_vm_read(u);
	u->pm.how = u->move ? "move" : "copy";
	error = open_others(u);
	if (error == 0)
		error = open_zeros(u);
	u->pm.seals = u->pagemap_fd >= 0;
	u->pm.shares = u->pm.seals && !inline_;
	if (error == 0)
		error = open_frames(u, n_frames);
	if (error == 0 && inline_)
		error = open_here(u);
	if (error != 0) {
		(void)no_memory(u, error, err, errlen);
		uffd_close(&u->pm);
		return error;
	}
	if ((without & PMAP_NO_VECTOR) == 0)
		open_pidfd(u);
	*ret = &u->pm;
	return 0;
}

/* The numbers in u are those of the parent's file table. */
int
pmap_reopen_uffd(struct pmap *pm, char *err, size_t errlen)
{
	struct uffdpmap *u = uffdpmap(pm);
	bool by_number = u->pidfd >= 0, inline_ = u->here != NULL;
	uint64_t features;
	int error;

	u->pid = getpid();
	u->mem_fd = u->poison_fd = -1;
	u->pm.quiet = false;
	error = uffd_open(inline_, &features, err, errlen);
	herefd_init(&u->fd, error);
	if (error < 0)
		return error;
	u->pm.fd = inline_ ? -1 : u->fd.fd;
	error = open_others(u);
	if (error == 0)
		error =
		    uffd_manage(pm, (uintptr_t)u->pm.frames, u->pm.n_frames);
	if (error != 0)
		return no_memory(u, error, err, errlen);
	if (by_number)
		u->pidfd = (int)syscall(SYS_pidfd_open, u->pid, 0);
	pm->seals = u->pagemap_fd >= 0;
	pm->shares = pm->seals && !inline_;
	if (inline_) {
		*u->here = *u;
		u->here->here = u->here;
	}
	return 0;
}

static const struct pmap_ops uffd_ops = {
    .manage = uffd_manage,
    .unmanage = uffd_unmanage,
    .enter = uffd_enter,
    .sealed = uffd_sealed,
    .zero = uffd_zero,
    .own = uffd_own,
    .unprotect = uffd_unprotect,
    .wake = uffd_wake,
    .remove = uffd_remove,
    .look = uffd_look,
    .discard = uffd_discard,
    .drop = uffd_drop,
    .poison = uffd_poison,
    .resident = uffd_resident,
    .absent = uffd_absent,
    .next_faults = uffd_next_faults,
    .close = uffd_close,
};
