/* SPDX-License-Identifier: BSD-2-Clause */
/* swspace: priorities, turns, shrinking, water marks, retired blocks. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "block/engine.h"
#include "support/swspace.h"
#include "swap/swhold.h"
#include "../support/death.h"

/* ---- a log that counts --------------------------------------------------- */

static int logfd;

static void
add(struct swspace *s, uint32_t pages, int prio)
{
	add_fake(s, "fake", pages, prio);
}

/* How many messages there were since the last call, and the last of them. */
static int
messages(char last[512])
{
	char buf[4096];
	ssize_t len = pread(logfd, buf, sizeof(buf) - 1, 0);
	char *line;
	int n = 0;

	assert_true(len >= 0);
	buf[len] = '\0';
	for (line = strtok(buf, "\n"); line != NULL;
	     line = strtok(NULL, "\n")) {
		n++;
		if (last != NULL)
			snprintf(last, 512, "%s", line);
	}
	assert_int_equal(ftruncate(logfd, 0), 0);
	assert_int_equal(lseek(logfd, 0, SEEK_SET), 0);
	return n;
}

static int
setup(void **state)
{
	(void)state;
	logfd = memfd_create("log", 0);
	assert_true(logfd >= 0);
	log_setup(logfd, LOG_DEBUG);
	fakes_closed = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_setup(STDERR_FILENO, LOG_NOTE);
	close(logfd);
	return 0;
}

/* Gives everything back, so that the space can be destroyed. */
static void
end(struct swspace *s, const swblk_t *blk, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		swspace_free(s, blk[i], 1);
	swspace_check(s);
	swspace_destroy(s);
}

/* ---- tests --------------------------------------------------------------- */

static void
no_devices(void **state)
{
	struct swspace s;
	char last[512];
	uint32_t n = 8;

	(void)state;
	swspace_init(&s);
	swspace_check(&s);
	assert_true(s.full && s.almost_full);
	assert_int_equal(messages(NULL), 0);
	assert_false(swblk_valid(swspace_alloc(&s, &n, 1)));
	assert_int_equal(n, 8);
	assert_int_equal(messages(last), 1);
	assert_non_null(strstr(last, "no swap space"));
	assert_false(swblk_valid(swspace_alloc(&s, &n, 1)));
	assert_int_equal(messages(NULL), 0);
	swspace_destroy(&s);
}

static void
small_devices(void **state)
{
	struct blkdev *dev[2] = {fake_dev("fake", 1), fake_dev("fake", 2)};
	struct swspace s;
	devblk_t at;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	assert_int_equal(swspace_on(&s, dev[0], 0), -EINVAL);
	assert_int_equal(swspace_on(&s, dev[1], 0), -EINVAL);
	assert_int_equal(s.ndev, 0);
	blkdev_close(dev[0]);
	blkdev_close(dev[1]);

	add(&s, 3, 0);
	assert_int_equal(s.total, 1);
	assert_int_equal(s.avail, 1);
	blk = alloc(&s, 1);
	swspace_locate(&s, blk, &at);
	assert_int_equal(at.v, SWDEV_LABEL);
	assert_int_equal(s.avail, 0);
	assert_false(s.full);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_true(s.full);
	swspace_check(&s);
	end(&s, &blk, 1);
	assert_int_equal(fakes_closed, 3);
}

/* Each block of each device once, the labels never; avail is exact. */
static void
every_block(void **state)
{
	enum { N = 3, SIZE = 40 };
	unsigned char seen[N][SIZE] = {{0}};
	swblk_t blk[N * SIZE];
	struct swspace s;
	unsigned i, j, n = 0;
	devblk_t at;

	(void)state;
	swspace_init(&s);
	for (i = 0; i < N; i++)
		add(&s, SIZE, (int)i);
	assert_int_equal(s.avail, N * (SIZE - SWDEV_LABEL));
	while (swblk_valid(blk[n] = alloc(&s, 1))) {
		struct blkdev *dev = swspace_locate(&s, blk[n++], &at);

		for (i = 0; dev_at(&s, i) != dev; i++)
			continue;
		assert_int_equal(seen[i][at.v]++, 0);
		assert_int_equal(s.avail, s.total - n);
	}
	assert_int_equal(n, s.total);
	for (i = 0; i < N; i++)
		for (j = 0; j < SIZE; j++)
			assert_int_equal(seen[i][j], j >= SWDEV_LABEL);
	end(&s, blk, n);
}

