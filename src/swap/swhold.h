/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swhold: all blocks that are in use at one moment, kept from being given out
 * again until it is dropped: for a forked child, which has a copy of all that
 * says what is in them.
 *
 * Context: the pager's lock, like all of swspace.  Memory is taken from the
 * kernel by swhold_take only.
 */
#ifndef USWAP_SWHOLD_H
#define USWAP_SWHOLD_H

#include "swap/swspace.h"

struct swhold;

/*
 * One more owner of each block in use.  0; -ENOMEM; or -EAGAIN, one of them has
 * as many as can be.
 */
int swhold_take(struct swspace *, struct swhold **ret);
/* Frees each of them once. */
void swhold_drop(struct swspace *, struct swhold *);

#endif
