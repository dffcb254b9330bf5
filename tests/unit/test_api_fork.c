/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_fork: a child has all of its parent's memory and a pager of its own; each
 * block is freed when both have done with it, whoever ends first, and how.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/api.h"
#include "support/children.h"
#include "support/seed.h"
#include "support/things.h"
#include "support/touch.h"

extern char **environ;

#if defined(__SANITIZE_ADDRESS__)
/*
 * The address sanitizer's allocator does not know of forks: what another thread has
 * locked in it stays locked in the child.  Without its quarantine it locks seldom.
 */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=0:thread_local_quarantine_size_kb=0";
}
#endif

/* ---- children ------------------------------------------------------------ */

/* A pipe: who reads from it waits until the other end is closed. */
struct gate {
	int fd[2];
};

static void
gate_init(struct gate *g)
{
	assert_int_equal(pipe(g->fd), 0);
}

/* In a child. */
static void
gate_wait(struct gate *g)
{
	char c;

	close(g->fd[1]);
	(void)!read(g->fd[0], &c, 1);
}

static void
gate_open(struct gate *g)
{
	close(g->fd[1]);
	close(g->fd[0]);
}

/* For children: no cmocka. */
static bool
all_there(const char *p, uint32_t first, uint32_t end, uint32_t version)
{
	for (uint32_t i = first; i < end; i++)
		if (!holds(p + i * PAGE, i, version)) {
			fprintf(stderr, "%d: page %u is not of version %u\n",
			    (int)getpid(), i, version);
			return false;
		}
	return true;
}

static bool
goes_out(char *p, uint32_t n)
{
	return uswap_pageout(u, p, n * PAGE) == 0;
}

/* Children and what they hold are gone. */
static void
no_children_of(size_t ram)
{
	struct uswap_stats st;

	until(st, st.children == 0);
	assert_int_equal(st.swap_held, 0);
	assert_int_equal(st.ram_budget, ram);
}

static void
no_children(void)
{
	no_children_of(RAM);
}

/* ---- one child ----------------------------------------------------------- */

/* Before a page has left: it has a pager all the same. */
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
		pid_t pid = child();

		if (pid == 0) {
			if (!all_there(p, 0, n, 1) || p[n * PAGE] != 0)
				_exit(1);
			write_pages(p, 0, n, 9); /* its own */
			if (!goes_out(p, n) || !all_there(p, 0, n, 9))
				_exit(2);
			_exit(stats().pages_out < n);
		}
		ends_well(pid);
		check_pages(p, 0, n, 1);
	}
	/* The parent's pager goes on. */
	page_out(p, 0, n);
	check_pages(p, 0, n, 1);
	no_children();
	unmap(p, n + 100);
	closes();
}

/* For children: the parent's device and its own. */
static bool
all_encrypted(void)
{
	struct uswap_device d[USWAP_DEVICES_MAX];
	unsigned n = USWAP_DEVICES_MAX, own = 0;

	if (uswap_devices(u, d, &n, sizeof(d[0])) != 0 || n != 2)
		return false;
	for (unsigned i = 0; i < n; i++) {
		if ((d[i].flags & USWAP_DEVICE_CRYPT) == 0)
			return false;
		own += (d[i].flags & USWAP_DEVICE_INHERITED) == 0;
	}
	return own == 1;
}

