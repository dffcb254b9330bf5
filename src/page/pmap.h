/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap: the contract between paging policy and the thing that maps memory.
 *
 * A pmap moves whole pages between the *program* (managed ranges, addressed
 * by va) and *frames* (memory of uswap's own), and reports the faults of
 * threads that touch a managed page which is not there.  Two implementations:
 * userfaultfd, and a simulated address space for tests.
 *
 * It keeps no record of which page is where: the caller does, and sees to it
 * that two calls never work on the same page at once (the page is busy).
 *
 * Context: any pager thread, no lock needed; calls sleep in the kernel at
 * most for its own locks.  Nothing allocates.  But the kernel does, for pages that are
 * entered: where it has no memory and kills nobody for it, the caller waits until it
 * has, as the program would in a fault of the kernel's.
 * Errors: 0 or -errno.  -ENOENT means that the program's range is not mapped
 * or not managed any more (it went behind our back): the page is gone.
 */
#ifndef USWAP_PMAP_H
#define USWAP_PMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/base.h"

struct pmap;

struct pmap_fault {
	uintptr_t va; /* page-aligned */
	bool write; /* the access was a write */
	bool protect; /* the page is there, but write-protected */
	pid_t tid; /* whose access it was; 0 if that is not known */
};

/* Faults taken at once. */
#define PMAP_FAULTS_MAX 16

struct pmap_ops {
	int (*manage)(struct pmap *, uintptr_t va, uint64_t n);
	int (*unmanage)(struct pmap *, uintptr_t va, uint64_t n);
	int (*enter)(struct pmap *, uintptr_t va, const void *src, uint32_t n,
	    bool sealed);
	uint32_t (*sealed)(struct pmap *, uintptr_t va, uint32_t n);
	int (*zero)(struct pmap *, uintptr_t va, uint32_t n, bool writable);
	void (*own)(struct pmap *, uintptr_t va, uint32_t n, uint8_t *vec);
	int (*unprotect)(struct pmap *, uintptr_t va, uint32_t n);
	int (*wake)(struct pmap *, uintptr_t va, uint32_t n);
	uint32_t (*remove)(
	    struct pmap *, uintptr_t va, void *frame, uint32_t n, int *ret_err);
	void (*look)(
	    struct pmap *, const struct iovec *runs, uint32_t n, void *dst);
	void (*discard)(struct pmap *, const struct iovec *runs, uint32_t n);
	int (*drop)(struct pmap *, const struct iovec *runs, uint32_t n);
	int (*poison)(struct pmap *, uintptr_t va);
	int (*resident)(struct pmap *, uintptr_t va, uint32_t n, uint8_t *vec);
	uint64_t (*absent)(struct pmap *, uintptr_t va, uint64_t n);
	uint32_t (*next_faults)(struct pmap *, struct pmap_fault *, uint32_t n);
	void (*close)(struct pmap *);
};

/* Implementations embed this as their first member; constant but quiet. */
struct pmap {
	const struct pmap_ops *ops;
	int fd; /* readable when a fault is waiting; -1 if none */
	char *frames; /* frame memory for remove, n_frames pages */
	uint32_t n_frames;
	const char *how; /* "move" or "copy": what is in force, for reports */
	bool seals; /* pages may be entered sealed */
	bool shares; /* pmap_own can tell: pages of zeros may be shared */
	bool quiet; /* see pmap_set_quiet */
};

/* What to do without although it is there: the ways of older kernels. */
enum {
	PMAP_NO_MOVE = 1, /* UFFDIO_MOVE, Linux 6.8 */
	PMAP_NO_POISON = 2, /* UFFDIO_POISON, Linux 6.6 */
	PMAP_NO_PAGEMAP = 4, /* /proc/self/pagemap: /proc may not be mounted */
	PMAP_NO_VECTOR = 8, /* process_madvise of ourselves, Linux 6.13 */
	PMAP_NO_VM_READ = 16, /* process_vm_readv of ourselves: not permitted */
	/* What there is only on demand: */
	PMAP_INLINE = 32, /* SIGBUS to who faults, instead of a report */
};

/*
 * Opens userfaultfd with frame memory for n_frames pages.
 * -EPERM, -ENOSYS, -ENOMEM: err holds a sentence that says what would help.
 *
 * With PMAP_INLINE no fault is reported: the thread gets a SIGBUS, of code
 * BUS_ADRERR, and a system call EFAULT.  Nobody has to be woken.
 */
int pmap_open_uffd(uint32_t n_frames, unsigned without, struct pmap **ret,
    char *err, size_t errlen);
/*
 * In a forked child, whose copy of the pmap is its parent's: opens descriptors of
 * its own, and manages the frames, which hold what they held there.  What the
 * program has is to be managed anew.  What pmap_here gave was closed before.
 */
int pmap_reopen_uffd(struct pmap *, char *err, size_t errlen);
/* Whether that would work here, opening nothing that stays open. */
int pmap_probe_uffd(bool inline_, char *err, size_t errlen);
/*
 * The same pmap for threads that do not share the file table of the one that
 * opened it; PMAP_INLINE only.  It enters, zeroes, unprotects and poisons.  To be
 * asked for, and to be closed by pmap_close_here, in such a thread; -ENOSYS.
 */
int pmap_here(struct pmap *, struct pmap **ret);
#define PMAP_NO_HERE                                                           \
	"faults cannot be answered inline here: it takes Linux 6.9 or later, " \
	"and permission to use pidfd_getfd"
void pmap_close_here(struct pmap *);

/* Whether the address is in one of the frames. */
static inline bool
pmap_is_frame(const struct pmap *pm, uintptr_t va)
{
	return va - (uintptr_t)pm->frames < ptoa((uintptr_t)pm->n_frames);
}

/*
 * Managing: from now on missing pages of [va, va + n pages) are faults.  The
 * range is private anonymous memory; what it holds stays.  Huge pages are
 * turned off for it, and so is MADV_RANDOM.
 */
static inline int
pmap_manage(struct pmap *pm, uintptr_t va, uint64_t n)
{
	return pm->ops->manage(pm, va, n);
}
static inline int
pmap_unmanage(struct pmap *pm, uintptr_t va, uint64_t n)
{
	return pm->ops->unmanage(pm, va, n);
}

/*
 * Copies n pages from src into missing pages of the program and wakes the
 * threads waiting for them.  A page that is there already is left as it is.
 *
 * Where the pmap `seals`, they can be entered sealed: write-protected, so that
 * the first write, or what lets a device write, is a fault with `protect`.
 */
static inline int
pmap_enter(
    struct pmap *pm, uintptr_t va, const void *src, uint32_t n, bool sealed)
{
	return pm->ops->enter(pm, va, src, n, sealed);
}

/*
 * How many of n pages that were entered sealed, from va on, still are: they are
 * there, and nobody can have written to them.
 */
static inline uint32_t
pmap_sealed(struct pmap *pm, uintptr_t va, uint32_t n)
{
	return pm->ops->sealed(pm, va, n);
}

/*
 * Makes n missing pages zeros and wakes.  writable: memory of their own.
 * Otherwise the shared page of zeros, write-protected: it costs no memory,
 * and a write to it is a fault with `protect`.  A write that slips in between is
 * kept, and pmap_own tells; so only where the pmap `shares`.  A page that is there
 * already keeps its contents, but may have become write-protected.
 */
static inline int
pmap_zero(struct pmap *pm, uintptr_t va, uint32_t n, bool writable)
{
	return pm->ops->zero(pm, va, n, writable);
}

/*
 * vec[i] = 1 if page i has memory of its own, and no other process has it, too; 0
 * if it is the shared page of zeros.  Of a page that is not protected either may
 * change at any time.
 */
static inline void
pmap_own(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	pm->ops->own(pm, va, n, vec);
}

/* Takes write protection from pages, present or not, and wakes. */
static inline int
pmap_unprotect(struct pmap *pm, uintptr_t va, uint32_t n)
{
	return pm->ops->unprotect(pm, va, n);
}

/* Lets the threads that wait for these pages try again. */
static inline int
pmap_wake(struct pmap *pm, uintptr_t va, uint32_t n)
{
	return pm->ops->wake(pm, va, n);
}

/*
 * From now on nothing of the above wakes anybody, until this is taken back: who
 * asked for a page goes on only when all is done that follows from it.
 */
static inline void
pmap_set_quiet(struct pmap *pm, bool quiet)
{
	pm->quiet = quiet;
}

/*
 * Takes pages out of the program into adjacent frames that hold no memory:
 * afterwards they are missing, and the frames hold what the last write left.
 * No write is lost and none can happen to a page once it is out.  Returns how
 * many of the n went, from the first on; if fewer, *ret_err says why the next
 * one stayed, untouched: -EBUSY it is pinned, -ENOENT it is not there, -EACCES the
 * program has locked it, or hides it where there is no /proc.  If the program drops
 * a page just now this may fault on it: no lock held, and the fault of this thread
 * must be answered although the page is busy.
 */
static inline uint32_t
pmap_remove(
    struct pmap *pm, uintptr_t va, void *frame, uint32_t n, int *ret_err)
{
	return pm->ops->remove(pm, va, frame, n, ret_err);
}

/*
 * Copies what n runs of frames hold to dst, one after the other.  This is for
 * a page that was just removed and is looked at once: to touch a frame makes
 * the CPU (under a hypervisor, the host too) map it first, which costs several
 * times what the copying does.
 */
static inline void
pmap_look(struct pmap *pm, const struct iovec *runs, uint32_t n, void *dst)
{
	pm->ops->look(pm, runs, n, dst);
}

/*
 * Gives the memory of n runs of frames back to the kernel.  Together: what is
 * dear is the TLB shoot-down, and there is one for all of them.
 */
static inline void
pmap_discard(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	pm->ops->discard(pm, runs, n);
}

/*
 * Drops n runs of the program's pages, contents and all: they are missing then.
 * Together, as in pmap_discard.  -ENOENT when some are unmapped, -EACCES when the
 * program has locked some, or another error: which, if there are several, and how
 * much of those runs has been dropped, is not said; all the others have been.
 */
static inline int
pmap_drop_runs(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	return pm->ops->drop(pm, runs, n);
}
static inline int
pmap_drop(struct pmap *pm, uintptr_t va, uint64_t n)
{
	struct iovec run = {.iov_base = (void *)va, .iov_len = ptoa(n)};

	return pmap_drop_runs(pm, &run, 1);
}

/* From now on touching the (missing) page is SIGBUS; wakes. */
static inline int
pmap_poison(struct pmap *pm, uintptr_t va)
{
	return pm->ops->poison(pm, va);
}

/* vec[i] = 1 if page i is there (or in the kernel's own swap), else 0. */
static inline int
pmap_resident(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	return pm->ops->resident(pm, va, n, vec);
}

/*
 * How many pages from va on, n at most, are certainly not there.  0 may mean
 * that it is not known: Linux before 6.7 has no quick way to tell.
 */
static inline uint64_t
pmap_absent(struct pmap *pm, uintptr_t va, uint64_t n)
{
	return pm->ops->absent(pm, va, n);
}

/* Takes up to n (at most PMAP_FAULTS_MAX) waiting faults; how many there were. */
static inline uint32_t
pmap_next_faults(struct pmap *pm, struct pmap_fault *f, uint32_t n)
{
	return pm->ops->next_faults(pm, f, n);
}

static inline void
pmap_close(struct pmap *pm)
{
	pm->ops->close(pm);
}

#endif
