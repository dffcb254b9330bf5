/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clone: an object with the contents that a part of another one has at one
 * moment, made without a copy of anything.
 *
 * What both have is in swap space, and shared there: a page is always written
 * to fresh blocks, so that whoever changes it leaves the other's alone.  What
 * is in memory and not in swap space has to be written first, and stays in
 * memory (PG_CLEAN) as far as there is room.
 *
 * Twice over the range: first while the program runs on (the object is *kept*:
 * what is written stays), then with the object *frozen*, for what was changed
 * meanwhile.
 *	frozen	No fault on the object is answered.  What is in memory leaves
 *		the program, as for page-out, and nobody can bring it back; what
 *		is not in memory cannot be brought in.  So once all pages have
 *		left nothing in the range can change: that is the moment.  A
 *		write that was made before it is in the clone, one that waits
 *		is not.
 * Page-out works on meanwhile, on this object too: contents do not change by it.
 * Then the object is thawed, and whoever waits faults again.
 */
#ifndef USWAP_CLONE_H
#define USWAP_CLONE_H

#include "daemon/pageout.h"

/*
 * clone_make(po, src, first, n, dst): makes dst, which is new and not mapped
 * yet, a clone of n pages of src from `first` on.  In the page-out thread;
 * sleeps for I/O and for busy pages.  Lock not held; src is not reserved, and may
 * be neither unmapped nor moved meanwhile.
 *
 * 0; or dst has nothing and src is as before: -ENOSPC what is in memory cannot
 * be written; -EBUSY a page is wired, or cannot leave the program since it is
 * pinned; -ENOMEM; -EMLINK as pager_share.
 */
int clone_make(struct pageout *, struct object *src, pindex_t first, pindex_t n,
    struct object *dst);

#endif
