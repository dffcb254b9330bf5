/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forks MIB HOW [must]: fills MIB MiB and makes a child.
 *
 *	fork	fork(2) fails with ENOMEM (not allowed with "must"), or the
 *		child sees the right bytes
 *	raw	the system call, past the C library: the child may also die of
 *		SIGSEGV or SIGBUS, but sees no other bytes
 *	spawn	posix_spawn(3) works
 *	system	system(3) works
 *
 * The parent's bytes must be right afterwards in each case.
 */
#include <sys/syscall.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
do_fork(int must)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == -1) {
		if (errno != ENOMEM || must)
			err(1, "fork");
		puts("fork: refused");
		return;
	}
	if (pid == 0)
		in_child();
	/* The child is to see the bytes of the moment of the fork. */
	fill(7);
	int status = wait_for(pid);
	if (status != 0)
		errx(1, "fork: the child's status is %#x", status);
	puts("fork: the child saw the right bytes");
	if (!all_right(7))
		errx(1, "the parent's bytes are wrong");
	fill(3);
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

int
main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: forks MIB fork|raw|spawn|system [must]");
	n = ((size_t)strtoul(argv[1], NULL, 10) << 20) / sizeof(*words);
	words = malloc(n * sizeof(*words));
	if (words == NULL)
		err(1, "malloc");
	fill(3);
	/* More than once: the second child must not fare otherwise. */
	for (int i = 0; i < 3; i++) {
		if (strcmp(argv[2], "fork") == 0)
			do_fork(argc > 3);
		else if (strcmp(argv[2], "raw") == 0)
			do_raw();
		else if (strcmp(argv[2], "spawn") == 0)
			do_spawn();
		else if (strcmp(argv[2], "system") == 0)
			do_system();
		else
			errx(2, "no such way: %s", argv[2]);
		if (!all_right(3))
			errx(1, "the parent's bytes are wrong");
	}
	return (0);
}
