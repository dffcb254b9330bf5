/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forks MIB HOW [N]: fills MIB MiB and makes children, which see what was there at
 * the moment of the fork, whoever changes it afterwards.
 *
 *	fork	fork(2)
 *	library	when a library with variables of each thread's was loaded long ago,
 *		and others are loaded and unloaded meanwhile
 *	nested	the child has a child; either ends first
 *	kill	the child, and the child of a child, is killed with signal 9
 *	threads	threads of the parent change memory meanwhile
 *	exec	the child executes a program, and popen(3) works
 *	daemon	daemon(3)
 *	refused	children are made, and live, until that is refused
 *	loop	N children, one after the other, while threads change memory; then
 *		says how many threads and descriptors are more than before, and
 *		waits for the end of its input
 *	raw	the system call, past the C library: the child may also die of
 *		SIGSEGV or SIGBUS, but sees no other bytes
 *	spawn	posix_spawn(3) works
 *	system	system(3) works
 *
 * The parent's bytes must be right afterwards in each case.
 */
#include <sys/syscall.h>
#include <sys/wait.h>

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/things.h"

static uint64_t *words;
static size_t n;

/* No stdio: also for a child that has little else. */
static int
all_right(uint64_t factor)
{
	for (size_t i = 0; i < n; i++)
		if (words[i] != (i + 1) * factor)
			return (0);
	return (1);
}

static void
fill(uint64_t factor)
{
	for (size_t i = 0; i < n; i++)
		words[i] = (i + 1) * factor;
}

static void
in_child(void)
{
	_exit(all_right(3) ? 0 : 42);
}

static int
wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	return (status);
}

static void
ends_with(pid_t pid, int want, const char *what)
{
	int status = wait_for(pid);

	if (status != want)
		errx(1, "%s: the child's status is %#x", what, status);
}

static pid_t
must_fork(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == -1)
		err(1, "fork");
	return (pid);
}

static void
do_fork(void)
{
	pid_t pid = must_fork();

	if (pid == 0) {
		if (!all_right(3))
			_exit(42);
		fill(5);
		_exit(all_right(5) ? 0 : 43);
	}
	/* The child is to see the bytes of the moment of the fork. */
	fill(7);
	ends_with(pid, 0, "fork");
	puts("fork: the child saw the right bytes");
	if (!all_right(7))
		errx(1, "the parent's bytes are wrong");
	fill(3);
}

/* ---- descendants --------------------------------------------------------- */

/*
 * The grandchild says by the pipe that all was right; its parent has ended by
 * then, or been killed, or waits for it.
 */
enum last { WAITS, ENDS, KILLED };

static void
grandchild(int to, enum last how)
{
	pid_t pid;
	char c = 1;

	for (size_t i = 0; i < n / 2; i++)
		words[i] = (i + 1) * 5;
	pid = fork();
	if (pid == 0) {
		if (how != WAITS)
			while (getppid() != 1 && kill(getppid(), 0) == 0)
				usleep(1000);
		for (size_t i = 0; i < n && c == 1; i++)
			if (words[i] != (i + 1) * (i < n / 2 ? 5 : 3))
				c = 2;
		fill(9);
		if (!all_right(9))
			c = 3;
		(void)!write(to, &c, 1);
		_exit(0);
	}
	if (pid == -1)
		_exit(44);
	fill(11);
	if (!all_right(11))
		_exit(45);
	if (how == WAITS && wait_for(pid) != 0)
		_exit(46);
	if (how == KILLED)
		kill(getpid(), SIGKILL);
	_exit(0);
}

static void
do_nested(void)
{
	for (enum last how = WAITS; how <= KILLED; how++) {
		int fd[2];
		pid_t pid;
		char c = 0;

		if (pipe(fd) != 0)
			err(1, "pipe");
		pid = must_fork();
		if (pid == 0)
			grandchild(fd[1], how);
		close(fd[1]);
		fill(7);
		ends_with(pid, how == KILLED ? SIGKILL : 0, "nested");
		fill(3);
		if (read(fd[0], &c, 1) != 1 || c != 1)
			errx(1, "nested: the grandchild says %d", c);
		/*
		 * Its share is for the next one, and comes back when all of its
		 * threads have gone, of which the end of the pipe is the first.
		 */
		if (read(fd[0], &c, 1) != 0)
			errx(1, "nested: the grandchild says more");
		usleep(300000);
		close(fd[0]);
	}
}

