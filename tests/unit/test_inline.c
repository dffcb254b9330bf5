/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inline delivery: what the other tests of the public calls, which run with it,
 * too, do not see.  The signal, whose it is, and in what state of the program it
 * comes; the descriptors in the program's table; more threads than handlers.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/api.h"
#include "support/children.h"
#include "support/forbid.h"
#include "support/touch.h"

#define N 512 /* pages, all of them out */

/* ---- whose signal it is -------------------------------------------------- */

static siginfo_t seen;
static volatile sig_atomic_t times;
static sigset_t mask_seen;
static char *volatile managed; /* the handler touches it */

static void
on_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	seen = *info;
	times++;
	pthread_sigmask(SIG_SETMASK, NULL, &mask_seen);
	if (managed != NULL)
		assert_true(holds(managed, 0, 1));
	if (touching)
		siglongjmp(touch_back, sig);
}

/* A page of a file that has none. */
static char *
beyond(void)
{
	int fd = open(path("short"), O_RDWR | O_CREAT, 0600);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(fd >= 0 && p != MAP_FAILED);
	close(fd);
	return p;
}

static void
reads_beyond(char *p)
{
	int sig;

	memset(&seen, 0, sizeof(seen));
	times = 0;
	sig = sigsetjmp(touch_back, 1);
	if (sig == 0) {
		touching = 1;
		(void)*(volatile char *)(p + 77);
		fail_msg("there is a byte beyond the end");
	}
	touching = 0;
	assert_int_equal(sig, SIGBUS);
	assert_int_equal(times, 1);
	assert_int_equal(seen.si_code, BUS_ADRERR);
	assert_ptr_equal(seen.si_addr, p + 77);
}

static void
test_passed_on(void **state)
{
	struct sigaction mine = {.sa_sigaction = on_bus,
			     .sa_flags = SA_SIGINFO},
			 old;
	char *p, *file = beyond();

	(void)state;
	sigaddset(&mine.sa_mask, SIGUSR1);
	assert_int_equal(sigaction(SIGBUS, &mine, NULL), 0);
	opens("swap,size=16M");
	p = region(N, 1);
	/* The action of before, and one that is set meanwhile. */
	for (int i = 0; i < 2; i++) {
		page_out(p, 0, N);
		managed = p;
		reads_beyond(file);
		reads_beyond(file);
		managed = NULL;
		assert_int_equal(sigismember(&mask_seen, SIGUSR1), 1);
		assert_int_equal(sigismember(&mask_seen, SIGUSR2), 0);
		check_pages(p, 0, N, 1);
		works(uswap_sigaction(NULL, &old));
		assert_ptr_equal(old.sa_sigaction, on_bus);
		works(uswap_sigaction(&mine, &old));
		assert_ptr_equal(old.sa_sigaction, on_bus);
	}
	times = 0;
	assert_int_equal(raise(SIGBUS), 0);
	assert_int_equal(times, 1);
	assert_true(seen.si_code <= 0);
	mine = (struct sigaction){.sa_handler = SIG_IGN};
	works(uswap_sigaction(&mine, NULL));
	assert_int_equal(raise(SIGBUS), 0);
	unmap(p, N);
	closes();
	/* And back it is. */
	assert_int_equal(sigaction(SIGBUS, NULL, &old), 0);
	assert_ptr_equal(old.sa_handler, SIG_IGN);
	munmap(file, PAGE);
}

/* How a process ends that does something to a program with inline delivery. */
static int
ending(void (*something)(void), void (*handler)(int))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct sigaction a = {.sa_handler = handler};

		sigaction(SIGBUS, &a, NULL);
		opens(NULL);
		something();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void
reads_a_hole(void)
{
	(void)*(volatile char *)beyond();
}

static void
sends_one(void)
{
	(void)kill(getpid(), SIGBUS);
	usleep(100000);
}

static void
blocks_it(void)
{
	char *p = region(1, 0);
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	*p = 1;
}

static void
test_default(void **state)
{
	(void)state;
	assert_int_equal(ending(reads_a_hole, SIG_DFL), SIGBUS);
	assert_int_equal(ending(reads_a_hole, SIG_IGN), SIGBUS);
	assert_int_equal(ending(sends_one, SIG_DFL), SIGBUS);
	assert_int_equal(ending(sends_one, SIG_IGN), 0);
	assert_int_equal(ending(blocks_it, SIG_DFL), SIGBUS);
}

/* ---- the state of the program -------------------------------------------- */

static void
test_errno(void **state)
{
	char *p, c = 1;

	(void)state;
	opens("swap,size=16M");
	p = region(N, 1);
	page_out(p, 0, N);
	errno = 4711;
	c = *(volatile char *)p;
	(void)c;
	assert_int_equal(errno, 4711);
	unmap(p, N);
	closes();
}

