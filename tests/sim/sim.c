/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of the simulation, its threads and its laws.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim/sim.h"

/* Rounds in which everybody may act: more without an answer is a hang. */
#define HANG_ROUNDS 20000

/* One at a time: for the lock's hook, and for what a crash reports. */
static struct sim *current;

static const char *const event_name[EV_COUNT] = {"thread", "handler", "pageout",
    "clock", "map", "grow", "unmap", "dontneed", "raw drop", "raw unmap",
    "move", "reserve", "wire", "unwire", "page out range", "swapon", "swapoff",
    "mover", "clone"};

/* ---- failing ------------------------------------------------------------- */

static void
dump(const struct sim *s)
{
	const struct pager *pg = &s->pg;

	fprintf(stderr,
	    "seed %" PRIu64 " event %" PRIu64 " (%s)\n"
	    "budget %u resident %u loose %u junk %u wired %u low %u high %u\n"
	    "active %u inactive %u laundry %u ahead %u grow %d careful %u\n"
	    "swap %ju of %ju free; buffers free %u of %u; pageout: %u in "
	    "flight, working %d kicked %d again %d\n",
	    s->par.seed, s->event, s->what, pg->budget, pg->resident, pg->loose,
	    pg->njunk, pg->wired, pg->free_low, pg->free_high,
	    pg->pages.q[PQ_ACTIVE].count + pg->pages.q[PQ_STREAM].count,
	    pg->pages.q[PQ_INACTIVE].count, pg->pages.q[PQ_LAUNDRY].count,
	    pg->pages.q[PQ_AHEAD].count, pg->grow, pg->careful,
	    (uintmax_t)pg->space.avail, (uintmax_t)pg->space.total,
	    pg->frames.in == NULL ? 0 : blist_avail(pg->frames.in),
	    pg->frames.n_in,
	    s->pageout.q == NULL ? 0 : blkq_inflight(s->pageout.q),
	    s->pageout.working, s->kicked, s->again);
	fprintf(stderr,
	    "faults %ju zero %ju soft %ju disk %ju, ahead %ju, errors %ju in "
	    "%ju out\n",
	    pg->ctr.faults, pg->ctr.faults_zero, pg->ctr.faults_soft,
	    pg->ctr.faults_disk, pg->ctr.pages_ahead, pg->ctr.read_errors,
	    pg->ctr.write_errors);
	if (s->swapoff.dev != NULL)
		fprintf(stderr,
		    "disk %u is taken away: %u blocks left, %u in flight\n",
		    s->leaving, swspace_used_on(s->swapoff.dev),
		    blkq_inflight(s->swapoff.q));
	for (unsigned i = 0; i < s->par.handlers; i++)
		if (s->handler[i].q != NULL)
			fprintf(stderr,
			    "handler %u: %u in flight, waiting %d\n", i,
			    blkq_inflight(s->handler[i].q),
			    s->handler[i].waiting);
	for (unsigned i = 0; i < s->par.threads; i++)
		if (s->thread[i].pending)
			fprintf(stderr, "thread %u waits to %s page %ju\n", i,
			    s->thread[i].write ? "write" : "read",
			    (uintmax_t)atop(s->thread[i].va - SIMPMAP_BASE));
	fprintf(stderr, "repeat with USWAP_SEED=%" PRIu64 " USWAP_RUNS=1\n",
	    s->par.seed);
}

/* A KASSERT says where in the code; this says where in the run. */
static void
on_crash(int sig)
{
	signal(sig, SIG_DFL);
	if (current != NULL)
		dump(current);
	raise(sig);
}

void
sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "simulation failed: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	current = s;
	abort();
}

/* ---- actors -------------------------------------------------------------- */

/* Over: the disk is gone, or in use again. */
static bool
swapoff_goes_on(struct sim *s)
{
	int ret;
	bool any;

	if (swapoff_over(&s->swapoff, &ret))
		return false;
	any = swapoff_step(&s->swapoff);
	if (!swapoff_over(&s->swapoff, &ret))
		return any;
	if (ret == 0)
		s->disk[s->leaving] = NULL;
	s->off += ret == 0;
	s->off_full += ret == -ENOMEM;
	s->off_stopped += ret == -EINTR || ret == -EIO;
	return any;
}