/* One whole device is a run; the next block is on no device. */
static void
gap(void **state)
{
	struct swspace s;
	swblk_t a, b;

	(void)state;
	swspace_init(&s);
	add(&s, 10, 0);
	add(&s, 10, 0);
	a = alloc(&s, 8);
	b = alloc(&s, 8);
	assert_true(swblk_valid(a) && swblk_valid(b));
	assert_int_equal(a.v, 1 + SWDEV_LABEL);
	assert_int_equal(b.v, a.v + 8 + 1 + SWDEV_LABEL);
	swspace_free(&s, a, 8);
	swspace_free(&s, b, 8);
	assert_false(swblk_valid(alloc(&s, 9)));
	swspace_destroy(&s);
}

/* Takes an unused device out, as one that is gone for good. */
static void
take_out(struct swspace *s, unsigned i)
{
	struct swspace away;
	struct swdev_info info;

	swspace_info(s, i, &info);
	swspace_init(&away);
	away.dev[0] = s->dev[i];
	away.ndev = 1;
	s->total -= info.blocks - SWDEV_LABEL;
	s->avail -= info.blocks - SWDEV_LABEL;
	for (; i + 1 < s->ndev; i++)
		s->dev[i] = s->dev[i + 1];
	s->dev[--s->ndev] = NULL;
	s->cursor = 0;
	swspace_check(s);
	swspace_destroy(&away);
}

/* A hole is used by what fits into it with its gap, and by nothing larger. */
static void
holes(void **state)
{
	struct swspace s;
	swblk_t blk;
	uint32_t i;

	(void)state;
	swspace_init(&s);
	for (i = 0; i < 3; i++)
		add(&s, 1000, 0);
	take_out(&s, 1);
	/* 1..1000, then 1002..2001 is the hole, 2003..3002, 3003 the gap. */
	add(&s, 1001, 9);
	blk = alloc(&s, 1);
	assert_int_equal(blk.v, 3004 + SWDEV_LABEL);
	swspace_free(&s, blk, 1);
	add(&s, 1000, 10);
	blk = alloc(&s, 1);
	assert_int_equal(blk.v, 1002 + SWDEV_LABEL);
	swspace_free(&s, blk, 1);
	for (i = 0; i < 2; i++)
		take_out(&s, 0);
	take_out(&s, 0);
	add(&s, 5, 20); /* the lowest: where the first one was */
	blk = alloc(&s, 1);
	assert_int_equal(blk.v, 1 + SWDEV_LABEL);
	end(&s, &blk, 1);
}

static void
too_many(void **state)
{
	struct blkdev *dev = fake_dev("fake", BLKDEV_PAGES_MAX);
	struct swspace s;
	int i;

	(void)state;
	swspace_init(&s);
	/* 1..14, the gap, and from 16 on this many end just beyond 2^32 - 1. */
	add(&s, 14, 0);
	assert_int_equal(swspace_on(&s, dev, 0), -ENOSPC);
	blkdev_close(dev);
	for (i = 1; i < SWDEV_MAX; i++)
		add(&s, 100, i % 5);
	dev = fake_dev("fake", 100);
	assert_int_equal(swspace_on(&s, dev, 0), -ENOSPC);
	blkdev_close(dev);
	assert_int_equal(s.ndev, SWDEV_MAX);
	swspace_check(&s);
	swspace_destroy(&s);
	assert_int_equal(fakes_closed, SWDEV_MAX + 2);
}

