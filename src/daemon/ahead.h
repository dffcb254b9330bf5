/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ahead: reading before it is asked for.
 *
 * A stream is what faults one after the other make, in order or at equal
 * distances (see stream_find).  While it goes on, the pages it will come to are
 * read into buffers, and lie there on the ahead queue until they are touched.
 *
 * Locking: the pager's lock is held throughout.
 */
#ifndef USWAP_AHEAD_H
#define USWAP_AHEAD_H

#include "daemon/handler.h"
#include "daemon/run.h"

/* From this window on, faults one after the other are taken for a stream. */
#define STREAM_RUN 8

/*
 * A fault of the stream was answered by reading a window that ends before
 * `next`: starts reading what follows, if it is a stream that goes up.
 */
void ahead_start(struct handler *, struct object *, const struct stream *,
    pindex_t next, uint32_t window);
/* The same for what another thread noted. */
void ahead_noted(struct handler *, const struct note *);
/* What was read ahead, r, is used: the stream goes on from its end. */
void ahead_goes_on(struct handler *, struct stream *, const struct run *r);
/* A run was read that nobody asked for yet: kept in its buffer, until then. */
void ahead_park(struct pager *, struct run *);
/* Forgets what was there at the last sweep already. */
void ahead_sweep(struct pager *);
/* Forgets up to n pages read ahead, oldest first. */
void ahead_drop(struct pager *, uint32_t n);

/* Where the mapped part around a page ends: windows stay inside it. */
pindex_t mapped_end(const struct pager *, const struct object *, pindex_t);

#endif