bool
sim_step(struct sim *s, unsigned actor)
{
	bool any;

	KASSERT(actor < SIM_ACTORS, "no actor %u", actor);
	if (s->running[actor] ||
	    (actor < SIM_HANDLERS && actor >= s->par.handlers))
		return false;
	if (actor == SIM_PAGEOUT && s->par.strict && !s->kicked && !s->again &&
	    blkq_inflight(s->pageout.q) == 0)
		return false;
	s->running[actor] = true;
	if (actor == SIM_SWAPOFF) {
		any = swapoff_goes_on(s);
	} else if (actor == SIM_PAGEOUT) {
		s->kicked = false;
		any = s->again = pageout_step(&s->pageout);
	} else {
		any = handler_step(&s->handler[actor]);
	}
	s->running[actor] = false;
	s->grew |= s->pg.grow;
	return any;
}

static void
preempt(void)
{
	struct sim *s = current;

	if (s != NULL)
		sim_clone_moment(s);
	if (s == NULL || s->quiet || s->par.preempt_in == 0 ||
	    sim_below(s, s->par.preempt_in) != 0)
		return;
	if (sim_below(s, 3) == 0) {
		struct simthread *t = &s->thread[sim_below(s, s->par.threads)];

		if (t->pending || !s->draining)
			(void)sim_thread(s, t);
	} else {
		(void)sim_step(s, sim_below(s, SIM_ACTORS));
	}
}

/*
 * Shared zeros are in the program, and not protected yet: who did not wait writes.  Or
 * sealed pages are about to be dropped: who writes waits.
 */
static void
gap(uintptr_t va, uint32_t n)
{
	struct sim *s = current;

	if (!s->quiet && s->par.preempt_in != 0 && sim_below(s, 4) == 0)
		sim_write(s, va + ptoa(sim_below(s, n)));
}

static void
on_need_pageout(void *arg)
{
	((struct sim *)arg)->kicked = true;
}

static void
advance(struct sim *s)
{
	unsigned i = sim_below(s, SIM_DISKS);

	s->clock.now_ns += sim_below(s, s->par.disk[i].latency_max_ns + 1);
}

void
sim_round(struct sim *s)
{
	for (unsigned i = 0; i < SIM_ACTORS; i++)
		(void)sim_step(s, sim_below(s, SIM_ACTORS));
	advance(s);
}

/* Somebody waits for busy pages: the others run. */
static void
on_sleep(struct pager *pg, void *arg)
{
	struct sim *s = arg;
	static uint64_t event, rounds;

	if (event != s->event)
		rounds = 0;
	event = s->event;
	if (rounds++ > HANG_ROUNDS)
		sim_fail(s, "a page stays busy for ever");
	mtx_unlock(&pg->lock);
	sim_round(s);
	mtx_lock(&pg->lock);
}

/* A write waits for a buffer of an encrypted disk, and they may have them all. */
static void
on_others(struct simclock *c)
{
	struct sim *s = current;

	KASSERT(c == &s->clock, "the clock of another world");
	sim_round(s);
}

/* ---- life ---------------------------------------------------------------- */