static void
do_kill(void)
{
	for (int i = 0; i < 4; i++) {
		pid_t pid = must_fork();

		if (pid == 0)
			for (uint64_t factor = 5;; factor++)
				fill(factor);
		usleep((unsigned)i * 30000);
		kill(pid, SIGKILL);
		ends_with(pid, SIGKILL, "kill");
		if (!all_right(3))
			errx(1, "kill: the parent's bytes are wrong");
	}
}

/* ---- while threads go on -------------------------------------------------- */

#define THREADS 3
#define EACH    ((size_t)1 << 20) /* words: 8 MiB */

static _Atomic int stop, rests; /* a CPU is left for others */

/* Memory of its own: each word is right, and is changed. */
static void *
worker(void *arg)
{
	uint64_t *own = malloc(EACH * sizeof(*own)), factor = 1;

	(void)arg;
	if (own == NULL)
		err(1, "malloc");
	for (size_t i = 0; i < EACH; i++)
		own[i] = i * factor;
	for (; !atomic_load(&stop); factor++)
		for (size_t i = 0; i < EACH && !atomic_load(&stop); i++) {
			if (own[i] != i * factor)
				errx(1, "a thread's bytes are wrong");
			own[i] = i * (factor + 1);
			if (i % 8192 == 0 && atomic_load(&rests))
				usleep(500);
		}
	free(own);
	return (NULL);
}

static pthread_t threads[THREADS];

static void
threads_begin(void)
{
	atomic_store(&stop, 0);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, worker, NULL) != 0)
			errx(1, "pthread_create");
}

static void
threads_end(void)
{
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void
do_threads(void)
{
	threads_begin();
	for (int i = 0; i < 3; i++) {
		pid_t pid = must_fork();

		if (pid == 0)
			in_child();
		ends_with(pid, 0, "threads");
	}
	threads_end();
}

/* Who loads and unloads holds the linker's locks, and the allocator's in them. */
static void *
loader(void *arg)
{
	while (!atomic_load(&stop)) {
		void *lib = dlopen("libresolv.so.2", RTLD_NOW);

		if (lib == NULL)
			errx(1, "%s", dlerror());
		dlclose(lib);
	}
	return (arg);
}

static void
do_library(void)
{
	pthread_t thread;

	atomic_store(&stop, 0);
	if (pthread_create(&thread, NULL, loader, NULL) != 0)
		errx(1, "pthread_create");
	for (int i = 0; i < 30; i++) {
		pid_t pid = must_fork();

		if (pid == 0)
			_exit(
			    words[n / 30 * i] == (n / 30 * i + 1) * 3 ? 0 : 42);
		ends_with(pid, 0, "library");
	}
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	do_fork();
}

/* A child of the loop: a look here and there, and an end of some kind. */
static void
one_of_many(unsigned i)
{
	for (size_t k = i; k < n; k += n / 50 + 1)
		if (words[k] != (k + 1) * 3)
			_exit(42);
	if (i % 4 == 1)
		execl("/bin/true", "true", NULL);
	if (i % 4 == 2)
		kill(getpid(), SIGKILL);
	if (i % 4 == 3)
		for (size_t k = 0; k < n; k += n / 500 + 1)
			words[k] = i;
	_exit(0);
}

static void
do_loop(unsigned rounds)
{
	unsigned t[2], d[2];
	char c;

	atomic_store(&rests, 1);
	threads_begin();
	/* The first child leaves something, which is for all. */
	pid_t first = must_fork();
	if (first == 0)
		_exit(0);
	ends_with(first, 0, "loop");
	sleep(2);
	(void)count_things(&t[0], &d[0]);
	for (unsigned i = 0; i < rounds; i++) {
		pid_t pid = must_fork();

		if (pid == 0)
			one_of_many(i);
		ends_with(pid, i % 4 == 2 ? SIGKILL : 0, "loop");
	}
	/* The last one is noticed within a second. */
	for (int tries = 0; tries < 50; tries++) {
		(void)count_things(&t[1], &d[1]);
		if (t[1] == t[0] && d[1] == d[0])
			break;
		usleep(100000);
	}
	threads_end();
	if (!all_right(3))
		errx(1, "loop: the parent's bytes are wrong");
	printf("loop: %d threads, %d descriptors more\n", (int)(t[1] - t[0]),
	    (int)(d[1] - d[0]));
	fflush(stdout);
	while (read(0, &c, 1) == 1)
		continue;
}

/* ---- others --------------------------------------------------------------- */

static void
do_exec(void)
{
	char line[16] = "";
	pid_t pid = must_fork();
	FILE *f;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "exit 6", NULL);
		_exit(1);
	}
	ends_with(pid, 6 << 8, "exec");
	f = popen("echo hello", "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL ||
	    strcmp(line, "hello\n") != 0 || pclose(f) != 0)
		errx(1, "popen: %s", line);
}