/* All of it in swap space, in frames, in memory, read as zeros, never touched. */
static void
whole(const char *swap)
{
	const uint32_t n = BUDGET + 1000;
	char *p, *zeros;
	pid_t pid;

	opens(swap);
	p = region(n, 1);
	zeros = region(200, 0);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(zeros[i * PAGE], 0);
	page_out(p, 0, 500);
	pid = child();
	if (pid == 0) {
		if (!all_there(p, 0, n, 1))
			_exit(1);
		for (uint32_t i = 0; i < 200; i++)
			if (zeros[i * PAGE] != 0)
				_exit(2);
		write_pages(p, 0, n, 2);
		write_pages(zeros, 0, 200, 2);
		if (strstr(swap, "crypt") != NULL && !all_encrypted())
			_exit(4);
		if (!all_there(p, 0, n, 2) || !all_there(zeros, 0, 200, 2))
			_exit(3);
		_exit(uswap_unmap(u, p, n * PAGE) != 0 ||
		      uswap_unmap(u, zeros, 200 * PAGE) != 0 ||
		      stats().swap_used != 0 || uswap_close(u) != 0);
	}
	write_pages(p, 0, n, 3);
	check_pages(p, 0, n, 3);
	ends_well(pid);
	check_pages(p, 0, n, 3);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(zeros[i * PAGE], 0);
	no_children();
	unmap(p, n);
	unmap(zeros, 200);
	closes();
}

static void
test_whole(void **state)
{
	(void)state;
	whole("swap,size=64M");
}

/* The child has the key, and what it writes is encrypted, too. */
static void
test_encrypted(void **state)
{
	(void)state;
	whole("swap,size=64M,crypt");
}

/*
 * What the child may read is not given out again, however much the parent writes;
 * it is when the child has been killed.
 */
static void
test_blocks(void **state)
{
	const uint32_t n = 1000;
	struct uswap_stats st;
	struct gate g;
	pid_t pid;
	char *p;

	(void)state;
	opens("swap,size=16M");
	p = region(n, 1);
	page_out(p, 0, n);
	gate_init(&g);
	pid = child();
	if (pid == 0) {
		gate_wait(&g);
		_exit(!all_there(p, 0, n, 1));
	}
	st = stats();
	assert_int_equal(st.children, 1);
	assert_int_equal(st.swap_held, n * PAGE);
	for (uint32_t version = 2; version < 6; version++) {
		write_pages(p, 0, n, version);
		page_out(p, 0, n);
		assert_int_equal(stats().swap_used, 2 * n * PAGE);
	}
	gate_open(&g);
	ends_well(pid);
	until(st, st.swap_used == n * PAGE);
	gate_init(&g);
	pid = child();
	if (pid == 0) {
		gate_wait(&g);
		_exit(0);
	}
	write_pages(p, 0, n, 7);
	page_out(p, 0, n);
	assert_int_equal(stats().swap_used, 2 * n * PAGE);
	kill(pid, SIGKILL);
	assert_int_equal(child_result(pid), SIGKILL);
	no_children();
	assert_int_equal(stats().swap_used, n * PAGE);
	gate_open(&g);
	check_pages(p, 0, n, 7);
	unmap(p, n);
	closes();
}

/* A device that a child reads from stays, with nothing else on it. */
static void
test_swapoff(void **state)
{
	const uint32_t n = 500;
	struct gate g;
	pid_t pid;
	char *p;

	(void)state;
	opens("swap,size=16M,prio=1");
	works(uswap_swapon(u, path("swap2,size=16M")));
	p = region(n, 1);
	page_out(p, 0, n);
	gate_init(&g);
	pid = child();
	if (pid == 0) {
		gate_wait(&g);
		/* Nor can the child take it away. */
		if (uswap_swapoff(u, path("swap"), 0) != -EBUSY)
			_exit(1);
		_exit(!all_there(p, 0, n, 1));
	}
	fails(uswap_swapoff(u, path("swap"), 0), EAGAIN, "forked children");
	assert_true(stats().pages_moved >= n);
	check_pages(p, 0, n, 1);
	gate_open(&g);
	ends_well(pid);
	no_children();
	works(uswap_swapoff(u, path("swap"), 0));
	check_pages(p, 0, n, 1);
	unmap(p, n);
	closes();
	(void)unlink(path("swap2"));
}

/*
 * Reserved blocks are the page's own but while a child may read them; and the child
 * writes elsewhere.
 */
