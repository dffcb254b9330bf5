/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_wire: what a pager and its uswap-nbd process say to each other.
 *
 * Messages are packets on a socket pair (SOCK_SEQPACKET); the bytes of pages
 * are in shared memory, which is cut into slots.  A slot belongs to the process
 * from the request to the answer, and to the pager otherwise: neither looks
 * at it while it is the other's.
 *
 * The process says HELLO or FAILED once, then answers each READ and WRITE by
 * one DONE, in any order, and says STATE when connections change.  When the
 * pager closes its end, the process disconnects and exits.
 */
#ifndef USWAP_NBD_WIRE_H
#define USWAP_NBD_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

/*
 * 4 MiB in transit: what a network of 1 Gbit/s moves in 30 ms.  A slot is what
 * such a connection needs to be busy, and a transfer of a cluster is cut into
 * several, which may take several connections.
 */
#define NBDW_SLOTS      32
#define NBDW_SLOT_PAGES 32
#define NBDW_SLOT_BYTES ((size_t)NBDW_SLOT_PAGES * PAGE_SIZE)
#define NBDW_MEM_BYTES  (NBDW_SLOTS * NBDW_SLOT_BYTES)

/* The descriptors the process begins with. */
#define NBDW_SOCK_FD 3
#define NBDW_MEM_FD  4
#define NBDW_LOCK_FD 5 /* held as long as it may write: see engine_nbd.h */

enum nbdw_kind {
	/*
	 * offset: bytes of the export; len: of a request, at most; slot: 1 if the
	 * server promises that all connections see the same (multi-conn)
	 */
	NBDW_HELLO,
	NBDW_FAILED, /* error, and text: a sentence */
	NBDW_READ, /* slot, offset, len: to the process */
	NBDW_WRITE,
	NBDW_DONE, /* slot, error: 0 or errno */
	NBDW_STATE, /* error: 1 the export is gone, 0 there; offset: reconnects */
};

struct nbdw {
	uint32_t kind;
	uint32_t slot;
	uint64_t offset;
	uint32_t len;
	int32_t error;
	char text[400]; /* FAILED only; the others end before it */
};

#define NBDW_SHORT offsetof(struct nbdw, text)

#endif
