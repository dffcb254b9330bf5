/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * beside MIB SECONDS FILE: one thread reads random pages, so long; its pager may bring it
 * to a processor, but it, its new threads and its children always have what they had at
 * the start, or what they ask for.  FILE: how often a thread of the pager was seen bound
 * to one processor while the program was not; it looks for a minute more, if never.
 */
#include <sys/mman.h>

#include <dirent.h>
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS (4096 / sizeof(uint64_t))

static cpu_set_t expected;
static int expected_class;
static unsigned long bound, looks;

static void
check(const char *who)
{
	cpu_set_t now;

	if (sched_getaffinity(0, sizeof(now), &now) != 0)
		err(1, "sched_getaffinity");
	if (!CPU_EQUAL(&now, &expected))
		errx(1, "%s may run on %d processors, not %d", who,
		    CPU_COUNT(&now), CPU_COUNT(&expected));
	if (sched_getscheduler(0) != expected_class)
		errx(1, "%s is of class %d, not %d", who, sched_getscheduler(0),
		    expected_class);
}

static void *
child(void *arg)
{
	check("a new thread");
	return (arg);
}

static void
begin_thread(void)
{
	pthread_t t;
	int error = pthread_create(&t, NULL, child, NULL);

	if (error != 0)
		errx(1, "pthread_create: %s", strerror(error));
	pthread_join(t, NULL);
}

static void
begin_process(void)
{
	pid_t pid = fork();
	int status;

	if (pid == -1)
		err(1, "fork");
	if (pid == 0) {
		check("a child");
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "a child ended with status %#x", status);
}

/* One processor for a while, then all again. */
static void
restrict_to(unsigned n, const cpu_set_t *all)
{
	int cpu = -1;

	expected = *all;
	if (n % 2 == 0) {
		while (!CPU_ISSET(++cpu, all))
			;
		CPU_ZERO(&expected);
		CPU_SET(cpu, &expected);
	}
	if (sched_setaffinity(0, sizeof(expected), &expected) != 0)
		err(1, "sched_setaffinity");
}

static void
look_at_pager(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	cpu_set_t cpus;
	char path[300], name[16];
	FILE *f;

	if (CPU_COUNT(&expected) == 1)
		return;
	looks++;
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(
		    path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		if (fgets(name, sizeof(name), f) != NULL &&
		    strncmp(name, "uswap-fault", 11) == 0 &&
		    sched_getaffinity(atoi(e->d_name), sizeof(cpus), &cpus) ==
			0)
			bound += CPU_COUNT(&cpus) == 1;
		fclose(f);
	}
	if (d != NULL)
		closedir(d);
}

int
main(int argc, char **argv)
{
	size_t n = argc == 4 ? strtoul(argv[1], NULL, 10) * 256 : 0;
	time_t until = time(NULL) + (argc == 4 ? atoi(argv[2]) : 0);
	uint64_t *region, seed = 1;
	unsigned long touches = 0;
	cpu_set_t all;
	FILE *f;

	if (n == 0)
		errx(2, "usage: beside MIB SECONDS FILE");
	expected_class = sched_getscheduler(0);
	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		err(1, "sched_getaffinity");
	expected = all;
	region = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < n; i++)
		region[i * WORDS] = i;
	for (; time(NULL) < until ||
	       (bound == 0 && CPU_COUNT(&all) > 1 && time(NULL) < until + 60);
	     touches++) {
		size_t i;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		i = (seed >> 33) % n;
		if (region[i * WORDS] != i)
			errx(1, "page %zu holds %lu", i,
			    (unsigned long)region[i * WORDS]);
		check("the thread");
		if (touches % 1000 == 0)
			begin_thread();
		if (touches % 10000 == 0)
			begin_process();
		if (touches % 5000 == 4999)
			restrict_to((unsigned)(touches / 5000), &all);
		if (touches % 500 == 0)
			look_at_pager();
	}
	f = fopen(argv[3], "w");
	if (f == NULL ||
	    fprintf(f, "%lu %lu %lu\n", bound, looks, touches) < 0 ||
	    fclose(f) != 0)
		err(1, "%s", argv[3]);
	return (0);
}