static void
test_reserved(void **state)
{
	const uint32_t n = 1000, written = 500; /* of 1022 blocks */
	struct gate g;
	pid_t pid;
	char *p;

	(void)state;
	opens("swap,size=4M");
	p = region(n, 0);
	works(uswap_reserve(u, p, n * PAGE));
	write_pages(p, 0, written, 1);
	page_out(p, 0, written);
	gate_init(&g);
	pid = child();
	if (pid == 0) {
		if (!all_there(p, 0, written, 1))
			_exit(1);
		for (uint32_t i = written; i < n; i++)
			if (p[i * PAGE] != 0)
				_exit(2);
		write_pages(p, 0, n, 2);
		if (!goes_out(p, n) || !all_there(p, 0, n, 2))
			_exit(3);
		gate_wait(&g);
		_exit(!all_there(p, 0, n, 2));
	}
	write_pages(p, 0, n, 3);
	fails(uswap_pageout(u, p, n * PAGE), ENOSPC, "");
	check_pages(p, 0, n, 3);
	gate_open(&g);
	ends_well(pid);
	no_children();
	for (uint32_t version = 4; version < 7; version++) {
		write_pages(p, 0, n, version);
		page_out(p, 0, n);
		check_pages(p, 0, n, version);
	}
	assert_int_equal(stats().swap_used, n * PAGE);
	unmap(p, n);
	closes();
}

/* A program that the child executes has nothing of it. */
static void
test_exec(void **state)
{
	char *const argv[] = {
	    (char *)(uintptr_t) "sleep", (char *)(uintptr_t) "100", NULL};
	const uint32_t n = 100;
	char *p;
	pid_t pid;

	(void)state;
	opens("swap,size=16M");
	p = region(n, 1);
	page_out(p, 0, n);
	pid = child();
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(1);
	}
	no_children();
	assert_int_equal(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	assert_int_equal(child_result(pid), SIGKILL);
	check_pages(p, 0, n, 1);
	unmap(p, n);
	closes();
}

/* The budget is divided, and nobody has more than there is. */
static void
test_budget(void **state)
{
	const uint32_t n = 2 * BUDGET;
	struct gate g;
	pid_t pid[2];
	char *p;

	(void)state;
	opens("swap,size=128M");
	p = region(n, 1);
	gate_init(&g);
	for (int i = 0; i < 2; i++) {
		pid[i] = child();
		if (pid[i] == 0) {
			struct uswap_stats st;

			if (!all_there(p, 0, n, 1))
				_exit(1);
			write_pages(p, 0, n, 2);
			until(st, st.ram_used <= 4 * MIB);
			gate_wait(&g);
			_exit(stats().ram_budget != 4 * MIB ||
			      !all_there(p, 0, n, 2));
		}
		assert_int_equal(
		    stats().ram_budget, RAM - 4 * MIB * ((size_t)i + 1));
	}
	fails(uswap_fork_check(u), ENOMEM, "too little");
	fails(uswap_fork_begin(u), ENOMEM, "too little");
	check_pages(p, 0, n, 1);
	gate_open(&g);
	ends_well(pid[0]);
	ends_well(pid[1]);
	no_children();
	works(uswap_fork_check(u));
	unmap(p, n);
	closes();
}

/* ---- descendants --------------------------------------------------------- */

/*
 * A grandchild reads what is the grandparent's and what is the parent's, who are
 * killed, or end, before it; the others go on meanwhile.
 */