/* The best that has room, even if only in pieces, before the next. */
static void
priorities(void **state)
{
	struct swspace s;
	uint32_t n = 16;
	swblk_t a, b, c;

	(void)state;
	swspace_init(&s);
	add(&s, 102, 1);
	add(&s, 12, 7);
	add(&s, 102, -3);
	assert_int_equal(blkdev_pages(dev_at(&s, 0)), 12);
	a = swspace_alloc(&s, &n, 1);
	assert_ptr_equal(dev_of(&s, a), dev_at(&s, 0));
	assert_true(n >= 8 && n <= 10);
	swspace_free(&s, a, n);

	n = 16;
	a = swspace_alloc(&s, &n, 12);
	assert_ptr_equal(dev_of(&s, a), dev_at(&s, 1));
	assert_int_equal(n, 16);
	b = alloc(&s, 100);
	assert_ptr_equal(dev_of(&s, b), dev_at(&s, 2));
	c = alloc(&s, 10);
	assert_ptr_equal(dev_of(&s, c), dev_at(&s, 0));
	swspace_free(&s, a, 16);
	swspace_free(&s, b, 100);
	swspace_free(&s, c, 10);
	swspace_destroy(&s);
}

/* k allocations on d equal devices: each gets k/d, rounded down or up. */
static void
turns(void **state)
{
	enum { D = 4, K = 30 };
	struct swspace s;
	swblk_t blk[K];
	unsigned count[D], i, k, n;

	(void)state;
	swspace_init(&s);
	add(&s, 5, 9); /* better, and soon full */
	while (s.avail > 0)
		alloc(&s, 1);
	for (i = 0; i < D; i++)
		add(&s, 500, 3);
	add(&s, 500, 1); /* worse: never */
	for (n = 1; n <= 4; n++) {
		memset(count, 0, sizeof(count));
		for (k = 0; k < K; k++) {
			blk[k] = alloc(&s, n);
			for (i = 0; dev_of(&s, blk[k]) != dev_at(&s, i + 1);
			     i++)
				assert_true(i < D - 1);
			count[i]++;
			for (i = 0; i < D; i++)
				assert_true(count[i] >= (k + 1) / D &&
					    count[i] <= (k + D) / D);
		}
		for (k = 0; k < K; k++)
			swspace_free(&s, blk[k], n);
	}
	swspace_check(&s);
	for (i = 0; i < 3; i++)
		swspace_free(&s, (swblk_t){1 + SWDEV_LABEL + i}, 1);
	swspace_destroy(&s);
}

/* A better device that comes does not disturb whose turn it is. */
static void
turn_kept(void **state)
{
	struct blkdev *dev[3];
	struct swspace s;
	swblk_t blk[5];
	unsigned i;

	(void)state;
	swspace_init(&s);
	for (i = 0; i < 3; i++)
		add(&s, 50, 3);
	for (i = 0; i < 3; i++)
		dev[i] = dev_at(&s, i);
	blk[0] = alloc(&s, 1);
	assert_ptr_equal(dev_of(&s, blk[0]), dev[0]);
	add(&s, 3, 8);
	blk[1] = alloc(&s, 2);
	assert_ptr_equal(dev_of(&s, blk[1]), dev[1]);
	add(&s, 3, 9);
	blk[2] = alloc(&s, 2);
	assert_ptr_equal(dev_of(&s, blk[2]), dev[2]);
	blk[3] = alloc(&s, 2);
	assert_ptr_equal(dev_of(&s, blk[3]), dev[0]);
	add(&s, 3, 1);
	blk[4] = alloc(&s, 2);
	assert_ptr_equal(dev_of(&s, blk[4]), dev[1]);
	swspace_free(&s, blk[0], 1);
	for (i = 1; i < 5; i++)
		swspace_free(&s, blk[i], 2);
	swspace_check(&s);
	swspace_destroy(&s);
}

