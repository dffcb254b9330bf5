/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * children: forked children of a test that have a pager of their own.
 */
#ifndef USWAP_TEST_CHILDREN_H
#define USWAP_TEST_CHILDREN_H

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/api.h"

/* fork(2) with a pager; in the child, what uswap_fork_end says, in *ret. */
static inline pid_t
forks(int *ret)
{
	pid_t pid;

	works(uswap_fork_begin(u));
	pid = fork();
	*ret = uswap_fork_end(u, pid == 0);
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	return pid;
}

static inline pid_t
child(void)
{
	int error;
	pid_t pid = forks(&error);

	if (pid == 0 && error != 0) {
		fprintf(stderr, "child: %d: %s\n", error, uswap_error());
		_exit(99);
	}
	return pid;
}

/* Its status; 0 when it exited with 0. */
static inline int
child_result(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline void
ends_well(pid_t pid)
{
	int status = child_result(pid);

	if (status != 0)
		fail_msg("the child's status is %#x", status);
}

#endif
