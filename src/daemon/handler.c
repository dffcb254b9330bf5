/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads that were started here are passed to the kernel by whoever sleeps next
 * or copies pages first: together, for each hand-over is a system call and,
 * under a hypervisor, an exit.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "daemon/ahead.h"
#include "daemon/fault.h"
#include "daemon/handler.h"
#include "daemon/pagein.h"

/*
 * After so many reads it looks for faults, and passes their reads on: the disk is to be at
 * work while pages are copied.
 */
#define REAP_MAX 4

static unsigned
requests(const struct handler *h)
{
	return US_MIN(blkq_depth(h->q), HANDLER_IO);
}

int
handler_init(struct handler *h, struct pager *pg, struct blkq *q)
{
	*h = (struct handler){.pg = pg, .pmap = pg->pmap, .q = q};
	h->all = mem_map(requests(h) * sizeof(struct pgio));
	if (h->all == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < requests(h); i++) {
		h->all[i].next = NULL; /* touched now, not in a fault */
		handler_io_put(h, &h->all[i]);
	}
	return 0;
}

void
handler_destroy(struct handler *h)
{
	mem_unmap(h->all, requests(h) * sizeof(struct pgio));
	blkq_destroy(h->q);
}

struct pgio *
handler_io_get(struct handler *h)
{
	struct pgio *io = h->io;

	if (io != NULL)
		h->io = io->next;
	return io;
}

void
handler_io_put(struct handler *h, struct pgio *io)
{
	io->next = h->io;
	h->io = io;
}

bool
handler_note(struct handler *h, struct note note)
{
	mtx_assert(&h->pg->lock);
	if (h->notes == nitems(h->note))
		return false;
	h->note[h->notes++] = note;
	blkq_kick(h->q);
	return true;
}

/*
 * Faults wait for the page-out thread to free some page.  It is told that we do by
 * the shortage itself.
 */
static void
wait_begin(struct handler *h)
{
	if (h->waiting)
		return;
	h->waiting = true;
	h->waiting_since = clock_now_ns(h->pg->clock);
	h->pg->ctr.waits_memory++;
	if (h->pg->need_pageout != NULL)
		h->pg->need_pageout(h->pg->event_arg);
}

static void
wait_end(struct handler *h)
{
	if (!h->waiting)
		return;
	h->waiting = false;
	h->pg->ctr.wait_memory_ns +=
	    clock_now_ns(h->pg->clock) - h->waiting_since;
}

/* Whether it was said again since: the page-out thread waits for one at a time. */
static bool
is_outdated(const struct handler *h, uint32_t i)
{
	if (!fault_is_own(h->pg, &h->fault[i]))
		return false;
	while (++i < h->taken)
		if (fault_is_own(h->pg, &h->fault[i]))
			return true;
	return false;
}

/*
 * Answers the faults that are held; those that must wait stay.  One that needs no
 * memory goes on: it may be of the page-out thread, for which the others wait.  So many
 * are fresh, and counted now.
 */
static void
answer_all(struct handler *h, uint32_t fresh)
{
	uint32_t kept = 0;

	mtx_lock(&h->pg->lock);
	h->pg->ctr.faults += fresh;
	for (uint32_t i = 0; i < h->taken; i++)
		if (!is_outdated(h, i) &&
		    fault_resolve(h, &h->fault[i]) == WAIT)
			h->fault[kept++] = h->fault[i];
	h->taken = kept;
	if (kept > 0)
		wait_begin(h);
	else
		wait_end(h);
	mtx_unlock(&h->pg->lock);
}

/* At most max reads that are done; how many there were. */
static uint32_t
reap(struct handler *h, uint32_t max)
{
	struct blkreq *req;
	uint32_t n = 0;

	for (; n < max && (req = blkq_poll(h->q)) != NULL; n++)
		pagein_done(h, req->arg);
	return n;
}

/* Their faults were counted by who left them. */
static void
take_notes(struct handler *h)
{
	mtx_lock(&h->pg->lock);
	for (uint32_t i = 0; i < h->notes; i++) {
		if (h->note[i].window > 0)
			ahead_noted(h, &h->note[i]);
		else
			h->fault[h->taken++] = h->note[i].fault;
	}
	h->notes = 0;
	mtx_unlock(&h->pg->lock);
}

/*
 * Behind those that wait.  When there is no room for more, the last of them faults
 * anew, and the others are taken one by one: none may be passed over for ever.
 * With `look`, faults are looked for before there is an event.  Returns how many are new.
 */
