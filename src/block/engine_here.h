/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_here: reads of files by the thread that asks for them.
 *
 * The queue's side is blkq_create_here in block.h; this is for the device.
 */
#ifndef USWAP_ENGINE_HERE_H
#define USWAP_ENGINE_HERE_H

#include "base/herefd.h"
#include "block/block.h"

/* Whether it is a queue of blkq_create_here. */
bool blkq_is_here(const struct blkq *);

/*
 * Makes the read, whose queue is one of those, and completes it.  direct: the file is
 * read past the page cache.
 */
void here_read(struct blkreq *, struct herefd *, bool direct);

#endif
