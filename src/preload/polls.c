/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * polls: waits for descriptors, where only faults of user mode are answered: see
 * syscalls.c.
 *
 * The kernel reads the arrays, waits, and writes to them when that is over, also after a
 * signal: a call made again then would wait once more, for ever if the signal was
 * what it waited for.  So it gets arrays of our own.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>

#include "preload/again.h"

/* The time, in *copy; NULL remains that. */
static const struct timespec *
own_time(const struct timespec *t, struct timespec *copy)
{
	if (t == NULL)
		return NULL;
	*copy = *t;
	return copy;
}

/* ---- poll ---------------------------------------------------------------- */

#define FEW 64

struct polled {
	struct pollfd few[FEW], *theirs, *mine;
	nfds_t n;
};

/* Sets what the kernel is to be given; false: no memory. */
static int
poll_begin(struct polled *d, struct pollfd *p, nfds_t n)
{
	*d = (struct polled){.theirs = p, .mine = p, .n = n};
	if (!uswap_preload_holds(p, n * sizeof(*p)))
		return 1;
	d->mine = n <= FEW ? d->few : (void *)bounce_get(n * sizeof(*p));
	if (d->mine == NULL)
		return 0;
	memcpy(d->mine, p, n * sizeof(*p));
	return 1;
}

static void
poll_end(struct polled *d, int ret)
{
	size_t size = d->n * sizeof(*d->mine);

	if (d->mine == d->theirs)
		return;
	for (nfds_t i = 0; ret >= 0 && i < d->n; i++)
		d->theirs[i].revents = d->mine[i].revents;
	if (d->mine != d->few)
		bounce_put((char *)d->mine, size, size);
}

HOOK int
poll(struct pollfd *p, nfds_t n, int t)
{
	struct polled d;
	int ret;

	if (!poll_begin(&d, p, n))
		return -1;
	ret = NEXT(poll)(d.mine, n, t);
	poll_end(&d, ret);
	return ret;
}

HOOK int
ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *set)
{
	struct timespec left;
	struct polled d;
	sigset_t copy;
	int ret;

	set = strip_bus(set, &copy);
	t = own_time(t, &left);
	if (!poll_begin(&d, p, n))
		return -1;
	ret = NEXT(ppoll)(d.mine, n, t, set);
	poll_end(&d, ret);
	return ret;
}

/* ---- select -------------------------------------------------------------- */

/* Bytes of a set of n descriptors. */
#define SET_BYTES(n) ((size_t)((n) + 63) / 64 * 8)
/* Those of more are given as they are; they can be made on the heap only. */
#define SET_MAX 8192

struct selected {
	unsigned char mine[3][SET_BYTES(SET_MAX)];
	fd_set *theirs[3];
	size_t size; /* 0: not copied */
};

/* Puts what the kernel is to be given in place of the three. */
static void
select_begin(struct selected *d, int n, fd_set **r, fd_set **w, fd_set **e)
{
	fd_set **set[3] = {r, w, e};

	d->size = n > 0 && n <= SET_MAX ? SET_BYTES(n) : 0;
	for (int i = 0; i < 3; i++) {
		d->theirs[i] = *set[i];
		if (*set[i] == NULL || d->size == 0)
			continue;
		memcpy(d->mine[i], *set[i], d->size);
		*set[i] = (fd_set *)d->mine[i];
	}
}

static void
select_end(struct selected *d, int ret)
{
	for (int i = 0; i < 3 && ret >= 0 && d->size > 0; i++)
		if (d->theirs[i] != NULL)
			memcpy(d->theirs[i], d->mine[i], d->size);
}

HOOK int
select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t)
{
	struct timeval left, *mine = NULL;
	struct selected d;
	int ret;

	if (t != NULL) {
		left = *t;
		mine = &left;
	}
	select_begin(&d, n, &r, &w, &e);
	ret = NEXT(select)(n, r, w, e, mine);
	select_end(&d, ret);
	if (t != NULL)
		*t = left;
	return ret;
}

HOOK int
pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *t,
    const sigset_t *set)
{
	struct timespec left;
	struct selected d;
	sigset_t copy;
	int ret;

	set = strip_bus(set, &copy);
	t = own_time(t, &left);
	select_begin(&d, n, &r, &w, &e);
	ret = NEXT(pselect)(n, r, w, e, t, set);
	select_end(&d, ret);
	return ret;
}