void
sim_random_params(struct sim_params *p, uint64_t seed)
{
	struct rng r = {seed};
	uint32_t data;
	bool scarce = rng_below(&r, 3) == 0; /* swap space */

	*p = (struct sim_params){.seed = seed};
	p->pager.budget = 64 << rng_below(&r, 3);
	p->pager.budget += (uint32_t)rng_below(&r, p->pager.budget);
	p->pager.buffers = 4 + (uint32_t)rng_below(&r, 8 << rng_below(&r, 6));
	/* Sometimes too few to be sure of one for every page. */
	p->pager.frames =
	    rng_below(&r, 4) == 0 ? p->pager.budget : 2 * p->pager.budget;
	p->pager.free_low = 4 + (uint32_t)rng_below(&r, p->pager.budget / 8);
	p->pager.free_high = p->pager.free_low * 2;
	p->pager.inactive_goal = (uint32_t)rng_below(&r, p->pager.budget / 4);
	p->n_pages =
	    p->pager.budget * 2 + (uint32_t)rng_below(&r, p->pager.budget * 4);
	p->handlers = 1 + (unsigned)rng_below(&r, SIM_HANDLERS);
	p->threads = 1 + (unsigned)rng_below(&r, SIM_THREADS);
	p->disks = 1 + (unsigned)rng_below(&r, 3);
	p->busy_in = rng_below(&r, 3) == 0 ? 30 : 0;
	p->preempt_in = rng_below(&r, 4) == 0 ? 0 : 1 + rng_below(&r, 20);
	p->scan_in = rng_below(&r, 3) == 0 ? 2 : 10;
	p->strict = rng_below(&r, 2) == 0;
	p->errors = rng_below(&r, 3) == 0;
	data = scarce ? p->n_pages : p->n_pages * 3;
	for (unsigned i = 0; i < SIM_DISKS; i++) {
		struct simdisk_params *d = &p->disk[i];

		d->pages = 16 + (uint32_t)rng_below(&r, data / p->disks + 1);
		d->seed = rng_next(&r);
		d->latency_min_ns = 1000;
		d->latency_max_ns = 1000 << rng_below(&r, 11);
		p->prio[i] = (int)rng_below(&r, 3);
		if (rng_below(&r, 4) == 0)
			d->write_error_in = 5 + (uint32_t)rng_below(&r, 50);
		if (rng_below(&r, 4) == 0)
			d->torn_write_in = 5 + (uint32_t)rng_below(&r, 50);
		if (!p->errors)
			continue;
		if (rng_below(&r, 2) == 0)
			d->read_error_in = 10 + (uint32_t)rng_below(&r, 90);
		if (rng_below(&r, 2) == 0)
			d->lost_write_in = 10 + (uint32_t)rng_below(&r, 90);
	}
	for (unsigned i = 0; i < EV_CLONE; i++)
		p->weight[i] = rng_below(&r, 2) * (1 + rng_below(&r, 3));
	p->weight[EV_THREAD] = 100 + (uint32_t)rng_below(&r, 300);
	p->weight[EV_HANDLER] = 20 + (uint32_t)rng_below(&r, 200);
	p->weight[EV_PAGEOUT] = 5 + (uint32_t)rng_below(&r, 100);
	p->weight[EV_CLOCK] = 20 + (uint32_t)rng_below(&r, 200);
	p->weight[EV_MAP] += 4;
	p->weight[EV_WIRE] *= 4;
	p->weight[EV_UNWIRE] *= 4;
	p->weight[EV_SWAPON] = rng_below(&r, 4) == 0;
	p->weight[EV_SWAPOFF] = p->weight[EV_MOVER] = 0;
	if (rng_below(&r, 3) == 0) {
		p->weight[EV_SWAPON] = 3;
		p->weight[EV_SWAPOFF] = 1 + (uint32_t)rng_below(&r, 3);
		p->weight[EV_MOVER] = 5 + (uint32_t)rng_below(&r, 100);
	}
	for (unsigned i = 0; i < SIM_DISKS; i++)
		p->crypt[i] = rng_below(&r, 4) == 0;
	p->weight[EV_CLONE] = rng_below(&r, 2) * (4 + rng_below(&r, 9));
}

static void
open_disk(struct sim *s, unsigned i)
{
	char err[128];

	KASSERT(blkdev_open_sim(&s->par.disk[i], &s->clock, &s->disk[i]) == 0,
	    "no memory for a disk");
	if (s->par.crypt[i])
		KASSERT(
		    blkdev_encrypt(s->disk[i], err, sizeof(err)) == 0, "crypt");
	KASSERT(swspace_on(&s->pg.space, s->disk[i], s->par.prio[i]) == 0,
	    "no memory for a swap device");
}

static struct blkq *
open_queue(struct sim *s, unsigned depth)
{
	struct blkq *q;

	KASSERT(blkq_create_sim(depth, &s->clock, &q) == 0, "no memory");
	return q;
}

void
sim_open(struct sim *s, const struct sim_params *par)
{
	struct simpmap_params pp = {.n_pages = par->n_pages,
	    .n_frames = par->pager.frames,
	    .seed = par->seed,
	    .busy_in = par->busy_in,
	    .gap = gap};
	struct pager_params p = par->pager;

	*s = (struct sim){.par = *par, .rng = {par->seed}, .what = "open"};
	s->quiet = s->again = true;
	current = s;
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	simlock_preempt = preempt;
	log_setup(-1, LOG_ERROR);
	simclock_init(&s->clock);
	s->clock.others = on_others;
	KASSERT(pmap_open_sim(&pp, &s->pmap) == 0, "no memory");
	KASSERT(pmap_unmanage(s->pmap, SIMPMAP_BASE, par->n_pages) == 0, " ");
	p.pmap = s->pmap;
	p.clock = &s->clock.clock;
	/* Objects are many and small here: a leaf for each, and some. */
	p.total_pages = (uint64_t)par->n_pages * 64;
	KASSERT(pager_init(&s->pg, &p) == 0, "no memory");
	s->pg.event_arg = s;
	s->pg.need_pageout = on_need_pageout;
	s->pg.sleep = on_sleep;
	for (unsigned i = 0; i < par->disks; i++)
		open_disk(s, i);
	for (unsigned i = 0; i < par->handlers; i++)
		KASSERT(handler_init(&s->handler[i], &s->pg,
			    open_queue(s, HANDLER_IO)) == 0,
		    "no memory");
	KASSERT(
	    pageout_init(&s->pageout, &s->pg, open_queue(s, PAGEOUT_IO)) == 0,
	    "no memory");
	KASSERT(
	    swapoff_init(&s->swapoff, &s->pg, open_queue(s, SWAPOFF_IO)) == 0,
	    "no memory");
	s->shadow = mem_map(ptoa(par->n_pages));
	s->poisoned = mem_map(par->n_pages);
	s->wired = mem_map(par->n_pages);
	s->gone = mem_map(par->n_pages);
	s->quiet = false;
}