static void
grandchild(bool killed)
{
	const uint32_t n = 1000;
	struct gate g, h;
	char *p, c = 1;
	pid_t pid;

	opens_with(4 * RAM, "swap,size=16M");
	p = region(n, 1);
	page_out(p, 0, n);
	gate_init(&g);
	gate_init(&h);
	pid = child();
	if (pid == 0) {
		write_pages(p, 0, n / 2, 2);
		if (!goes_out(p, n))
			_exit(1);
		pid = child();
		if (pid == 0) {
			gate_wait(&g);
			write_pages(p, 0, 10, 3);
			if (!all_there(p, 10, n / 2, 2) ||
			    !all_there(p, n / 2, n, 1) || !goes_out(p, n) ||
			    !all_there(p, 0, 10, 3) ||
			    !all_there(p, 10, n / 2, 2))
				c = 0;
			(void)!write(h.fd[1], &c, 1);
			_exit(0);
		}
		write_pages(p, 0, n, 4);
		if (!goes_out(p, n) || !all_there(p, 0, n, 4))
			_exit(2);
		if (killed)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	assert_int_equal(child_result(pid), killed ? SIGKILL : 0);
	/* Its child has what was its own. */
	for (uint32_t version = 5; version < 8; version++) {
		write_pages(p, 0, n, version);
		page_out(p, 0, n);
		assert_int_equal(stats().children, 1);
		assert_int_equal(stats().swap_used, 2 * n * PAGE);
	}
	gate_open(&g);
	close(h.fd[1]);
	assert_int_equal(read(h.fd[0], &c, 1), 1);
	assert_int_equal(c, 1);
	close(h.fd[0]);
	no_children_of(4 * RAM);
	assert_int_equal(stats().swap_used, n * PAGE);
	check_pages(p, 0, n, 7);
	unmap(p, n);
	closes();
}

static void
test_grandchild(void **state)
{
	(void)state;
	grandchild(false);
	grandchild(true);
}

/* Who outlives its parent has all of its budget, in the end. */
static void
test_heir(void **state)
{
	struct uswap_stats st;
	int fd[2];
	pid_t pid;
	char *p, c = 0;

	(void)state;
	opens_with(4 * RAM, "swap,size=16M");
	p = region(100, 1);
	page_out(p, 0, 50);
	assert_int_equal(pipe(fd), 0);
	pid = child();
	if (pid == 0) {
		uint64_t had = stats().ram_budget;

		for (int i = 0; i < 2; i++) /* one of them inherits */
			if (child() == 0) {
				uint64_t share = stats().ram_budget;

				if (share * 3 > had)
					_exit(1);
				for (int tries = 0; tries < 30; tries++) {
					usleep(100000);
					st = stats();
					if (st.ram_budget > share)
						break;
				}
				if (!all_there(p, 0, 100, 1))
					_exit(2);
				c = st.ram_budget > share ? 'h' : '-';
				if (st.ram_budget > had)
					c = '!';
				(void)!write(fd[1], &c, 1);
				sleep(1); /* nobody inherits from the heir */
				_exit(0);
			}
		_exit(0);
	}
	ends_well(pid);
	close(fd[1]);
	assert_int_equal(read(fd[0], &c, 1), 1);
	assert_int_equal(c, 'h');
	assert_int_equal(read(fd[0], &c, 1), 1);
	assert_int_equal(c, '-');
	close(fd[0]);
	no_children_of(4 * RAM);
	unmap(p, 100);
	closes();
}

/* ---- without uswap_fork_begin --------------------------------------------- */

/* Once a page has left a bare fork has nothing. */
static void
test_bare(void **state)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};
	char *p, *q, c = 'x';
	pid_t pid;

	(void)state;
	opens("swap,size=64M");
	p = region(100, 1);
	page_out(p, 0, 1);
	q = region(10, 1); /* mapped since */
	for (int forked = 0; forked < 2; forked++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			for (uint32_t i = 0; i < 100; i++)
				if (touch(p + i * PAGE, false, &c) != SIGSEGV)
					_exit(1);
			_exit(touch(q, true, &c) != SIGSEGV);
		}
		ends_well(pid);
		/* Nor after another that was prepared for. */
		pid = child();
		if (pid == 0)
			_exit(!all_there(p, 0, 100, 1));
		ends_well(pid);
	}
	pid = vfork();
	if (pid == 0)
		_exit(0);
	ends_well(pid);
	assert_int_equal(
	    posix_spawnp(&pid, "true", NULL, NULL, argv, environ), 0);
	ends_well(pid);
	/* Begun, and not forked. */
	works(uswap_fork_begin(u));
	assert_int_equal(uswap_fork_end(u, 0), 0);
	no_children();
	check_pages(p, 0, 100, 1);
	check_pages(q, 0, 10, 1);
	unmap(p, 100);
	unmap(q, 10);
	closes();
}

