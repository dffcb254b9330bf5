/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pinned DIRECTORY SECONDS: transfers in memory that is paged meanwhile: buffers
 * registered with io_uring, O_DIRECT, vmsplice, another process.  What was
 * transferred is compared with what should have been, in memory and in the file.
 * Run it in 16M.
 *
 * pinned DIRECTORY more: registers more memory than that, and lets go of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "support/seed.h"

#define PAGE    ((size_t)4096)
#define NBUF    4
#define LEN     (32 * PAGE) /* of a buffer */
#define BALLAST ((size_t)24 << 20)

#define MUST(e)                                                                \
	do {                                                                   \
		if (!(e)) {                                                    \
			fprintf(stderr, "pinned.c:%d: %s: %s\n", __LINE__, #e, \
			    strerror(errno));                                  \
			_exit(1);                                              \
		}                                                              \
	} while (0)

static struct rng rng;
static char *buf[NBUF], *other; /* other is registered with nobody */
static char far[LEN] __attribute__((aligned(4096))); /* is never paged out */
static int file; /* O_DIRECT */
static struct io_uring ring;

static void
fill(char *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len / 8; i++)
		((uint64_t *)p)[i] = seed + i * 0x9e3779b97f4a7c15u;
}

static void
check(const char *p, size_t len, uint64_t seed, const char *what)
{
	for (size_t i = 0; i < len / 8; i++) {
		uint64_t want = seed + i * 0x9e3779b97f4a7c15u;

		if (((const uint64_t *)p)[i] == want)
			continue;
		fprintf(stderr, "pinned: %s: word %zu is %#lx, not %#lx\n",
		    what, i, (long)((const uint64_t *)p)[i], (long)want);
		_exit(1);
	}
}

/* By whom it pleases: what can leave is out. */
static void
out(void)
{
	if (rng_below(&rng, 2))
		for (int i = 0; i < NBUF; i++)
			madvise(buf[i], LEN, MADV_PAGEOUT);
	if (rng_below(&rng, 2))
		madvise(other, LEN, MADV_PAGEOUT);
	if (rng_below(&rng, 4) == 0)
		usleep(2000);
}

/* ---- io_uring ------------------------------------------------------------ */

static void
register_buffers(void)
{
	struct iovec v[NBUF];

	for (int i = 0; i < NBUF; i++)
		v[i] = (struct iovec){buf[i], LEN};
	MUST(io_uring_register_buffers(&ring, v, NBUF) == 0);
}

static int
transfer(bool write, int i, uint64_t off)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_cqe *cqe;
	int res;

	if (write)
		io_uring_prep_write_fixed(sqe, file, buf[i], LEN, off, i);
	else
		io_uring_prep_read_fixed(sqe, file, buf[i], LEN, off, i);
	MUST(io_uring_submit(&ring) == 1);
	out(); /* while it is on its way */
	while ((res = io_uring_wait_cqe(&ring, &cqe)) == -EINTR)
		;
	MUST(res == 0);
	res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return res;
}

static void
fixed_buffer(void)
{
	int i = (int)rng_below(&rng, NBUF);
	uint64_t seed = rng_next(&rng);
	uint64_t off = (uint64_t)i * LEN;

	/* What the program writes is what the device is given, */
	fill(buf[i], LEN, seed);
	out();
	MUST(transfer(true, i, off) == (int)LEN);
	MUST(pread(file, far, LEN, (off_t)off) == (ssize_t)LEN);
	check(far, LEN, seed, "written from a registered buffer");
	check(buf[i], LEN, seed, "after that, in it");
	/* and the other way round. */
	fill(far, LEN, ++seed);
	MUST(pwrite(file, far, LEN, (off_t)off) == (ssize_t)LEN);
	out();
	MUST(transfer(false, i, off) == (int)LEN);
	out();
	check(buf[i], LEN, seed, "read into a registered buffer");
	out();
	check(buf[i], LEN, seed, "and after it could leave");
}

/* Both hold bytes: what was let go has to be found again. */
static void
register_again(void)
{
	uint64_t seed = rng_next(&rng);

	for (int i = 0; i < NBUF; i++)
		fill(buf[i], LEN, seed + (uint64_t)i);
	MUST(io_uring_unregister_buffers(&ring) == 0);
	out();
	if (rng_below(&rng, 2))
		check(buf[0], LEN, seed, "unregistered");
	out();
	register_buffers();
	out();
	for (int i = 0; i < NBUF; i++)
		check(buf[i], LEN, seed + (uint64_t)i, "registered again");
}

/* ---- O_DIRECT, pipes, another process ------------------------------------ */

static void
direct(void)
{
	off_t off = (off_t)(NBUF * LEN);
	uint64_t seed = rng_next(&rng);

	fill(other, LEN, seed);
	out();
	MUST(pwrite(file, other, LEN, off) == (ssize_t)LEN);
	MUST(pread(file, far, LEN, off) == (ssize_t)LEN);
	check(far, LEN, seed, "O_DIRECT write");
	fill(far, LEN, ++seed);
	MUST(pwrite(file, far, LEN, off) == (ssize_t)LEN);
	out();
	MUST(pread(file, other, LEN, off) == (ssize_t)LEN);
	out();
	check(other, LEN, seed, "O_DIRECT read");
}