/* Every second block is free: asking for 16 still finds all of them. */
static void
isolated(void **state)
{
	enum { N = 4096 };
	static swblk_t blk[N];
	struct swspace s;
	uint32_t n;
	unsigned i;

	(void)state;
	swspace_init(&s);
	add(&s, N + SWDEV_LABEL, 0);
	for (i = 0; i < N; i++)
		blk[i] = alloc(&s, 1);
	for (i = 0; i < N; i += 2)
		swspace_free(&s, blk[i], 1);
	messages(NULL);
	for (i = 0; i < N; i += 2) {
		n = 16;
		assert_false(swblk_valid(alloc(&s, 2)));
		blk[i] = swspace_alloc(&s, &n, 1);
		assert_true(swblk_valid(blk[i]));
		assert_int_equal(n, 1);
		assert_false(s.full);
	}
	assert_int_equal(messages(NULL), 1); /* almost full */
	n = 16;
	assert_false(swblk_valid(swspace_alloc(&s, &n, 2)));
	assert_false(s.full);
	assert_false(swblk_valid(swspace_alloc(&s, &n, 1)));
	assert_true(s.full);
	assert_int_equal(messages(NULL), 1);
	end(&s, blk, N);
}

/* Free blocks go down to `left`, or up to it. */
static void
level(struct swspace *s, swblk_t *blk, unsigned *n, uint64_t left)
{
	while (s->avail > left)
		blk[(*n)++] = alloc(s, 1);
	while (s->avail < left)
		swspace_free(s, blk[--*n], 1);
	swspace_check(s);
}

static void
water_marks(void **state)
{
	static swblk_t blk[1400];
	struct swspace s;
	char last[512];
	unsigned n = 0;

	(void)state;
	swspace_init(&s);
	add(&s, 1100 + SWDEV_LABEL, 0);
	assert_false(s.full || s.almost_full);
	level(&s, blk, &n, SWSPACE_LOWAT);
	assert_false(s.almost_full);
	assert_int_equal(messages(NULL), 0);
	level(&s, blk, &n, SWSPACE_LOWAT - 1);
	assert_true(s.almost_full);
	assert_int_equal(messages(last), 1);
	assert_non_null(strstr(last, "almost full: 508K of 4.3M left"));

	level(&s, blk, &n, 0);
	assert_int_equal(messages(NULL), 0);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_int_equal(messages(last), 1);
	assert_non_null(strstr(last, "full: a page could not be paged out"));
	assert_false(swblk_valid(alloc(&s, 1)));
	level(&s, blk, &n, 1);
	assert_false(s.full);
	level(&s, blk, &n, 0);
	assert_false(s.full);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_true(s.full);

	level(&s, blk, &n, SWSPACE_HIWAT);
	assert_true(s.almost_full);
	level(&s, blk, &n, 0);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_int_equal(messages(NULL), 0);

	level(&s, blk, &n, SWSPACE_HIWAT + 1);
	assert_false(s.almost_full);
	level(&s, blk, &n, 0);
	assert_int_equal(messages(NULL), 1);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_int_equal(messages(NULL), 1);

	/* A new device: the same may be said again. */
	add(&s, 200 + SWDEV_LABEL, 0);
	assert_false(s.full || s.almost_full);
	level(&s, blk, &n, 0);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_int_equal(messages(NULL), 2);
	end(&s, blk, n);
}

/* In a small space the marks are an eighth and a half of it. */
static void
small_marks(void **state)
{
	swblk_t blk[80];
	struct swspace s;
	char last[512];
	unsigned n = 0;

	(void)state;
	swspace_init(&s);
	add(&s, 80 + SWDEV_LABEL, 0);
	assert_false(s.full || s.almost_full);
	level(&s, blk, &n, 10);
	assert_false(s.almost_full);
	assert_int_equal(messages(NULL), 0);
	level(&s, blk, &n, 9);
	assert_true(s.almost_full);
	assert_int_equal(messages(last), 1);
	assert_non_null(strstr(last, "almost full: 36K of 320K left"));
	level(&s, blk, &n, 40);
	assert_true(s.almost_full);
	level(&s, blk, &n, 41);
	assert_false(s.almost_full);
	level(&s, blk, &n, 0);
	assert_int_equal(messages(NULL), 1);
	end(&s, blk, n);
}

/* The smallest of all: empty it is not almost full, and full it is. */
static void
one_block(void **state)
{
	struct swspace s;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add(&s, 1 + SWDEV_LABEL, 0);
	assert_false(s.full || s.almost_full);
	blk = alloc(&s, 1);
	assert_true(s.almost_full);
	swspace_check(&s);
	swspace_free(&s, blk, 1);
	assert_false(s.almost_full);
	swspace_check(&s);
	swspace_retire(&s, alloc(&s, 1));
	swspace_check(&s);
	swspace_destroy(&s);
}