/* ---- failures ------------------------------------------------------------ */

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

static void
limit(int what, rlim_t n)
{
	struct rlimit rl = {n, n};

	if (setrlimit(what, &rl) != 0)
		_exit(98);
}

/* No pager can be had in the child: it says so, and no byte can be read. */
static void
test_no_pager(void **state)
{
	char *p, c;
	pid_t pid;

	(void)state;
	opens("swap,size=16M");
	p = region(100, 1);
	page_out(p, 0, 50);
	/* No descriptor at all, none but for the swap files, ... */
	for (rlim_t n = 3; n < 10; n++) {
		works(uswap_fork_begin(u));
		pid = fork();
		if (pid == 0) {
			int error;

			limit(RLIMIT_NOFILE, n);
			error = uswap_fork_end(u, 1);
			if (error == 0) /* all that it needs */
				_exit(!all_there(p, 0, 100, 1));
			if (error != -EMFILE || uswap_error()[0] == '\0')
				_exit(1);
			for (uint32_t i = 0; i < 100; i++)
				if (touch(p + i * PAGE, false, &c) != SIGSEGV)
					_exit(2);
			_exit(!all_dead(p));
		}
		assert_int_equal(uswap_fork_end(u, 0), 0);
		ends_well(pid);
		no_children();
	}
	check_pages(p, 0, 100, 1);
	unmap(p, 100);
	closes();
}

/* From now on this system call fails, in all threads there will be. */
static void
forbid(int number)
{
	struct sock_filter f[] = {
	    BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) != 0)
		_exit(97);
}

/*
 * Each call that the child's start makes fails in turn: either it does without, and
 * sees the right bytes, or it is told, and sees none.
 */
static void
test_forbidden(void **state)
{
	static const int calls[] = {SYS_userfaultfd, SYS_io_uring_setup,
	    SYS_socket, SYS_connect, SYS_recvmsg, SYS_unshare, SYS_clone3,
	    SYS_pidfd_open, SYS_pidfd_getfd, SYS_openat, SYS_memfd_create,
	    SYS_process_vm_readv, SYS_kcmp};
	unsigned refused = 0;
	char *p, c;

	(void)state;
	opens("swap,size=16M");
	p = region(100, 1);
	page_out(p, 0, 50);
	check_pages(p, 0, 10, 1); /* duplicates are there to be inherited */
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		pid_t pid;
		int status;

		works(uswap_fork_begin(u));
		pid = fork();
		if (pid == 0) {
			forbid(calls[i]);
			if (uswap_fork_end(u, 1) == 0)
				_exit(!all_there(p, 0, 100, 1));
			if (uswap_error()[0] == '\0')
				_exit(1);
			for (uint32_t k = 0; k < 100; k++)
				if (touch(p + k * PAGE, false, &c) != SIGSEGV)
					_exit(2);
			_exit(all_dead(p) ? 50 : 3);
		}
		assert_int_equal(uswap_fork_end(u, 0), 0);
		status = child_result(pid);
		refused += status == 50 << 8;
		if (status != 0 && status != 50 << 8)
			fail_msg(
			    "without call %d: status %#x", calls[i], status);
		check_pages(p, 0, 100, 1);
		no_children();
	}
	print_message("%u of them are needed\n", refused);
	assert_true(refused >= 3);
	unmap(p, 100);
	closes();
}

