/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pagein: reads, and what follows from them.
 */
#ifndef USWAP_PAGEIN_H
#define USWAP_PAGEIN_H

#include "daemon/handler.h"

/* What became of a fault: WAIT means that it must be tried again later. */
enum answer { ANSWERED, WAIT };

/*
 * Starts reading page i, which is in swap space only, and the window around it.
 * WAIT: no memory, buffer or request.  Lock held throughout.
 */
enum answer pagein_start(struct handler *, struct object *, pindex_t i);
/*
 * A read of this handler's is complete: enters its pages if anybody waits for
 * them, or keeps them, or finds them lost.  Lock not held.
 */
void pagein_done(struct handler *, struct pgio *);

#endif
