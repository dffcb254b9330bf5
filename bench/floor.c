/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * floor MIB PATTERN THREADS AMOUNT: how fast memory is under one access
 *pattern.
 *
 *	fill			first touch of each page, in order; AMOUNT is 1
 *	seqread, seqrmw		AMOUNT passes over all pages in order
 *	randread, randwrite	AMOUNT seconds of random pages
 *
 * Prints one line: pages/s and the median and 99th percentile of the time of
 * one access in microseconds.  Each access touches one page once and verifies
 * it.  A thread has its share of the pages to itself.
 */
#include <sys/mman.h>

#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE        4096
#define WORDS       (PAGE / sizeof(uint64_t))
#define THREADS_MAX 64

/*
 * Times are counted in classes of which each power of two of nanoseconds has
 * 2^SUB: one is 6 % wide.
 */
#define SUB     4
#define CLASSES (64 << SUB)

enum pattern { FILL, SEQREAD, SEQRMW, RANDREAD, RANDWRITE, NPATTERNS };
static const char *const names[NPATTERNS] = {
    "fill", "seqread", "seqrmw", "randread", "randwrite"};

struct worker {
	pthread_t id;
	uint64_t *first; /* its share of the region */
	size_t npages;
	uint8_t *versions; /* one for each page: how often it was written */
	enum pattern pattern;
	unsigned amount;
	uint64_t seed;
	uint64_t done;
	uint64_t classes[CLASSES];
};

static pthread_barrier_t start;

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec);
}

/* splitmix64's finalizer */
static uint64_t
mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31);
}

static unsigned
class_of(uint64_t ns)
{
	unsigned log;

	if (ns < 1 << SUB)
		return (ns);
	log = 63 - __builtin_clzll(ns);
	return (
	    (log - SUB + 1) << SUB | (ns >> (log - SUB) & ((1 << SUB) - 1)));
}

/* The least time of a class: class_of's inverse. */
static uint64_t
time_of(unsigned class)
{
	unsigned log = class >> SUB;

	if (log == 0)
		return (class);
	return (
	    (uint64_t)((1 << SUB) | (class & ((1 << SUB) - 1))) << (log - 1));
}

/* A page's first and last word depend on its place and its version. */
static void
access_page(struct worker *w, size_t i, int write)
{
	uint64_t *p = w->first + i * WORDS, key = mix((uintptr_t)p);

	if (w->pattern != FILL && (p[0] != key + w->versions[i] ||
				      p[WORDS - 1] != ~key + w->versions[i]))
		errx(1, "page %zu holds other bytes than were written", i);
	if (write) {
		w->versions[i]++;
		p[0] = key + w->versions[i];
		p[WORDS - 1] = ~key + w->versions[i];
	}
}

static void
timed_access(struct worker *w, size_t i, int write)
{
	uint64_t begin = now();

	access_page(w, i, write);
	w->classes[class_of(now() - begin)]++;
	w->done++;
}

static void *
run(void *arg)
{
	struct worker *w = arg;
	int write = w->pattern == FILL || w->pattern == SEQRMW ||
		    w->pattern == RANDWRITE;
	uint64_t end;

	pthread_barrier_wait(&start);
	if (w->pattern == RANDREAD || w->pattern == RANDWRITE) {
		end = now() + w->amount * 1000000000ULL;
		while (now() < end)
			timed_access(w,
			    mix(w->seed += 0x9e3779b97f4a7c15) % w->npages,
			    write);
	} else {
		for (unsigned pass = 0; pass < w->amount; pass++)
			for (size_t i = 0; i < w->npages; i++)
				timed_access(w, i, write);
	}
	return (NULL);
}

/* Runs a pattern in all threads; returns the nanoseconds it took. */
static uint64_t
run_all(struct worker *w, unsigned n, enum pattern pattern, unsigned amount)
{
	uint64_t begin;

	pthread_barrier_init(&start, NULL, n + 1);
	for (unsigned t = 0; t < n; t++) {
		w[t].pattern = pattern;
		w[t].amount = amount;
		w[t].done = 0;
		memset(w[t].classes, 0, sizeof(w[t].classes));
		if (pthread_create(&w[t].id, NULL, run, &w[t]) != 0)
			errx(1, "pthread_create");
	}
	begin = now();
	pthread_barrier_wait(&start);
	for (unsigned t = 0; t < n; t++)
		pthread_join(w[t].id, NULL);
	pthread_barrier_destroy(&start);
	return (now() - begin);
}

/* The time, in microseconds, that a part of the accesses was done within. */
static double
percentile(const struct worker *w, unsigned n, uint64_t total, double part)
{
	uint64_t seen = 0;

	for (unsigned class = 0; class < CLASSES; class ++) {
		for (unsigned t = 0; t < n; t++)
			seen += w[t].classes[class];
		if (seen >= part * total)
			return (time_of(class) / 1000.0);
	}
	return (0);
}

int
main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	static const char usage[] =
	    "usage: floor MIB fill|seqread|seqrmw|randread|randwrite THREADS AMOUNT";
	enum pattern pattern;
	size_t npages, share;
	unsigned n, amount;
	uint64_t *region, ns, total = 0;
	uint8_t *versions;

	if (argc != 5)
		errx(2, usage);
	for (pattern = 0; pattern < NPATTERNS; pattern++)
		if (strcmp(argv[2], names[pattern]) == 0)
			break;
	n = strtoul(argv[3], NULL, 10);
	amount = strtoul(argv[4], NULL, 10);
	npages = ((size_t)strtoul(argv[1], NULL, 10) << 20) / PAGE;
	if (pattern == NPATTERNS || n < 1 || n > THREADS_MAX || amount < 1 ||
	    npages < n)
		errx(2, usage);

	region = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	versions = calloc(npages, 1);
	if (region == MAP_FAILED || versions == NULL)
		err(1, "no memory");
	/* Pages, not huge ones: on every side the same. */
	(void)madvise(region, npages * PAGE, MADV_NOHUGEPAGE);
	share = npages / n;
	for (unsigned t = 0; t < n; t++) {
		workers[t].first = region + t * share * WORDS;
		workers[t].npages = share;
		workers[t].versions = versions + t * share;
		workers[t].seed = t;
	}

	ns = run_all(workers, n, FILL, 1);
	if (pattern != FILL)
		ns = run_all(workers, n, pattern, amount);
	for (unsigned t = 0; t < n; t++)
		total += workers[t].done;
	printf("%.0f %.1f %.1f\n", total * 1e9 / ns,
	    percentile(workers, n, total, 0.50),
	    percentile(workers, n, total, 0.99));
	return (0);
}
