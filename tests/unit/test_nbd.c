/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd: swap space on a real server, nbdkit: what is written comes back, what
 * cannot be is an error of that request, and a server may go and come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "block/engine.h"

#include "../support/seed.h"

#define DEPTH 16
#define PAGES 4096 /* of an export: 16 MiB */
#define SEC   UINT64_C(1000000000)

static uint64_t seed;
static char dir[64], sock[96], image[96], uri[256];

/* ---- the server ---------------------------------------------------------- */

static pid_t server;

/* Runs nbdkit with arguments divided by spaces, and waits until it listens. */
static void
server_start(const char *args)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char copy[512], *argv[32] = {NULL}, *word;
	int n = 0, fd;

	unlink(sock);
	strf(copy, sizeof(copy), "nbdkit -f -U %s %s", sock, args);
	for (word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
		argv[n++] = word;
	server = fork();
	if (server == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	strf(sun.sun_path, sizeof(sun.sun_path), "%s", sock);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
			break;
		close(fd);
		assert_int_equal(waitpid(server, NULL, WNOHANG), 0);
		usleep(20000);
	}
	close(fd);
}

static void
server_kill(void)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

/* A server that keeps what it has when it is killed. */
static void
server_file(const char *filters)
{
	char args[512];

	strf(args, sizeof(args), "%s file %s", filters, image);
	server_start(args);
}

static void
image_make(uint32_t pages)
{
	int fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && ftruncate(fd, (off_t)ptoa(pages)) == 0);
	close(fd);
}

/* ---- requests ------------------------------------------------------------ */

struct slot {
	struct blkreq req;
	struct iovec iov[CLUSTER_MAX];
	char *mem;
};

static struct blkdev *dev;
static struct blkq *q;
static struct slot slots[DEPTH];
static uint32_t version[PAGES]; /* what a page of the export holds */

static int
dev_open(const char *options, char *err, size_t errlen)
{
	struct blkspec sp;
	char text[512];

	strf(text, sizeof(text), "%s%s", uri, options);
	if (blkspec_parse(text, &sp, err, errlen) != 0)
		fail_msg("%s: %s", text, err);
	return blkdev_open_nbd(&sp, &dev, err, errlen);
}

static void
open_all(const char *options)
{
	char err[512];

	if (dev_open(options, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_int_equal(blkq_create_uring(DEPTH, -1, &q), 0);
	memset(version, 0, sizeof(version));
}

static void
close_all(void)
{
	blkq_destroy(q);
	blkdev_close(dev);
}

static void
fill(char *page, uint32_t blk, uint32_t v)
{
	uint64_t *w = (uint64_t *)page;

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*w); i++)
		w[i] = v == 0 ? 0 : ((uint64_t)blk << 32 | v) + i * seed;
}

/* In random pieces, laid out in reverse. */
static void
start(struct slot *s, enum blk_op op, uint32_t blk, uint32_t n, struct rng *r)
{
	uint32_t left = n, k;
	char page[PAGE_SIZE];
	uint32_t at = blk;

	memset(&s->req, 0, sizeof(s->req));
	for (s->req.niov = 0; left > 0; s->req.niov++) {
		k = (uint32_t)(1 + rng_below(r, US_MIN(left, 9)));
		left -= k;
		s->iov[s->req.niov] =
		    (struct iovec){s->mem + ptoa(left), ptoa(k)};
		for (uint32_t i = 0; op == BLK_WRITE && i < k; i++, at++) {
			fill(page, at, ++version[at]);
			memcpy(s->mem + ptoa(left + i), page, PAGE_SIZE);
		}
	}
	if (op == BLK_READ)
		memset(s->mem, 0xdb, ptoa(n));
	s->req.op = op;
	s->req.dev = dev;
	s->req.blk.v = blk;
	s->req.npages = n;
	s->req.iov = s->iov;
	s->req.arg = s;
	blkq_submit(q, &s->req);
}

static struct slot *
reap(void)
{
	struct blkreq *req;

	while ((req = blkq_poll(q)) == NULL)
		blkq_wait(q, -1);
	blkq_check(q);
	return req->arg;
}

static void
verify(const struct slot *s)
{
	uint32_t at = s->req.blk.v;
	char page[PAGE_SIZE];

	for (int i = 0; i < s->req.niov; i++)
		for (size_t k = 0; k < s->iov[i].iov_len; k += PAGE_SIZE) {
			fill(page, at, version[at]);
			if (memcmp((char *)s->iov[i].iov_base + k, page,
				PAGE_SIZE) != 0)
				fail_msg("block %u differs", at);
			at++;
		}
}

