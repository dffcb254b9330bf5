/* SPDX-License-Identifier: BSD-2-Clause */
/* swspace: what the tests of swap space share.  cmocka is included before this. */
#ifndef USWAP_TEST_SWSPACE_H
#define USWAP_TEST_SWSPACE_H

#include "swap/swspace.h"

static inline swblk_t
alloc(struct swspace *s, uint32_t n)
{
	uint32_t got = n;
	swblk_t blk = swspace_alloc(s, &got, n);

	if (swblk_valid(blk))
		assert_int_equal(got, n);
	return blk;
}

static inline struct blkdev *
dev_of(struct swspace *s, swblk_t blk)
{
	devblk_t at;

	assert_true(swblk_valid(blk));
	return swspace_locate(s, blk, &at);
}

static inline struct blkdev *
dev_at(struct swspace *s, unsigned i)
{
	struct swdev_info info;

	swspace_info(s, i, &info);
	return info.dev;
}

#endif
