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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nbd_process {
	int sock; /* our end: see nbd_wire.h */
	int lock; /* see nbd_lock; the process has a duplicate */
	char *mem; /* NBDW_MEM_BYTES, shared */
	uint64_t size; /* of the export, in bytes */
	uint32_t request_max; /* bytes */
	bool multi; /* another process may have a connection, too */
};

/*
 * A descriptor that stands for the URI on this machine until the last duplicate of
 * it is closed: two pagers on one export would overwrite each other's pages.
 * -EBUSY: somebody has it; or -errno; with a sentence as below.
 */
int nbd_lock(const char *uri, char *err, size_t errlen);
/*
 * Starts uswap-nbd, which gets a duplicate of lock, and waits until it has a
 * connection.  It is no child of this process, which never hears of its end.  0, or
 * -errno with a sentence in err that begins with the uri.  lock is the caller's if
 * that fails.  home: the directory where certificates are looked for, "" for none.
 */
int nbd_process_start(const char *uri, const char *home, unsigned timeout,
    int lock, struct nbd_process *, char *err, size_t errlen);
/* Lets go of it, waits for its end, but no longer than 2 s, and of the lock. */
void nbd_process_end(struct nbd_process *);

/* Writes the sentence and returns -error. */
#define NBD_FAIL(error, ...) (strf(err, errlen, __VA_ARGS__), -(error))

#endif