/* A bad block is less space, and with less space the marks fall. */
static void
marks_fall(void **state)
{
	struct swspace s;
	swblk_t blk[80];
	unsigned n = 0, i;

	(void)state;
	swspace_init(&s);
	add(&s, 80 + SWDEV_LABEL, 0);
	level(&s, blk, &n, 0);
	level(&s, blk, &n, 30);
	assert_true(s.almost_full);
	for (i = 0; i < 19; i++) {
		swspace_retire(&s, blk[--n]);
		swspace_check(&s);
		assert_true(s.almost_full);
	}
	swspace_retire(&s, blk[--n]);
	assert_true(s.almost_full);
	swspace_retire(&s, blk[--n]);
	assert_false(s.almost_full);
	end(&s, blk, n);
}

static void
retired(void **state)
{
	struct swdev_info info;
	struct swspace s;
	swblk_t blk[10], bad[2];
	unsigned i, n;

	(void)state;
	swspace_init(&s);
	add(&s, 10 + SWDEV_LABEL, 0);
	for (i = 0; i < 10; i++)
		blk[i] = alloc(&s, 1);
	swspace_retire(&s, bad[0] = blk[3]);
	swspace_retire(&s, bad[1] = blk[9]);
	swspace_check(&s);
	assert_int_equal(s.bad, 2);
	assert_int_equal(s.total, 8);
	assert_int_equal(s.avail, 0);
	blk[3] = blk[8];
	for (i = 0; i < 8; i++)
		swspace_free(&s, blk[i], 1);
	assert_int_equal(s.avail, 8);
	for (n = 0; swblk_valid(blk[n] = alloc(&s, 1)); n++)
		assert_false(
		    swblk_eq(blk[n], bad[0]) || swblk_eq(blk[n], bad[1]));
	assert_int_equal(n, 8);
	swspace_info(&s, 0, &info);
	assert_int_equal(info.used, 8);
	assert_int_equal(info.bad, 2);
	assert_int_equal(info.blocks, 12);
	assert_string_equal(info.name, "fake");
	end(&s, blk, n);
}

/* Free when the last owner leaves, in whatever order and pieces. */
static void
owners(void **state)
{
	struct swdev_info info;
	struct swspace s;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add(&s, 20 + SWDEV_LABEL, 0);
	blk = alloc(&s, 10);
	assert_false(swspace_shared(&s, blk));
	assert_true(swspace_share(&s, swblk_add(blk, 2), 4));
	assert_true(swspace_share(&s, swblk_add(blk, 4), 4));
	swspace_check(&s);
	assert_int_equal(swspace_used(&s), 10);
	assert_int_equal(swspace_owned(&s), 18);
	assert_true(swspace_shared(&s, swblk_add(blk, 2)));
	assert_false(swspace_shared(&s, swblk_add(blk, 8)));
	swspace_free(&s, blk, 10);
	swspace_check(&s);
	assert_int_equal(s.avail, 14);
	swspace_free(&s, swblk_add(blk, 2), 4);
	swspace_check(&s);
	assert_int_equal(s.avail, 16);
	assert_true(swspace_shared(&s, swblk_add(blk, 4)) == false);
	swspace_free(&s, swblk_add(blk, 4), 4);
	swspace_check(&s);
	assert_int_equal(s.avail, 20);
	swspace_info(&s, 0, &info);
	assert_int_equal(info.used, 0);
	swspace_destroy(&s);
}

