/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypt: AES-256-XTS is what the standard says, and what is on a device that is
 * encrypted is what was written, for whoever has the key, and nothing to others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "block/engine.h"
#include "block/engine_sim.h"
#include "block/xts.h"

#include "../support/seed.h"

#define PAGES 2048
#define DEPTH 16

static uint64_t seed;

/* ---- the cipher ---------------------------------------------------------- */

static void
unhex(const char *hex, uint8_t *to)
{
	unsigned byte;

	for (; *hex != '\0'; hex += 2) {
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		*to++ = (uint8_t)byte;
	}
}

/* IEEE 1619-2007, annex B, vector 10. */
static void
test_standard(void **state)
{
	static const char key[] =
	    "2718281828459045235360287471352662497757247093699959574966967627"
	    "3141592653589793238462643383279502884197169399375105820974944592";
	static const char begins[] = "1c3b3a102f770386e4836c99e370cf9b"
				     "ea00803f5e482357a4ae12d414a3e63b";
	static const char ends[] = "c4f36ffda9fcea70b9c6e693e148c151";
	uint8_t k[XTS_KEY], text[512], out[512], want[32];
	struct xts x;

	(void)state;
	unhex(key, k);
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	xts_init(&x, k);
	xts_encrypt(&x, 0xff, text, out, sizeof(text));
	unhex(begins, want);
	assert_memory_equal(out, want, 32);
	unhex(ends, want);
	assert_memory_equal(out + sizeof(out) - 16, want, 16);
	xts_decrypt(&x, 0xff, out, out, sizeof(out));
	assert_memory_equal(out, text, sizeof(text));
}

/* A whole page, as OpenSSL 3 encrypts it: the sum of its words. */
static void
test_page(void **state)
{
	static uint8_t text[PAGE_SIZE], out[PAGE_SIZE];
	uint8_t k[XTS_KEY];
	uint64_t sum = 0, w;
	struct xts x;

	(void)state;
	for (unsigned i = 0; i < XTS_KEY; i++)
		k[i] = (uint8_t)(i * 7 + 3);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		text[i] = (uint8_t)(i * 13 + (i >> 8));
	xts_init(&x, k);
	xts_encrypt(&x, UINT64_C(0x123456789ab), text, out, PAGE_SIZE);
	for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
		memcpy(&w, out + i, 8);
		sum = sum * 31 + w;
	}
	assert_int_equal(sum, UINT64_C(0xb0f47d49388d58a1));
	xts_decrypt(&x, UINT64_C(0x123456789ab), out, out, PAGE_SIZE);
	assert_memory_equal(out, text, PAGE_SIZE);
}

/* ---- a device ------------------------------------------------------------ */

struct slot {
	struct blkreq req;
	struct iovec iov[CLUSTER_MAX];
	char *mem;
};

static struct simclock clk;
static struct blkdev *dev;
static struct blkq *q, *q2;
static struct slot slots[2 * DEPTH];
static uint32_t version[PAGES];

static int
setup(void **state)
{
	struct simdisk_params p = {.pages = PAGES,
	    .seed = seed,
	    .latency_min_ns = 1000,
	    .latency_max_ns = 3000000};
	char err[256];

	(void)state;
	simclock_init(&clk);
	assert_int_equal(blkdev_open_sim(&p, &clk, &dev), 0);
	assert_int_equal(blkdev_encrypt(dev, err, sizeof(err)), 0);
	assert_true(blkdev_encrypted(dev));
	assert_int_equal(blkq_create_sim(DEPTH, &clk, &q), 0);
	assert_int_equal(blkq_create_sim(DEPTH, &clk, &q2), 0);
	memset(version, 0, sizeof(version));
	for (unsigned i = 0; i < 2 * DEPTH; i++) {
		memset(&slots[i].req, 0, sizeof(slots[i].req));
		slots[i].mem = mem_map(ptoa(CLUSTER_MAX));
		assert_non_null(slots[i].mem);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	blkq_destroy(q);
	blkq_destroy(q2);
	blkdev_close(dev);
	for (unsigned i = 0; i < 2 * DEPTH; i++)
		mem_unmap(slots[i].mem, ptoa(CLUSTER_MAX));
	return 0;
}

/* Pages of one version are equal, wherever they are. */
static void
fill(char *page, uint32_t v)
{
	uint64_t *w = (uint64_t *)(void *)page;

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*w); i++)
		w[i] = v * UINT64_C(0x9e3779b97f4a7c15) + i;
}

static void
start(struct blkq *on, struct slot *s, enum blk_op op, uint32_t blk, uint32_t n,
    struct rng *r)
{
	uint32_t left = n, at = blk, k;

	s->req.niov = 0;
	for (; left > 0; s->req.niov++) {
		k = (uint32_t)(1 + rng_below(r, US_MIN(left, 40)));
		left -= k;
		s->iov[s->req.niov] =
		    (struct iovec){s->mem + ptoa(left), ptoa(k)};
		for (uint32_t i = 0; i < k; i++, at++) {
			if (op == BLK_WRITE)
				fill(s->mem + ptoa(left + i), ++version[at]);
			else
				memset(
				    s->mem + ptoa(left + i), 0xdb, PAGE_SIZE);
		}
	}
	s->req.op = op;
	s->req.dev = dev;
	s->req.blk.v = blk;
	s->req.npages = n;
	s->req.iov = s->iov;
	s->req.arg = s;
	blkq_submit(on, &s->req);
}