/* daemon(3) in a child: what it leaves behind says that all was right. */
static void
do_daemon(void)
{
	int fd[2];
	pid_t pid;
	char c;

	if (pipe(fd) != 0)
		err(1, "pipe");
	pid = must_fork();
	if (pid == 0) {
		if (daemon(1, 1) != 0)
			_exit(1);
		c = all_right(3) ? 1 : 2;
		fill(5);
		if (!all_right(5))
			c = 3;
		(void)!write(fd[1], &c, 1);
		_exit(0);
	}
	close(fd[1]);
	ends_with(pid, 0, "daemon");
	if (read(fd[0], &c, 1) != 1 || c != 1)
		errx(1, "daemon: the bytes were not right");
	close(fd[0]);
}

static void
do_refused(void)
{
	pid_t pid[1000];
	unsigned i, children = 0;
	int fd[2];
	char c;

	if (pipe(fd) != 0)
		err(1, "pipe");
	fflush(NULL);
	while (children < 1000 && (pid[children] = fork()) > 0)
		children++;
	if (children < 1000 && pid[children] == 0) {
		close(fd[1]);
		(void)!read(fd[0], &c, 1);
		in_child();
	}
	if (errno != ENOMEM || fork() != -1)
		err(1, "fork");
	close(fd[0]);
	close(fd[1]);
	for (i = 0; i < children; i++)
		ends_with(pid[i], 0, "refused");
	printf("refused: after %u children\n", children);
	do_fork();
}

static void
do_raw(void)
{
	/* clone(2) as fork(2); the other arguments are 0 on every machine. */
	pid_t pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == -1) {
		if (errno != ENOMEM)
			err(1, "clone");
		puts("raw: refused");
		return;
	}
	if (pid == 0)
		in_child();
	int status = wait_for(pid);
	if (WIFSIGNALED(status) &&
	    (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS))
		puts("raw: the child died");
	else if (status == 0)
		puts("raw: the child saw the right bytes");
	else
		errx(1, "raw: the child's status is %#x", status);
}

static void
do_spawn(void)
{
	char sh[] = "sh", c[] = "-c", what[] = "exit 5";
	char *args[] = {sh, c, what, NULL}, *env[] = {NULL};
	pid_t pid;
	int error = posix_spawn(&pid, "/bin/sh", NULL, NULL, args, env);

	if (error != 0)
		errx(1, "posix_spawn: %s", strerror(error));
	int status = wait_for(pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 5)
		errx(1, "posix_spawn: status %#x", status);
}

static void
do_system(void)
{
	int status = system("exit 3");

	if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 3)
		errx(1, "system: status %#x", status);
}

static const struct {
	const char *name;
	void (*run)(void);
	int times; /* the second child must not fare otherwise */
} ways[] = {
    {"fork", do_fork, 3},
    {"library", do_library, 3},
    {"nested", do_nested, 1},
    {"kill", do_kill, 1},
    {"threads", do_threads, 1},
    {"exec", do_exec, 3},
    {"daemon", do_daemon, 1},
    {"refused", do_refused, 1},
    {"raw", do_raw, 3},
    {"spawn", do_spawn, 3},
    {"system", do_system, 3},
};

static void
run(const char *how)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(how, ways[i].name) != 0)
			continue;
		for (int k = 0; k < ways[i].times; k++) {
			ways[i].run();
			if (!all_right(3))
				errx(1, "the parent's bytes are wrong");
		}
		return;
	}
	errx(2, "no such way: %s", how);
}

int
main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: forks MIB HOW [N]");
	n = ((size_t)strtoul(argv[1], NULL, 10) << 20) / sizeof(*words);
	words = malloc(n * sizeof(*words));
	if (words == NULL)
		err(1, "malloc");
	/* What the linker knows of it is on the heap. */
	if (strcmp(argv[2], "library") == 0 &&
	    dlopen("libgomp.so.1", RTLD_NOW) == NULL)
		errx(1, "%s", dlerror());
	fill(3);
	if (strcmp(argv[2], "loop") == 0 && argc > 3)
		do_loop((unsigned)atoi(argv[3]));
	else
		run(argv[2]);
	return (0);
}