/* What one owner found bad is bad when the last one leaves, not before. */
static void
owner_retires(void **state)
{
	struct swspace s;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add(&s, 4 + SWDEV_LABEL, 0);
	blk = alloc(&s, 4);
	assert_true(swspace_share(&s, blk, 4));
	swspace_retire(&s, swblk_add(blk, 1));
	swspace_check(&s);
	assert_int_equal(s.bad, 0);
	assert_true(swspace_share(&s, swblk_add(blk, 1), 1));
	swspace_free(&s, blk, 4);
	swspace_check(&s);
	assert_int_equal(s.bad, 0);
	assert_int_equal(s.avail, 0);
	swspace_free(&s, blk, 4);
	swspace_check(&s);
	assert_int_equal(s.bad, 1);
	assert_int_equal(s.total, 3);
	assert_int_equal(s.avail, 3);
	swspace_destroy(&s);
}

/* Owners of a device that leaves keep it, and its room is nobody's. */
static void
owners_closing(void **state)
{
	struct swspace s;
	struct swdev *dev;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add(&s, 4 + SWDEV_LABEL, 0);
	blk = alloc(&s, 4);
	dev = swspace_find(&s, "fake");
	assert_true(swspace_share(&s, blk, 4));
	swspace_close(&s, dev);
	swspace_free(&s, blk, 4);
	swspace_check(&s);
	assert_int_equal(swspace_used_on(dev), 4);
	swspace_retire(&s, blk);
	swspace_free(&s, swblk_add(blk, 1), 3);
	swspace_check(&s);
	assert_int_equal(swspace_used_on(dev), 0);
	assert_int_equal(s.total + s.avail, 0);
	assert_int_equal(s.bad, 1);
	swspace_reopen(&s, dev);
	swspace_check(&s);
	assert_int_equal(s.avail, 3);
	swspace_destroy(&s);
}

static void
owners_limit(void **state)
{
	struct swspace s;
	unsigned i;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add(&s, 4 + SWDEV_LABEL, 0);
	blk = alloc(&s, 2);
	for (i = 1; swspace_share(&s, swblk_add(blk, 1), 1); i++)
		continue;
	assert_int_equal(i, 32767);
	assert_false(swspace_share(&s, blk, 2));
	assert_false(swspace_shared(&s, blk));
	swspace_check(&s);
	swspace_retire(&s, swblk_add(blk, 1));
	swspace_check(&s);
	assert_true(swspace_share(&s, blk, 2));
	swspace_check(&s);
	swspace_free(&s, blk, 2);
	while (i-- > 1)
		swspace_free(&s, swblk_add(blk, 1), 1);
	swspace_free(&s, blk, 1);
	swspace_check(&s);
	assert_int_equal(s.avail, 3);
	swspace_destroy(&s);
}

/* ---- holds --------------------------------------------------------------- */

/* What is in use stays in use, whatever its owner does; once, and no more. */
static void
held(void **state)
{
	struct swhold *a, *b;
	struct swspace s;
	swblk_t blk[2];

	(void)state;
	swspace_init(&s);
	add(&s, 200 + SWDEV_LABEL, 0);
	add(&s, 70 + SWDEV_LABEL, 0);
	blk[0] = alloc(&s, 130);
	blk[1] = alloc(&s, 70);
	swspace_retire(&s, swblk_add(blk[0], 64));
	swspace_free(&s, swblk_add(blk[0], 3), 1);
	assert_int_equal(swhold_take(&s, &a), 0);
	swspace_check(&s);
	assert_int_equal(swspace_held(&s), 198);
	assert_int_equal(swspace_owned(&s), 396);
	assert_int_equal(swhold_take(&s, &b), 0);
	assert_false(swspace_only_held(s.dev[1]));
	swspace_free(&s, blk[1], 70);
	assert_true(swspace_only_held(s.dev[1]));
	assert_false(swspace_only_held(s.dev[0]));
	swhold_drop(&s, a);
	assert_true(swspace_only_held(s.dev[1]));
	swspace_check(&s);
	assert_int_equal(s.avail, 71);
	swspace_retire(&s, blk[0]);
	swhold_drop(&s, b);
	swspace_check(&s);
	assert_int_equal(s.avail, 71 + 70);
	assert_int_equal(s.bad, 2);
	assert_int_equal(swspace_held(&s), 0);
	assert_false(swspace_only_held(s.dev[1]));
	swspace_free(&s, swblk_add(blk[0], 1), 2);
	swspace_free(&s, swblk_add(blk[0], 4), 60);
	swspace_free(&s, swblk_add(blk[0], 65), 65);
	swspace_check(&s);
	swspace_destroy(&s);
}