/* No file for what the child pages out: it stays in memory, and all is right. */
static void
test_no_space(void **state)
{
	const uint32_t n = BUDGET;
	pid_t pid;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(n, 1);
	works(uswap_fork_begin(u));
	pid = fork();
	if (pid == 0) {
		limit(RLIMIT_FSIZE, 0);
		if (uswap_fork_end(u, 1) != 0) {
			fprintf(stderr, "child: %s\n", uswap_error());
			_exit(1);
		}
		if (!all_there(p, 0, n, 1))
			_exit(2);
		write_pages(p, 0, n, 2);
		if (!all_there(p, 0, n, 2))
			_exit(3);
		/* Page-out begins when the time of grace is over. */
		for (int tries = 0; stats().over_budget == 0; tries++) {
			if (tries == 1000)
				_exit(4);
			usleep(10000);
		}
		_exit(!all_there(p, 0, n, 2));
	}
	assert_int_equal(uswap_fork_end(u, 0), 0);
	ends_well(pid);
	check_pages(p, 0, n, 1);
	no_children();
	unmap(p, n);
	closes();
}

/* No descriptor in the parent: refused, and nothing has changed. */
static void
test_no_descriptor(void **state)
{
	struct rlimit was;
	struct rlimit none = {3, 3};
	char *p;

	(void)state;
	opens("swap,size=16M");
	p = region(100, 1);
	page_out(p, 0, 50);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fails(uswap_fork_begin(u), EMFILE, "ulimit -n");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	no_children();
	check_pages(p, 0, 100, 1);
	unmap(p, 100);
	closes();
}

/* ---- others go on --------------------------------------------------------- */

#define WRITERS 3

struct writer {
	pthread_t thread;
	char *p;
	uint32_t first, n;
	uint64_t seed;
	uint32_t *version; /* of each page; its own */
	uint64_t wrong;
};

static _Atomic bool writers_stop;

/* Pages of its own, each of a version that it knows. */
static void *
writer_main(void *arg)
{
	struct writer *w = arg;
	struct rng r = {w->seed};

	while (!atomic_load(&writers_stop)) {
		uint32_t i = (uint32_t)rng_below(&r, w->n);
		char *at = w->p + (w->first + i) * PAGE;

		w->wrong += !holds(at, w->first + i, w->version[i]);
		pattern(at, w->first + i, ++w->version[i]);
	}
	return NULL;
}

/* What a child looks at: pages that nobody writes. */
static void
look_and_end(char *p, uint32_t n, unsigned how)
{
	if (!all_there(p, 0, n, 1))
		_exit(1);
	if (how % 4 == 1) {
		write_pages(p, 0, n, 2);
		if (!goes_out(p, n) || !all_there(p, 0, n, 2))
			_exit(2);
	}
	if (how % 4 == 2)
		kill(getpid(), SIGKILL);
	_exit(0);
}

/* Children come and go while threads write: nothing is left of them. */
static void
test_many(void **state)
{
	const uint32_t n = 600, each = 1200;
	const unsigned rounds = SANITIZED ? 8 : 40;
	unsigned threads[2], descriptors[2];
	static struct writer w[WRITERS];
	struct rng r = {test_seed()};
	pid_t first;
	char *p;

	(void)state;
	opens("swap,size=128M");
	p = region(n, 1);
	page_out(p, 0, n / 2);
	atomic_store(&writers_stop, false);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.p = region(each, 0),
		    .first = 0,
		    .n = each,
		    .seed = rng_next(&r),
		    .version = calloc(each, sizeof(uint32_t))};
		write_pages(w[i].p, 0, each, 0);
		assert_int_equal(
		    pthread_create(&w[i].thread, NULL, writer_main, &w[i]), 0);
	}
	/* The first child leaves something, which is for all. */
	if ((first = child()) == 0)
		_exit(0);
	ends_well(first);
	no_children();
	/* With inline delivery a duplicate of the swap file is fetched for this. */
	check_pages(p, 0, 1, 1);
	assert_true(count_things(&threads[0], &descriptors[0]));
	for (unsigned i = 0; i < rounds; i++) {
		pid_t pid = child();

		if (pid == 0)
			look_and_end(p, n, i);
		assert_int_equal(child_result(pid), i % 4 == 2 ? SIGKILL : 0);
	}
	no_children();
	assert_true(count_things(&threads[1], &descriptors[1]));
	assert_int_equal(threads[0], threads[1]);
	assert_int_equal(descriptors[0], descriptors[1]);
	atomic_store(&writers_stop, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].wrong, 0);
		free(w[i].version);
		unmap(w[i].p, each);
	}
	check_pages(p, 0, n, 1);
	unmap(p, n);
	closes();
}

