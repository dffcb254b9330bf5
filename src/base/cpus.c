/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpus.h"

int
cpus_here(void)
{
	unsigned cpu;

	if (syscall(SYS_getcpu, &cpu, NULL, NULL) != 0 || cpu >= CPU_SETSIZE)
		return -1;
	return (int)cpu;
}

bool
cpus_get(cpu_set_t *cpus)
{
	CPU_ZERO(cpus);
	return syscall(SYS_sched_getaffinity, 0, sizeof(*cpus), cpus) > 0;
}

bool
cpus_bind(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return syscall(SYS_sched_setaffinity, 0, sizeof(one), &one) == 0;
}