/* A system call has EFAULT, until the page is there to stay. */
static void
test_system_calls(void **state)
{
	int fd[2];
	char *p;

	(void)state;
	opens("swap,size=16M");
	p = region(N, 1);
	assert_int_equal(pipe(fd), 0);
	page_out(p, 0, N);
	assert_int_equal(write(fd[1], p, PAGE), -1);
	assert_int_equal(errno, EFAULT);
	works(uswap_wire(u, p, PAGE));
	assert_int_equal(write(fd[1], p, PAGE), PAGE);
	works(uswap_unwire(u, p, PAGE));
	works(uswap_wire(u, p + PAGE, PAGE));
	assert_int_equal(read(fd[0], p + PAGE, PAGE), PAGE);
	works(uswap_unwire(u, p + PAGE, PAGE));
	assert_true(holds(p + PAGE, 0, 1));
	/* A page that was only read so far is one to write to, too. */
	works(uswap_advise(u, p, N * PAGE, USWAP_DONTNEED));
	assert_int_equal(p[0], 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(read(fd[0], p, 1), 1);
	assert_int_equal(p[0], 'x');
	close(fd[0]);
	close(fd[1]);
	unmap(p, N);
	closes();
}

static char *ticked;
static _Atomic unsigned ticks;

static void
on_tick(int sig)
{
	unsigned i = atomic_fetch_add(&ticks, 1) % N;

	(void)sig;
	if (!THREAD_SANITIZED && !holds(ticked + i * PAGE, i, 1))
		abort();
}

/* Handlers of the program's fault between and during its own faults. */
static void
test_signals(void **state)
{
	const struct itimerval often = {{0, 300}, {0, 300}}, never = {0};
	struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	char *p;

	(void)state;
	opens("swap,size=64M");
	ticked = p = region(2 * BUDGET, 1);
	sigaction(SIGALRM, &tick, NULL);
	atomic_store(&ticks, 0);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int round = 0; round < 50 && atomic_load(&ticks) < 300; round++)
		check_pages(p, 0, 2 * BUDGET, 1);
	setitimer(ITIMER_REAL, &never, NULL);
	assert_true(atomic_load(&ticks) >= 100);
	unmap(p, 2 * BUDGET);
	closes();
}

static void *
reader(void *p)
{
	for (uint32_t i = 0;; i = (i + 4099) % (2 * BUDGET)) {
		(void)*(volatile char *)((char *)p + i * PAGE);
		pthread_testcancel();
	}
	return NULL;
}

/* Waiting for a page is no point at which a thread ends. */
static void
test_cancel(void **state)
{
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(2 * BUDGET, 1);
	for (int i = 0; i < 40; i++) {
		pthread_t t[4];

		for (int k = 0; k < 4; k++)
			assert_int_equal(
			    pthread_create(&t[k], NULL, reader, p), 0);
		usleep(2000);
		for (int k = 0; k < 4; k++) {
			pthread_cancel(t[k]);
			pthread_join(t[k], NULL);
		}
	}
	check_pages(p, 0, 2 * BUDGET, 1);
	unmap(p, 2 * BUDGET);
	closes();
}

/* ---- threads and stacks -------------------------------------------------- */

static pthread_barrier_t all_there;

static void *
together(void *arg)
{
	char *p = arg, *wrong = NULL;

	for (int round = 0; round < 4; round++) {
		pthread_barrier_wait(&all_there);
		if (!holds(p, (uint32_t)((uintptr_t)(p - managed) / PAGE), 1))
			wrong = p;
		pthread_barrier_wait(&all_there);
	}
	return wrong;
}

/* More threads fault at once than there are handlers for. */
static void
test_many(void **state)
{
	enum { MANY = 100 };
	pthread_t t[MANY];
	char *p;

	(void)state;
	opens("swap,size=64M");
	managed = p = region(MANY, 1);
	pthread_barrier_init(&all_there, NULL, MANY + 1);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(
		    pthread_create(&t[i], NULL, together, p + (size_t)i * PAGE),
		    0);
	for (int round = 0; round < 4; round++) {
		page_out(p, 0, MANY);
		pthread_barrier_wait(&all_there);
		pthread_barrier_wait(&all_there); /* all have read */
	}
	for (int i = 0; i < MANY; i++) {
		void *wrong;

		pthread_join(t[i], &wrong);
		assert_null(wrong);
	}
	managed = NULL;
	unmap(p, MANY);
	closes();
}

#define STACK (SANITIZED ? 2 * MIB : MIB / 4)

