/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "daemon/clone.h"
#include "daemon/policy.h"
#include "lib/ctl.h"
#include "lib/ctx.h"
#include "lib/vma.h"

/* Enough for the largest batch on the stack, many times over. */
#define THREAD_STACK (256 * 1024)

/*
 * Pages that may ever be touched: 1 TiB.  It bounds the address space of the
 * bookkeeping, not of the regions.
 */
#define TOTAL_PAGES (UINT64_C(1) << 28)

_Static_assert((int)USWAP_FULL_GROW == (int)FULL_GROW &&
		   (int)USWAP_FULL_STOP == (int)FULL_STOP &&
		   (int)USWAP_FULL_KILL == (int)FULL_KILL,
    "the same numbers outside and inside");

/* ---- the sentence of the last error -------------------------------------- */

static _Thread_local char error_text[512]
    __attribute__((tls_model("initial-exec")));

USWAP_API const char *
uswap_error(void)
{
	return error_text;
}

int
ctx_error(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(error_text, sizeof(error_text), fmt, ap);
	va_end(ap);
	return error;
}

/* ---- the mailbox --------------------------------------------------------- */

void
mailbox_take(struct uswap *u)
{
	mtx_lock(&u->call_lock);
	while (u->call_taken)
		cv_wait(&u->call_cv, &u->call_lock);
	u->call_taken = true;
	mtx_unlock(&u->call_lock);
}

/* c may be managed memory: it is touched while no lock is held. */
void
mailbox_use(struct uswap *u, struct call *c)
{
	u->call = *c;
	mtx_lock(&u->call_lock);
	u->call_done = false;
	u->call_posted = true;
	cv_broadcast(&u->call_cv);
	while (!u->call_done)
		cv_wait(&u->call_cv, &u->call_lock);
	mtx_unlock(&u->call_lock);
	*c = u->call;
}

void
mailbox_leave(struct uswap *u)
{
	mtx_lock(&u->call_lock);
	u->call_taken = false;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
}

/*
 * All signals stay blocked while a caller has the mailbox: a handler of the
 * program's might allocate, and come here again.
 */
