/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swblk: the address of a page of swap space, over all devices.
 *
 * Every device owns a range of the block space, with one uncovered block
 * between devices, so that no run can span two.  A swblk_t is not a
 * devblk_t: swspace translates.  32 bits address 16 TiB.
 */
#ifndef USWAP_SWBLK_H
#define USWAP_SWBLK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
	uint32_t v;
} swblk_t;

#define SWBLK_NONE ((swblk_t){0})

static inline bool
swblk_valid(swblk_t b)
{
	return b.v != 0;
}
static inline swblk_t
swblk_add(swblk_t b, uint32_t n)
{
	return (swblk_t){b.v + n};
}
static inline bool
swblk_eq(swblk_t a, swblk_t b)
{
	return a.v == b.v;
}

#endif
