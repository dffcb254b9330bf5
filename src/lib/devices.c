/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Swap devices while the program runs: taking one away, what each is doing,
 * priorities.  The public calls, and what the clerk does for them.
 *
 * Taking a device away lasts, and the clerk has others to serve: it makes a
 * thread that does it, and serves on.  The caller waits for the thread's end,
 * and has the clerk collect it.  While one is going on, `going` belongs to
 * that caller; others come back until it is free.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/herefd.h"
#include "base/log.h"
#include "lib/ctx.h"

/* How long a signal may have to wait for a thread in uswap_swapoff. */
#define SIGNAL_MS 50

/* ---- the thread ---------------------------------------------------------- */

static int
find_and_begin(struct uswap *u, struct swapoff *so)
{
	struct swdev *dev;
	int error = -ENOENT;

	mtx_lock(&u->pager.lock);
	dev = swspace_find(&u->pager.space, u->off.name);
	if (dev != NULL)
		error = swapoff_begin(so, dev, u->off.force);
	mtx_unlock(&u->pager.lock);
	return error;
}

static void
report(struct uswap *u, bool *what, int error)
{
	mtx_lock(&u->call_lock);
	u->off.ret = error;
	*what = true;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
}

/* Not while the program forks: see still.c. */
static void
note_running(struct uswap *u, int running)
{
	mtx_lock(&u->call_lock);
	while (running && atomic_load(&u->still) != STILL_NONE)
		cv_wait(&u->call_cv, &u->call_lock);
	u->off.running = running;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
}

static void
pause_for_fork(struct uswap *u, struct swapoff *so)
{
	so->pause = true;
	while (blkq_inflight(so->q) > 0)
		if (!swapoff_step(so))
			blkq_wait(so->q, 5);
	still_park(u, STILL_PAGEOUT);
	so->pause = false;
}

static void
take_away_running(struct uswap *u)
{
	struct swapoff *so = &u->off.swapoff;
	struct blkq *q;
	int error, ret = 0;

	error = blkq_create_uring(SWAPOFF_IO, -1, &q);
	if (error == 0) {
		error = swapoff_init(so, &u->pager, q);
		if (error == 0)
			error = find_and_begin(u, so);
		if (error != 0)
			swapoff_destroy(so);
	}
	report(u, &u->off.begun, error);
	if (error != 0)
		return;
	/* What is left may belong to transfers of others, which end soon. */
	while (!swapoff_over(so, &ret)) {
		if (atomic_load(&u->still) != STILL_NONE)
			pause_for_fork(u, so);
		if (!swapoff_step(so))
			blkq_wait(q, 5);
	}
	u->off.lost = so->lost;
	swapoff_destroy(so);
	report(u, &u->off.over, ret);
}

static void
take_away(struct uswap *u)
{
	note_running(u, 1);
	take_away_running(u);
	note_running(u, 0);
}

static void *
swapoff_main(void *arg)
{
	struct ctx_thread *t = arg;

	pthread_setname_np(pthread_self(), "uswap-swapoff");
	take_away(t->u);
	return NULL;
}

/* ---- on the clerk -------------------------------------------------------- */

static void
await(struct uswap *u, const bool *what)
{
	mtx_lock(&u->call_lock);
	while (!*what)
		cv_wait(&u->call_cv, &u->call_lock);
	mtx_unlock(&u->call_lock);
}

static void
explain(char *text, size_t len, const char *name, int error)
{
	switch (error) {
	case -ENOENT:
		strf(text, len, "%s: no swap device has that name", name);
		break;
	case -EBUSY:
		strf(text, len,
		    "%s is being taken away already, or is the parent "
		    "process's",
		    name);
		break;
	case -ENOMEM:
		strf(text, len,
		    "%s stays in use: the rest of swap space cannot hold what "
		    "is on it; add more first",
		    name);
		break;
	case -EIO:
		strf(text, len,
		    "%s stays in use: it is away, and pages are on it; try "
		    "again when it is back, or give them up with -f",
		    name);
		break;
	case -EAGAIN:
		strf(text, len,
		    "%s stays in use: forked children read what is on it; try "
		    "again when they have ended",
		    name);
		break;
	case -EINTR:
		strf(text, len, "%s stays in use: interrupted", name);
		break;
	default:
		strf(text, len, "%s stays in use: %s; %s", name,
		    strerrordesc_np(-error), ctx_start_hint(error));
	}
}