void
sim_drain(struct sim *s)
{
	uint64_t rounds = 0;
	bool any = true;

	s->draining = true;
	while (any) {
		any = false;
		for (unsigned i = 0; i < s->par.threads; i++) {
			struct simthread *t = &s->thread[i];

			t->left = 0;
			if (t->pending)
				(void)sim_thread(s, t);
			any |= t->pending;
		}
		sim_round(s);
		for (unsigned i = 0; i < s->par.handlers; i++)
			any |= blkq_inflight(s->handler[i].q) > 0;
		any |= blkq_inflight(s->pageout.q) > 0;
		any |= blkq_inflight(s->swapoff.q) > 0;
		if (rounds++ > HANG_ROUNDS)
			sim_fail(s, "an access is never answered");
	}
	s->draining = false;
}

void
sim_read_all(struct sim *s)
{
	struct simthread *t = &s->thread[0];

	s->what = "read all";
	sim_drain(s);
	for (uint32_t i = 0; i < s->par.n_pages; i++) {
		uintptr_t va = SIMPMAP_BASE + ptoa(i);

		if (map_lookup(&s->pg.map, va) == NULL)
			continue;
		*t = (struct simthread){.va = va};
		t->pending = true;
		sim_drain(s);
	}
}

void
sim_close(struct sim *s)
{
	struct pager *pg = &s->pg;

	s->what = "close";
	sim_swapoff_end(s);
	sim_drain(s);
	sim_check(s);
	sim_unmap(s, SIMPMAP_BASE, SIMPMAP_BASE + ptoa(s->par.n_pages));
	mtx_lock(&pg->lock);
	pager_sweep(pg);
	mtx_unlock(&pg->lock);
	sim_check(s);
	if (pg->resident != 0 || pg->loose != 0 || pg->njunk != 0 ||
	    pg->wired != 0 || pg->space.avail != pg->space.total ||
	    simpmap_memory(s->pmap) != 0)
		sim_fail(s, "memory or blocks are left over: %u pages",
		    simpmap_memory(s->pmap));
	if (pg->objects.pool.used + pg->objects.leaves.used +
		pg->objects.swleaves.used + pg->pages.pool.used !=
	    0)
		sim_fail(s, "descriptors are left over");
	s->quiet = true;
	for (unsigned i = 0; i < s->par.handlers; i++)
		handler_destroy(&s->handler[i]);
	pageout_destroy(&s->pageout);
	swapoff_destroy(&s->swapoff);
	pager_destroy(pg);
	pmap_close(s->pmap);
	mem_unmap(s->shadow, ptoa(s->par.n_pages));
	mem_unmap(s->poisoned, s->par.n_pages);
	mem_unmap(s->wired, s->par.n_pages);
	mem_unmap(s->gone, s->par.n_pages);
	current = NULL;
}

/* ---- laws ---------------------------------------------------------------- */

/* What all descriptors say, counted. */
struct census {
	uint32_t out, in, written, wired;
};

static struct census
take_census(const struct pager *pg)
{
	struct census c = {0};

	for (uint32_t i = 0; i < pg->pages.pool.fresh; i++) {
		const struct page *p = pool_item(&pg->pages.pool, i);

		if (p->state == PS_FREE)
			continue;
		page_check(p);
		if (p->frame != FRAME_NONE &&
		    frame_is_in(&pg->frames, p->frame))
			c.in++;
		else if (p->frame != FRAME_NONE)
			c.out++;
		c.written += p->state == PS_ACTIVE && (p->flags & PG_WRITING);
		c.wired += p->wired > 0;
	}
	return c;
}

