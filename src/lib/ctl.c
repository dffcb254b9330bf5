/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the control socket is served.
 *
 * Both threads share the pager's file table, so that no program can close the
 * socket or find it, and a forked child does not inherit it.  They are made at
 * the start: later, pthread_create would enter the program's allocator.
 *
 * The ctl thread asks the clerk like any caller.  What may take long is the
 * worker's (ctl_job.c).
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/ctl.h"

/* While there are clients or a job: how often timeouts are looked at. */
#define TICK_MS 250
/* While a job is to be given up: it may not have got so far that it can be. */
#define SOON_MS 5

uint64_t
ctl_now_ns(void)
{
	return clock_now_ns(&clock_real);
}

void
ctl_wake(struct ctl *ctl)
{
	uint64_t one = 1;

	(void)!write(ctl->event, &one, sizeof(one));
}

/* ---- the ctl thread ------------------------------------------------------ */

/* Fills in what to wait for; returns for how long. */
static int
prepare(struct ctl *ctl, struct pollfd *p)
{
	int timeout = -1;

	if (ctl_job_state(ctl) != JOB_IDLE)
		timeout = ctl_abandoned(ctl) ? SOON_MS : TICK_MS;

	for (unsigned i = 0; i < CTL_CLIENTS; i++) {
		struct ctl_client *c = &ctl->client[i];

		p[i] = (struct pollfd){.fd = -1};
		if (c->fd < 0)
			continue;
		p[i].events = ctl_interest(c);
		/* Who has gone is not to wake us again and again. */
		if (!c->gone || p[i].events != 0)
			p[i].fd = c->fd;
		if (timeout < 0)
			timeout = TICK_MS;
		if (c->more && !c->busy && c->out_to == 0)
			timeout = 0;
	}
	return timeout;
}

static void
wait_for_something(struct ctl *ctl)
{
	struct pollfd p[CTL_CLIENTS + 2];
	int timeout = prepare(ctl, p);
	uint64_t count;

	p[CTL_CLIENTS] = (struct pollfd){ctl->event, POLLIN, 0};
	p[CTL_CLIENTS + 1] = (struct pollfd){ctl->listener, POLLIN, 0};
	(void)poll(p, nitems(p), timeout);
	if (p[CTL_CLIENTS].revents != 0)
		(void)!read(ctl->event, &count, sizeof(count));
	/* Told even if nothing more is to be read. */
	for (unsigned i = 0; i < CTL_CLIENTS; i++)
		if (p[i].revents & (POLLHUP | POLLERR))
			ctl->client[i].gone = true;
}

/* No client can make more than so many rounds of work. */
static void
pace(void)
{
	struct timespec ts = {.tv_nsec = CTL_PACE_MS * (long)CTL_NS_PER_MS};

	(void)nanosleep(&ts, NULL);
}

static void *
ctl_main(void *arg)
{
	struct ctx_thread *t = arg;
	struct ctl *ctl = t->u->ctl;

	pthread_setname_np(pthread_self(), "uswap-ctl");
	while (!atomic_load(&ctl->stop)) {
		wait_for_something(ctl);
		ctl_accept(ctl);
		for (unsigned i = 0; i < CTL_CLIENTS; i++)
			if (ctl->client[i].fd >= 0)
				ctl_serve(ctl, &ctl->client[i]);
		ctl_job_look(ctl);
		pace();
	}
	for (unsigned i = 0; i < CTL_CLIENTS; i++)
		if (ctl->client[i].fd >= 0)
			ctl_drop(ctl, &ctl->client[i]);
	ctl_end_worker(ctl);
	return NULL;
}

/* ---- start and end ------------------------------------------------------- */

static void
give_up(struct ctl *ctl, const char *why)
{
	log_msg(LOG_NOTE,
	    "no control socket: %s; `uswap list` will not show this process",
	    why);
	if (ctl->listener >= 0) {
		(void)unlink(ctl->path);
		close(ctl->listener);
	}
	if (ctl->event >= 0)
		close(ctl->event);
	ctl->u->ctl = NULL;
	mem_unmap(ctl, sizeof(*ctl));
}

static int
make_threads(struct ctl *ctl)
{
	int error = ctx_thread_create(&ctl->worker, ctl->u, 0, ctl_work_main);

	if (error != 0)
		return error;
	error = ctx_thread_create(&ctl->thread, ctl->u, 0, ctl_main);
	if (error != 0)
		ctl_end_worker(ctl);
	return error;
}

void
ctl_start(struct uswap *u)
{
	struct ctl *ctl;
	char err[256];
	int error;

	if ((u->opt.flags & USWAP_CONTROL) == 0)
		return;
	ctl = mem_map(sizeof(*ctl));
	if (ctl == NULL)
		return;
	u->ctl = ctl;
	ctl->u = u;
	ctl->pid = getpid();
	ctl->uid = geteuid();
	for (unsigned i = 0; i < CTL_CLIENTS; i++)
		ctl->client[i].fd = -1;
	mtx_init(&ctl->lock, RANK_CALL);
	cv_init(&ctl->cv);
	ctl->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ctl->listener =
	    ctl_listen(ctl->path, sizeof(ctl->path), err, sizeof(err));
	if (ctl->listener < 0 || ctl->event < 0) {
		give_up(ctl, ctl->listener < 0 ? err : "no descriptor");
		return;
	}
	error = make_threads(ctl);
	if (error != 0)
		give_up(ctl, ctx_start_hint(error));
}

static int
do_ctl_stop(struct uswap *u, struct call *c)
{
	(void)c;
	atomic_store(&u->ctl->stop, true);
	ctl_wake(u->ctl);
	return 0;
}

static int
do_ctl_close(struct uswap *u, struct call *c)
{
	(void)c;
	close(u->ctl->listener);
	close(u->ctl->event);
	return 0;
}

/*
 * The descriptors are in the clerk's file table, not in the caller's.  The
 * clerk does not wait for the threads: they may be waiting for it.
 */
void
ctl_stop(struct uswap *u)
{
	struct call stop = {.fn = do_ctl_stop}, end = {.fn = do_ctl_close};

	if (u->ctl == NULL)
		return;
	uswap_control_end(u);
	(void)ctx_call(u, &stop);
	pthread_join(u->ctl->thread.thread, NULL);
	(void)ctx_call(u, &end);
	mem_unmap(u->ctl, sizeof(*u->ctl));
	u->ctl = NULL;
}

/* A forked child has its parent's path, and must leave it. */
USWAP_API void
uswap_control_end(uswap_t *u)
{
	if (u->ctl != NULL && !atomic_load(&u->dead) && u->ctl->pid == getpid())
		(void)unlink(u->ctl->path);
}