/*
 * 1: another device is being taken away, try again.  arg[1]: the caller is a
 * thread of the pager's and will do it itself.
 */
static int
do_swapoff(struct uswap *u, struct call *c)
{
	struct off *off = &u->off;
	int error;

	if (off->going && strcmp(off->name, c->text) != 0)
		return 1;
	if (off->going) {
		error = -EBUSY;
	} else {
		off->begun = off->over = false;
		off->lost = 0;
		off->force = (c->arg[0] & USWAP_FORCE) != 0;
		strf(off->name, sizeof(off->name), "%s", c->text);
		error = c->arg[1] ? 0
				  : ctx_thread_create(
					&off->thread, u, 0, swapoff_main);
		if (error == 0 && !c->arg[1]) {
			await(u, &off->begun);
			error = off->ret;
			if (error != 0)
				pthread_join(off->thread.thread, NULL);
		}
		off->going = error == 0;
	}
	if (error != 0) {
		char name[1024];

		strf(name, sizeof(name), "%s", c->text);
		explain(c->text, sizeof(c->text), name, error);
	}
	return error;
}

static int
do_swapoff_end(struct uswap *u, struct call *c)
{
	struct off *off = &u->off;

	if (!c->arg[1])
		pthread_join(off->thread.thread, NULL);
	off->going = false;
	if (off->lost > 0)
		log_msg(LOG_ERROR,
		    "%s: %ju pages could not be read and are lost", off->name,
		    (uintmax_t)off->lost);
	if (off->ret == 0)
		log_msg(LOG_NOTE, "swap off %s", off->name);
	else
		explain(c->text, sizeof(c->text), off->name, off->ret);
	return off->ret;
}

static int
do_swapoff_stop(struct uswap *u, struct call *c)
{
	bool begun;

	/* Before that it would be forgotten. */
	mtx_lock(&u->call_lock);
	begun = u->off.begun;
	mtx_unlock(&u->call_lock);
	if (u->off.going && begun && strcmp(u->off.name, c->text) == 0) {
		atomic_store(&u->off.swapoff.stop, true);
		return 0;
	}
	strf(c->text, sizeof(c->text),
	    "no swap device of that name is being taken away");
	return -ENOENT;
}

void
ctx_end_swapoff(struct uswap *u)
{
	if (!u->off.going)
		return;
	atomic_store(&u->off.swapoff.stop, true);
	pthread_join(u->off.thread.thread, NULL);
}

static int
do_set_priority(struct uswap *u, struct call *c)
{
	struct pager *pg = &u->pager;
	struct swdev *dev;

	mtx_lock(&pg->lock);
	dev = swspace_find(&pg->space, c->text);
	if (dev != NULL)
		swspace_set_prio(&pg->space, dev, (int)c->arg[0]);
	mtx_unlock(&pg->lock);
	if (dev != NULL)
		return 0;
	strf(c->text, sizeof(c->text), "no swap device has that name");
	return -ENOENT;
}

static void
describe(const struct swdev_info *info, struct uswap_device *d)
{
	struct blkdev_stats st;

	blkdev_stats(info->dev, &st);
	strf(d->name, sizeof(d->name), "%s", info->name);
	d->prio = info->prio;
	d->flags = (info->inherited    ? USWAP_DEVICE_INHERITED
		       : info->closing ? USWAP_DEVICE_CLOSING
				       : 0u) |
		   (info->away ? USWAP_DEVICE_AWAY : 0u) |
		   (blkdev_encrypted(info->dev) ? USWAP_DEVICE_CRYPT : 0u);
	d->blocks = info->blocks;
	d->used = info->used;
	d->bad = info->bad;
	d->reads = st.reads;
	d->writes = st.writes;
	d->read_pages = st.read_pages;
	d->write_pages = st.write_pages;
	d->read_errors = st.read_errors;
	d->write_errors = st.write_errors;
	d->slow = st.slow;
}

