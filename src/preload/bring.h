/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bring: what libuswap-syscalls.so asks of libuswap-preload.so: see syscalls.c.
 *
 * Context: any thread; takes the preload library's lock for a moment, and sleeps
 * for swap space without it.  errno is kept.
 */
#ifndef USWAP_PRELOAD_BRING_H
#define USWAP_PRELOAD_BRING_H

#include <stddef.h>

/*
 * Touches the managed pages of a range, for writing if `write`, so that they come
 * in.  1 if there were any; what the program may not use so is left alone.
 */
int uswap_preload_bring(const void *p, size_t len, int write);
/* Whether a part of the range is managed. */
int uswap_preload_holds(const void *p, size_t len);
/* Whether of the range, 1 MiB at most, a page is not in memory, and some are managed. */
int uswap_preload_missing(const void *p, size_t len);
/*
 * Where faults are SIGBUS, the range never leaves memory from now on, as long as it
 * is mapped: the kernel writes to it when it likes.  0, or -errno: -ENOMEM more than
 * half of the budget would be such.
 */
int uswap_preload_keep(const void *p, size_t len);

#endif