/* All or nothing. */
static void
held_too_often(void **state)
{
	struct swhold *h = NULL;
	struct swspace s;
	swblk_t blk;

	(void)state;
	swspace_init(&s);
	add(&s, 100 + SWDEV_LABEL, 0);
	blk = alloc(&s, 10);
	while (swspace_share(&s, swblk_add(blk, 5), 1))
		continue;
	assert_int_equal(swhold_take(&s, &h), -EAGAIN);
	swspace_check(&s);
	assert_int_equal(swspace_owned(&s), 9 + 32767);
	while (swspace_shared(&s, swblk_add(blk, 5)))
		swspace_free(&s, swblk_add(blk, 5), 1);
	swspace_free(&s, blk, 10);
	swspace_destroy(&s);
}

/* In a child: nothing is given out but from what is added. */
static void
inherited(void **state)
{
	struct swdev_info info;
	struct swspace s;
	swblk_t blk, own;

	(void)state;
	swspace_init(&s);
	add(&s, 100 + SWDEV_LABEL, 0);
	add(&s, 100 + SWDEV_LABEL, 3);
	blk = alloc(&s, 10);
	swspace_inherit(&s);
	swspace_check(&s);
	assert_false(swblk_valid(alloc(&s, 1)));
	add(&s, 50 + SWDEV_LABEL, 0);
	own = alloc(&s, 5);
	assert_int_equal(s.avail, 45);
	swspace_free(&s, blk, 10);
	swspace_free(&s, own, 5);
	swspace_check(&s);
	assert_int_equal(s.avail, 50);
	assert_int_equal(s.total, 50);
	swspace_info(&s, 0, &info);
	assert_true(info.inherited && info.used == 0);
	swspace_destroy(&s);
}

/* ---- programmers' errors ------------------------------------------------- */

static void
free_label(void *arg)
{
	swspace_free(arg, (swblk_t){SWDEV_LABEL}, 1);
}
static void
free_none(void *arg)
{
	swspace_free(arg, SWBLK_NONE, 1);
}
static void
free_gap(void *arg)
{
	swspace_free(arg, (swblk_t){21}, 1);
}
static void
locate_gap(void *arg)
{
	devblk_t at;

	swspace_locate(arg, (swblk_t){21}, &at);
}
static void
free_over_end(void *arg)
{
	swspace_free(arg, (swblk_t){20}, 2);
}
static void
free_twice(void *arg)
{
	swspace_free(arg, (swblk_t){3}, 1);
	swspace_free(arg, (swblk_t){3}, 1);
}
static void
retire_free(void *arg)
{
	swspace_free(arg, (swblk_t){3}, 1);
	swspace_retire(arg, (swblk_t){3});
}
static void
free_none_used(void *arg)
{
	swspace_retire(arg, (swblk_t){3});
	swspace_retire(arg, (swblk_t){4});
	swspace_free(arg, (swblk_t){3}, 1);
}
static void
share_free(void *arg)
{
	swspace_share(arg, (swblk_t){4}, 2);
}
static void
share_retired(void *arg)
{
	swspace_retire(arg, (swblk_t){3});
	swspace_share(arg, (swblk_t){3}, 2);
}
static void
free_retired(void *arg)
{
	swspace_retire(arg, (swblk_t){3});
	swspace_free(arg, (swblk_t){3}, 1);
}
static void
leave_thrice(void *arg)
{
	swspace_share(arg, (swblk_t){3}, 1);
	swspace_free(arg, (swblk_t){3}, 1);
	swspace_free(arg, (swblk_t){3}, 1);
	swspace_free(arg, (swblk_t){3}, 1);
}
static void
alloc_zero(void *arg)
{
	uint32_t n = 1;

	swspace_alloc(arg, &n, 0);
}
static void
alloc_min(void *arg)
{
	uint32_t n = 1;

	swspace_alloc(arg, &n, 2);
}
static void
destroy(void *arg)
{
	swspace_destroy(arg);
}
static void
check(void *arg)
{
	swspace_check(arg);
}

