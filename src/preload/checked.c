/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checked: what a program that was built with _FORTIFY_SOURCE calls instead, where only
 * faults of user mode are answered: see syscalls.c.  What is too long ends the
 * program by the C library's own function.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "preload/again.h"

#undef fread_unlocked

#define CHECKED(X)                                                             \
	X(ssize_t, __read_chk, read, (int d, void *p, size_t n, size_t size),  \
	    (d, p, n, size), (d, p, n), n > size)                              \
	X(ssize_t, __pread_chk, pread,                                         \
	    (int d, void *p, size_t n, off_t at, size_t size),                 \
	    (d, p, n, at, size), (d, p, n, at), n > size)                      \
	X(ssize_t, __pread64_chk, pread,                                       \
	    (int d, void *p, size_t n, off_t at, size_t size),                 \
	    (d, p, n, at, size), (d, p, n, at), n > size)                      \
	X(ssize_t, __recv_chk, recv,                                           \
	    (int d, void *p, size_t n, size_t size, int f),                    \
	    (d, p, n, size, f), (d, p, n, f), n > size)                        \
	X(ssize_t, __recvfrom_chk, recvfrom,                                   \
	    (int d, void *p, size_t n, size_t size, int f, struct sockaddr *a, \
		socklen_t *len),                                               \
	    (d, p, n, size, f, a, len), (d, p, n, f, a, len), n > size)        \
	X(int, __poll_chk, poll,                                               \
	    (struct pollfd * p, nfds_t n, int t, size_t size),                 \
	    (p, n, t, size), (p, n, t), n > size / sizeof(*p))                 \
	X(int, __ppoll_chk, ppoll,                                             \
	    (struct pollfd * p, nfds_t n, const struct timespec *t,            \
		const sigset_t *s, size_t size),                               \
	    (p, n, t, s, size), (p, n, t, s), n > size / sizeof(*p))           \
	X(ssize_t, __readlink_chk, readlink,                                   \
	    (const char *a, char *p, size_t n, size_t size), (a, p, n, size),  \
	    (a, p, n), n > size)                                               \
	X(ssize_t, __readlinkat_chk, readlinkat,                               \
	    (int d, const char *a, char *p, size_t n, size_t size),            \
	    (d, a, p, n, size), (d, a, p, n), n > size)                        \
	X(char *, __getcwd_chk, getcwd, (char *p, size_t n, size_t size),      \
	    (p, n, size), (p, n), n > size)                                    \
	X(int, __getgroups_chk, getgroups, (int n, gid_t *g, size_t size),     \
	    (n, g, size), (n, g), n > 0 && (size_t)n > size / sizeof(*g))      \
	X(size_t, __fread_chk, fread,                                          \
	    (void *p, size_t size, size_t m, size_t n, FILE *f),               \
	    (p, size, m, n, f), (p, m, n, f), m != 0 && n > size / m)          \
	X(size_t, __fread_unlocked_chk, fread_unlocked,                        \
	    (void *p, size_t size, size_t m, size_t n, FILE *f),               \
	    (p, size, m, n, f), (p, m, n, f), m != 0 && n > size / m)

#define CHECK(type, name, plain, params, args, plain_args, too_long)           \
	type name params;                                                      \
	HOOK type name params                                                  \
	{                                                                      \
		if (too_long)                                                  \
			return NEXT(name) args;                                \
		return plain plain_args;                                       \
	}
CHECKED(CHECK)
