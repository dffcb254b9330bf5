/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the control socket is served.
 *
 * Both threads share the pager's file table, so that no program can close the
 * socket or find it, and a forked child does not inherit it.  They are made at
 * the start: later, pthread_create would enter the program's allocator.
 *
 * The ctl thread asks the clerk like any caller.  What may take long is the
 * worker's, and the worker opens swap space itself: the clerk, which the
 * program's own calls wait for, only adds what is open.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/config.h"
#include "lib/ctl.h"

/* While there are clients or a job: how often timeouts are looked at. */
#define TICK_MS   250

#define NS_PER_MS UINT64_C(1000000)

static uint64_t
now_ns(void)
{
	return clock_now_ns(&clock_real);
}

/* From any of the pager's threads. */
static void
wake(struct ctl *ctl)
{
	uint64_t one = 1;

	(void)!write(ctl->event, &one, sizeof(one));
}

/* ---- the worker ---------------------------------------------------------- */

static int
job_on(struct ctl *ctl, struct ctl_job *j)
{
	struct call c = {.fn = do_swapon_opened};
	struct blkdev *dev;
	int prio, error;

	error = config_open_spec(j->request.text, ctl->u->ram_pages, &dev,
	    &prio, j->text, sizeof(j->text));
	if (error != 0)
		return error;
	c.addr = (uintptr_t)dev;
	c.arg[0] = (uintptr_t)prio;
	error = ctx_call(ctl->u, &c);
	strf(j->text, sizeof(j->text), "%s", c.text);
	return error;
}

static int
job_off(struct ctl *ctl, struct ctl_job *j)
{
	int error = ctx_swapoff_here(
	    ctl->u, j->request.text, j->request.force ? USWAP_FORCE : 0);

	strf(j->text, sizeof(j->text), "%s", uswap_error());
	return error;
}

static void *
work_main(void *arg)
{
	struct ctx_thread *t = arg;
	struct ctl *ctl = t->u->ctl;
	struct ctl_job *j = &ctl->job;

	pthread_setname_np(pthread_self(), "uswap-work");
	mtx_lock(&ctl->lock);
	while (!ctl->quit) {
		if (j->state != JOB_POSTED) {
			cv_wait(&ctl->cv, &ctl->lock);
			continue;
		}
		j->state = JOB_RUNNING;
		mtx_unlock(&ctl->lock);
		j->ret = j->request.verb == CTL_ON ? job_on(ctl, j)
						   : job_off(ctl, j);
		mtx_lock(&ctl->lock);
		j->state = JOB_DONE;
		cv_broadcast(&ctl->cv);
		wake(ctl);
	}
	mtx_unlock(&ctl->lock);
	return NULL;
}

/* ---- the job, seen from the ctl thread ----------------------------------- */

static int
job_state(struct ctl *ctl)
{
	int state;

	mtx_lock(&ctl->lock);
	state = ctl->job.state;
	mtx_unlock(&ctl->lock);
	return state;
}

static void
job_post(
    struct ctl *ctl, struct ctl_client *c, const struct ctl_request *request)
{
	mtx_lock(&ctl->lock);
	ctl->job.request = *request;
	ctl->job.state = JOB_POSTED;
	cv_broadcast(&ctl->cv);
	mtx_unlock(&ctl->lock);
	ctl->asker = c;
	ctl->progress_ns = now_ns();
	c->busy = true;
}

/* Nobody wants it any more: an `off` stops.  To be repeated until it does. */
static void
job_abandon(struct ctl *ctl)
{
	if (ctl->job.request.verb == CTL_OFF)
		(void)uswap_swapoff_stop(ctl->u, ctl->job.request.text);
}

static void
job_done(struct ctl *ctl)
{
	struct ctl_client *c = ctl->asker;

	if (c != NULL) {
		ctl_answer(c, ctl->job.ret, ctl->job.text);
		c->busy = false;
		c->heard_ns = now_ns();
	}
	ctl->asker = NULL;
	mtx_lock(&ctl->lock);
	ctl->job.state = JOB_IDLE;
	mtx_unlock(&ctl->lock);
}