/*
 * Children that are made while a second context is busy have nothing of that one,
 * and wait for nothing that its threads held.
 */
static void
test_other_context(void **state)
{
	const uint32_t each = 2 * BUDGET;
	struct uswap_options opt = USWAP_OPTIONS_INIT;
	static struct writer w[WRITERS];
	struct rng r = {test_seed()};
	uswap_t *other;
	char *p;

	(void)state;
	opt.ram = RAM;
	opt.flags = api_flags;
	works(uswap_open(&opt, &other));
	works(uswap_swapon(other, path("other,size=128M")));
	opens("swap,size=16M");
	p = region(100, 1);
	page_out(p, 0, 50);
	atomic_store(&writers_stop, false);
	for (unsigned i = 0; i < WRITERS; i++) {
		void *q;

		works(uswap_map(other, each * PAGE, &q));
		w[i] = (struct writer){.p = q,
		    .n = each,
		    .seed = rng_next(&r),
		    .version = calloc(each, sizeof(uint32_t))};
		write_pages(q, 0, each, 0);
		assert_int_equal(
		    pthread_create(&w[i].thread, NULL, writer_main, &w[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		pid_t pid = child();
		char c;

		if (pid == 0)
			_exit(!all_there(p, 0, 100, 1) ||
			      touch(w[0].p, true, &c) != SIGSEGV);
		ends_well(pid);
	}
	atomic_store(&writers_stop, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].wrong, 0);
		free(w[i].version);
		works(uswap_unmap(other, w[i].p, each * PAGE));
	}
	works(uswap_close(other));
	(void)unlink(path("other"));
	unmap(p, 100);
	closes();
}

/* Children that die before they ask for anything, while their parent works. */
static void
test_stillborn(void **state)
{
	const uint32_t n = 2 * BUDGET;
	char *p;

	(void)state;
	opens("swap,size=128M");
	p = region(n, 1);
	for (uint32_t i = 0; i < 20; i++) {
		pid_t pid;

		works(uswap_fork_begin(u));
		pid = fork();
		if (pid == 0)
			_exit(0);
		works(uswap_fork_end(u, 0));
		write_pages(p, i * 300, i * 300 + 300, i + 2);
		check_pages(p, i * 300, i * 300 + 300, i + 2);
		assert_int_equal(child_result(pid), 0);
	}
	no_children();
	assert_int_equal(stats().swap_held, 0);
	check_pages(p, 20 * 300, n, 1);
	unmap(p, n);
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_before),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_encrypted),
	    cmocka_unit_test(test_blocks),
	    cmocka_unit_test(test_swapoff),
	    cmocka_unit_test(test_reserved),
	    cmocka_unit_test(test_exec),
	    cmocka_unit_test(test_budget),
	    cmocka_unit_test(test_grandchild),
	    cmocka_unit_test(test_heir),
	    cmocka_unit_test(test_bare),
	    cmocka_unit_test(test_no_pager),
	    cmocka_unit_test(test_forbidden),
	    cmocka_unit_test(test_no_space),
	    cmocka_unit_test(test_no_descriptor),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_other_context),
	};
	const struct CMUnitTest alone[] = {
	    cmocka_unit_test(test_stillborn),
	};
	int failed;

	api_begin();
	failed = api_run(alone);
	if (!THREAD_SANITIZED)
		failed += api_run(tests);
	return api_end(failed);
}
