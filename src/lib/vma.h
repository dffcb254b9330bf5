/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vma: what the kernel has mapped in a range of this process, as
 * /proc/self/maps tells it.
 *
 * Context: the clerk.  Nothing allocates.
 */
#ifndef USWAP_VMA_H
#define USWAP_VMA_H

#include <stdbool.h>
#include <stdint.h>

struct vma {
	uintptr_t start;
	uintptr_t end;
	int prot;
	bool shared;
	bool file; /* or shared memory, or huge pages: what has an inode */
	bool special; /* heap, stack, vdso: the kernel has named it */
};

/* A descriptor for the calls below; -1 where there is no /proc. */
int vma_open(void);

/*
 * Why [start, end) is not private anonymous memory that mmap made, in a few
 * words; NULL if it is.  With fd -1 nobody can tell: NULL.
 */
const char *vma_unfit(int fd, uintptr_t start, uintptr_t end);

/* False if [start, end) is known to be more than one mapping, or none. */
bool vma_is_one(int fd, uintptr_t start, uintptr_t end);

/*
 * The two ways of vma_unfit, which tell the same: by question (Linux 6.11; before that
 * false, and *why is not touched), and by reading all lines up to the end.
 */
bool vma_unfit_asked(int fd, uintptr_t start, uintptr_t end, const char **why);
const char *vma_unfit_read(int fd, uintptr_t start, uintptr_t end);

/* One line of maps, or the beginning of a long one.  False if it is none. */
bool vma_parse(const char *line, struct vma *);

#endif