/* Faults of every kind, from a stack of which nothing else is used. */
static void *
faults(void *arg)
{
	char *p = arg;

	for (uint32_t i = 0; i < 2 * BUDGET; i++)
		pattern(p + i * PAGE, i, 1); /* zeros, and memory is short */
	for (uint32_t i = 0; i < 2 * BUDGET; i++)
		(void)*(volatile char *)(p + i * PAGE); /* in order */
	for (uint32_t i = 0; i < 3000; i++)
		(void)*(volatile char *)(p + i * 4099 % (2 * BUDGET) * PAGE);
	return NULL;
}

/* What uswap.h says that a fault uses of the thread's stack. */
static void
test_stack(void **state)
{
	const size_t said = 16 * 1024;
	char *p, *stack;
	pthread_attr_t attr;
	pthread_t t;
	size_t used = STACK;

	(void)state;
	opens("swap,size=64M");
	p = region(2 * BUDGET, 0);
	stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(stack, 0xa5, STACK);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK);
	assert_int_equal(pthread_create(&t, &attr, faults, p), 0);
	pthread_join(t, NULL);
	while (used > 0 && stack[STACK - used] == (char)0xa5)
		used--;
	print_message("%zu bytes of stack\n", used);
	/* Sanitizers have frames of their own making; the thread's own start
	 * takes some, too. */
	assert_true(SANITIZED || used <= said);
	munmap(stack, STACK);
	unmap(p, 2 * BUDGET);
	closes();
}

/* ---- descriptors --------------------------------------------------------- */

/* Does something to each open descriptor from 3 on; how many there are. */
static int
each_fd(void (*something)(int fd))
{
	int count = 0;

	for (int fd = 3; fd < 2000; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		count++;
		if (something != NULL)
			something(fd);
	}
	return count;
}

/* What there is instead of what is not the program's, -1: nothing. */
static int other;

static void
be_other(int fd)
{
	if (other < 0)
		close(fd);
	else if (fd >= 900)
		dup2(other, fd);
}

/* What may be there: among them a pipe with bytes, and one where who reads waits. */
static int others[6], count_fd, full[2], empty[2];

static void
open_others(void)
{
	char bytes[PAGE];

	count_fd = eventfd(5, 0);
	assert_int_equal(pipe(empty), 0);
	assert_int_equal(pipe2(full, O_NONBLOCK), 0);
	memset(bytes, 'x', sizeof(bytes));
	for (int i = 0; i < 16; i++)
		assert_int_equal(write(full[1], bytes, PAGE), PAGE);
	others[0] = open("/dev/null", O_RDWR);
	others[1] = open("/dev/zero", O_RDWR);
	others[2] = count_fd;
	others[3] = full[0];
	others[4] = empty[0];
	others[5] = -1;
}

/* Nothing was taken from them. */
static void
check_others(void)
{
	uint64_t count;
	int n;

	assert_int_equal(read(count_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 5);
	assert_int_equal(ioctl(full[0], FIONREAD, &n), 0);
	assert_int_equal(n, 16 * PAGE);
}

/* The program closes what is not its own, or puts other files there. */
static void
test_descriptors(void **state)
{
	int before = each_fd(NULL);
	char *p;

	(void)state;
	opens("swap,size=16M");
	p = region(N, 1);
	page_out(p, 0, N);
	check_pages(p, 0, N, 1);
	assert_in_range(each_fd(NULL) - before, 1, 2);
	open_others();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		other = others[i];
		if (other < 0)
			check_others();
		for (uint32_t version = 1; version < 4; version++) {
			write_pages(p, 0, N, version);
			page_out(p, 0, N);
			each_fd(be_other);
			check_pages(p, 0, N, version);
			each_fd(be_other);
			works(uswap_advise(u, p, PAGE, USWAP_DONTNEED));
			assert_int_equal(p[0], 0);
		}
	}
	assert_int_equal(stats().pages_wired, 0);
	unmap(p, N);
	closes();
}

/* No number is left in the program's table, and a window is refused in its middle. */
static void
test_no_number(void **state)
{
	struct rlimit had, none;
	char *p;

	(void)state;
	if (syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0) != 0)
		skip();
	opens("swap,size=16M");
	p = region(N, 0);
	for (uint32_t i = 40; i < N; i += 40)
		assert_int_equal(mprotect(p + i * PAGE, PAGE, PROT_NONE), 0);
	p[0] = 1; /* it has the number now that it will use */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	none = (struct rlimit){3, had.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (uint32_t i = 1; i < N; i++)
		if (i % 40 != 0)
			p[i * PAGE] = 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	page_out(p, 0, N / 2);
	for (uint32_t i = 0; i < N; i++)
		if (i == 0 || i % 40 != 0)
			assert_int_equal(p[i * PAGE], 1);
	unmap(p, N);
	closes();
}

