/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/spin.h"
#include "base/thread.h"
#include "daemon/pair.h"

/* What could not be taken back a moment ago: a program was changing its user. */
static void
settle(struct pair *p)
{
	bool unbound = cpus_unbind(p->owed, &p->theirs, &p->all);

	if (cpus_make_normal(p->owed) && unbound)
		p->owed = 0;
}

/* The handler runs where it may. */
static void
leave(struct pair *p)
{
	if (p->owed != 0)
		settle(p);
	if (!p->together)
		return;
	p->together = false;
	(void)cpus_unbind(0, &p->own, &p->all);
}

void
pair_part(struct pair *p)
{
	leave(p);
	p->faults = 0;
}

void
pair_fault(struct pair *p, pid_t tid, uintptr_t va)
{
	if (tid != p->tid) {
		pair_part(p);
		p->tid = tid;
	}
	p->va = va;
	p->faults += p->faults < PAIR_MIN;
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
		pair_part(p);
}

/* Another process may look around in ours, and fault. */
static bool
find_cpus(struct pair *p)
{
	if (!thread_is_ours(p->tid) || !cpus_all(&p->own, &p->all) ||
	    !cpus_get(p->tid, &p->theirs))
		return false;
	CPU_AND(&p->both, &p->theirs, &p->own);
	return CPU_COUNT(&p->both) > 0;
}

/* Where reads were fastest before, if that is known and allowed; or right here. */
static void
begin(struct pair *p)
{
	int cpu = p->home_ns > 0 ? p->home : cpus_here();

	p->together = true;
	if (cpu < 0 || !CPU_ISSET(cpu, &p->both))
		cpu = next_cpu(p, 0);
	if (cpu != p->home)
		p->home_ns = 0;
	p->home = cpu;
	move(p, cpu);
}

bool
pair_join(struct pair *p, bool calm)
{
	if (p->owed != 0)
		settle(p);
	if (!p->may || p->owed != 0 || p->tid == 0 || p->faults < PAIR_MIN)
		return false;
	if (!calm)
		leave(p);
	else if (!p->together && find_cpus(p))
		begin(p);
	else if (!p->together)
		pair_part(p);
	return p->together;
}

/* Each of the others in turn. */
static void
try_another(struct pair *p)
{
	p->times = 0;
	p->tried = next_cpu(p, p->tried);
	if (p->tried == p->home)
		p->tried = next_cpu(p, p->tried);
	if (p->tried != p->home)
		move(p, p->tried);
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
	p->reads = 0;
	p->sum_ns = 0;
	if (p->cpu != p->home && mean >= p->home_ns - p->home_ns / 8) {
		move(p, p->home);
		return;
	}
	p->home = p->cpu;
	p->home_ns = mean;
	if (++p->times == PAIR_TRY)
		try_another(p);
}

/*
 * Meek, the thread does not take the processor at once, for it would find that the page
 * is not there.  All is as before when the page is.  False: it may not be here, or not
 * where it could be before.
 */
static bool
summon(struct pair *p, struct pmap *pm, uintptr_t va)
{
	cpu_set_t cpus;
	bool bound;

	if (!cpus_get(p->tid, &cpus) || !CPU_EQUAL(&cpus, &p->theirs) ||
	    !cpus_make_meek(p->tid))
		return false;
	p->owed = p->tid;
	bound = cpus_bind(p->tid, p->cpu);
	if (bound)
		(void)pmap_wake(pm, va, 1);
	settle(p);
	return bound && p->owed == 0;
}

/*
 * When the handler has used up its share it loses its processor in between, and the thread
 * has run, and waits anew.  It is woken again: whoever enters the page would wake it
 * anywhere.
 */
void
pair_wake(struct pair *p, struct pmap *pm, uintptr_t va)
{
	uint64_t before = cpus_preempted(), now;

	KASSERT(pair_awaits(p, va), "nobody awaits this page");
	for (unsigned i = 0; i < PAIR_WAKES; i++, before = now) {
		if (!summon(p, pm, va)) {
			pair_part(p);
			return;
		}
		now = cpus_preempted();
		if (now == before)
			return;
	}
}

void
pair_check(const struct pair *p)
{
	cpu_set_t now;

	KASSERT(!p->together || (p->tid != 0 && p->faults == PAIR_MIN), "(1)");
	KASSERT(!p->together || CPU_ISSET(p->cpu, &p->both), "(2)");
	KASSERT(!p->together || !cpus_get(0, &now) || CPU_COUNT(&now) == 1,
	    "(2): not bound");
	KASSERT(!p->together || p->owed == 0, "(3)");
}
