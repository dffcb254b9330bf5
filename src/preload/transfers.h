/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transfers: what transfers.c and vectors.c of libuswap-syscalls.so share: see
 * syscalls.c.
 */
#ifndef USWAP_PRELOAD_TRANSFERS_H
#define USWAP_PRELOAD_TRANSFERS_H

#include <sys/types.h>

#include "preload/again.h"

/* One call for n bytes at p; `how` is what else it is to be told. */
typedef ssize_t transfer(int fd, char *p, size_t n, void *how);

transfer t_read, t_write; /* how: NULL */
transfer t_pread, t_pwrite; /* how: off_t *, which goes on with the bytes */

#endif
