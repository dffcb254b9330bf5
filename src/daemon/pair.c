/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/spin.h"
#include "daemon/pair.h"

void
pair_fault(struct pair *p, pid_t tid)
{
	if (tid == p->tid) {
		p->faults += p->faults < PAIR_MIN;
		return;
	}
	pair_part(p);
	p->tid = tid;
	p->faults = 0;
}

void
pair_part(struct pair *p)
{
	if (!p->together)
		return;
	p->together = false;
	cpus_unbind(0, &p->own, &p->all);
}

/* It may be tried again, after as many faults as the first time. */
static void
part_for_good(struct pair *p)
{
	pair_part(p);
	p->faults = 0;
}

/* The next one to `cpu` of those that both may have. */
static int
next_cpu(const struct pair *p, int cpu)
{
	do
		cpu = (cpu + 1) % CPU_SETSIZE;
	while (!CPU_ISSET(cpu, &p->both));
	return cpu;
}

/* The handler goes there; if it may not any more, nowhere. */
static void
move(struct pair *p, int cpu)
{
	p->reads = 0;
	p->sum_ns = 0;
	p->cpu = cpu;
	if (!cpus_bind(0, cpu))
		part_for_good(p);
}

static bool
find_cpus(struct pair *p)
{
	if (!cpus_all(&p->all) || !cpus_get(0, &p->own) ||
	    !cpus_get(p->tid, &p->both))
		return false;
	CPU_AND(&p->both, &p->both, &p->own);
	return CPU_COUNT(&p->both) > 0;
}

/* Where reads were fastest before, if that is known and allowed; or right here. */
static void
begin(struct pair *p)
{
	int cpu = p->home_ns > 0 ? p->home : sched_getcpu();

	p->together = true;
	if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &p->both))
		cpu = next_cpu(p, 0);
	p->home = cpu;
	move(p, cpu);
}

bool
pair_join(struct pair *p, bool calm)
{
	if (!p->may || p->tid == 0 || p->faults < PAIR_MIN)
		return false;
	if (!calm)
		pair_part(p);
	else if (!p->together && find_cpus(p))
		begin(p);
	return p->together;
}

/* An eighth less is more than chance. */
void
pair_read(struct pair *p, uint64_t ns)
{
	uint64_t mean;

	if (!p->together)
		return;
	p->sum_ns += US_MIN(ns, SPIN_MAX_NS);
	if (++p->reads < PAIR_READS)
		return;
	mean = p->sum_ns / p->reads;
	p->times++;
	if (p->cpu == p->home || mean < p->home_ns - p->home_ns / 8) {
		p->home = p->cpu;
		p->home_ns = mean;
	}
	if (p->cpu != p->home)
		move(p, p->home);
	else if (p->times % PAIR_TRY == 0)
		move(p, next_cpu(p, p->cpu));
	p->reads = 0;
	p->sum_ns = 0;
}

/*
 * Whether the handler has lost its processor since it last asked, which it does when it
 * has used up its share: then the thread has run, and waits anew.
 */
static bool
was_preempted(struct pair *p)
{
	uint64_t before = p->preempted;

	p->preempted = cpus_preempted();
	return p->preempted != before;
}

/*
 * Meek, the thread does not take the processor at once, for it would find that the page
 * is not there.  All is as before when the page is.  False: it may not be here.
 */
static bool
summon(const struct pair *p, struct pmap *pm, uintptr_t va)
{
	cpu_set_t cpus;

	if (!cpus_get(p->tid, &cpus) || !CPU_ISSET(p->cpu, &cpus) ||
	    !cpus_make_meek(p->tid))
		return false;
	if (cpus_bind(p->tid, p->cpu)) {
		(void)pmap_wake(pm, va, 1);
		cpus_unbind(p->tid, &cpus, &p->all);
	}
	cpus_make_normal(p->tid);
	return true;
}

/* If it has run all the same, whoever enters the page wakes it, anywhere. */
void
pair_wake(struct pair *p, struct pmap *pm, uintptr_t va)
{
	KASSERT(p->together, "there is no pair");
	for (unsigned i = 0; i < PAIR_WAKES; i++) {
		if (!summon(p, pm, va)) {
			part_for_good(p);
			return;
		}
		if (!was_preempted(p))
			return;
	}
}
