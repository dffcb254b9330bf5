/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pagein: reads, and what follows from them.
 */
#ifndef USWAP_PAGEIN_H
#define USWAP_PAGEIN_H

#include "daemon/handler.h"

/* What became of a fault. */
enum answer {
	ANSWERED,
	LEFT, /* to who has the page: it will be answered */
	STRAY, /* nothing is managed there, or not any more */
	LOST, /* the page could not be read: the access ends in SIGBUS */
	WAIT, /* it must be tried again later; a read may have been started */
};

/*
 * Starts reading page i, which is in swap space only, and the window around it.
 * write: it was missed by a write.  WAIT: no memory, buffer or request.  Lock held throughout.
 */
enum answer pagein_start(
    struct handler *, struct object *, pindex_t i, bool write);
/*
 * A read of this handler's is complete: enters its pages if anybody waits for
 * them, or keeps them, or finds them lost.  Lock not held.
 */
void pagein_done(struct handler *, struct pgio *);

#endif