/* The pipe has the pages; they leave memory before anybody reads it. */
static void
spliced(void)
{
	unsigned gift = rng_below(&rng, 2) ? SPLICE_F_GIFT : 0;
	struct iovec v = {other, LEN};
	uint64_t seed = rng_next(&rng);
	size_t got = 0;
	int fd[2];

	MUST(pipe(fd) == 0 && fcntl(fd[1], F_SETPIPE_SZ, 4 * LEN) > 0);
	fill(other, LEN, seed);
	out();
	MUST(vmsplice(fd[1], &v, 1, gift) == (ssize_t)LEN);
	madvise(other, LEN, MADV_PAGEOUT);
	usleep(1000);
	if (rng_below(&rng, 2))
		check(other, LEN, seed, "spliced, in memory");
	out();
	while (got < LEN) {
		ssize_t n = read(fd[0], far + got, LEN - got);

		MUST(n > 0);
		got += (size_t)n;
	}
	check(far, LEN, seed, "spliced, out of the pipe");
	close(fd[0]);
	close(fd[1]);
	out();
	check(other, LEN, seed, "spliced, in the end");
}

/* Made before there is a pager: compares and writes when told. */
static int helper;

static void
start_helper(void)
{
	int fd[2];
	pid_t pid;
	uint64_t ask[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	pid = fork();
	MUST(pid >= 0);
	if (pid > 0) {
		prctl(PR_SET_PTRACER, pid, 0, 0, 0);
		close(fd[1]);
		helper = fd[0];
		return;
	}
	close(fd[0]);
	while (read(fd[1], ask, sizeof(ask)) == sizeof(ask)) {
		struct iovec to = {far, LEN}, from = {(void *)ask[1], LEN};

		MUST(process_vm_readv(getppid(), &to, 1, &from, 1, 0) ==
		     (ssize_t)LEN);
		check(far, LEN, ask[0], "seen from another process");
		fill(far, LEN, ask[0] + 1);
		MUST(process_vm_writev(getppid(), &to, 1, &from, 1, 0) ==
		     (ssize_t)LEN);
		MUST(write(fd[1], "", 1) == 1);
	}
	_exit(0);
}

static void
outside(void)
{
	char *p = rng_below(&rng, 2) ? other : buf[1], done;
	uint64_t ask[2] = {rng_next(&rng), (uint64_t)(uintptr_t)p};

	fill(p, LEN, ask[0]);
	out();
	MUST(write(helper, ask, sizeof(ask)) == sizeof(ask));
	out();
	MUST(read(helper, &done, 1) == 1);
	out();
	check(p, LEN, ask[0] + 1, "written by another process");
}

/* ---- what makes memory scarce -------------------------------------------- */

static _Atomic bool stop;

static void *
press(void *arg)
{
	uint64_t *words = arg;
	struct rng r = {1};

	while (!atomic_load(&stop)) {
		size_t i = rng_below(&r, BALLAST / PAGE) * PAGE / 8;

		MUST(words[i] == 0 || words[i] == i);
		words[i] = i;
		if (rng_below(&r, 64) == 0)
			usleep(100);
	}
	return NULL;
}

static char *
map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* Nothing can leave then; the budget is kept again when it is let go of. */
static void
more_than_the_budget(void)
{
	const size_t len = (size_t)24 << 20;
	char *p = map(len), *q = map(len);
	struct iovec v = {p, len};

	fill(p, len, 1);
	MUST(io_uring_queue_init(8, &ring, 0) == 0);
	MUST(io_uring_register_buffers(&ring, &v, 1) == 0);
	check(p, len, 1, "registered");
	fill(p, len, 2);
	fill(q, len, 3);
	check(p, len, 2, "while more is mapped");
	MUST(io_uring_unregister_buffers(&ring) == 0);
	check(q, len, 3, "afterwards, beside it");
	check(p, len, 2, "afterwards");
}

int
main(int argc, char **argv)
{
	static void (*const kinds[])(void) = {fixed_buffer, fixed_buffer,
	    fixed_buffer, register_again, direct, spliced, outside};
	time_t end;
	pthread_t thread;
	void *ballast;
	char path[4096];
	long n;

	MUST(argc > 2);
	if (strcmp(argv[2], "more") == 0) {
		more_than_the_budget();
		return 0;
	}
	rng.s = test_seed();
	end = time(NULL) + atoi(argv[2]);
	start_helper();
	snprintf(path, sizeof(path), "%s/pinned", argv[1]);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	MUST(file >= 0 && unlink(path) == 0);
	MUST(ftruncate(file, (NBUF + 1) * LEN) == 0);
	for (int i = 0; i < NBUF; i++)
		buf[i] = map(LEN);
	other = map(LEN);
	ballast = map(BALLAST);
	memset(ballast, 0, BALLAST);
	MUST(pthread_create(&thread, NULL, press, ballast) == 0);
	MUST(io_uring_queue_init(8, &ring, 0) == 0);
	register_buffers();
	for (n = 0; time(NULL) < end; n++)
		kinds[rng_below(&rng, sizeof(kinds) / sizeof(kinds[0]))]();
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("%ld transfers of %zu bytes and what became of them\n", n, LEN);
	return 0;
}