/* What was to be written is still so, and what was read is what was written. */
static void
verify(const struct slot *s)
{
	uint32_t at = s->req.blk.v;
	char page[PAGE_SIZE];

	assert_int_equal(s->req.error, 0);
	assert_ptr_equal(s->req.iov, s->iov);
	for (int i = 0; i < s->req.niov; i++)
		for (size_t k = 0; k < s->iov[i].iov_len; k += PAGE_SIZE) {
			fill(page, version[at++]);
			assert_memory_equal(
			    (char *)s->iov[i].iov_base + k, page, PAGE_SIZE);
		}
	assert_int_equal(at, s->req.blk.v + s->req.npages);
}

static bool
reap_one(struct blkq *on)
{
	struct blkreq *req = blkq_poll(on);

	blkq_check(on);
	if (req != NULL)
		verify(req->arg);
	return req != NULL;
}

/*
 * More writes than slots, of two queues, and reads: all are done, whoever waits
 * first.
 */
static void
test_round(void **state)
{
	const uint32_t part = PAGES / DEPTH;
	struct rng r = {seed};

	(void)state;
	for (uint32_t blk = 0; blk < PAGES; blk += CLUSTER_MAX) {
		start(q, &slots[0], BLK_WRITE, blk, CLUSTER_MAX, &r);
		while (!reap_one(q))
			blkq_wait(q, -1);
	}
	for (unsigned round = 0; round < 40; round++) {
		enum blk_op op = round % 2 == 0 ? BLK_WRITE : BLK_READ;
		struct blkq *first = rng_below(&r, 2) == 0 ? q : q2;

		for (unsigned i = 0; i < DEPTH; i++) {
			uint32_t n = 1 + (uint32_t)rng_below(&r, part);
			uint32_t off = (uint32_t)rng_below(&r, part - n + 1);

			start(i % 2 ? q : q2, &slots[i], op, i * part + off, n,
			    &r);
		}
		while (blkq_inflight(q) + blkq_inflight(q2) > 0) {
			blkq_wait(first, -1);
			(void)reap_one(first);
			if (blkq_inflight(first) == 0 || rng_below(&r, 2) == 0)
				first = first == q ? q2 : q;
		}
	}
}

/* Nothing of it is on the disk; nor can it be seen that two are equal. */
static void
test_hidden(void **state)
{
	struct rng r = {seed};
	char page[PAGE_SIZE];
	const char *a, *b;

	(void)state;
	fill(page, 1);
	start(q, &slots[0], BLK_WRITE, 0, CLUSTER_MAX, &r);
	while (!reap_one(q))
		blkq_wait(q, -1);
	for (uint32_t i = 0; i < CLUSTER_MAX; i++) {
		a = simdisk_page(dev, (devblk_t){i});
		for (unsigned k = 0; k < PAGE_SIZE; k += 16)
			assert_memory_not_equal(a + k, page + k, 16);
		for (uint32_t j = 0; j < i; j++) {
			b = simdisk_page(dev, (devblk_t){j});
			assert_memory_not_equal(a, b, PAGE_SIZE);
		}
	}
}

/* A block that is changed, or another's, is not what was written. */
static void
test_changed(void **state)
{
	struct rng r = {seed};
	char page[PAGE_SIZE];
	char *disk;

	(void)state;
	start(q, &slots[0], BLK_WRITE, 0, 3, &r);
	while (!reap_one(q))
		blkq_wait(q, -1);
	disk = simdisk_page(dev, (devblk_t){0});
	disk[100] ^= 1;
	memcpy(disk + 2 * PAGE_SIZE, disk + PAGE_SIZE, PAGE_SIZE);
	start(q, &slots[0], BLK_READ, 0, 3, &r);
	while (blkq_poll(q) == NULL)
		blkq_wait(q, -1);
	fill(page, 1);
	for (int i = 0, at = 0; i < slots[0].req.niov; i++)
		for (size_t k = 0; k < slots[0].iov[i].iov_len;
		     k += PAGE_SIZE, at++)
			assert_true(
			    (memcmp((char *)slots[0].iov[i].iov_base + k, page,
				 PAGE_SIZE) == 0) == (at == 1));
}

/* A failed write leaves its memory as it was, and its slot to others. */
static void
test_errors(void **state)
{
	struct simdisk_params p = {
	    .pages = PAGES, .latency_max_ns = 1000, .write_error_in = 1};
	struct rng r = {seed};

	(void)state;
	simdisk_set(dev, &p);
	for (unsigned i = 0; i < 3 * DEPTH; i++) {
		start(q, &slots[0], BLK_WRITE, i, 5, &r);
		while (blkq_poll(q) == NULL)
			blkq_wait(q, -1);
		assert_int_not_equal(slots[0].req.error, 0);
		slots[0].req.error = 0;
		verify(&slots[0]);
	}
	p.write_error_in = 0;
	simdisk_set(dev, &p);
	test_round(state);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_standard),
	    cmocka_unit_test(test_page),
	    TEST(test_round),
	    TEST(test_hidden),
	    TEST(test_changed),
	    TEST(test_errors),
	};

	seed = test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
