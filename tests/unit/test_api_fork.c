/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_fork: a child has all of the memory, or none of it; never a part.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/api.h"
#include "support/touch.h"

extern char **environ;

/* 0 when the child exited with 0. */
static int
child_result(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Every call on the dead context, and what it returns. */
static bool
all_dead(char *p)
{
	struct uswap_stats st;
	unsigned char vec[1];
	char text[64];
	void *ret;
	const int got[] = {uswap_swapon(u, "tmp,size=1M"),
	    uswap_map(u, PAGE, &ret), uswap_manage(u, p, PAGE),
	    uswap_forget(u, p, PAGE), uswap_unmap(u, p, PAGE),
	    uswap_remap(u, p, PAGE, PAGE, 0, NULL, &ret),
	    uswap_is_managed(u, p, PAGE),
	    uswap_advise(u, p, PAGE, USWAP_DONTNEED),
	    uswap_advise(u, p, PAGE, USWAP_WILLNEED), uswap_wire(u, p, PAGE),
	    uswap_unwire(u, p, PAGE), uswap_reserve(u, p, PAGE),
	    uswap_pageout(u, p, PAGE), uswap_residency(u, p, PAGE, vec),
	    uswap_stats(u, &st, sizeof(st)),
	    uswap_report(u, 1, text, sizeof(text)), uswap_close(u)};

	for (size_t i = 0; i < sizeof(got) / sizeof(got[0]); i++) {
		if (got[i] == -ESRCH)
			continue;
		fprintf(stderr, "call %zu returns %d\n", i, got[i]);
		return false;
	}
	return strstr(uswap_error(), "forked child") != NULL;
}

static bool
all_there(const char *p, uint32_t n, uint32_t version)
{
	for (uint32_t i = 0; i < n; i++)
		if (!holds(p + i * PAGE, i, version))
			return false;
	return true;
}

/* Before a page has left: an ordinary fork, any number of times. */
static void
test_before(void **state)
{
	const uint32_t n = 500;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(n + 100, 0);
	write_pages(p, 0, n, 1);
	for (int round = 0; round < 2; round++) {
		pid_t pid;

		works(uswap_fork_begin(u));
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			uswap_fork_end(u, 1);
			if (!all_there(p, n, 1) || p[n * PAGE] != 0)
				_exit(1);
			write_pages(p, 0, n, 9); /* its own */
			if (!all_dead(p) || !all_there(p, n, 9))
				_exit(2);
			/* Its own children are nothing special. */
			if (uswap_fork_begin(u) != 0)
				_exit(3);
			uswap_fork_end(u, 0);
			_exit(0);
		}
		uswap_fork_end(u, 0);
		assert_int_equal(child_result(pid), 0);
		check_pages(p, 0, n, 1);
	}
	/* The parent's pager goes on. */
	page_out(p, 0, n);
	check_pages(p, 0, n, 1);
	unmap(p, n + 100);
	closes();
}

/* A child that lives on does not keep its parent's pages from leaving. */
static void
test_alongside(void **state)
{
	const uint32_t n = 2 * BUDGET;
	pid_t pid;
	char *p, c;
	int fd[2];

	(void)state;
	opens("swap,size=64M");
	p = region(n, 0);
	write_pages(p, 0, 1000, 1);
	assert_int_equal(pipe(fd), 0);
	works(uswap_fork_begin(u));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uswap_fork_end(u, 1);
		close(fd[1]);
		(void)!read(fd[0], &c, 1);
		_exit(!all_there(p, 1000, 1));
	}
	uswap_fork_end(u, 0);
	close(fd[0]);
	write_pages(p, 0, n, 2);
	check_pages(p, 0, n, 2);
	assert_true(stats().ram_peak <= RAM);
	close(fd[1]);
	assert_int_equal(child_result(pid), 0);
	check_pages(p, 0, n, 2);
	unmap(p, n);
	closes();
}

/* Once a page has left: refused, and a child of a bare fork has nothing. */
static void
test_after(void **state)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};
	char *p, *q, c = 'x';
	pid_t pid;

	(void)state;
	opens("swap,size=64M");
	p = region(100, 1);
	page_out(p, 0, 1);
	for (int i = 0; i < 2; i++) /* nothing stays locked */
		fails(uswap_fork_begin(u), ENOMEM, "fork");
	q = region(10, 1); /* mapped since */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (uint32_t i = 0; i < 100; i++)
			if (touch(p + i * PAGE, false, &c) != SIGSEGV)
				_exit(1);
		_exit(touch(q, true, &c) != SIGSEGV);
	}
	assert_int_equal(child_result(pid), 0);
	pid = vfork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(child_result(pid), 0);
	assert_int_equal(
	    posix_spawnp(&pid, "true", NULL, NULL, argv, environ), 0);
	assert_int_equal(child_result(pid), 0);
	check_pages(p, 0, 100, 1);
	check_pages(q, 0, 10, 1);
	unmap(p, 100);
	unmap(q, 10);
	closes();
}

struct filler {
	pthread_t thread;
	char *at;
	_Atomic bool done;
};

static void *
filler_main(void *arg)
{
	struct filler *f = arg;

	write_pages(f->at, 0, 2 * BUDGET, 1);
	atomic_store(&f->done, true);
	return NULL;
}

/* Between begin and end no page leaves; who needs memory waits. */
static void
test_between(void **state)
{
	struct filler f = {.done = false};
	struct uswap_stats st;

	(void)state;
	opens("swap,size=64M");
	f.at = region(2 * BUDGET, 0);
	works(uswap_fork_begin(u));
	assert_int_equal(pthread_create(&f.thread, NULL, filler_main, &f), 0);
	until(st, st.ram_used > RAM - MIB);
	usleep(200000);
	st = stats();
	assert_false(atomic_load(&f.done));
	assert_int_equal(st.pages_out + st.pages_inactive + st.swap_used, 0);
	assert_true(st.ram_peak <= RAM);
	uswap_fork_end(u, 0);
	pthread_join(f.thread, NULL);
	check_pages(f.at, 0, 2 * BUDGET, 1);
	fails(uswap_fork_begin(u), ENOMEM, "fork");
	unmap(f.at, 2 * BUDGET);
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_before),
	    cmocka_unit_test(test_alongside),
	    cmocka_unit_test(test_after),
	    cmocka_unit_test(test_between),
	};

	api_begin();
	return api_end(api_run(tests));
}