/*
 * Random writes and reads at once; slot i uses its own part of the export, so
 * that what a read must bring is known.  Failed writes are repeated, as is
 * what must come back is unknown otherwise.  Returns how many failed.
 */
static unsigned
traffic(struct rng *r, unsigned count, int expect)
{
	unsigned started = 0, failed = 0;
	const uint32_t part = PAGES / DEPTH;

	for (unsigned i = 0; i < DEPTH; i++)
		start(&slots[i], BLK_WRITE, i * part, part, r);
	while (blkq_inflight(q) > 0) {
		struct slot *s = reap();
		uint32_t i = (uint32_t)(s - slots), n, at;
		bool again = false;

		if (s->req.error != 0) {
			assert_int_equal(s->req.error, expect);
			failed++;
			again = s->req.op == BLK_WRITE;
		} else if (s->req.op == BLK_READ) {
			verify(s);
		}
		if (again) {
			start(s, BLK_WRITE, s->req.blk.v, s->req.npages, r);
			continue;
		}
		if (started++ >= count)
			continue;
		n = (uint32_t)(1 + rng_below(r, part));
		at = i * part + (uint32_t)rng_below(r, part - n + 1);
		start(s, rng_below(r, 2) ? BLK_READ : BLK_WRITE, at, n, r);
	}
	return failed;
}

/* ---- tests --------------------------------------------------------------- */

static void
test_read_write(void **state)
{
	struct rng r = {seed};
	struct blkdev_stats st;

	(void)state;
	server_start("memory 16M");
	open_all("");
	assert_int_equal(blkdev_pages(dev), PAGES);
	assert_int_equal(traffic(&r, 500, 0), 0);
	blkdev_stats(dev, &st);
	assert_int_equal(st.inflight, 0);
	assert_int_equal(st.reconnects, 0);
	assert_true(st.reads > 100 && st.writes > 100);
	close_all();
	server_kill();
}

/* One queue carries requests for a file and for an export. */
static void
test_two_engines(void **state)
{
	struct blkspec sp = {.path = "temp", .size = ptoa(PAGES)};
	struct blkdev *nbd, *file;
	struct rng r = {seed};
	char err[256];

	(void)state;
	server_start("memory 16M");
	open_all("");
	nbd = dev;
	assert_int_equal(
	    blkdev_open_temp(&sp, NULL, &file, err, sizeof(err)), 0);
	for (uint32_t i = 0; i < 400; i++) {
		uint32_t on = i % DEPTH % 2 == 0 ? 0 : PAGES / 2;

		dev = on == 0 ? nbd : file;
		start(&slots[i % DEPTH], i / DEPTH % 2 ? BLK_READ : BLK_WRITE,
		    on + i % DEPTH * 100, 100, &r);
		if (i % DEPTH < DEPTH - 1)
			continue;
		for (int k = 0; k < DEPTH; k++) {
			struct slot *s = reap();

			assert_int_equal(s->req.error, 0);
			if (s->req.op == BLK_READ)
				verify(s);
		}
	}
	blkdev_close(file);
	dev = nbd;
	close_all();
	server_kill();
}

static void
test_errors(void **state)
{
	struct rng r = {seed};
	unsigned failed;

	(void)state;
	server_start("--filter=error memory 16M error=ENOSPC error-rate=3%");
	open_all("");
	failed = traffic(&r, 500, ENOSPC);
	assert_true(failed > 10 && failed < 5000);
	close_all();
	server_kill();
}

static void
test_delay(void **state)
{
	struct rng r = {seed};

	(void)state;
	server_start("--filter=delay memory 16M rdelay=50ms wdelay=20ms");
	open_all("");
	assert_int_equal(traffic(&r, 100, 0), 0);
	close_all();
	server_kill();
}

static void
test_block_sizes(void **state)
{
	struct rng r = {seed};
	char err[512];

	(void)state;
	server_start("--filter=blocksize-policy memory 16M "
		     "blocksize-minimum=512 blocksize-preferred=4096 "
		     "blocksize-maximum=65536 blocksize-error-policy=error");
	open_all("");
	assert_int_equal(traffic(&r, 200, 0), 0);
	close_all();
	server_kill();

	server_start("--filter=blocksize-policy memory 16M "
		     "blocksize-minimum=8192 blocksize-preferred=8192 "
		     "blocksize-maximum=65536 blocksize-error-policy=error");
	assert_int_equal(dev_open("", err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "8192"));
	server_kill();
}