/* None stays open, and no device is held by one. */
static void
test_none_left(void **state)
{
	int before = each_fd(NULL);
	char *p;

	(void)state;
	for (int i = 0; i < 3; i++) {
		opens("swap,size=16M");
		p = region(N, 1);
		page_out(p, 0, N);
		check_pages(p, 0, N, 1);
		works(uswap_swapon(u, path("other,size=16M")));
		works(uswap_swapoff(u, path("swap"), 0));
		check_pages(p, 0, N, 1);
		works(uswap_swapon(u, path("swap")));
		unmap(p, N);
		closes();
		(void)unlink(path("other"));
		assert_int_equal(each_fd(NULL), before);
	}
}

/* ---- waiting for the disk ------------------------------------------------ */

/* How many contexts of asynchronous I/O are mapped. */
static int
aio_rings(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, "[aio]") != NULL;
	fclose(f);
	return n;
}

/* Returns 0 when the rings are as they should be, with pages that are right. */
static int
reads_again(char *p, int rings, uint32_t version)
{
	page_out(p, 0, N);
	check_pages(p, 0, N, version);
	return aio_rings() == rings ? 0 : 1;
}

/* A forked child has none of its parent's, and makes its own. */
static void
test_rings(void **state)
{
	char *p;
	pid_t pid;

	(void)state;
	assert_int_equal(aio_rings(), 0);
	opens("swap,size=16M");
	p = region(N, 1);
	assert_int_equal(reads_again(p, 1, 1), 0);
	pid = child();
	if (pid == 0) {
		if (aio_rings() != 0)
			_exit(2);
		write_pages(p, 0, N, 2);
		_exit(reads_again(p, 1, 2));
	}
	ends_well(pid);
	assert_int_equal(reads_again(p, 1, 1), 0);
	unmap(p, N);
	closes();
	assert_int_equal(aio_rings(), 0);
}

/* A system that has none, a program that has had enough of them. */
static void
test_no_rings(void **state)
{
	static const struct {
		long call;
		int error, rings;
		bool late;
	} without[] = {
	    {SYS_io_setup, ENOSYS, 0, false},
	    {SYS_io_setup, EAGAIN, 0, false},
	    {SYS_io_submit, EPERM, 1, true},
	    {SYS_io_submit, EAGAIN, 1, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		int result;
		pid_t pid = fork();
		char *p;

		assert_true(pid >= 0);
		if (pid > 0) {
			ends_well(pid);
			continue;
		}
		if (!without[i].late &&
		    forbid(without[i].call, without[i].error) != 0)
			_exit(2);
		opens("swap,size=16M");
		p = region(N, 1);
		if (without[i].late &&
		    (reads_again(p, 1, 1) != 0 ||
			forbid(without[i].call, without[i].error) != 0))
			_exit(3);
		write_pages(p, 0, N, 2);
		result = reads_again(p, without[i].rings, 2);
		unmap(p, N);
		closes();
		_exit(result);
	}
}

/* ---- contexts ------------------------------------------------------------ */

static void
test_contexts(void **state)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;
	uswap_t *more[8];
	void *p[8];

	(void)state;
	opt.ram = RAM;
	opt.flags = USWAP_FAULT_INLINE;
	for (int i = 0; i < 8; i++) {
		works(uswap_open(&opt, &more[i]));
		works(uswap_map(more[i], N * PAGE, &p[i]));
	}
	fails(uswap_open(&opt, &u), EAGAIN, "inline");
	for (int i = 0; i < 8; i++)
		write_pages(p[i], 0, N, (uint32_t)i + 1);
	for (int i = 0; i < 8; i++) {
		check_pages(p[i], 0, N, (uint32_t)i + 1);
		works(uswap_unmap(more[i], p[i], N * PAGE));
		works(uswap_close(more[i]));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_passed_on),
	    cmocka_unit_test(test_default),
	    cmocka_unit_test(test_errno),
	    cmocka_unit_test(test_system_calls),
	    cmocka_unit_test(test_signals),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_stack),
	    cmocka_unit_test(test_descriptors),
	    cmocka_unit_test(test_no_number),
	    cmocka_unit_test(test_none_left),
	    cmocka_unit_test(test_contexts),
	};
	/* TSan ends a forked child that makes threads. */
	const struct CMUnitTest forking[] = {
	    cmocka_unit_test(test_rings),
	    cmocka_unit_test(test_no_rings),
	};
	int failed;

	api_flags = USWAP_FAULT_INLINE;
	api_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (!THREAD_SANITIZED)
		failed += cmocka_run_group_tests(forking, NULL, NULL);
	return api_end(failed);
}
