/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_space: swap space that is full, missing, promised, refused by the file
 * system, or changed behind the pager's back.  No page is ever wrong.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "page/uffd.h"
#include "support/api.h"
#include "support/touch.h"

/* ---- full ---------------------------------------------------------------- */

static int real_stderr = -1;

/* What the pager says from now on goes into a file: it keeps its stderr. */
static void
listen_begin(void)
{
	int fd = open(path("said"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	real_stderr = dup(2);
	dup2(fd, 2);
	close(fd);
}

/* How often it said that. */
static unsigned
said(const char *what)
{
	static char text[65536];
	int fd = open(path("said"), O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	unsigned count = 0;

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

/* The teardown: cmocka says there what is wrong. */
static int
listen_end(void **state)
{
	(void)state;
	dup2(real_stderr, 2);
	close(real_stderr);
	return 0;
}

/*
 * Twice the budget, and no place for it: memory grows, which is said once, and
 * comes back when there is space.
 */
static void
full(const char *swap)
{
	const uint32_t n = 2 * BUDGET;
	struct uswap_stats st;
	char *p;

	listen_begin();
	opens(swap);
	p = region(n, 1);
	st = stats();
	assert_true(st.over_budget > 0 && st.ram_used > RAM);
	assert_true(st.ram_peak > RAM);
	assert_int_equal(said("grows beyond the budget"), 1);
	fails(uswap_pageout(u, p, n * PAGE), ENOSPC, "");
	check_pages(p, 0, n, 1);
	write_pages(p, 0, n, 2);
	works(uswap_swapon(u, path("more,size=64M")));
	until(st, st.ram_used <= RAM);
	check_pages(p, 0, n, 2);
	write_pages(p, 0, n, 3);
	assert_true(stats().ram_used <= RAM);
	check_pages(p, 0, n, 3);
	assert_int_equal(said("grows beyond the budget"), 1);
	unmap(p, n);
	closes();
	unlink(path("more"));
}

static void
test_full(void **state)
{
	(void)state;
	full("swap,size=4M");
}

static void
test_none(void **state)
{
	(void)state;
	full(NULL);
}

static void *
writer(void *p)
{
	write_pages(p, 0, 2 * BUDGET, 1);
	return NULL;
}

static void
opens_when_full(enum uswap_when_full what)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;

	opt.ram = RAM;
	opt.flags = api_flags;
	opt.when_full = what;
	works(uswap_open(&opt, &u));
	works(uswap_swapon(u, path("swap,size=4M")));
}

/* The writer waits within the budget, goes on when there is space, and ends. */
static void
test_stop(void **state)
{
	const uint32_t n = 2 * BUDGET;
	struct uswap_stats st, then;
	pthread_t thread;
	char *p;

	(void)state;
	listen_begin();
	opens_when_full(USWAP_FULL_STOP);
	p = region(n, 0);
	assert_int_equal(pthread_create(&thread, NULL, writer, p), 0);
	until(st, said("the program waits") == 1);
	then = stats();
	usleep(300000);
	st = stats();
	assert_int_equal(st.pages_zero, then.pages_zero);
	assert_true(st.waits_memory > 0);
	assert_int_equal(st.over_budget, 0);
	/* Room for some more, then for all. */
	works(uswap_swapon(u, path("more,size=2M")));
	until(st, st.pages_zero > then.pages_zero);
	works(uswap_swapon(u, path("rest,size=64M")));
	pthread_join(thread, NULL);
	check_pages(p, 0, n, 1);
	st = stats();
	assert_int_equal(st.over_budget, 0);
	assert_true(st.ram_peak <= RAM);
	unmap(p, n);
	closes();
	unlink(path("more"));
	unlink(path("rest"));
}

/* What others free lets the writer go on as well. */
static void
test_stop_freed(void **state)
{
	const uint32_t n = 2 * BUDGET;
	struct uswap_stats st;
	pthread_t thread;
	uint64_t zero;
	char *p, *q;

	(void)state;
	listen_begin();
	opens_when_full(USWAP_FULL_STOP);
	q = region(BUDGET / 2, 1);
	p = region(n, 0);
	assert_int_equal(pthread_create(&thread, NULL, writer, p), 0);
	until(st, said("the program waits") == 1);
	zero = st.pages_zero;
	unmap(q, BUDGET / 2);
	until(st, st.pages_zero > zero + BUDGET / 4);
	works(uswap_swapon(u, path("more,size=64M")));
	pthread_join(thread, NULL);
	check_pages(p, 0, n, 1);
	unmap(p, n);
	closes();
	unlink(path("more"));
}

static void
test_kill(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	listen_begin();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(30);
		opens_when_full(USWAP_FULL_KILL);
		writer(region(2 * BUDGET, 0));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(said("the program ends here"), 1);
	unlink(path("swap"));
}

/* ---- promised ------------------------------------------------------------ */

static uint64_t
used(void)
{
	return stats().swap_used / PAGE;
}

static void
test_reserve(void **state)
{
	char *p, *q;

	(void)state;
	opens("swap,size=4M"); /* 1022 blocks */
	/* All or nothing, whatever the pages are. */
	p = region(2000, 0);
	write_pages(p, 0, 100, 1);
	page_out(p, 0, 30);
	assert_int_equal(p[ptoa(150)], 0);
	fails(uswap_reserve(u, p, 2000 * PAGE), ENOSPC, "");
	assert_int_equal(used(), 30);
	works(uswap_reserve(u, p, 500 * PAGE));
	assert_int_equal(used(), 500);
	works(uswap_reserve(u, p, 500 * PAGE)); /* they have them */
	assert_int_equal(used(), 500);
	fails(uswap_reserve(u, p, 2000 * PAGE), ENOSPC, "");
	assert_int_equal(used(), 500);
	assert_int_equal(flags(p, 400), USWAP_SWAPPED);
	check_pages(p, 0, 100, 1);
	check_pages(p, 100, 500, 0);
	/* When others have taken all the rest, it still has its own. */
	q = region(1000, 7);
	fails(uswap_pageout(u, q, 1000 * PAGE), ENOSPC, "");
	assert_int_equal(used(), 1022);
	write_pages(p, 0, 500, 2);
	page_out(p, 0, 500);
	check_pages(p, 0, 500, 2);
	check_pages(q, 0, 1000, 7);
	unmap(q, 1000);
	assert_int_equal(used(), 500);
	/* It keeps them, also of pages that became zeros; until they go. */
	write_pages(p, 0, 500, 0);
	page_out(p, 0, 500);
	assert_int_equal(used(), 500);
	check_pages(p, 0, 500, 0);
	works(uswap_advise(u, p, 100 * PAGE, USWAP_DONTNEED));
	assert_int_equal(used(), 400);
	unmap(p, 2000);
	closes();
}

/* The range may be of several regions: nothing of any, then. */
static void
test_reserve_two(void **state)
{
	char *p = mmap(NULL, 1200 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	opens("swap,size=4M");
	works(uswap_manage(u, p, 600 * PAGE));
	works(uswap_manage(u, p + 600 * PAGE, 600 * PAGE));
	fails(uswap_reserve(u, p, 1200 * PAGE), ENOSPC, "");
	assert_int_equal(used(), 0);
	works(uswap_reserve(u, p + 100 * PAGE, 1000 * PAGE));
	assert_int_equal(used(), 1000);
	unmap(p, 1200);
	closes();
}

/* ---- refused ------------------------------------------------------------- */

/* Pages out while no file of this process can be written beyond so much. */
static int
pageout_limited(char *p, size_t n, size_t pages)
{
	struct rlimit old, limit;
	int got;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){pages * PAGE, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	got = uswap_pageout(u, p, n * PAGE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	return got;
}

/* Writes beyond the 32nd block fail: pages that find no other place stay. */
static void
test_write_errors(void **state)
{
	struct uswap_stats st;
	uint64_t total;
	char *p;

	(void)state;
	opens("swap,size=408K"); /* 102 pages */
	total = stats().swap_total;
	p = region(100, 1);
	fails(pageout_limited(p, 100, 96), ENOSPC, "");
	st = stats();
	assert_int_equal(st.blocks_bad, 6);
	assert_int_equal(st.swap_total, total - st.blocks_bad * PAGE);
	assert_int_equal(st.swap_used, 94 * PAGE);
	check_pages(p, 0, 100, 1);
	write_pages(p, 0, 100, 2);
	works(uswap_swapon(u, path("more,size=1M")));
	page_out(p, 0, 100);
	check_pages(p, 0, 100, 2);
	assert_int_equal(stats().read_errors, 0);
	unmap(p, 100);
	closes();
	unlink(path("more"));
}

/*
 * All writes fail: the device is away, with its space, and few of its blocks
 * are bad.  It is found to be back when it is.
 */
static void
test_all_writes_fail(void **state)
{
	struct uswap_device d;
	struct uswap_stats st;
	unsigned n = 1, tries = 0;
	char *p;

	(void)state;
	opens("swap,size=2M");
	p = region(100, 1);
	fails(pageout_limited(p, 100, 1), ENOSPC, "");
	st = stats();
	assert_int_equal(st.swap_total, 0);
	assert_int_equal(st.swap_used, 0);
	assert_true(st.write_errors >= 8 && st.blocks_bad <= 8);
	works(uswap_devices(u, &d, &n, sizeof(d)));
	assert_int_equal(d.flags, USWAP_DEVICE_AWAY);
	check_pages(p, 0, 100, 1);
	write_pages(p, 0, 100, 2);
	while (uswap_pageout(u, p, 100 * PAGE) != 0)
		assert_true(tries++ < 1000);
	st = stats();
	assert_int_equal(st.swap_total, (510 - st.blocks_bad) * PAGE);
	works(uswap_devices(u, &d, &n, sizeof(d)));
	assert_int_equal(d.flags, 0);
	check_pages(p, 0, 100, 2);
	assert_int_equal(stats().read_errors, 0);
	unmap(p, 100);
	closes();
}

/* ---- changed ------------------------------------------------------------- */

#define N      64
#define BLOCKS (2 + 2 * N) /* label, and two versions of the pages */

/* The swap file's pages, and what they were when it was `saved`. */
static char now[BLOCKS * 4096] __attribute__((aligned(8)));
static char saved[BLOCKS * 4096];

/* Each changes some of the blocks of `now`, from 2 on. */
static void
garbage(void)
{
	for (uint32_t i = 2; i < BLOCKS; i++)
		pattern(now + i * PAGE, i, 1000);
}

static void
zeros(void)
{
	memset(now + 2 * PAGE, 0, sizeof(now) - 2 * PAGE);
}

static void
one_bit(void)
{
	for (uint32_t i = 2; i < BLOCKS; i++)
		now[i * PAGE + i * 31 % 4096] ^= (char)(1 << i % 8);
}

static void
shifted(void)
{
	memmove(now + 3 * PAGE, now + 2 * PAGE, sizeof(now) - 3 * PAGE);
	memcpy(now + 2 * PAGE, now + 9 * PAGE, PAGE);
}

static void
older(void)
{
	memcpy(now, saved, sizeof(now));
}

static void
every_third(void)
{
	for (uint32_t i = 2; i < BLOCKS; i += 3)
		pattern(now + i * PAGE, i, 1000);
}

static void
swap_file(bool write)
{
	int fd = open(path("swap"), O_RDWR);
	ssize_t n;

	assert_true(fd >= 0);
	n = write ? pwrite(fd, now, sizeof(now), 0)
		  : pread(fd, now, sizeof(now), 0);
	assert_int_equal(n, sizeof(now));
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

/*
 * The third version of the pages lies where the first one did.  Returns how
 * many of them are lost after the change; none of the others is wrong.
 */
static char *
paged_out(void)
{
	char *p;

	opens("swap,size=520K");
	p = region(N, 1);
	page_out(p, 0, N);
	swap_file(false);
	memcpy(saved, now, sizeof(now));
	for (uint32_t version = 2; version <= 3; version++) {
		write_pages(p, 0, N, version);
		page_out(p, 0, N);
	}
	return p;
}

static uint32_t
lost(char *p)
{
	uint32_t count = 0;
	char c;

	for (uint32_t i = 0; i < N; i++) {
		int sig = touch(p + i * PAGE, false, &c);

		if (sig == 0) {
			assert_true(holds(p + i * PAGE, i, 3));
			continue;
		}
		assert_int_equal(sig, SIGBUS);
		becomes(p, i, USWAP_LOST);
		count++;
	}
	return count;
}

static bool
has_poison(void)
{
	uint64_t features = 0;
	char err[256];
	int fd = uffd_open(false, &features, err, sizeof(err));

	close(fd);
	return (features & UFFD_FEATURE_POISON) != 0;
}

static void
test_changed(void **state)
{
	static void (*const change[])(void) = {
	    garbage, zeros, one_bit, shifted, older};
	char *p, c = 'x';
	int fd[2];

	(void)state;
	for (unsigned i = 0; i < nitems(change); i++) {
		p = paged_out();
		swap_file(false);
		change[i]();
		swap_file(true);
		assert_int_equal(lost(p), N);
		assert_true(stats().read_errors >= N);
		/* It stays lost, for the kernel, too. */
		assert_int_equal(touch(p, true, &c), SIGBUS);
		assert_int_equal(pipe(fd), 0);
		assert_int_equal(write(fd[1], p, 1), -1);
		close(fd[0]);
		close(fd[1]);
		fails(uswap_wire(u, p, N * PAGE), EIO, "read");
		assert_int_equal(stats().pages_wired, 0);
		works(uswap_pageout(u, p, N * PAGE));
		/* Until it is given up. */
		works(uswap_advise(u, p, N * PAGE, USWAP_DONTNEED));
		if (has_poison()) {
			check_pages(p, 0, N, 0);
			write_pages(p, 0, N, 4);
			check_pages(p, 0, N, 4);
		}
		unmap(p, N);
		closes();
	}
}

/* What was not changed is right, beside what is lost. */
static void
test_changed_partly(void **state)
{
	uint32_t count;
	char *p;

	(void)state;
	p = paged_out();
	swap_file(false);
	every_third();
	swap_file(true);
	count = lost(p);
	assert_true(count >= N / 3 && count <= N / 3 + 1);
	unmap(p, N);
	closes();
}

static void
test_cut_off(void **state)
{
	char *p;

	(void)state;
	p = paged_out();
	assert_int_equal(truncate(path("swap"), 0), 0);
	assert_int_equal(lost(p), N);
	unmap(p, N);
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_full, listen_end),
	    cmocka_unit_test_teardown(test_stop, listen_end),
	    cmocka_unit_test_teardown(test_stop_freed, listen_end),
	    cmocka_unit_test_teardown(test_kill, listen_end),
	    cmocka_unit_test_teardown(test_none, listen_end),
	    cmocka_unit_test(test_reserve),
	    cmocka_unit_test(test_reserve_two),
	    cmocka_unit_test(test_write_errors),
	    cmocka_unit_test(test_all_writes_fail),
	    cmocka_unit_test(test_changed),
	    cmocka_unit_test(test_changed_partly),
	    cmocka_unit_test(test_cut_off),
	};

	api_begin();
	return api_end(api_run(tests));
}
