/* SPDX-License-Identifier: BSD-2-Clause */
/* swspace: what the tests of swap space share.  cmocka is included before this. */
#ifndef USWAP_TEST_SWSPACE_H
#define USWAP_TEST_SWSPACE_H

#include "block/engine.h"
#include "swap/swspace.h"

/* ---- devices that only have a name and a size ---------------------------- */

static int fakes_closed; /* so far */

static inline void
fake_close(struct blkdev *dev)
{
	fakes_closed++;
	free(dev);
}

static const struct blkdev_ops fake_ops = {.close = fake_close};

static inline struct blkdev *
fake_dev(const char *name, uint32_t pages)
{
	struct blkdev *dev = calloc(1, sizeof(*dev));

	assert_non_null(dev);
	blkdev_init(dev, &fake_ops, name, pages);
	return dev;
}

static inline void
add_fake(struct swspace *s, const char *name, uint32_t pages, int prio)
{
	assert_int_equal(swspace_on(s, fake_dev(name, pages), prio), 0);
	swspace_check(s);
}

/* ---- blocks -------------------------------------------------------------- */

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
