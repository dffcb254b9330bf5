/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health: transfers that take long, and devices that are away.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "block/engine.h"
#include "block/engine_sim.h"
#include "block/engine_uring.h"

#define PAGES 64
#define DEPTH 16
#define SEC   UINT64_C(1000000000)

static struct simclock clk;
static struct blkdev *dev, *other;
static struct blkq *q;
static struct blkreq req[DEPTH];
static struct iovec iov[DEPTH];
static int log_fd;

static struct simdisk_params
healthy(void)
{
	return (struct simdisk_params){
	    .pages = PAGES, .latency_min_ns = 1000, .latency_max_ns = 1000};
}

static int
setup(void **state)
{
	struct simdisk_params p = healthy();
	char *mem = mem_map(ptoa(DEPTH));

	(void)state;
	assert_non_null(mem);
	simclock_init(&clk);
	assert_int_equal(blkdev_open_sim(&p, &clk, &dev), 0);
	assert_int_equal(blkdev_open_sim(&p, &clk, &other), 0);
	assert_int_equal(blkq_create_sim(DEPTH, &clk, &q), 0);
	memset(req, 0, sizeof(req));
	for (unsigned i = 0; i < DEPTH; i++)
		iov[i] = (struct iovec){mem + ptoa(i), PAGE_SIZE};
	log_fd = memfd_create("log", 0);
	log_setup(log_fd, LOG_NOTE);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	log_setup(2, LOG_ERROR);
	close(log_fd);
	blkq_destroy(q);
	blkdev_close(dev);
	blkdev_close(other);
	mem_unmap(iov[0].iov_base, ptoa(DEPTH));
	return 0;
}

/* How many lines have this in them. */
static unsigned
lines(const char *what)
{
	static char text[65536];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);
	unsigned found = 0;

	assert_true(n >= 0);
	text[n] = '\0';
	for (char *s = text; (s = strstr(s, what)) != NULL; s++)
		found++;
	return found;
}

static void
start(unsigned i, struct blkdev *d, enum blk_op op, uint32_t blk)
{
	req[i].op = op;
	req[i].dev = d;
	req[i].blk.v = blk;
	req[i].npages = 1;
	req[i].iov = &iov[i];
	req[i].niov = 1;
	blkq_submit(q, &req[i]);
}

static int
reap(void)
{
	struct blkreq *r;

	while ((r = blkq_poll(q)) == NULL)
		blkq_wait(q, -1);
	blkq_check(q);
	return r->error;
}

static int
io(enum blk_op op, uint32_t blk)
{
	start(0, dev, op, blk);
	return reap();
}

static uint64_t
slow(struct blkdev *d)
{
	struct blkdev_stats st;

	blkdev_stats(d, &st);
	return st.slow;
}

/* ---- long ---------------------------------------------------------------- */

/* After 20 s and every 20 s, each device for itself, and counted once. */
static void
test_slow(void **state)
{
	struct simdisk_params p = healthy();

	(void)state;
	p.latency_min_ns = p.latency_max_ns = 65 * SEC;
	simdisk_set(dev, &p);
	p.latency_min_ns = p.latency_max_ns = BLK_SLOW_NS - 1;
	simdisk_set(other, &p);
	start(0, dev, BLK_READ, 7);
	start(1, other, BLK_READ, 8);
	assert_int_equal(reap(), 0);
	assert_int_equal(lines("\n"), 0);
	assert_int_equal(slow(dev) + slow(other), 0);
	assert_int_equal(reap(), 0);
	assert_int_equal(clk.now_ns, 65 * SEC);
	assert_int_equal(slow(dev), 1);
	assert_int_equal(lines("\n"), 3);
	assert_int_equal(lines("sim: indefinite wait: reading 1 page at block "
			       "7 has taken"),
	    3);
	assert_int_equal(lines("taken 20 s"), 1);
	assert_int_equal(lines("taken 40 s"), 1);
	assert_int_equal(lines("taken 60 s"), 1);
}

/* All are counted, one in 20 s is said. */
static void
test_many_slow(void **state)
{
	struct simdisk_params p = healthy();

	(void)state;
	p.latency_min_ns = p.latency_max_ns = 30 * SEC;
	simdisk_set(dev, &p);
	simdisk_set(other, &p);
	for (unsigned i = 0; i < DEPTH; i++) {
		start(i, i % 2 ? dev : other, BLK_WRITE, i);
		clk.now_ns += SEC / 10;
	}
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(reap(), 0);
	assert_int_equal(slow(dev), DEPTH / 2);
	assert_int_equal(slow(other), DEPTH / 2);
	assert_int_equal(lines("writing 1 page at block 0"), 1);
	assert_int_equal(lines("writing 1 page at block 1"), 1);
	assert_int_equal(lines("\n"), 2);
}

/* Nobody waits in vain until it is time: the wait for others goes on. */
static void
test_limit_stays(void **state)
{
	struct simdisk_params p = healthy();

	(void)state;
	p.latency_min_ns = p.latency_max_ns = 65 * SEC;
	simdisk_set(dev, &p);
	start(0, dev, BLK_READ, 7);
	blkq_wait(q, 5);
	assert_int_equal(clk.now_ns, 5000000);
	blkq_wait(q, 30000);
	assert_true(clk.now_ns >= BLK_SLOW_NS);
	assert_true(clk.now_ns < BLK_SLOW_NS + 10000000);
	assert_int_equal(reap(), 0);
}

