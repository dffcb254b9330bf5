/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uffd: what the files of the userfaultfd pmap share.  Private to them:
 * uffd_open.c opens the descriptor, uffd_pages.c brings pages in, uffd_out.c takes
 * them out, pmap_uffd.c does the rest.
 */
#ifndef USWAP_UFFD_H
#define USWAP_UFFD_H

#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "base/herefd.h"
#include "page/pmap.h"

/* Linux 6.6 */
#ifndef _UFFDIO_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#define _UFFDIO_POISON      (0x08)
struct uffdio_poison {
	struct uffdio_range range;
#define UFFDIO_POISON_MODE_DONTWAKE ((__u64)1 << 0)
	__u64 mode;
	__s64 updated; /* bytes, or -errno */
};
#define UFFDIO_POISON _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#endif

/* Linux 6.8 */
#ifndef _UFFDIO_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#define _UFFDIO_MOVE      (0x05)
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
#define UFFDIO_MOVE_MODE_DONTWAKE ((__u64)1 << 0)
	__u64 mode;
	__s64 move; /* bytes, or -errno */
};
#define UFFDIO_MOVE _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
#endif

/*
 * inline_: with the feature SIGBUS; then a descriptor for faults of user mode does
 * as well, which anybody may have.  Opens a descriptor on which UFFDIO_API has been agreed, close-on-exec and
 * non-blocking.  *ret_features: which of MOVE and POISON the kernel has.
 * Returns the descriptor or -errno; err holds a sentence then.
 */
int uffd_open(bool inline_, uint64_t *ret_features, char *err, size_t errlen);

/* Constant after open. */
struct uffdpmap {
	struct pmap pm; /* pm.fd is for watching: -1 with PMAP_INLINE */
	struct herefd fd; /* the userfaultfd */
	struct uffdpmap *here; /* inline: for others; points to itself there */
	bool move; /* remove moves; else it copies */
	bool poison; /* UFFDIO_POISON exists; else poison_fd is used */
	bool vm_read; /* process_vm_readv of ourselves works and pays */
	int pagemap_fd; /* /proc/self/pagemap, -1: mincore has to do */
	int mem_fd; /* /proc/self/mem, -1: what is hidden stays */
	char *behind; /* a page for what is read from it */
	int poison_fd; /* an empty file, -1 if not needed */
	int pidfd; /* of ourselves, -1: no batched discard */
	char *zeros; /* CLUSTER_MAX pages, readable without a fault */
	pid_t pid; /* whose memory this is */
};

/*
 * EAGAIN means that the page tables changed under the kernel's hands.  That
 * passes within microseconds, so it is tried again, this many times.
 */
#define UFFD_TRIES 100

/* One ioctl on n pages from va: how many it did (> 0), or -errno. */
typedef int uffd_try_t(
    struct uffdpmap *, uintptr_t va, const char *src, uint32_t n);
uffd_try_t uffd_try_protect, uffd_try_unprotect;
int uffd_copy_mode(struct uffdpmap *, uintptr_t va, const char *src, uint32_t n,
    uint64_t mode);
/* From what an ioctl returned, and left in its result field, in bytes. */
int uffd_result(int ret, int64_t done);
/* Does all of a range that can be done; why a part was not. */
int uffd_sweep(
    struct uffdpmap *, uffd_try_t *, uintptr_t va, const char *src, uint32_t n);

struct uffdpmap *uffdpmap(struct pmap *);
/* ioctl on the userfaultfd, in whichever file table the pmap is for. */
int uffd_ioctl(struct uffdpmap *, unsigned long op, void *arg);
/* All the ways in which the kernel says that a range is not ours any more. */
int uffd_gone(int error);
/* Not the C library's: that may be the preloaded one, which asks us. */
int uffd_madvise(uintptr_t va, uint64_t n, int advice);

/* The members of pmap_ops that uffd_pages.c and uffd_out.c implement. */
int uffd_enter(
    struct pmap *, uintptr_t va, const void *src, uint32_t n, bool sealed);
uint32_t uffd_sealed(struct pmap *, uintptr_t va, uint32_t n);
int uffd_zero(struct pmap *, uintptr_t va, uint32_t n, bool writable);
int uffd_unprotect(struct pmap *, uintptr_t va, uint32_t n);
int uffd_wake(struct pmap *, uintptr_t va, uint32_t n);
int uffd_resident(struct pmap *, uintptr_t va, uint32_t n, uint8_t *vec);
void uffd_own(struct pmap *, uintptr_t va, uint32_t n, uint8_t *vec);
uint32_t uffd_discard_runs(int pidfd, const struct iovec *runs, uint32_t n);
uint32_t uffd_remove(
    struct pmap *, uintptr_t va, void *frame, uint32_t n, int *ret_err);
void uffd_discard(struct pmap *, const struct iovec *runs, uint32_t n);
int uffd_drop(struct pmap *, const struct iovec *runs, uint32_t n);
void uffd_look(struct pmap *, const struct iovec *runs, uint32_t n, void *dst);

#endif
