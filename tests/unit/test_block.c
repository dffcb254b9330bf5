/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block: the contract of block.h on both engines, and the guard in front.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "block/block.h"
#include "block/engine_sim.h"
#include "block/engine_uring.h"

#include "../support/seed.h"

#define DISK_PAGES 4096
#define DEPTH      8
#define LABEL      2 /* pages that may carry a mark */

static uint64_t seed;

/* One engine with a disk and a queue. */
struct rig {
	struct simclock clock;
	struct blkdev *dev;
	struct blkq *q;
};

/* A request with memory for the largest transfer and its iovecs. */
struct slot {
	struct blkreq req;
	struct iovec iov[CLUSTER_MAX];
	char *mem;
};

static char *
map_pages(size_t n)
{
	char *p = mmap(NULL, ptoa(n), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void
slot_init(struct slot *s)
{
	memset(s, 0, sizeof(*s));
	s->mem = map_pages(CLUSTER_MAX);
}

static void
slot_free(struct slot *s)
{
	munmap(s->mem, ptoa(CLUSTER_MAX));
}

/* One iovec. */
static struct blkreq *
slot_set(struct slot *s, struct blkdev *dev, enum blk_op op, uint32_t blk,
    uint32_t n)
{
	s->iov[0] = (struct iovec){s->mem, ptoa(n)};
	s->req.op = op;
	s->req.dev = dev;
	s->req.blk.v = blk;
	s->req.npages = n;
	s->req.iov = s->iov;
	s->req.niov = 1;
	s->req.arg = s;
	return &s->req;
}

/* Cut into random pieces, laid out in memory in reverse. */
static void
slot_scatter(struct slot *s, struct rng *r)
{
	uint32_t left = s->req.npages, n;
	int i;

	for (i = 0; left > 0; i++) {
		n = (uint32_t)(1 + rng_below(r, US_MIN(left, 5)));
		left -= n;
		s->iov[i] = (struct iovec){s->mem + ptoa(left), ptoa(n)};
	}
	s->req.niov = i;
}

static struct blkreq *
reap(struct blkq *q)
{
	struct blkreq *req;

	while ((req = blkq_poll(q)) == NULL)
		blkq_wait(q, -1);
	blkq_check(q);
	return req;
}

static int
do_io(struct blkq *q, struct blkreq *req)
{
	blkq_submit(q, req);
	assert_ptr_equal(reap(q), req);
	return req->error;
}

static void
rig_uring(struct rig *rig)
{
	struct blkspec sp = {.path = "temp", .size = ptoa(DISK_PAGES)};
	char err[256];

	if (blkdev_open_temp(&sp, NULL, &rig->dev, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_int_equal(blkq_create_uring(DEPTH, -1, &rig->q), 0);
}

static void
rig_sim(struct rig *rig)
{
	struct simdisk_params p = {.pages = DISK_PAGES,
	    .seed = seed,
	    .latency_min_ns = 50000,
	    .latency_max_ns = 5000000};

	simclock_init(&rig->clock);
	assert_int_equal(blkdev_open_sim(&p, &rig->clock, &rig->dev), 0);
	assert_int_equal(blkq_create_sim(DEPTH, &rig->clock, &rig->q), 0);
}

static void
rig_free(struct rig *rig)
{
	blkq_destroy(rig->q);
	blkdev_close(rig->dev);
}

/* ---- both engines ------------------------------------------------------- */

static uint64_t
pattern(uint32_t blk, uint32_t version)
{
	struct rng r = {seed ^ ((uint64_t)version << 32 | blk)};

	return version == 0 ? 0 : rng_next(&r);
}

static void
fill(char *page, uint32_t blk, uint32_t version)
{
	uint64_t *w = (uint64_t *)page, v = pattern(blk, version);
	size_t i;

	for (i = 0; i < PAGE_SIZE / sizeof(*w); i++)
		w[i] = v == 0 ? 0 : v + i;
}

static bool
filled(const char *page, uint32_t blk, uint32_t version)
{
	const uint64_t *w = (const uint64_t *)page, v = pattern(blk, version);
	size_t i;

	for (i = 0; i < PAGE_SIZE / sizeof(*w); i++)
		if (w[i] != (v == 0 ? 0 : v + i))
			return false;
	return true;
}

/* Calls page by page in transfer order: fills, or compares. */
static void
walk(struct slot *s, const uint32_t *version)
{
	uint32_t blk = s->req.blk.v;
	size_t off;
	int i;

	for (i = 0; i < s->req.niov; i++)
		for (off = 0; off < s->iov[i].iov_len; off += PAGE_SIZE) {
			char *page = (char *)s->iov[i].iov_base + off;

			if (s->req.op == BLK_WRITE)
				fill(page, blk, version[blk]);
			else if (!filled(page, blk, version[blk]))
				fail_msg("block %u: not what was written", blk);
			blk++;
		}
}

/*
 * Random reads and writes, up to DEPTH at once; each slot owns a stretch of the
 * disk while in flight, so what is read is known.
 */
static void
check_patterns(struct rig *rig)
{
	static uint32_t version[DISK_PAGES];
	static struct slot slot[DEPTH];
	const uint32_t stretch = (DISK_PAGES - LABEL) / DEPTH;
	struct rng r = {seed};
	struct blkreq *req;
	struct slot *s;
	unsigned round, i;

	memset(version, 0, sizeof(version));
	for (i = 0; i < DEPTH; i++)
		slot_init(&slot[i]);
	for (round = 0; round < 600; round++) {
		s = &slot[round % DEPTH];
		while (s->req.q != NULL) {
			req = reap(rig->q);
			assert_int_equal(req->error, 0);
			if (req->op == BLK_READ)
				walk(req->arg, version);
		}
		i = round < DEPTH ? CLUSTER_MAX
				  : (unsigned)(1 + rng_below(&r, CLUSTER_MAX));
		slot_set(s, rig->dev, rng_below(&r, 2) ? BLK_READ : BLK_WRITE,
		    LABEL + (round % DEPTH) * stretch +
			(uint32_t)rng_below(&r, stretch - i + 1),
		    i);
		if (rng_below(&r, 4) != 0)
			slot_scatter(s, &r);
		if (s->req.op == BLK_WRITE) {
			for (i = 0; i < s->req.npages; i++)
				version[s->req.blk.v + i]++;
			walk(s, version);
		}
		blkq_submit(rig->q, &s->req);
		blkq_check(rig->q);
		if (rng_below(&r, 3) == 0)
			blkq_flush(rig->q);
	}
	while (blkq_inflight(rig->q) > 0) {
		req = reap(rig->q);
		assert_int_equal(req->error, 0);
		if (req->op == BLK_READ)
			walk(req->arg, version);
	}
	assert_null(blkq_poll(rig->q));
	for (i = 0; i < DEPTH; i++)
		slot_free(&slot[i]);
}

/* 256 iovecs of a page each, and the last block of the device. */
static void
check_largest(struct rig *rig)
{
	static uint32_t version[DISK_PAGES];
	static struct slot s;
	uint32_t i;

	slot_init(&s);
	for (i = 0; i < DISK_PAGES; i++)
		version[i] = 7;
	slot_set(
	    &s, rig->dev, BLK_WRITE, DISK_PAGES - CLUSTER_MAX, CLUSTER_MAX);
	for (i = 0; i < CLUSTER_MAX; i++)
		s.iov[i] = (struct iovec){s.mem + ptoa(i ^ 0x55), PAGE_SIZE};
	s.req.niov = CLUSTER_MAX;
	walk(&s, version);
	assert_int_equal(do_io(rig->q, &s.req), 0);
	memset(s.mem, 0, ptoa(CLUSTER_MAX));
	s.req.op = BLK_READ;
	assert_int_equal(do_io(rig->q, &s.req), 0);
	walk(&s, version);
	slot_free(&s);
}

static void
check_counters(struct rig *rig)
{
	static struct slot s[3];
	struct blkdev_stats st;
	unsigned i;

	for (i = 0; i < 3; i++) {
		slot_init(&s[i]);
		blkq_submit(
		    rig->q, slot_set(&s[i], rig->dev,
				i == 2 ? BLK_READ : BLK_WRITE, i * 10, 3 + i));
		assert_int_equal(blkq_inflight(rig->q), i + 1);
	}
	blkdev_stats(rig->dev, &st);
	assert_int_equal(st.inflight, 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(reap(rig->q)->error, 0);
	blkdev_stats(rig->dev, &st);
	assert_int_equal(st.inflight, 0);
	assert_int_equal(st.writes, 2);
	assert_int_equal(st.write_pages, 3 + 4);
	assert_int_equal(st.reads, 1);
	assert_int_equal(st.read_pages, 5);
	assert_int_equal(st.read_errors + st.write_errors, 0);
	assert_int_equal(blkq_inflight(rig->q), 0);
	assert_int_equal(blkq_depth(rig->q), DEPTH);
	assert_int_equal(blkdev_pages(rig->dev), DISK_PAGES);
	for (i = 0; i < 3; i++)
		slot_free(&s[i]);
}

static void
with_rig(void (*make)(struct rig *), void (*check)(struct rig *))
{
	struct rig rig;

	make(&rig);
	check(&rig);
	rig_free(&rig);
}

static void
test_both(void **state)
{
	static void (*const make[])(struct rig *) = {rig_sim, rig_uring};
	size_t i;

	(void)state;
	for (i = 0; i < nitems(make); i++) {
		with_rig(make[i], check_counters);
		with_rig(make[i], check_largest);
		with_rig(make[i], check_patterns);
	}
}

/* ---- the guard: what it refuses ends the process ------------------------ */

static struct rig guard_rig;
static struct slot guard_slot[DEPTH + 1];

static void
bad_range(struct blkreq *req)
{
	req->blk.v = DISK_PAGES - 1;
}

static void
bad_wrap(struct blkreq *req)
{
	req->blk.v = UINT32_MAX - 1;
}

static void
bad_align(struct blkreq *req)
{
	req->iov[0].iov_base = (char *)req->iov[0].iov_base + 512;
}

static void
bad_sum(struct blkreq *req)
{
	req->iov[0].iov_len += PAGE_SIZE;
}

static void
bad_length(struct blkreq *req)
{
	req->iov[0].iov_len -= 512;
}

static void
bad_empty(struct blkreq *req)
{
	req->npages = 0;
}

static void
bad_many(struct blkreq *req)
{
	req->npages = CLUSTER_MAX + 1;
	req->iov[0].iov_len = ptoa(CLUSTER_MAX + 1);
}

static void
bad_niov(struct blkreq *req)
{
	req->niov = 0;
}

static void
bad_op(struct blkreq *req)
{
	req->op = (enum blk_op)2;
}

static void
bad_twice(struct blkreq *req)
{
	blkq_submit(guard_rig.q, req);
}

static void
bad_depth(struct blkreq *req)
{
	unsigned i;

	(void)req;
	for (i = 1; i <= DEPTH; i++)
		blkq_submit(guard_rig.q,
		    slot_set(&guard_slot[i], guard_rig.dev, BLK_READ, i, 1));
}

static void
bad_close(struct blkreq *req)
{
	blkq_submit(guard_rig.q, req);
	blkdev_close(guard_rig.dev);
	_exit(0);
}

static void
bad_destroy(struct blkreq *req)
{
	blkq_submit(guard_rig.q, req);
	blkq_destroy(guard_rig.q);
	_exit(0);
}

static void
bad_engine(struct blkreq *req)
{
	(void)req;
	if (blkq_create_uring(1, -1, &guard_rig.q) != 0)
		abort();
}

static void
dies(void (*damage)(struct blkreq *), const char *what)
{
	struct blkreq *req;
	int status, null;
	pid_t pid = fork();

	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 2);
		signal(SIGABRT, SIG_DFL);
		req = slot_set(&guard_slot[0], guard_rig.dev, BLK_READ, 5, 2);
		damage(req);
		blkq_submit(guard_rig.q, req);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("%s was let through (status %#x)", what, status);
}

static void
test_guard(void **state)
{
	unsigned i;

	(void)state;
	rig_sim(&guard_rig);
	for (i = 0; i <= DEPTH; i++)
		slot_init(&guard_slot[i]);
	dies(bad_range, "a request over the end");
	dies(bad_wrap, "a block number that wraps");
	dies(bad_align, "memory that is not aligned");
	dies(bad_sum, "iovecs longer than the request");
	dies(bad_length, "an iovec of half a page");
	dies(bad_empty, "no pages");
	dies(bad_many, "too many pages");
	dies(bad_niov, "no iovec");
	dies(bad_op, "an unknown operation");
	dies(bad_twice, "a request in flight");
	dies(bad_depth, "more than depth requests");
	dies(bad_close, "closing with requests in flight");
	dies(bad_destroy, "destroying with requests in flight");
	dies(bad_engine, "a queue of another engine");
	for (i = 0; i <= DEPTH; i++)
		slot_free(&guard_slot[i]);
	rig_free(&guard_rig);
}

/* ---- the simulated disk ------------------------------------------------- */

static void
test_sim_order(void **state)
{
	static struct slot s[DEPTH];
	struct simdisk_params p = {.pages = DISK_PAGES,
	    .seed = seed,
	    .latency_min_ns = 1000,
	    .latency_max_ns = 1000};
	uint64_t order[2] = {0, 0}, due, last;
	struct blkreq *req;
	struct rig rig;
	unsigned i, run;

	(void)state;
	rig_sim(&rig);
	for (i = 0; i < DEPTH; i++)
		slot_init(&s[i]);

	/* Nothing completes before its time, and nothing moves the clock. */
	blkq_submit(rig.q, slot_set(&s[0], rig.dev, BLK_READ, 0, 1));
	blkq_flush(rig.q);
	assert_null(blkq_poll(rig.q));
	assert_int_equal(rig.clock.now_ns, 0);
	due = s[0].req.stamp_ns;
	assert_true(due >= 50000 && due <= 5000000);
	rig.clock.now_ns = due - 1;
	assert_null(blkq_poll(rig.q));
	rig.clock.now_ns = due;
	assert_ptr_equal(blkq_poll(rig.q), &s[0].req);

	/* Equal latency: the order of submission. */
	simdisk_set(rig.dev, &p);
	for (i = 0; i < DEPTH; i++)
		blkq_submit(rig.q, slot_set(&s[i], rig.dev, BLK_READ, i, 1));
	for (i = 0; i < DEPTH; i++)
		assert_ptr_equal(reap(rig.q), &s[i].req);

	/* Random latency: due times rise; a seed repeats its order. */
	rig_free(&rig);
	for (run = 0; run < 2; run++) {
		rig_sim(&rig);
		for (i = 0; i < DEPTH; i++)
			blkq_submit(
			    rig.q, slot_set(&s[i], rig.dev, BLK_READ, i, 1));
		for (i = 0, last = 0; i < DEPTH; i++) {
			req = reap(rig.q);
			assert_true(req->stamp_ns >= last);
			assert_int_equal(rig.clock.now_ns, req->stamp_ns);
			last = req->stamp_ns;
			order[run] = order[run] * DEPTH + req->blk.v;
		}
		rig_free(&rig);
	}
	assert_int_equal(order[0], order[1]);
	for (i = 0; i < DEPTH; i++)
		slot_free(&s[i]);
}

static void
test_sim_wait(void **state)
{
	static struct slot s;
	struct rig rig;

	(void)state;
	rig_sim(&rig);
	slot_init(&s);
	blkq_wait(rig.q, -1); /* nothing in flight: comes back */
	assert_int_equal(rig.clock.now_ns, 0);
	rig.clock.now_ns = 1;
	blkq_submit(rig.q, slot_set(&s, rig.dev, BLK_READ, 0, 1));
	s.req.stamp_ns = 10000000; /* later than any latency drawn */
	blkq_wait(rig.q, 3);
	assert_int_equal(rig.clock.now_ns, 3000001);
	assert_null(blkq_poll(rig.q));
	blkq_kick(rig.q);
	blkq_wait(rig.q, -1);
	assert_int_equal(rig.clock.now_ns, 3000001);
	blkq_wait(rig.q, -1);
	assert_int_equal(rig.clock.now_ns, 10000000);
	assert_ptr_equal(blkq_poll(rig.q), &s.req);
	slot_free(&s);
	rig_free(&rig);
}

static void
sim_chance(struct rig *rig, struct simdisk_params p)
{
	p.pages = DISK_PAGES;
	simdisk_set(rig->dev, &p);
}

static int
sim_io(struct rig *rig, struct slot *s, enum blk_op op, char byte)
{
	if (op == BLK_WRITE)
		memset(s->mem, byte, ptoa(8));
	return do_io(rig->q, slot_set(s, rig->dev, op, 16, 8));
}

/* How many of the eight pages on the disk hold the byte, from the first. */
static unsigned
sim_pages_of(struct rig *rig, char byte)
{
	unsigned i;

	for (i = 0; i < 8; i++) {
		const char *page = simdisk_page(rig->dev, (devblk_t){16 + i});

		if (page[0] != byte || page[PAGE_SIZE - 1] != byte)
			break;
	}
	return i;
}

static void
test_sim_faults(void **state)
{
	static struct slot s;
	struct blkdev_stats st;
	struct rig rig;
	unsigned i, seen = 0, errors = 0;

	(void)state;
	rig_sim(&rig);
	slot_init(&s);

	sim_chance(&rig, (struct simdisk_params){.fail_write_nth = 2});
	assert_int_equal(sim_io(&rig, &s, BLK_WRITE, 'a'), 0);
	assert_int_equal(sim_io(&rig, &s, BLK_WRITE, 'b'), EIO);
	assert_int_equal(sim_pages_of(&rig, 'a'), 8);
	assert_int_equal(sim_io(&rig, &s, BLK_WRITE, 'c'), 0);
	assert_int_equal(sim_pages_of(&rig, 'c'), 8);

	sim_chance(&rig, (struct simdisk_params){.fail_read_nth = 1});
	assert_int_equal(sim_io(&rig, &s, BLK_READ, 0), EIO);
	assert_true(s.mem[0] != 'c'); /* a failed read leaves garbage */
	assert_int_equal(sim_io(&rig, &s, BLK_READ, 0), 0);
	assert_int_equal(s.mem[0], 'c');

	sim_chance(&rig, (struct simdisk_params){.lost_write_in = 1});
	assert_int_equal(sim_io(&rig, &s, BLK_WRITE, 'd'), 0);
	assert_int_equal(sim_pages_of(&rig, 'c'), 8);

	/* Torn: all lengths short of the whole turn up, none complete. */
	sim_chance(&rig, (struct simdisk_params){.torn_write_in = 1});
	for (i = 0; i < 200; i++) {
		char byte = (char)(i | 0x80);

		assert_int_equal(sim_io(&rig, &s, BLK_WRITE, byte), EIO);
		seen |= 1u << sim_pages_of(&rig, byte);
	}
	assert_int_equal(seen, 0xff);

	sim_chance(&rig, (struct simdisk_params){.read_error_in = 4});
	for (i = 0; i < 400; i++)
		errors += sim_io(&rig, &s, BLK_READ, 0) == EIO;
	assert_in_range(errors, 50, 150);

	/* The cable is cut while a request is under way. */
	sim_chance(&rig, (struct simdisk_params){.latency_max_ns = 1000});
	assert_int_equal(sim_io(&rig, &s, BLK_WRITE, 'e'), 0);
	memset(s.mem, 'f', ptoa(8));
	blkq_submit(rig.q, slot_set(&s, rig.dev, BLK_WRITE, 16, 8));
	simdisk_unplug(rig.dev);
	assert_int_equal(reap(rig.q)->error, ENXIO);
	assert_int_equal(sim_pages_of(&rig, 'e'), 8);
	assert_int_equal(sim_io(&rig, &s, BLK_READ, 0), ENXIO);

	blkdev_stats(rig.dev, &st);
	assert_int_equal(st.write_errors, 1 + 200 + 1);
	assert_int_equal(st.read_errors, 1 + errors + 1);
	slot_free(&s);
	rig_free(&rig);
}

/* ---- io_uring: waking --------------------------------------------------- */

static uint64_t
now_ms(void)
{
	return clock_now_ns(&clock_real) / 1000000;
}

/* Either of the two; each test is run with each. */
static void (*waits)(struct blkq *, int timeout_ms);

/* Milliseconds until a wait that may not be empty for no reason comes back. */
static uint64_t
timed_wait(struct blkq *q, int timeout_ms)
{
	uint64_t start = now_ms();

	waits(q, timeout_ms);
	return now_ms() - start;
}

static void
timeout(void)
{
	struct blkq *q;

	assert_int_equal(blkq_create_uring(1, -1, &q), 0);
	assert_in_range(timed_wait(q, 60), 55, 5000);
	assert_in_range(timed_wait(q, 1100), 1095, 9000);
	assert_in_range(timed_wait(q, 0), 0, 50);
	blkq_kick(q);
	blkq_kick(q);
	assert_in_range(timed_wait(q, 9000), 0, 4000);
	assert_in_range(timed_wait(q, 60), 55, 5000);
	blkq_destroy(q);
}

/*
 * Two threads pass a ball back and forth, woken by nothing but kicks: one that
 * is lost hangs the test.
 */
struct pingpong {
	struct blkq *q[2];
	_Atomic unsigned made;
	uint64_t ball; /* whose turn it is may touch it */
	_Atomic unsigned turn;
	unsigned rounds;
};

struct player {
	struct pingpong *game;
	unsigned me;
};

static void *
play(void *arg)
{
	struct player *p = arg;
	struct pingpong *g = p->game;
	unsigned i;

	/* A queue belongs to the thread that creates it. */
	if (blkq_create_uring(1, -1, &g->q[p->me]) != 0)
		abort();
	atomic_fetch_add(&g->made, 1);
	while (atomic_load(&g->made) < 2)
		usleep(100);
	for (i = 0; i < g->rounds; i++) {
		while (atomic_load_explicit(&g->turn, memory_order_acquire) !=
		       p->me)
			waits(g->q[p->me], -1);
		g->ball++;
		atomic_store_explicit(
		    &g->turn, 1 - p->me, memory_order_release);
		blkq_kick(g->q[1 - p->me]);
	}
	atomic_fetch_add(&g->made, 1);
	while (atomic_load(&g->made) < 4)
		usleep(100);
	blkq_destroy(g->q[p->me]);
	return NULL;
}

static void
kick(void)
{
	struct pingpong g = {.rounds = 3000};
	struct player p[2] = {{&g, 0}, {&g, 1}};
	pthread_t t[2];
	unsigned i;

	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, play, &p[i]), 0);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(g.ball, 2 * g.rounds);
}

/* Kicks as fast as they come, most of them of an owner awake; none is lost. */
static void *
storm(void *arg)
{
	struct pingpong *g = arg;
	unsigned i;

	for (i = 0; i < g->rounds; i++) {
		atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed);
		blkq_kick(g->q[0]);
	}
	return NULL;
}

static void
kick_storm(void)
{
	struct pingpong g = {.rounds = 100000};
	pthread_t t;

	assert_int_equal(blkq_create_uring(1, -1, &g.q[0]), 0);
	assert_int_equal(pthread_create(&t, NULL, storm, &g), 0);
	while (atomic_load_explicit(&g.turn, memory_order_relaxed) < g.rounds)
		waits(g.q[0], -1);
	pthread_join(t, NULL);
	blkq_destroy(g.q[0]);
}

static void *
write_later(void *arg)
{
	usleep(200000);
	if (write(*(int *)arg, "x", 1) != 1)
		abort();
	return NULL;
}

static void
watch(void)
{
	static struct slot s;
	struct rig rig;
	pthread_t t;
	int fd[2], i;
	char c;

	rig_uring(&rig);
	blkq_destroy(rig.q);
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(blkq_create_uring(DEPTH, fd[0], &rig.q), 0);
	slot_init(&s);
	assert_false(blkq_watching(rig.q)); /* nobody has looked so far */
	assert_in_range(timed_wait(rig.q, 60), 55, 5000);
	for (i = 0; i < 3; i++) {
		/* Becomes readable while we sleep. */
		assert_true(blkq_watching(rig.q));
		pthread_create(&t, NULL, write_later, &fd[1]);
		assert_in_range(timed_wait(rig.q, 9000), 10, 4000);
		pthread_join(t, NULL);
		assert_false(blkq_watching(rig.q));
		/* Level: not yet read, so it wakes again, and again. */
		assert_in_range(timed_wait(rig.q, 9000), 0, 4000);
		assert_null(blkq_poll(rig.q));
		assert_in_range(timed_wait(rig.q, 9000), 0, 4000);
		assert_int_equal(read(fd[0], &c, 1), 1);
		assert_in_range(timed_wait(rig.q, 60), 55, 5000);
		/* An event whose completion is taken by poll is not lost. */
		assert_int_equal(write(fd[1], "x", 1), 1);
		assert_int_equal(
		    do_io(rig.q, slot_set(&s, rig.dev, BLK_READ, 0, 4)), 0);
		assert_in_range(timed_wait(rig.q, 9000), 0, 4000);
		assert_false(blkq_watching(rig.q));
		assert_int_equal(read(fd[0], &c, 1), 1);
		waits(rig.q, 1);
	}
	rig_free(&rig);
	/* The ring is done with the pipe: it has no reader left. */
	close(fd[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(write(fd[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(fd[1]);
	slot_free(&s);
}

/* Nothing was in vain so far: one wait that was would make the next ones sleep. */
static void
wait_awake(struct blkq *q, int timeout_ms)
{
	struct spin spin = {0};

	blkq_wait_awake(q, timeout_ms, &spin);
}

static void
with_both(void (*check)(void))
{
	waits = blkq_wait;
	check();
	waits = wait_awake;
	check();
}

static void
test_timeout(void **state)
{
	(void)state;
	with_both(timeout);
}

static void
test_kick(void **state)
{
	(void)state;
	with_both(kick);
}

static void
test_kick_storm(void **state)
{
	(void)state;
	with_both(kick_storm);
}

static void
test_watch(void **state)
{
	(void)state;
	with_both(watch);
}

/* How often this thread has slept. */
static long
sleeps(void)
{
	struct rusage ru;

	getrusage(RUSAGE_THREAD, &ru);
	return ru.ru_nvcsw;
}

#define NEAR_READS 20

/* How often it sleeps for so many reads, and whether what they wait for is near. */
static long
sleeps_in_reads(void (*wait)(struct blkq *, int), bool *near)
{
	static struct slot s;
	struct rig rig;
	uint64_t ms;
	long slept;

	rig_uring(&rig);
	slot_init(&s);
	assert_int_equal(
	    do_io(rig.q, slot_set(&s, rig.dev, BLK_WRITE, 0, CLUSTER_MAX)), 0);
	ms = now_ms();
	slept = -sleeps();
	for (uint32_t i = 0; i < NEAR_READS; i++) {
		blkq_submit(
		    rig.q, slot_set(&s, rig.dev, BLK_READ, i % CLUSTER_MAX, 1));
		while (blkq_poll(rig.q) == NULL)
			wait(rig.q, -1);
	}
	slept += sleeps();
	*near = now_ms() - ms <= NEAR_READS / 10;
	slot_free(&s);
	rig_free(&rig);
	return slept;
}

/*
 * Who waits awake does not sleep, unless it takes long, or others are at work and it
 * comes back late: which is why there are many tries.
 */
static void
test_awake(void **state)
{
	long asleep, awake;
	unsigned tried = 0;
	bool near, any;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		asleep = sleeps_in_reads(blkq_wait, &near);
		awake = sleeps_in_reads(wait_awake, &any);
		if (asleep < NEAR_READS / 2 || !near)
			continue; /* not near, or all of it at once */
		tried++;
		if (awake < asleep / 2)
			return;
	}
	print_message("%u tries\n", tried);
	assert_int_equal(tried, 0);
}

/* ---- io_uring: short transfers ------------------------------------------ */

static struct blkdev *
device_of(int fd, uint32_t pages)
{
	struct blkdev *dev;

	assert_int_equal(uringdev_create(fd, "short", pages, &dev), 0);
	return dev;
}

/* A file cut behind our back: what is missing is an error, never zeros. */
static void
test_cut_file(void **state)
{
	static struct slot s;
	struct blkdev_stats st;
	struct blkdev *dev;
	struct blkq *q;
	int fd = memfd_create("cut", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)ptoa(10) + 100), 0);
	dev = device_of(fd, 64);
	slot_init(&s);
	assert_int_equal(blkq_create_uring(1, -1, &q), 0);
	assert_int_equal(do_io(q, slot_set(&s, dev, BLK_READ, 0, 10)), 0);
	assert_int_equal(do_io(q, slot_set(&s, dev, BLK_READ, 8, 4)), EIO);
	assert_int_equal(s.req.progress, 2);
	assert_int_equal(do_io(q, slot_set(&s, dev, BLK_READ, 10, 1)), EIO);
	assert_int_equal(do_io(q, slot_set(&s, dev, BLK_READ, 30, 1)), EIO);
	blkdev_stats(dev, &st);
	assert_int_equal(st.read_errors, 3);
	blkq_destroy(q);
	blkdev_close(dev);

	/* An error of the kernel's comes through as it is. */
	dev = device_of(open("/dev/null", O_WRONLY | O_CLOEXEC), 64);
	assert_int_equal(blkq_create_uring(1, -1, &q), 0);
	assert_int_equal(do_io(q, slot_set(&s, dev, BLK_READ, 0, 1)), EBADF);
	blkq_destroy(q);
	blkdev_close(dev);
	slot_free(&s);
}

#define SHORT_PAGES 200

static void *
trickle(void *arg)
{
	static char page[4096];
	struct rng r = {seed};
	unsigned i;
	size_t off;
	ssize_t n;

	for (i = 0; i < SHORT_PAGES; i++) {
		fill(page, i, 1);
		for (off = 0; off < sizeof(page); off += (size_t)n) {
			n = write(*(int *)arg, page + off, sizeof(page) - off);
			if (n < 0)
				abort();
		}
		if (rng_below(&r, 4) == 0)
			usleep(200);
	}
	return NULL;
}

/* A pipe gives what it has: many short reads make one whole one. */
static void
test_continued(void **state)
{
	static uint32_t version[SHORT_PAGES];
	static struct slot s;
	struct rng r = {seed};
	struct blkdev *dev;
	struct blkq *q;
	pthread_t t;
	unsigned i;
	int fd[2];

	(void)state;
	for (i = 0; i < SHORT_PAGES; i++)
		version[i] = 1;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	dev = device_of(fd[0], SHORT_PAGES);
	slot_init(&s);
	assert_int_equal(blkq_create_uring(1, -1, &q), 0);
	pthread_create(&t, NULL, trickle, &fd[1]);
	slot_set(&s, dev, BLK_READ, 0, SHORT_PAGES);
	slot_scatter(&s, &r);
	assert_int_equal(do_io(q, &s.req), 0);
	assert_int_equal(s.req.progress, SHORT_PAGES);
	walk(&s, version);
	pthread_join(t, NULL);
	blkq_destroy(q);
	blkdev_close(dev);
	close(fd[1]);
	slot_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_both),
	    cmocka_unit_test(test_guard),
	    cmocka_unit_test(test_sim_order),
	    cmocka_unit_test(test_sim_wait),
	    cmocka_unit_test(test_sim_faults),
	    cmocka_unit_test(test_timeout),
	    cmocka_unit_test(test_kick),
	    cmocka_unit_test(test_kick_storm),
	    cmocka_unit_test(test_watch),
	    cmocka_unit_test(test_awake),
	    cmocka_unit_test(test_cut_file),
	    cmocka_unit_test(test_continued),
	};

	seed = test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