static void
job_look(struct ctl *ctl)
{
	int state = job_state(ctl);
	uint64_t now = now_ns();

	if (state == JOB_DONE)
		job_done(ctl);
	else if (state != JOB_IDLE && (ctl->asker == NULL || ctl->asker->gone))
		job_abandon(ctl);
	else if (state == JOB_RUNNING && ctl->job.request.verb == CTL_OFF &&
		 ctl->asker->out_to == 0 &&
		 now - ctl->progress_ns >= CTL_PROGRESS_MS * NS_PER_MS) {
		ctl_answer_progress(ctl, ctl->asker, ctl->job.request.text);
		ctl->progress_ns = now;
	}
}

/* ---- clients ------------------------------------------------------------- */

static void
drop(struct ctl *ctl, struct ctl_client *c)
{
	close(c->fd);
	c->fd = -1;
	mem_unmap(c->out, CTL_ANSWER);
	if (ctl->asker == c) {
		ctl->asker = NULL;
		job_abandon(ctl);
	}
}

/* A free place: if there is none, that of the one silent longest. */
static struct ctl_client *
place(struct ctl *ctl)
{
	struct ctl_client *oldest = NULL;

	for (unsigned i = 0; i < CTL_CLIENTS; i++) {
		struct ctl_client *c = &ctl->client[i];

		if (c->fd < 0)
			return c;
		if (!c->busy &&
		    (oldest == NULL || c->heard_ns < oldest->heard_ns))
			oldest = c;
	}
	KASSERT(oldest != NULL, "one client is busy at most");
	drop(ctl, oldest);
	return oldest;
}

static void
welcome(struct ctl *ctl, int fd)
{
	char *out = ctl_peer_ok(fd, ctl->uid) ? mem_map(CTL_ANSWER) : NULL;
	struct ctl_client *c;

	if (out == NULL) {
		close(fd);
		return;
	}
	c = place(ctl);
	c->fd = fd;
	c->out = out;
	c->out_from = c->out_to = 0;
	c->in.n = c->in.taken = 0;
	c->busy = c->last = c->gone = c->more = false;
	c->heard_ns = now_ns();
}

/*
 * No more in one round than half of the places: however many come, each has
 * time to say what it wants before it is the oldest.
 */
