/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpus.h"

static bool
set(pid_t tid, const cpu_set_t *cpus)
{
	return syscall(SYS_sched_setaffinity, tid, sizeof(*cpus), cpus) == 0;
}

static bool
set_no_limit(pid_t tid)
{
	cpu_set_t any;

	memset(&any, 0xff, sizeof(any));
	return set(tid, &any);
}

bool
cpus_get(pid_t tid, cpu_set_t *cpus)
{
	CPU_ZERO(cpus);
	return syscall(SYS_sched_getaffinity, tid, sizeof(*cpus), cpus) > 0;
}

bool
cpus_bind(pid_t tid, int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return set(tid, &one);
}

/* None of them may be allowed any more. */
void
cpus_unbind(pid_t tid, const cpu_set_t *before, const cpu_set_t *all)
{
	if (CPU_EQUAL(before, all) || !set(tid, before))
		(void)set_no_limit(tid);
}

bool
cpus_all(cpu_set_t *all)
{
	cpu_set_t own;
	bool is;

	if (!cpus_get(0, &own) || !set_no_limit(0))
		return false;
	is = cpus_get(0, all);
	cpus_unbind(0, &own, all);
	return is;
}

static bool
set_policy(pid_t tid, int policy)
{
	const struct sched_param param = {0};

	return syscall(SYS_sched_setscheduler, tid, policy, &param) == 0;
}

/* The nice value stays what it is. */
bool
cpus_make_meek(pid_t tid)
{
	return syscall(SYS_sched_getscheduler, tid) == SCHED_OTHER &&
	       set_policy(tid, SCHED_BATCH);
}

void
cpus_make_normal(pid_t tid)
{
	(void)set_policy(tid, SCHED_OTHER);
}

uint64_t
cpus_preempted(void)
{
	struct rusage r = {0};

	(void)syscall(SYS_getrusage, RUSAGE_THREAD, &r);
	return (uint64_t)r.ru_nivcsw;
}
