/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * death: assert_aborts(function, argument) expects SIGABRT of a child that
 * calls the function, with its complaint kept off the screen.
 */
#ifndef USWAP_TEST_DEATH_H
#define USWAP_TEST_DEATH_H

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The signal that ended the child, 0 if it came back. */
static inline int
death_of(void (*fn)(void *), void *arg)
{
	const struct rlimit none = {0, 0};
	int status, fd;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		fd = open("/dev/null", O_WRONLY);
		dup2(fd, STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

#define assert_aborts(fn, arg) assert_int_equal(death_of((fn), (arg)), SIGABRT)

#endif
