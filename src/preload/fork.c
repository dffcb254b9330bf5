/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork: the child of a process with a pager gets one, too.
 *
 * Handlers run for every fork of the C library's (daemon, forkpty), the hook only
 * when the program calls fork; only the hook can refuse.
 *
 * prepare is registered before the allocator's handler, so it runs last: a thread
 * inside the allocator may wait for our lock in a hook, or for a page that must wait
 * for uswap_fork_end.  Taking either before the allocator's locks would be a cycle.
 * In the child it runs first, before anything touches what is swapped out.
 *
 * From uswap_fork_begin on the faults of other threads wait.  So before it we take
 * what the C library takes after it and such a thread may hold: the list of open
 * streams.  In the child the C library resets the locks of the streams, which are
 * memory of the program's, before any handler runs: they are touched here, so that
 * they are there.  So is what the start of a thread looks at: see starts.c.  The list
 * of libraries is noted before all that, by a handler that runs before the allocator's:
 * who unloads one holds that list's lock, and calls free.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "preload/preload.h"
#include "preload/raw.h"

/* The GNU C library's; the list is linked by _chain. */
extern FILE *_IO_list_all __attribute__((weak));
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));

static pid_t (*next_fork)(void);
/* All of these are held, or set, across a fork. */
static struct guard guard;
static int refused; /* what uswap_fork_begin said */
static bool listed; /* we have the lock of the list of streams */

static void
touch_streams(void)
{
	for (FILE *f = _IO_list_all; f != NULL; f = f->_chain)
		if (f->_lock != NULL)
			(void)*(volatile char *)f->_lock;
}

static void
prepare(void)
{
	bool list = preload.state == ACTIVE && &_IO_list_all != NULL &&
		    _IO_list_lock != NULL && _IO_list_unlock != NULL;

	if (list)
		_IO_list_lock();
	preload_lock(&guard);
	listed = list;
	refused = 0;
	if (preload.state != ACTIVE)
		return;
	refused = uswap_fork_begin(preload.u);
	if (listed && refused == 0)
		touch_streams();
	if (refused == 0)
		starts_touch();
}

static void
parent(void)
{
	bool list = listed;

	if (preload.state == ACTIVE && refused == 0)
		(void)uswap_fork_end(preload.u, 0);
	preload_unlock(&guard);
	if (list)
		_IO_list_unlock();
}

static void __attribute__((noreturn)) end_child(const char *why)
{
	say("a forked child ends at once: %s", why);
	raw_exit(125);
}

/* The list of streams is nobody's here: there are threads, so it was reset. */
static void
child(void)
{
	int error = 0;

	preload.home = raw_getpid();
	preload.top = false;
	exit_forked();
	if (preload.state == ACTIVE) {
		if (refused != 0)
			end_child("its memory is in its parent's swap space");
		alloc_pager_begin();
		error = uswap_fork_end(preload.u, 1);
		alloc_pager_end();
		if (error != 0)
			end_child(uswap_error());
	}
	advice_forked();
	preload_unlock(&guard);
}

static void
prepare_first(void)
{
	if (preload.state == ACTIVE)
		starts_note();
}

/*
 * The handlers of prepare run in the reverse order.  dlsym comes after the first, as
 * that of an old C library allocates.
 */
void
fork_init(void)
{
	void *volatile p;

	pthread_atfork(prepare, parent, child);
	next_fork = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	p = malloc(1); /* the allocator registers its own, if it has not */
	free(p);
	pthread_atfork(prepare_first, NULL, NULL);
}

/*
 * Asks whether the fork would be refused, without holding anything across it.
 * Should that change between this and prepare, the child ends with a message.
 */
HOOK pid_t
fork(void)
{
	static _Atomic bool said;
	struct guard g;
	int error = 0;

	preload_lock(&g);
	if (preload.state == ACTIVE && raw_getpid() == preload.home)
		error = uswap_fork_check(preload.u);
	preload_unlock(&g);
	if (error == 0)
		return next_fork();
	if (!atomic_exchange(&said, true))
		say("%s: %s", preload.program, uswap_error());
	errno = error == -EAGAIN ? EAGAIN : ENOMEM;
	return -1;
}
