/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_uring: files and block devices through io_uring.
 *
 * The queue's side is blkq_create_uring in block.h; this is the device's,
 * for opening.c, which has opened the file.
 */
#ifndef USWAP_ENGINE_URING_H
#define USWAP_ENGINE_URING_H

#include "block/block.h"

/*
 * Makes a device of an open descriptor, which it takes over and closes with
 * the device.  0 or -ENOMEM (the descriptor is still the caller's).
 */
int uringdev_create(
    int fd, const char *name, uint32_t pages, struct blkdev **ret);

#endif