int
ctx_call(struct uswap *u, struct call *c)
{
	sigset_t all, old;

	if (atomic_load(&u->dead))
		return c->ret = ctx_error(
			   -ESRCH, "this is a forked child without a pager");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	mailbox_take(u);
	mailbox_use(u, c);
	mailbox_leave(u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (c->ret < 0)
		ctx_error(0, "%s", c->text);
	return c->ret;
}

static void
clerk_serve(struct uswap *u)
{
	mtx_lock(&u->call_lock);
	while (!atomic_load(&u->stop)) {
		if (!u->call_posted) {
			cv_wait(&u->call_cv, &u->call_lock);
			continue;
		}
		u->call_posted = false;
		mtx_unlock(&u->call_lock);
		u->call.ret = u->call.fn(u, &u->call);
		mtx_lock(&u->call_lock);
		u->call_done = true;
		cv_broadcast(&u->call_cv);
	}
	mtx_unlock(&u->call_lock);
}

/* ---- events between the threads; the pager's lock is held ---------------- */

/* Threads that are not there so far will look by themselves. */
static void
on_need_pageout(void *arg)
{
	struct uswap *u = arg;

	if (u->pageout.q != NULL)
		blkq_kick(u->pageout.q);
}

static void
on_have_memory(void *arg)
{
	struct uswap *u = arg;

	for (unsigned i = 0; i < u->nhandlers; i++)
		if (atomic_load(&u->handler[i].waiting))
			blkq_kick(u->handler[i].q);
	pager_wake(&u->pager); /* those who answer themselves */
}

/*
 * Before the first page leaves: from here on a child that nobody prepared for gets
 * none of the managed memory, which it could not have whole.
 */
static void
on_first_out(void *arg)
{
	struct uswap *u = arg;
	struct pager *pg = &u->pager;

	if (u->parent != 0)
		fork_own_space(u);
	mtx_lock(&pg->lock);
	for (uint32_t i = 0; i < pg->map.n && !u->left; i++)
		syscall(SYS_madvise, pg->map.e[i].start,
		    pg->map.e[i].end - pg->map.e[i].start, MADV_DONTFORK);
	u->left = true;
	mtx_unlock(&pg->lock);
}

/* ---- threads ------------------------------------------------------------- */

int
ctx_thread_create(struct ctx_thread *t, struct uswap *u, unsigned index,
    void *(*body)(void *))
{
	t->u = u;
	t->index = index;
	return thread_create(&t->thread, THREAD_STACK, body, t);
}

/* A thread is ready, or (error) cannot be. */
static void
report_ready(struct uswap *u, int error)
{
	mtx_lock(&u->call_lock);
	u->started++;
	if (error != 0)
		u->failure = error;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
}

static int
await_ready(struct uswap *u, int count)
{
	int error;

	mtx_lock(&u->call_lock);
	while (u->started < count)
		cv_wait(&u->call_cv, &u->call_lock);
	error = u->failure;
	mtx_unlock(&u->call_lock);
	return error;
}

/*
 * A thread has left its loop.  Others may still kick its queue, so it waits
 * until they have left theirs.
 */
static void
await_release(struct uswap *u)
{
	mtx_lock(&u->call_lock);
	u->ended++;
	cv_broadcast(&u->call_cv);
	while (!u->release)
		cv_wait(&u->call_cv, &u->call_lock);
	mtx_unlock(&u->call_lock);
}

void *
ctx_handler_main(void *arg)
{
	struct ctx_thread *t = arg;
	struct uswap *u = t->u;
	struct handler *h = &u->handler[t->index];
	struct blkq *q;
	int error;

	pthread_setname_np(pthread_self(), "uswap-fault");
	error = blkq_create_uring(HANDLER_IO, u->pmap->fd, &q);
	if (error == 0)
		error = handler_init(h, &u->pager, q);
	h->vigil = u->nhandlers == 1 && !ctx_inline(u) ? &u->vigil : NULL;
	report_ready(u, error);
	while (error == 0 && !atomic_load(&u->stop)) {
		if (atomic_load(&u->still) == STILL_ALL)
			still_handler(u, h, t->index);
		if (!handler_step(h))
			handler_wait(h);
	}
	await_release(u);
	if (error == 0)
		handler_destroy(h);
	return NULL;
}

int
ctx_page_out(struct uswap *u, const struct ctx_job *job)
{
	pageout_range(&u->pageout, job->start, job->end);
	return 0;
}

int
ctx_clone(struct uswap *u, const struct ctx_job *job)
{
	struct map_entry *e;
	struct object *o;

	mtx_lock(&u->pager.lock);
	e = map_lookup(&u->pager.map, job->start);
	o = e->object;
	mtx_unlock(&u->pager.lock);
	return clone_make(&u->pageout, o, (pindex_t)atop(job->start - o->base),
	    (pindex_t)atop(job->end - job->start), job->dst);
}

int
ctx_pageout_do(struct uswap *u, const struct ctx_job *job)
{
	int ret;

	mtx_lock(&u->job_lock);
	atomic_store(&u->job, job);
	blkq_kick(u->pageout.q);
	while (atomic_load(&u->job) != NULL)
		cv_wait(&u->job_cv, &u->job_lock);
	ret = u->job_ret;
	mtx_unlock(&u->job_lock);
	return ret;
}

/* Another thread waits for the job, if there is one. */
static void
do_job(struct uswap *u)
{
	const struct ctx_job *job = atomic_load(&u->job);
	int ret;

	if (job == NULL)
		return;
	ret = job->fn(u, job);
	mtx_lock(&u->job_lock);
	u->job_ret = ret;
	atomic_store(&u->job, NULL);
	cv_broadcast(&u->job_cv);
	mtx_unlock(&u->job_lock);
}

void *
ctx_pageout_main(void *arg)
{
	struct ctx_thread *t = arg;
	struct uswap *u = t->u;
	struct pageout *po = &u->pageout;
	struct blkq *q;
	int error, tick;

	pthread_setname_np(pthread_self(), "uswap-pageout");
	error = blkq_create_uring(PAGEOUT_IO, -1, &q);
	if (error == 0)
		error = pageout_init(po, &u->pager, q);
	u->pager.pageout_tid = gettid();
	po->first_out = on_first_out;
	po->first_out_arg = u;
	po->when_full = (enum when_full)u->opt.when_full;
	report_ready(u, error);
	while (error == 0 && !atomic_load(&u->stop)) {
		if (atomic_load(&u->still) != STILL_NONE) {
			pageout_drain(po);
			still_park(u, STILL_PAGEOUT);
		}
		tick = kin_tick(u);
		do_job(u);
		/* Short of pages without progress: something is pinned, or
		 * swap space is full.  Neither announces its end. */
		if (!pageout_step(po))
			blkq_wait(q, po->working ? 20 : tick);
	}
	await_release(u);
	if (error == 0)
		pageout_destroy(po);
	return NULL;
}

/* ---- starting ------------------------------------------------------------ */

/* A file table without the program's files, but for stderr. */
static void
leave_file_table(struct uswap *u)
{
	unsigned files = u->opt.flags & USWAP_QUIET ? 3 : 2;

	u->private_files = unshare(CLONE_FILES) == 0;
	if (!u->private_files)
		return;
	syscall(SYS_close_range, 0, files - 1, 0);
	syscall(SYS_close_range, 3, ~0u, 0);
	/* These must not become ours, lest somebody prints into them. */
	while (files-- > 0)
		(void)open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* Ends all threads but the clerk, which calls this. */
static void
end_threads(struct uswap *u)
{
	atomic_store(&u->stop, true);
	mtx_lock(&u->call_lock);
	while (u->ended < u->created) {
		if (u->pageout.q != NULL)
			blkq_kick(u->pageout.q);
		for (unsigned i = 0; i < u->nhandlers; i++)
			if (u->handler[i].q != NULL)
				blkq_kick(u->handler[i].q);
		(void)cv_timedwait(&u->call_cv, &u->call_lock, 100);
	}
	u->release = true;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
	vigil_end(&u->vigil);
	if (u->created > 0)
		pthread_join(u->pageout_thread.thread, NULL);
	for (int i = 1; i < u->created; i++)
		pthread_join(u->handler_thread[i - 1].thread, NULL);
}

const char *
ctx_start_hint(int error)
{
	switch (error) {
	case -ENOSYS:
	case -EPERM:
		return "io_uring is not available here: see the sysctl "
		       "kernel.io_uring_disabled, or the container's seccomp "
		       "profile";
	case -EAGAIN:
		return "raise ulimit -u, or the control group's pids.max";
	case -EMFILE:
		return "raise ulimit -n";
	default:
		return "end something else first";
	}
}

static int
build_threads(struct uswap *u, char *err, size_t errlen)
{
	int error;

	if (u->nhandlers == 1 && !ctx_inline(u))
		(void)vigil_begin(&u->vigil);
	error = ctx_thread_create(&u->pageout_thread, u, 0, ctx_pageout_main);
	for (unsigned i = 0; error == 0; i++) {
		u->created++;
		if (i == u->nhandlers)
			break;
		error = ctx_thread_create(
		    &u->handler_thread[i], u, i, ctx_handler_main);
	}
	if (error == 0)
		error = await_ready(u, u->created);
	if (error == 0)
		return 0;
	end_threads(u);
	strf(err, errlen, "the pager's threads could not start: %s; %s",
	    strerrordesc_np(-error), ctx_start_hint(error));
	return error;
}

static void
hear_events(struct uswap *u)
{
	u->pager.event_arg = u;
	u->pager.need_pageout = on_need_pageout;
	u->pager.have_memory = on_have_memory;
}

/* In a forked child the rooms are there, with what was in them. */
static int
build_again(struct uswap *u, char *err, size_t errlen)
{
	int error = fork_rebuild(u, err, errlen);

	hear_events(u);
	kin_begin(u);
	return error != 0 ? error : build_threads(u, err, errlen);
}

static int
build(struct uswap *u, char *err, size_t errlen)
{
	struct pager_params p = {
	    .clock = &clock_real, .total_pages = TOTAL_PAGES};
	int error;

	policy_divide((uint32_t)u->ram_pages, &p);
	error = pmap_open_uffd(p.frames,
	    ((u->opt.flags & USWAP_FORCE_COPY) != 0 ? PMAP_NO_MOVE : 0) |
		(ctx_inline(u) ? PMAP_INLINE : 0),
	    &u->pmap, err, errlen);
	if (error != 0)
		return error;
	p.pmap = u->pmap;
	error = pager_init(&u->pager, &p);
	if (error != 0) {
		strf(err, errlen,
		    "no address space for the pager's tables; raise ulimit -v");
		goto err1;
	}
	hear_events(u);
	error = build_threads(u, err, errlen);
	if (error == 0)
		return 0;
	pager_destroy(&u->pager);
err1:
	pmap_close(u->pmap);
	return error;
}

/* Builds the rooms bottom-up, serves, and takes them down again. */
static void *
clerk_main(void *arg)
{
	struct ctx_thread *t = arg;
	struct uswap *u = t->u;
	char err[512] = "";
	int error;

	pthread_setname_np(pthread_self(), "uswap-clerk");
	leave_file_table(u);
	u->maps_fd = vma_open();
	error = u->parent != 0 ? 0 : names_init(&u->names);
	if (error != 0)
		strf(err, sizeof(err), "no address space for names");
	else if (u->parent != 0)
		error = build_again(u, err, sizeof(err));
	else
		error = build(u, err, sizeof(err));
	if (error == 0)
		ctl_start(u);
	strf(u->call.text, sizeof(u->call.text), "%s", err);
	mtx_lock(&u->call_lock);
	u->failure = error;
	u->call_done = true;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
	if (error == 0) {
		clerk_serve(u);
		ctx_end_swapoff(u);
		end_threads(u);
		kin_forget(u);
		pager_destroy(&u->pager);
		pmap_close(u->pmap);
	}
	names_destroy(&u->names);
	if (u->maps_fd >= 0)
		close(u->maps_fd);
	return NULL;
}

int
ctx_start(struct uswap *u, char *err, size_t errlen)
{
	int error;

	mtx_init(&u->call_lock, RANK_CALL);
	mtx_init(&u->job_lock, RANK_CALL);
	cv_init(&u->call_cv);
	cv_init(&u->job_cv);
	u->call_taken = true; /* the clerk's answer comes before all calls */
	u->call_posted = u->call_done = false;
	error = ctx_thread_create(&u->clerk_thread, u, 0, clerk_main);
	if (error != 0) {
		strf(err, errlen, "no thread for the pager: %s; %s",
		    strerrordesc_np(-error), ctx_start_hint(error));
		return error;
	}
	mtx_lock(&u->call_lock);
	while (!u->call_done)
		cv_wait(&u->call_cv, &u->call_lock);
	error = u->failure;
	u->call_taken = false;
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
	if (error != 0) {
		pthread_join(u->clerk_thread.thread, NULL);
		strf(err, errlen, "%s", u->call.text);
	}
	return error;
}

void
ctx_stop(struct uswap *u)
{
	mtx_lock(&u->call_lock);
	atomic_store(&u->stop, true);
	cv_broadcast(&u->call_cv);
	mtx_unlock(&u->call_lock);
	pthread_join(u->clerk_thread.thread, NULL);
}
