/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What takes long: on, off, one at a time, on a thread of its own.
 *
 * The worker opens swap space itself: the clerk, which the program's own calls
 * wait for, only adds what is open.
 */
#include <pthread.h>

#include "base/log.h"
#include "lib/config.h"
#include "lib/ctl.h"

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

void *
ctl_work_main(void *arg)
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
		ctl_wake(ctl);
	}
	mtx_unlock(&ctl->lock);
	return NULL;
}

/* ---- the job, seen from the ctl thread ----------------------------------- */

int
ctl_job_state(struct ctl *ctl)
{
	int state;

	mtx_lock(&ctl->lock);
	state = ctl->job.state;
	mtx_unlock(&ctl->lock);
	return state;
}

void
ctl_job_post(
    struct ctl *ctl, struct ctl_client *c, const struct ctl_request *request)
{
	mtx_lock(&ctl->lock);
	ctl->job.request = *request;
	ctl->job.state = JOB_POSTED;
	cv_broadcast(&ctl->cv);
	mtx_unlock(&ctl->lock);
	ctl->asker = c;
	ctl->progress_ns = ctl_now_ns();
	c->busy = true;
}

/* Nobody wants it any more: an `off` stops.  To be repeated until it does. */
void
ctl_job_abandon(struct ctl *ctl)
{
	if (ctl->job.request.verb == CTL_OFF)
		(void)uswap_swapoff_stop(ctl->u, ctl->job.request.text);
}

bool
ctl_abandoned(const struct ctl *ctl)
{
	return ctl->asker == NULL || ctl->asker->gone;
}

static void
job_done(struct ctl *ctl)
{
	struct ctl_client *c = ctl->asker;

	if (c != NULL) {
		ctl_answer(c, ctl->job.ret, ctl->job.text);
		c->busy = false;
		c->heard_ns = ctl_now_ns();
	}
	ctl->asker = NULL;
	mtx_lock(&ctl->lock);
	ctl->job.state = JOB_IDLE;
	mtx_unlock(&ctl->lock);
}

void
ctl_job_look(struct ctl *ctl)
{
	int state = ctl_job_state(ctl);
	uint64_t now = ctl_now_ns();

	if (state == JOB_DONE)
		job_done(ctl);
	else if (state != JOB_IDLE && ctl_abandoned(ctl))
		ctl_job_abandon(ctl);
	else if (state == JOB_RUNNING && ctl->job.request.verb == CTL_OFF &&
		 ctl->asker->out_to == 0 &&
		 now - ctl->progress_ns >= CTL_PROGRESS_MS * CTL_NS_PER_MS) {
		ctl_answer_progress(ctl, ctl->asker, ctl->job.request.text);
		ctl->progress_ns = now;
	}
}

/* The worker ends what it does, and then itself. */
void
ctl_end_worker(struct ctl *ctl)
{
	mtx_lock(&ctl->lock);
	ctl->quit = true;
	cv_broadcast(&ctl->cv);
	while (ctl->job.state == JOB_RUNNING) {
		mtx_unlock(&ctl->lock);
		ctl_job_abandon(ctl);
		mtx_lock(&ctl->lock);
		if (ctl->job.state == JOB_RUNNING)
			(void)cv_timedwait(&ctl->cv, &ctl->lock, 100);
	}
	mtx_unlock(&ctl->lock);
	pthread_join(ctl->worker.thread, NULL);
}