static uint64_t
thousandfold(struct clock *c)
{
	(void)c;
	return clock_now_ns(&clock_real) * 1000;
}

/* A real queue, and a pipe nobody writes to; time passes faster there. */
static void
test_slow_for_real(void **state)
{
	struct clock fast = {thousandfold};
	struct blkdev *pipedev;
	struct blkq *real, *sim = q;
	char page[PAGE_SIZE] = {0};
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(uringdev_create(fd[0], "pipe", PAGES, &pipedev), 0);
	assert_int_equal(blkq_create_uring(DEPTH, -1, &real), 0);
	real->clock = &fast;
	q = real;
	start(0, pipedev, BLK_READ, 0);
	while (lines("pipe: indefinite wait") == 0) {
		blkq_wait(q, 1);
		assert_null(blkq_poll(q));
	}
	assert_int_equal(slow(pipedev), 1);
	assert_int_equal(write(fd[1], page, sizeof(page)), sizeof(page));
	assert_int_equal(reap(), 0);
	blkq_destroy(real);
	blkdev_close(pipedev);
	close(fd[1]);
	q = sim;
}

/* ---- away ---------------------------------------------------------------- */

static void
writes_fail(bool fail)
{
	struct simdisk_params p = healthy();

	p.write_error_in = fail;
	simdisk_set(dev, &p);
}

/* One error is enough if it speaks of the device. */
static void
test_unplugged(void **state)
{
	(void)state;
	assert_int_equal(io(BLK_WRITE, 5), 0);
	assert_false(blkdev_gone(dev));
	simdisk_unplug(dev);
	assert_int_equal(io(BLK_READ, 5), ENXIO);
	assert_true(blkdev_gone(dev));
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(io(BLK_WRITE, i), ENXIO);
	assert_int_equal(lines("sim: is away: reading block 5 failed with "
			       "ENXIO;"),
	    1);
	assert_int_equal(lines("\n"), 1);
	assert_false(blkdev_gone(other));
}

/* Otherwise it takes eight, at different blocks, and none that succeeds. */
static void
test_all_fail(void **state)
{
	(void)state;
	writes_fail(true);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(io(BLK_WRITE, i), EIO);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(io(BLK_WRITE, 6), EIO);
	assert_false(blkdev_gone(dev));
	writes_fail(false);
	assert_int_equal(io(BLK_WRITE, 30), 0);
	writes_fail(true);
	for (uint32_t i = 0; i < 7; i++) {
		assert_int_equal(io(BLK_WRITE, i), EIO);
		assert_false(blkdev_gone(dev));
		assert_int_equal(io(BLK_READ, i), 0); /* says nothing of it */
	}
	assert_int_equal(lines("\n"), 0);
	assert_int_equal(io(BLK_WRITE, 7), EIO);
	assert_true(blkdev_gone(dev));
	assert_int_equal(lines("is away: writing block 7 failed with EIO, like "
			       "all before it"),
	    1);
	assert_int_equal(io(BLK_READ, 9), 0);
	assert_true(blkdev_gone(dev));
	writes_fail(false);
	assert_int_equal(io(BLK_WRITE, 9), 0);
	assert_false(blkdev_gone(dev));
	assert_int_equal(lines("sim: is back"), 1);
	assert_int_equal(lines("\n"), 2);
}

/* Which is tried after it was passed over 64 times, 128 times, ... */
static void
test_try(void **state)
{
	unsigned tries = 0;

	(void)state;
	simdisk_unplug(dev);
	assert_int_equal(io(BLK_READ, 5), ENXIO);
	for (unsigned i = 1; i <= 1 << 12; i++) {
		bool now = blkdev_try(dev);

		assert_true(now == (i >= 64 && (i & (i - 1)) == 0));
		tries += now;
	}
	assert_int_equal(tries, 7);
}

/* An engine that knows is believed, and its errors are no evidence. */
static void
test_engine_knows(void **state)
{
	(void)state;
	simdisk_away(dev, true);
	assert_true(blkdev_gone(dev));
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(io(BLK_WRITE, i), ENXIO);
	for (unsigned i = 0; i < 1000; i++)
		assert_false(blkdev_try(dev));
	simdisk_away(dev, false);
	assert_false(blkdev_gone(dev));
	assert_int_equal(lines("\n"), 0);
	/* What came before it knew is forgotten with it. */
	simdisk_unplug(dev);
	assert_int_equal(io(BLK_WRITE, 1), ENXIO);
	simdisk_away(dev, true);
	simdisk_away(dev, false);
	assert_false(blkdev_gone(dev));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_slow),
	    TEST(test_many_slow),
	    TEST(test_limit_stays),
	    TEST(test_slow_for_real),
	    TEST(test_unplugged),
	    TEST(test_all_fail),
	    TEST(test_try),
	    TEST(test_engine_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