static void
accept_some(struct ctl *ctl)
{
	for (unsigned i = 0; i < CTL_CLIENTS / 2; i++) {
		int fd = accept4(
		    ctl->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		welcome(ctl, fd);
	}
}

static void
obey(struct ctl *ctl, struct ctl_client *c, const struct ctl_request *r)
{
	int error;

	switch (r->verb) {
	case CTL_INFO:
		ctl_answer_info(ctl, c);
		return;
	case CTL_SET:
		if (strncmp(r->text, "prio:", 5) == 0)
			error = uswap_set_priority(ctl->u, r->text + 5,
			    (int)US_MIN(r->value, INT_MAX));
		else
			error = uswap_set(ctl->u, r->text, r->value);
		ctl_answer(c, error, uswap_error());
		return;
	case CTL_ON:
	case CTL_OFF:
		if (job_state(ctl) == JOB_IDLE)
			job_post(ctl, c, r);
		else
			ctl_answer(c, -EBUSY,
			    "another swapon or swapoff is under way; wait "
			    "for its end");
		return;
	}
}

/* False: nothing can come of it any more. */
static bool
read_some(struct ctl_client *c)
{
	size_t room;
	char *at = ctl_in_room(&c->in, &room);
	ssize_t n;

	if (room == 0 || c->gone)
		return true;
	n = recv(c->fd, at, room, 0);
	if (n > 0)
		c->in.n += (size_t)n;
	else if (n == 0)
		c->gone = true;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static bool
write_some(struct ctl_client *c)
{
	ssize_t n;

	if (c->out_to == 0)
		return true;
	n = send(
	    c->fd, c->out + c->out_from, c->out_to - c->out_from, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->heard_ns = now_ns();
	c->out_from += (size_t)n;
	if (c->out_from == c->out_to)
		c->out_from = c->out_to = 0;
	return true;
}

/* The next request, if there is one and the last has been answered. */
static void
take_request(struct ctl *ctl, struct ctl_client *c)
{
	struct ctl_request r;
	char err[256], *line;
	size_t len;

	if (c->busy || c->last || c->out_to > 0)
		return;
	c->more = false;
	switch (ctl_in_line(&c->in, &line, &len)) {
	case CTL_GOT_LESS:
		c->last = c->gone;
		return;
	case CTL_GOT_TOO_LONG:
		ctl_answer(c, -EMSGSIZE, "the line is too long");
		c->last = true;
		return;
	case CTL_GOT_LINE:
		c->more = true;
		c->heard_ns = now_ns();
		if (ctl_parse(line, len, ctl->arena, &r, err, sizeof(err)) == 0)
			obey(ctl, c, &r);
		else
			ctl_answer(c, -EINVAL, err);
		return;
	}
}

static void
serve(struct ctl *ctl, struct ctl_client *c)
{
	bool alive = read_some(c);

	take_request(ctl, c);
	if (!alive || !write_some(c) || (c->last && c->out_to == 0) ||
	    (now_ns() - c->heard_ns > CTL_PATIENCE_MS * NS_PER_MS &&
		(!c->busy || c->out_to > 0)))
		drop(ctl, c);
}

/* ---- the ctl thread ------------------------------------------------------ */

static short
interest(struct ctl_client *c)
{
	short events = 0;
	size_t room;

	(void)ctl_in_room(&c->in, &room);
	if (room > 0 && !c->gone)
		events |= POLLIN;
	if (c->out_to > 0)
		events |= POLLOUT;
	return events;
}

/* Fills in what to wait for; returns for how long. */
static int
prepare(struct ctl *ctl, struct pollfd *p)
{
	int timeout = job_state(ctl) == JOB_IDLE ? -1 : TICK_MS;

	for (unsigned i = 0; i < CTL_CLIENTS; i++) {
		struct ctl_client *c = &ctl->client[i];

		p[i] = (struct pollfd){.fd = -1};
		if (c->fd < 0)
			continue;
		p[i].events = interest(c);
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
	struct timespec ts = {.tv_nsec = CTL_PACE_MS * (long)NS_PER_MS};

	(void)nanosleep(&ts, NULL);
}

/* The worker ends what it does, and then itself. */
static void
end_worker(struct ctl *ctl)
{
	mtx_lock(&ctl->lock);
	ctl->quit = true;
	cv_broadcast(&ctl->cv);
	while (ctl->job.state == JOB_RUNNING) {
		mtx_unlock(&ctl->lock);
		job_abandon(ctl);
		mtx_lock(&ctl->lock);
		if (ctl->job.state == JOB_RUNNING)
			(void)cv_timedwait(&ctl->cv, &ctl->lock, 100);
	}
	mtx_unlock(&ctl->lock);
	pthread_join(ctl->worker.thread, NULL);
}

static void *
ctl_main(void *arg)
{
	struct ctx_thread *t = arg;
	struct ctl *ctl = t->u->ctl;

	pthread_setname_np(pthread_self(), "uswap-ctl");
	while (!atomic_load(&ctl->stop)) {
		wait_for_something(ctl);
		accept_some(ctl);
		for (unsigned i = 0; i < CTL_CLIENTS; i++)
			if (ctl->client[i].fd >= 0)
				serve(ctl, &ctl->client[i]);
		job_look(ctl);
		pace();
	}
	for (unsigned i = 0; i < CTL_CLIENTS; i++)
		if (ctl->client[i].fd >= 0)
			drop(ctl, &ctl->client[i]);
	end_worker(ctl);
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
	int error = ctx_thread_create(&ctl->worker, ctl->u, 0, work_main);

	if (error != 0)
		return error;
	error = ctx_thread_create(&ctl->thread, ctl->u, 0, ctl_main);
	if (error != 0)
		end_worker(ctl);
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
	wake(u->ctl);
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