static void
check_memory(struct sim *s)
{
	struct pager *pg = &s->pg;
	struct census c = take_census(pg);
	uint32_t memory = simpmap_memory(s->pmap);

	if (memory > pg->resident + pg->loose)
		sim_fail(s, "%u pages of memory, %u + %u accounted", memory,
		    pg->resident, pg->loose);
	if (pg->resident + pg->loose <= pg->budget)
		s->grew = pg->grow;
	else if (!s->grew)
		sim_fail(s, "%u + %u pages, more than the budget", pg->resident,
		    pg->loose);
	/* Loose frames wait for a full list or for a write to end. */
	if (pg->loose != pg->njunk + c.written)
		sim_fail(s, "%u loose frames, %u junk, %u in writes", pg->loose,
		    pg->njunk, c.written);
	if (c.out + pg->loose != pg->frames.n_out - blist_avail(pg->frames.out))
		sim_fail(s, "out frames leaked: %u pages, %u loose", c.out,
		    pg->loose);
	if (c.in != pg->frames.n_in - blist_avail(pg->frames.in))
		sim_fail(s, "read buffers leaked: %u pages", c.in);
	if (c.wired != pg->wired)
		sim_fail(s, "%u pages wired, %u counted", c.wired, pg->wired);
}

void
sim_check(struct sim *s)
{
	s->quiet = true;
	mtx_lock(&s->pg.lock);
	pager_check(&s->pg);
	check_memory(s);
	mtx_unlock(&s->pg.lock);
	s->quiet = false;
}

/* ---- events -------------------------------------------------------------- */

static enum sim_event
draw(struct sim *s)
{
	uint32_t sum = 0, at;
	int i;

	for (i = 0; i < EV_COUNT; i++)
		sum += s->par.weight[i];
	at = sim_below(s, sum);
	for (i = 0; at >= s->par.weight[i]; i++)
		at -= s->par.weight[i];
	return (enum sim_event)i;
}

/* As the library does it. */
void
sim_swapon(struct sim *s)
{
	unsigned i = 0;

	while (i < SIM_DISKS && s->disk[i] != NULL)
		i++;
	if (i == SIM_DISKS)
		return;
	s->quiet = true;
	mtx_lock(&s->pg.lock);
	open_disk(s, i);
	if (s->pg.grow) {
		s->pg.grow = false;
		on_need_pageout(s);
	}
	mtx_unlock(&s->pg.lock);
	s->quiet = false;
}

int
sim_swapoff(struct sim *s, unsigned i, bool force)
{
	struct swspace *space = &s->pg.space;
	struct swdev_info info;
	unsigned k = 0;
	int error;

	mtx_lock(&s->pg.lock);
	for (; swspace_info(space, k, &info), info.dev != s->disk[i]; k++)
		continue;
	s->leaving = i;
	error = swapoff_begin(&s->swapoff, space->dev[k], force);
	mtx_unlock(&s->pg.lock);
	return error;
}

void
sim_swapoff_end(struct sim *s)
{
	uint64_t rounds = 0;

	s->draining = true;
	while (s->swapoff.dev != NULL) {
		sim_round(s);
		if (rounds++ > HANG_ROUNDS)
			sim_fail(s, "a device is never taken away");
	}
	s->draining = false;
}

/* One at a time: while one is going on, it may be interrupted. */
static void
swapoff(struct sim *s)
{
	unsigned i = sim_below(s, SIM_DISKS);
	int error;

	if (s->swapoff.dev != NULL) {
		if (sim_below(s, 2) == 0)
			atomic_store(&s->swapoff.stop, true);
		return;
	}
	if (s->disk[i] == NULL || s->running[SIM_SWAPOFF])
		return;
	error = sim_swapoff(s, i, sim_below(s, 2) == 0);
	if (error != 0 && error != -ENOMEM)
		sim_fail(s, "swapoff_begin: %d", error);
	s->off_full += error != 0;
}

void
sim_event(struct sim *s)
{
	enum sim_event ev = draw(s);

	s->event++;
	s->ctr[ev]++;
	s->what = event_name[ev];
	switch (ev) {
	case EV_HANDLER:
		(void)sim_step(s, sim_below(s, s->par.handlers));
		break;
	case EV_PAGEOUT:
		(void)sim_step(s, SIM_PAGEOUT);
		break;
	case EV_CLOCK:
		advance(s);
		break;
	case EV_SWAPON:
		sim_swapon(s);
		break;
	case EV_SWAPOFF:
		swapoff(s);
		break;
	case EV_MOVER:
		(void)sim_step(s, SIM_SWAPOFF);
		break;
	default:
		sim_program_event(s, ev);
	}
	if (s->event % 64 == 0)
		sim_check(s);
}

void
sim_run(struct sim *s, const struct sim_params *par, uint64_t events)
{
	sim_open(s, par);
	for (unsigned i = 0; i < 8; i++)
		sim_program_event(s, EV_MAP);
	while (s->event < events)
		sim_event(s);
	sim_read_all(s);
	sim_close(s);
}
