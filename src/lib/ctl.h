/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl: the control socket of a running pager: what `uswap list`, info, on, off
 * and set speak to.
 *
 * The protocol, version 1: lines of JSON.  A client sends one object a line,
 *	{"request": "info"}
 *	{"request": "regions", "from": 0}
 *	{"request": "on", "spec": "/var/tmp/b.swap,size=4G"}
 *	{"request": "off", "device": "/var/tmp/a.swap", "force": false}
 *	{"request": "set", "key": "free_low", "value": 500}
 * and gets one line for each,
 *	{"version": 1, "ok": true, ...}
 *	{"version": 1, "ok": false, "error": "EBUSY", "text": "a sentence"}
 * While `off` works, lines {"version": 1, "progress": true, "pages_left": N}
 * come twice a second before that; a client that closes its end, or shuts down
 * the sending half of it, interrupts it.
 * Members that are not known are ignored by either side.
 *
 * The threads, both the pager's own
 *	uswap-ctl   reads, answers; waits for nothing but poll and the clerk
 *	uswap-work  does what takes long, one at a time: on, off
 *
 * What a client may cost, whatever it does
 *	memory	CTL_CLIENTS * (CTL_LINE + CTL_ANSWER), while they are there
 *	time	a round of requests every CTL_PACE_MS; a client that is silent,
 *		or does not read, is cut off after CTL_PATIENCE_MS, and when
 *		there is no room for another, the one that was silent longest
 */
#ifndef USWAP_CTL_H
#define USWAP_CTL_H

#include <sys/types.h>

#include "lib/ctl_request.h"
#include "lib/ctx.h"

#define CTL_CLIENTS     8
#define CTL_ANSWER      ((size_t)256 << 10) /* 32 devices of long names */
#define CTL_PACE_MS     5
#define CTL_PATIENCE_MS 10000
#define CTL_PROGRESS_MS 500
#define CTL_NS_PER_MS   UINT64_C(1000000)

struct ctl_client {
	int fd; /* -1: a free place */
	bool busy; /* the worker has its request */
	bool last; /* to be closed when it has its answer */
	bool gone; /* it will send nothing more */
	bool more; /* in may hold another line */
	uint64_t heard_ns; /* when it last did what was expected */
	struct ctl_in in;
	char *out; /* CTL_ANSWER bytes */
	size_t out_from, out_to; /* what is to be sent */
};

/*
 * The job of the worker.
 *
 * (1) POSTED, RUNNING: request is the worker's to read and nobody's to change.
 * (2) DONE: ret and text are set; the ctl thread hands them on and says IDLE.
 */
struct ctl_job {
	enum { JOB_IDLE, JOB_POSTED, JOB_RUNNING, JOB_DONE } state;
	struct ctl_request request;
	int ret;
	char text[512]; /* the sentence, if ret is not 0 */
};

struct ctl {
	/* Constant once the threads run. */
	struct uswap *u;
	pid_t pid;
	uid_t uid;
	char path[108];
	int listener, event; /* event: wakes the ctl thread */
	struct ctx_thread thread, worker;
	_Atomic bool stop;

	/* The ctl thread's. */
	struct ctl_client client[CTL_CLIENTS];
	struct ctl_client *asker; /* whose the job is; NULL: it has gone */
	uint64_t progress_ns; /* when it was last told how far it is */
	struct uswap_device device[USWAP_DEVICES_MAX];
	char arena[CTL_ARENA] __attribute__((aligned(16)));

	struct mtx lock; /* job; RANK_CALL */
	struct cv cv;
	struct ctl_job job;
	bool quit; /* lock: the worker is to end */
};

/*
 * On the clerk, when all else runs, if the options ask for it: the socket and
 * its threads.  If they cannot be had there is none, and -v says why.
 */
void ctl_start(struct uswap *);
/* In the caller of uswap_close, while the clerk still serves. */
void ctl_stop(struct uswap *);

/* From any of the pager's threads: the ctl thread is to look around. */
void ctl_wake(struct ctl *);
uint64_t ctl_now_ns(void);

/* ---- ctl_job.c ----------------------------------------------------------- */

/* The body of the worker, and the end of what it does and of itself. */
void *ctl_work_main(void *);
void ctl_end_worker(struct ctl *);

/*
 * The job, on the ctl thread.  Only an IDLE one may be posted.  Abandoning: an
 * `off` is to stop; to be repeated until it does.  look: hands on its result,
 * or how far it is, or abandons it when nobody waits for it any more.
 */
int ctl_job_state(struct ctl *);
void ctl_job_post(
    struct ctl *, struct ctl_client *, const struct ctl_request *);
void ctl_job_abandon(struct ctl *);
/* Whether who asked for it has gone. */
bool ctl_abandoned(const struct ctl *);
void ctl_job_look(struct ctl *);

/* ---- ctl_client.c -------------------------------------------------------- */

/* On the ctl thread.  None of them waits. */
void ctl_accept(struct ctl *);
void ctl_serve(struct ctl *, struct ctl_client *);
void ctl_drop(struct ctl *, struct ctl_client *);
/* What poll is to tell of it. */
short ctl_interest(struct ctl_client *);

/* ---- ctl_socket.c -------------------------------------------------------- */

/*
 * Makes the socket PID.sock in the user's directory, listening; stores its
 * path.  Returns its descriptor, or -errno and a sentence.
 */
int ctl_listen(char *path, size_t len, char *err, size_t errlen);
/* Removes the name of a process of this user's that listens no more; false: it does. */
bool ctl_remove_stale(const struct ctl *, pid_t pid);
/* Whether the peer is the same user, or root. */
bool ctl_peer_ok(int fd, uid_t uid);

/* ---- ctl_answer.c -------------------------------------------------------- */

/*
 * Each writes one line to c->out, or notes that the client is to be closed if
 * there is no room.  They run on the ctl thread.
 */
void ctl_answer(struct ctl_client *, int error, const char *text);
void ctl_answer_info(struct ctl *, struct ctl_client *);
void ctl_answer_regions(struct ctl *, struct ctl_client *, uint64_t from);
void ctl_answer_progress(struct ctl *, struct ctl_client *, const char *device);

#endif