static void
errors(void **state)
{
	void (*wrong[])(void *) = {free_label, free_none, free_gap, locate_gap,
	    free_over_end, free_twice, retire_free, free_none_used, share_free,
	    share_retired, free_retired, leave_thrice, alloc_zero, alloc_min,
	    destroy};
	struct swspace s;
	unsigned i;

	(void)state;
	swspace_init(&s);
	add(&s, 20, 0);
	add(&s, 20, 0);
	assert_int_equal(alloc(&s, 2).v, 3);
	for (i = 0; i < nitems(wrong); i++)
		assert_aborts(wrong[i], &s);
	swspace_free(&s, (swblk_t){3}, 2);
	swspace_destroy(&s);
}

/* swspace_check finds each of these. */
static void
damage(void **state)
{
	struct swspace s, t;

	(void)state;
	swspace_init(&s);
	add(&s, 1000, 2);
	add(&s, 100, 1);
#define DAMAGED(change)                                                        \
	do {                                                                   \
		t = s;                                                         \
		change;                                                        \
		assert_aborts(check, &t);                                      \
	} while (0)
	DAMAGED(t.avail++);
	DAMAGED(t.total--);
	DAMAGED(t.bad++);
	DAMAGED(t.full = true);
	DAMAGED(t.almost_full = true);
	DAMAGED(t.cursor = 2);
	DAMAGED(t.ndev = 1);
	DAMAGED(t.dev[0] = s.dev[1]; t.dev[1] = s.dev[0]);
	DAMAGED(t.dev[2] = s.dev[0]);
	/* The same twice: all but the ranges is right. */
	DAMAGED(t.dev[1] = t.dev[0]; t.total = t.avail = 2 * 998);
#undef DAMAGED
	swspace_check(&s);
	swspace_destroy(&s);
}

/* A device that is away gives nothing, takes back, and is used when it is back. */
static void
away(void **state)
{
	struct blkdev *a, *b;
	struct swspace s;
	swblk_t blk, last;
	char text[512];
	int i;

	(void)state;
	swspace_init(&s);
	add(&s, 100, 5);
	add(&s, 100, 0);
	(void)messages(text);
	blk = alloc(&s, 10);
	a = dev_of(&s, blk);
	atomic_store(&a->gone, true);
	last = alloc(&s, 10);
	b = dev_of(&s, last);
	assert_ptr_not_equal(a, b);
	swspace_free(&s, blk, 10);
	for (i = 0; i < 88; i++)
		assert_ptr_equal(dev_of(&s, alloc(&s, 1)), b);
	/* What is on the one that is away is no space now. */
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_true(s.full);
	assert_int_equal(s.avail, 0);
	assert_int_equal(s.total, 98);
	swspace_check(&s);
	assert_true(messages(text) > 0);
	assert_non_null(strstr(text, "is full"));
	atomic_store(&a->gone, false);
	blk = alloc(&s, 98);
	assert_ptr_equal(dev_of(&s, blk), a);
	assert_int_equal(s.total, 196);
	assert_false(swblk_valid(alloc(&s, 1)));
	assert_true(s.full);
	swspace_free(&s, blk, 98);
	for (i = 0; i < 98; i++)
		swspace_free(&s, swblk_add(last, (uint32_t)i), 1);
	swspace_check(&s);
	swspace_destroy(&s);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(no_devices),
	    TEST(small_devices),
	    TEST(every_block),
	    TEST(gap),
	    TEST(holes),
	    TEST(too_many),
	    TEST(priorities),
	    TEST(turns),
	    TEST(turn_kept),
	    TEST(isolated),
	    TEST(water_marks),
	    TEST(small_marks),
	    TEST(one_block),
	    TEST(marks_fall),
	    TEST(retired),
	    TEST(owners),
	    TEST(owner_retires),
	    TEST(owners_closing),
	    TEST(owners_limit),
	    TEST(held),
	    TEST(held_too_often),
	    TEST(inherited),
	    TEST(errors),
	    TEST(away),
	    TEST(damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
