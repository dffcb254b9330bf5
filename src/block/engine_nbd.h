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
#include <stdint.h>

struct nbd_process {
	int sock; /* our end: see nbd_wire.h */
	char *mem; /* NBDW_MEM_BYTES, shared */
	uint64_t size; /* of the export, in bytes */
	uint32_t request_max; /* bytes */
};

/*
 * Starts uswap-nbd and waits until it has a connection.  It is no child of this
 * process, which never hears of its end.  0, or -errno with a sentence in err
 * that begins with the uri.
 */
int nbd_process_start(const char *uri, unsigned timeout, struct nbd_process *,
    char *err, size_t errlen);
/* Lets go of it, and waits for its end, but no longer than 2 s. */
void nbd_process_end(struct nbd_process *);

/* Writes the sentence and returns -error. */
#define NBD_FAIL(error, ...) (strf(err, errlen, __VA_ARGS__), -(error))

#endif
