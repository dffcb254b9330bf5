/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "lib/ctx.h"
#include "lib/follow.h"

#define FOLLOW_EVERY     32 /* faults; looking costs a few system calls */
#define FOLLOW_AFTER     3 /* times seen elsewhere, before it moves */
#define CPUS_PER_HANDLER 8

static void
pin_to(int cpu)
{
	cpu_set_t one;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static int
nth_cpu(unsigned index)
{
	cpu_set_t may;
	unsigned cpu;

	if (sched_getaffinity(0, sizeof(may), &may) != 0)
		return -1;
	index %= US_MAX((unsigned)CPU_COUNT(&may), 1);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && index-- == 0)
			return (int)cpu;
	return -1;
}

unsigned
follower_handlers(void)
{
	cpu_set_t may;

	if (sched_getaffinity(0, sizeof(may), &may) != 0)
		return 1;
	return US_MIN(
	    howmany((unsigned)CPU_COUNT(&may), CPUS_PER_HANDLER), HANDLERS_MAX);
}

void
follower_init(struct follower *f, unsigned index)
{
	*f = (struct follower){.here = nth_cpu(index), .there = -1};
	pin_to(f->here);
}

/*
 * The CPU a thread last ran on: field 39 of its stat, counted from the end of
 * the name, which may hold anything.  -1: the thread is gone.
 */
static int
cpu_of_thread(uint32_t tid)
{
	char path[64], text[1024];
	const char *at;
	ssize_t n;
	int fd, field;

	strf(path, sizeof(path), "/proc/self/task/%u/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strrchr(text, ')');
	for (field = 2; at != NULL && field < 39; field++)
		at = strchr(at + 1, ' ');
	return at == NULL ? -1 : atoi(at);
}

void
follower_look(struct follower *f, uint64_t faults, uint32_t tid)
{
	int cpu;

	if (faults - f->looked < FOLLOW_EVERY || tid == 0)
		return;
	f->looked = faults;
	cpu = cpu_of_thread(tid);
	if (cpu < 0)
		return;
	f->times = cpu == f->there ? f->times + 1 : 1;
	f->there = cpu;
	if (cpu == f->here || f->times < FOLLOW_AFTER)
		return;
	pin_to(cpu);
	f->here = cpu;
}
