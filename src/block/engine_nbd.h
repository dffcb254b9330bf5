/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_nbd: exports of a network block device server.
 *
 * The device's side is blkdev_open_nbd in block.h.  This is what its two
 * sources share: engine_nbd.c carries requests to a process of the device's
 * own, which nbd_helper.c starts.
 */
#ifndef USWAP_ENGINE_NBD_H
#define USWAP_ENGINE_NBD_H

#include <stddef.h>

/*
 * Starts uswap-nbd with the two descriptors (see nbd_wire.h), which stay the
 * caller's.  It is no child of this process, which never hears of its end.
 * 0, or -errno with a sentence in err that begins with the uri.
 */
int nbd_helper_start(const char *uri, unsigned timeout, int sock, int mem,
    char *err, size_t errlen);

#endif
