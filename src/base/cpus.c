/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
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

int
cpus_here(void)
{
	unsigned cpu;

	if (syscall(SYS_getcpu, &cpu, NULL, NULL) != 0 || cpu >= CPU_SETSIZE)
		return -1;
	return (int)cpu;
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

/* None of those before may be allowed any more: then all that are. */
bool
cpus_unbind(pid_t tid, const cpu_set_t *before, const cpu_set_t *all)
{
	if (!CPU_EQUAL(before, all) && set(tid, before))
		return true;
	return set_no_limit(tid) || errno == ESRCH;
}

bool
cpus_all(cpu_set_t *own, cpu_set_t *all)
{
	bool is;

	if (!cpus_get(0, own) || !set_no_limit(0))
		return false;
	is = cpus_get(0, all);
	return cpus_unbind(0, own, all) && is;
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

bool
cpus_make_normal(pid_t tid)
{
	return set_policy(tid, SCHED_OTHER) || errno == ESRCH;
}

uint64_t
cpus_preempted(void)
{
	struct rusage r = {0};

	(void)syscall(SYS_getrusage, RUSAGE_THREAD, &r);
	return (uint64_t)r.ru_nivcsw;
}