/* arg[0]: room for USWAP_DEVICES_MAX, which is not managed memory. */
static int
do_devices(struct uswap *u, struct call *c)
{
	struct uswap_device *dev = (struct uswap_device *)c->arg[0];
	struct pager *pg = &u->pager;
	struct swdev_info info;

	mtx_lock(&pg->lock);
	for (unsigned i = 0; i < pg->space.ndev; i++) {
		swspace_info(&pg->space, i, &info);
		describe(&info, &dev[i]);
	}
	c->out = pg->space.ndev;
	mtx_unlock(&pg->lock);
	return 0;
}

/* ---- the calls ----------------------------------------------------------- */

_Static_assert(USWAP_DEVICES_MAX == SWDEV_MAX, "as many as there can be");

/* The sentence is set and ret is not 0 when nothing can have that name. */
static struct call
name_call(call_fn *fn, const char *name)
{
	struct call c = {.fn = fn};

	if (strlen(name) >= sizeof(((struct uswap_device *)0)->name))
		c.ret = ctx_error(-ENOENT, "no swap device has that name");
	else
		strf(c.text, sizeof(c.text), "%s", name);
	return c;
}

/*
 * Sleeps until *what, or for a while.  With the lock held signals must stay
 * blocked, but this may last: they are let through now and then.
 */
static bool
wait_for(struct uswap *u, const bool *what)
{
	sigset_t all, old;
	bool is;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	mtx_lock(&u->call_lock);
	if (!*what)
		(void)cv_timedwait(&u->call_cv, &u->call_lock, SIGNAL_MS);
	is = *what;
	mtx_unlock(&u->call_lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return is;
}

/* here: the caller does it.  Otherwise a thread that the clerk makes for it. */
static int
swapoff(struct uswap *u, const char *name, unsigned flags, bool here)
{
	static const bool never = false; /* its turn announces nothing */
	struct call c = name_call(do_swapoff, name);

	if (c.ret != 0)
		return c.ret;
	if ((flags & ~(unsigned)USWAP_FORCE) != 0)
		return ctx_error(-EINVAL, "unknown flags %#x", flags);
	c.arg[0] = flags;
	c.arg[1] = here;
	while (ctx_call(u, &c) == 1)
		(void)wait_for(u, &never);
	if (c.ret != 0)
		return c.ret;
	if (here)
		take_away(u);
	else
		while (!wait_for(u, &u->off.over))
			continue;
	c.fn = do_swapoff_end;
	return ctx_call(u, &c);
}

USWAP_API int
uswap_swapoff(uswap_t *u, const char *name, unsigned flags)
{
	int error = swapoff(u, name, flags, false);

	herefd_sweep();
	return error;
}

/*
 * Creating a thread enters the program's allocator.  The clerk must not wait
 * for that where the allocator's calls of mmap wait for the clerk.
 */
int
ctx_swapoff_here(struct uswap *u, const char *name, unsigned flags)
{
	return swapoff(u, name, flags, true);
}

USWAP_API int
uswap_swapoff_stop(uswap_t *u, const char *name)
{
	struct call c = name_call(do_swapoff_stop, name);

	return c.ret != 0 ? c.ret : ctx_call(u, &c);
}

USWAP_API int
uswap_set_priority(uswap_t *u, const char *name, int prio)
{
	struct call c = name_call(do_set_priority, name);

	if (c.ret != 0)
		return c.ret;
	if (prio < 0 || prio > 32767)
		return ctx_error(
		    -EINVAL, "%d is no priority: give 0 to 32767", prio);
	c.arg[0] = (uintptr_t)prio;
	return ctx_call(u, &c);
}

USWAP_API int
uswap_devices(uswap_t *u, struct uswap_device *dev, unsigned *n, size_t size)
{
	size_t bytes = USWAP_DEVICES_MAX * sizeof(*dev);
	struct uswap_device *all = mem_map(bytes);
	struct call c = {.fn = do_devices, .arg = {(uintptr_t)all}};
	char *to = (char *)dev;

	if (all == NULL)
		return ctx_error(-ENOMEM, "no memory for a list of devices");
	if (ctx_call(u, &c) == 0) {
		for (unsigned i = 0; i < US_MIN(*n, c.out); i++) {
			memset(to + i * size, 0, size);
			memcpy(
			    to + i * size, &all[i], US_MIN(size, sizeof(*dev)));
		}
		*n = (unsigned)c.out;
	}
	mem_unmap(all, bytes);
	return c.ret;
}
