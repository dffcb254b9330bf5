/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpus.h"

int
cpus_here(void)
{
	int cpu = sched_getcpu();

	return cpu < CPU_SETSIZE ? cpu : -1;
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