static uint32_t
take(struct handler *h, bool look)
{
	uint32_t room = HANDLER_FAULTS - h->taken, n;
	bool again = room == 0;

	if (atomic_load_explicit(&h->notes, memory_order_relaxed) > 0 &&
	    room >= PMAP_FAULTS_MAX) {
		take_notes(h);
		return 0;
	}
	if (!look && blkq_watching(h->q))
		return 0;
	if (again) {
		(void)pmap_wake(h->pmap, h->fault[--h->taken].va, 1);
		room = 1;
	}
	n = pmap_next_faults(
	    h->pmap, h->fault + h->taken, US_MIN(room, PMAP_FAULTS_MAX));
	h->taken += n;
	return again ? 0 : n;
}

bool
handler_step(struct handler *h)
{
	uint32_t done = reap(h, REAP_MAX),
		 fresh = take(h, done > 0 && h->reading > 0);

	answer_all(h, fresh);
	if (done == REAP_MAX)
		blkq_flush(h->q);
	return done == REAP_MAX || (fresh == PMAP_FAULTS_MAX && h->taken == 0);
}

/*
 * To be woken up takes a handler half as long as a read, so it is awake while faults wait
 * for reads, and for AWAKE waits more.  Meanwhile the processor on which the program's
 * threads wait is to be awake, too (vigil.h); with MANY of them it has work anyway.  Where
 * nobody keeps it awake, a thread that is alone with its faults is better off with a handler
 * that sleeps: one that is awake drives it away to a processor that has halted.
 */
#define AWAKE 64
#define MANY  9

static bool
is_awake(struct handler *h)
{
	bool vigil = vigil_works(h->vigil);

	if (h->reading > (vigil ? 0 : 1))
		h->awake = AWAKE;
	else
		h->awake -= h->awake > 0;
	if (h->vigil != NULL && h->reading > 0 && h->reading < MANY &&
	    spin_would(&h->near, h->pg->clock))
		vigil_ask(h->vigil);
	return h->awake > 0;
}

/* A program that computes between its faults says nothing of how near its reads are. */
void
handler_wait(struct handler *h)
{
	int timeout_ms = h->waiting ? 100 : -1;

	KASSERT(h->reading <= blkq_inflight(h->q), "%u reads", h->reading);
	if (is_awake(h))
		blkq_wait_awake(
		    h->q, timeout_ms, h->reading > 0 ? &h->near : &h->between);
	else
		blkq_wait(h->q, timeout_ms);
}

/* ---- while the program forks --------------------------------------------- */

static void
drain(struct handler *h)
{
	while (blkq_inflight(h->q) > 0) {
		blkq_wait(h->q, -1);
		(void)reap(h, UINT32_MAX);
	}
}

/* Whoever left a note faults again when it may. */
void
handler_stop(struct handler *h)
{
	drain(h);
	mtx_lock(&h->pg->lock);
	h->notes = 0;
	mtx_unlock(&h->pg->lock);
}

/*
 * The wake-up is the last that is done, for the thread may be in clone(2) a moment
 * later.  What could not be had now is asked for again.
 */
static void
answer_alone(struct handler *h, const struct pmap_fault *f)
{
	struct pager *pg = h->pg;

	mtx_lock(&pg->lock);
	pg->ctr.faults++;
	(void)fault_resolve(h, f);
	mtx_unlock(&pg->lock);
	drain(h);
	pmap_set_quiet(pg->pmap, false);
	(void)pmap_wake(pg->pmap, f->va, 1);
	pmap_set_quiet(pg->pmap, true);
}

/*
 * The notes of a thread that answers its own faults; only the forking one leaves any.
 * They are there until all is done, for it waits for their end.
 */
static void
answer_notes(struct handler *h)
{
	struct note note[nitems(h->note)];
	uint32_t n;

	mtx_lock(&h->pg->lock);
	n = h->notes;
	memcpy(note, h->note, n * sizeof(*note));
	mtx_unlock(&h->pg->lock);
	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++)
		if (note[i].window == 0)
			answer_alone(h, &note[i].fault);
	mtx_lock(&h->pg->lock);
	h->notes = 0;
	pager_wake(h->pg);
	mtx_unlock(&h->pg->lock);
}

void
handler_step_for(struct handler *h, pid_t tid)
{
	struct pmap_fault f[PMAP_FAULTS_MAX];
	uint32_t n;

	answer_notes(h);
	while ((n = pmap_next_faults(h->pg->pmap, f, PMAP_FAULTS_MAX)) > 0)
		for (uint32_t i = 0; i < n; i++)
			if (f[i].tid == tid)
				answer_alone(h, &f[i]);
}

void
handler_forget(struct handler *h)
{
	mem_unmap(h->all, requests(h) * sizeof(struct pgio));
	blkq_forget(h->q);
	*h = (struct handler){0};
}