static void
refused(const char *options, int error, const char *about)
{
	char err[512] = "";

	assert_int_equal(dev_open(options, err, sizeof(err)), -error);
	if (strstr(err, about) == NULL || strchr(err, '\n') != NULL)
		fail_msg("\"%s\" is not about \"%s\"", err, about);
}

static void
test_refused(void **state)
{
	struct blkdev *first;
	char err[512];

	(void)state;
	server_start("-r memory 16M");
	refused("", EROFS, "read-only");
	server_kill();
	server_start("memory 60K");
	refused("", EINVAL, "too small");
	server_kill();
	server_start("memory 16M");
	refused(",size=17M", EINVAL, "smaller size=");
	assert_int_equal(dev_open(",size=1M", err, sizeof(err)), 0);
	assert_int_equal(blkdev_pages(dev), 256);
	/* In use; and after its end not any more. */
	first = dev;
	refused("", EBUSY, "in use");
	blkdev_close(first);
	assert_int_equal(dev_open("", err, sizeof(err)), 0);
	blkdev_close(dev);
	server_kill();
	refused("", ECONNREFUSED, "server");
	unlink(sock);
	refused("", ENOENT, "server");
}

/* Nobody notices, but for the counter. */
static void
test_restart(void **state)
{
	const uint32_t part = PAGES / DEPTH;
	struct rng r = {seed};
	struct blkdev_stats st;

	(void)state;
	image_make(PAGES);
	server_file("--filter=delay --filter=noparallel");
	open_all("");
	for (int round = 0; round < 3; round++) {
		enum blk_op op = round == 2 ? BLK_READ : BLK_WRITE;

		for (unsigned i = 1; i < DEPTH; i++)
			start(&slots[i], op, i * part, part, &r);
		blkq_flush(q);
		usleep(round * 3000);
		server_kill();
		/* The others may be done; this one needs a new connection. */
		start(&slots[0], op, 0, part, &r);
		blkq_flush(q);
		usleep(700000);
		server_file("");
		while (blkq_inflight(q) > 0) {
			struct slot *s = reap();

			assert_int_equal(s->req.error, 0);
			if (s->req.op == BLK_READ)
				verify(s);
		}
	}
	assert_int_equal(traffic(&r, 200, 0), 0);
	blkdev_stats(dev, &st);
	assert_true(st.reconnects >= 3);
	assert_int_equal(st.read_errors + st.write_errors, 0);
	close_all();
	server_kill();
}

/* How long it takes until everything has failed, in ms. */
static uint64_t
all_fail(struct rng *r)
{
	uint64_t t = clock_now_ns(&clock_real);

	for (unsigned i = 0; i < DEPTH; i++)
		start(&slots[i], i % 2 ? BLK_READ : BLK_WRITE, i * CLUSTER_MAX,
		    CLUSTER_MAX, r);
	while (blkq_inflight(q) > 0)
		assert_int_equal(reap()->req.error, ETIMEDOUT);
	return (clock_now_ns(&clock_real) - t) / 1000000;
}

/* Errors after the deadline, at once from then on, and then all is well. */
static void
test_gone(void **state)
{
	struct rng r = {seed};
	uint64_t ms;

	(void)state;
	image_make(PAGES);
	server_file("");
	open_all(",timeout=2");
	assert_int_equal(traffic(&r, 20, 0), 0);
	assert_false(blkdev_gone(dev));
	server_kill();
	ms = all_fail(&r);
	assert_in_range(ms, 1500, 15000); /* on a busy machine */
	assert_true(blkdev_gone(dev));
	assert_in_range(all_fail(&r), 0, 1400);
	server_file("");
	for (int i = 0; i < 100 && blkdev_gone(dev); i++)
		usleep(50000);
	assert_false(blkdev_gone(dev));
	assert_int_equal(traffic(&r, 50, 0), 0);
	close_all();
	server_kill();
}

/* A server that keeps the connection and says nothing. */
static void
test_stopped(void **state)
{
	struct rng r = {seed};
	uint64_t ms;

	(void)state;
	image_make(PAGES);
	server_file("");
	open_all(",timeout=2");
	kill(server, SIGSTOP);
	ms = all_fail(&r);
	assert_in_range(ms, 1500, 15000);
	assert_true(blkdev_gone(dev));
	kill(server, SIGCONT);
	for (int i = 0; i < 300 && blkdev_gone(dev); i++)
		usleep(50000);
	assert_int_equal(traffic(&r, 50, 0), 0);
	close_all();
	server_kill();
}

