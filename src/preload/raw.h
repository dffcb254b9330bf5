/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw: system calls past the C library's functions of the same name.
 *
 * The preload library defines mmap() and its relatives, so it cannot call
 * them; and asking dlsym for the next definition allocates.  These wrappers
 * return what the C library's would: the result, or -1 (MAP_FAILED) and errno.
 */
#ifndef USWAP_PRELOAD_RAW_H
#define USWAP_PRELOAD_RAW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void *
raw_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

static inline int
raw_munmap(void *addr, size_t len)
{
	return (int)syscall(SYS_munmap, addr, len);
}

static inline void *
raw_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new)
{
	return (void *)syscall(SYS_mremap, old, old_len, new_len, flags, new);
}

/* With a protection key; -1: without. */
static inline int
raw_mprotect(void *addr, size_t len, int prot, int key)
{
	if (key == -1)
		return (int)syscall(SYS_mprotect, addr, len, prot);
	return (int)syscall(SYS_pkey_mprotect, addr, len, prot, key);
}

static inline int
raw_madvise(void *addr, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, addr, len, advice);
}

/* Kept by the C library nowhere: a fork(2) child sees its own. */
static inline int
raw_getpid(void)
{
	return (int)syscall(SYS_getpid);
}

static inline void __attribute__((noreturn)) raw_exit(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

#endif