static uint64_t
thousandfold(struct clock *c)
{
	(void)c;
	return clock_now_ns(&clock_real) * 1000;
}

/* A server that takes 300 s for each read, by the clock of the queue. */
static void
test_slow(void **state)
{
	struct clock fast = {thousandfold};
	struct rng r = {seed};
	struct blkdev_stats st;

	(void)state;
	server_start("--filter=delay memory 16M rdelay=300ms");
	open_all("");
	q->clock = &fast;
	start(&slots[0], BLK_READ, 0, 1, &r);
	while (blkq_poll(q) == NULL)
		blkq_wait(q, 1);
	assert_int_equal(slots[0].req.error, 0);
	blkdev_stats(dev, &st);
	assert_int_equal(st.slow, 1);
	close_all();
	server_kill();
}

/* With TLS; and nbd+unix: takes it from a server that demands it. */
static void
test_tls(void **state)
{
	struct rng r = {seed};
	char keys[96], args[256], plain[256];
	FILE *f;

	(void)state;
	strf(keys, sizeof(keys), "%s/keys", dir);
	f = fopen(keys, "w");
	assert_non_null(f);
	fputs("alice:0123456789abcdef0123456789abcdef\n", f);
	fclose(f);
	strf(args, sizeof(args), "--tls=require --tls-psk=%s memory 16M", keys);
	server_start(args);
	strf(plain, sizeof(plain), "%s", uri);
	for (int i = 0; i < 2; i++) {
		strf(uri, sizeof(uri), "%s://alice@/?socket=%s&tls-psk-file=%s",
		    i == 0 ? "nbds+unix" : "nbd+unix", sock, keys);
		open_all("");
		assert_int_equal(traffic(&r, 50, 0), 0);
		close_all();
	}
	strf(uri, sizeof(uri), "%s", plain);
	server_kill();
	unlink(keys);
}

/* The process between us and the server, found by its command line. */
static pid_t
helper_pid(void)
{
	char cmd[256];
	FILE *f;
	int pid = 0;

	strf(cmd, sizeof(cmd), "pgrep -f '^uswap-nbd .*%s'", sock);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	pclose(f);
	return pid;
}

static void
test_helper_killed(void **state)
{
	struct rng r = {seed};
	unsigned i;

	(void)state;
	server_start("--filter=delay memory 16M rdelay=300ms wdelay=300ms");
	open_all("");
	for (i = 0; i < DEPTH; i++)
		start(&slots[i], i % 2 ? BLK_READ : BLK_WRITE, i * CLUSTER_MAX,
		    CLUSTER_MAX, &r);
	blkq_flush(q);
	/* Not a child of ours: nothing to wait for, and no SIGCHLD. */
	kill(helper_pid(), SIGKILL);
	while (blkq_inflight(q) > 0)
		assert_int_equal(reap()->req.error, ENXIO);
	assert_true(blkdev_gone(dev));
	start(&slots[0], BLK_READ, 0, 1, &r);
	assert_int_equal(reap()->req.error, ENXIO);
	close_all();
	server_kill();
}

static int
setup(void **state)
{
	(void)state;
	strf(dir, sizeof(dir), "/tmp/uswap-nbd.XXXXXX");
	assert_non_null(mkdtemp(dir));
	strf(sock, sizeof(sock), "%s/sock", dir);
	strf(image, sizeof(image), "%s/image", dir);
	strf(uri, sizeof(uri), "nbd+unix:///?socket=%s", sock);
	for (int i = 0; i < DEPTH; i++) {
		slots[i].mem = mmap(NULL, ptoa(CLUSTER_MAX),
		    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(slots[i].mem != MAP_FAILED);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(sock);
	unlink(image);
	rmdir(dir);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read_write),
	    cmocka_unit_test(test_two_engines),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_delay),
	    cmocka_unit_test(test_block_sizes),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_gone),
	    cmocka_unit_test(test_stopped),
	    cmocka_unit_test(test_slow),
	    cmocka_unit_test(test_tls),
	    cmocka_unit_test(test_helper_killed),
	};

	if (system("nbdkit --version >/dev/null 2>&1") != 0)
		return 77;
	seed = test_seed();
	return cmocka_run_group_tests(tests, setup, teardown);
}
