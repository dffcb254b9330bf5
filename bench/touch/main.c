/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * touch [OPTIONS] PATTERN: how fast memory is under one pattern of access.
 *
 * Fills its memory, one page after the other, then runs the pattern, and
 * prints what both took as one JSON object.  A touch is one visit to one page:
 * its first and last word are compared with what was written there last, and
 * written anew by patterns that write.  A page that holds anything else ends
 * the run.  bench/README.md defines the numbers.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "touch.h"

#define PAGE        4096
#define WORDS       (PAGE / sizeof(uint64_t))
#define MIB_MAX     16384
#define PAGES_MAX   ((size_t)MIB_MAX << 8)
#define THREADS_MAX 64
/* How often the time is asked for when touches are not timed. */
#define UNTIMED 256

static const struct pattern {
	const char *name;
	enum order order;
	bool write;
} patterns[] = {
    {"fill", ORDER_FORWARD, true},
    {"seqread", ORDER_FORWARD, false},
    {"seqrmw", ORDER_FORWARD, true},
    {"descend", ORDER_BACKWARD, false},
    {"stride", ORDER_STRIDE, false},
    {"randread", ORDER_UNIFORM, false},
    {"randwrite", ORDER_UNIFORM, true},
    {"zipf", ORDER_ZIPF, true},
    {"loguniform", ORDER_LOG, true},
    {"hotscan", ORDER_UNIFORM, false},
};

struct worker {
	pthread_t id;
	/* Its pages: first, first + step, ...; nobody else writes to them. */
	size_t first;
	size_t step;
	struct walk walk;
	bool write;
	bool timed; /* each touch */
	uint64_t touches; /* stop after so many, */
	uint64_t ns; /* or after this time */
	uint64_t done;
	struct hist hist;
};

static struct {
	size_t mib;
	unsigned threads;
	double seconds; /* of a random pattern; an ordered one's limit */
	uint64_t touches; /* of a random pattern, instead of a time */
	uint64_t warm; /* touches before the measured ones */
	size_t part; /* MiB at the end that the pattern is confined to */
	bool untimed;
	const char *file;
	bool random;
	const struct pattern *pattern;
} opt = {.mib = 1024, .threads = 1, .seconds = 3};

static uint64_t *region;
static size_t npages;
/*
 * How often each page was written.  Not from malloc: that might be memory
 * which is measured.
 */
static uint8_t versions[PAGES_MAX];
static struct worker workers[THREADS_MAX];
static pthread_barrier_t start;

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
}

/* ---- touching ------------------------------------------------------------ */

static void
write_page(size_t i)
{
	uint64_t *p = region + i * WORDS, key = mix(i + 1);

	versions[i]++;
	p[0] = key + versions[i];
	p[WORDS - 1] = ~key + versions[i];
}

static void
check_page(size_t i)
{
	const uint64_t *p = region + i * WORDS;
	uint64_t key = mix(i + 1);

	if (p[0] != key + versions[i] || p[WORDS - 1] != ~key + versions[i])
		errx(3, "WRONG: page %zu holds other bytes than were written",
		    i);
}

static void
touch(struct worker *w)
{
	size_t i = w->first + walk_next(&w->walk) * w->step;

	check_page(i);
	if (w->write)
		write_page(i);
}

static void
work_timed(struct worker *w)
{
	uint64_t begin = now(), end = begin + w->ns, t = begin;

	while (w->done < w->touches && t < end) {
		begin = now();
		touch(w);
		t = now();
		hist_add(&w->hist, t - begin);
		w->done++;
	}
}

static void
work_untimed(struct worker *w)
{
	uint64_t end = now() + w->ns;

	while (
	    w->done < w->touches && (w->done % UNTIMED != 0 || now() < end)) {
		touch(w);
		w->done++;
	}
}

static void *
work(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(&start);
	if (w->timed)
		work_timed(w);
	else
		work_untimed(w);
	return (NULL);
}

/* ---- phases -------------------------------------------------------------- */

/* Runs the workers to their end; returns the nanoseconds it took. */
static uint64_t
run(unsigned n)
{
	uint64_t begin;

	pthread_barrier_init(&start, NULL, n + 1);
	for (unsigned t = 0; t < n; t++)
		if (pthread_create(&workers[t].id, NULL, work, &workers[t]) !=
		    0)
			errx(1, "pthread_create");
	pthread_barrier_wait(&start);
	begin = now();
	for (unsigned t = 0; t < n; t++)
		pthread_join(workers[t].id, NULL);
	pthread_barrier_destroy(&start);
	return (now() - begin);
}

static void
print_phase(const char *name, uint64_t touches, uint64_t ns)
{
	printf(", \"%s\": {\"touches\": %" PRIu64 ", \"ns\": %" PRIu64, name,
	    touches, ns);
}

static void
print_hist(const struct hist *h)
{
	printf(", \"hist\": ");
	hist_print(h);
	printf("}");
}

/*
 * The first touches.  From half-way on they are counted by themselves: where
 * memory is half of the data, each of these pages wants one to leave.
 */
static void
fill(void)
{
	static struct hist late;
	uint64_t begin = now(), half = begin, t, end = begin;

	for (size_t i = 0; i < npages; i++) {
		if (i == npages / 2)
			half = now();
		t = now();
		write_page(i);
		end = now();
		if (i >= npages / 2)
			hist_add(&late, end - t);
	}
	print_phase("fill", npages, end - begin);
	printf("}");
	print_phase("late", npages - npages / 2, end - half);
	print_hist(&late);
}

static bool
random_order(enum order order)
{
	return (order >= ORDER_UNIFORM);
}

/*
 * Thread t of n has each n-th page from t on: of what is in memory, everyone
 * has the same share.
 */
static void
prepare(struct worker *w, unsigned t, uint64_t touches, double seconds)
{
	enum order order = opt.pattern->order;
	size_t part = opt.part > 0 ? opt.part << 8 : npages;
	size_t n = part / opt.threads;

	if (w->walk.n == 0)
		walk_init(&w->walk, order, n, t);
	w->first = npages - part + t;
	w->step = opt.threads;
	w->write = opt.pattern->write;
	w->timed = !opt.untimed;
	w->touches = touches;
	if (!random_order(order))
		w->touches = touches < n ? touches : n;
	w->ns = (uint64_t)(seconds * 1e9);
	w->done = 0;
	memset(&w->hist, 0, sizeof(w->hist));
}

/* Faults that waited for I/O, and those that did not, as the kernel counts. */
static void
print_faults(const struct rusage *before)
{
	struct rusage after;

	getrusage(RUSAGE_SELF, &after);
	printf(", \"majflt\": %ld, \"minflt\": %ld",
	    after.ru_majflt - before->ru_majflt,
	    after.ru_minflt - before->ru_minflt);
}

static void
run_pattern(void)
{
	static struct hist sum;
	uint64_t ns, done = 0;
	struct rusage before;

	getrusage(RUSAGE_SELF, &before);
	if (opt.warm > 0) {
		for (unsigned t = 0; t < opt.threads; t++)
			prepare(&workers[t], t, opt.warm / opt.threads, 600);
		run(opt.threads);
	}
	for (unsigned t = 0; t < opt.threads; t++)
		prepare(&workers[t], t,
		    opt.touches > 0 ? opt.touches / opt.threads : UINT64_MAX,
		    opt.touches > 0 ? 600 : opt.seconds);
	ns = run(opt.threads);
	for (unsigned t = 0; t < opt.threads; t++) {
		hist_merge(&sum, &workers[t].hist);
		done += workers[t].done;
	}
	print_phase("run", done, ns);
	print_faults(&before);
	printf(", \"warm\": %" PRIu64, opt.warm);
	print_hist(&sum);
}

/*
 * One thread reads `part` MiB at random, which the fill has touched last;
 * another reads everything in order, over and over.
 */
static void
run_hotscan(void)
{
	struct worker *hot = &workers[0], *scan = &workers[1];
	struct rusage before;
	uint64_t ns;

	getrusage(RUSAGE_SELF, &before);
	prepare(hot, 0, UINT64_MAX, opt.seconds);
	*scan = *hot;
	scan->first = 0;
	scan->timed = false;
	walk_init(&scan->walk, ORDER_FORWARD, npages, 0);
	ns = run(2);
	print_phase("scan", scan->done, ns);
	printf("}");
	print_phase("run", hot->done, ns);
	print_faults(&before);
	print_hist(&hot->hist);
}

/* ---- the beginning ------------------------------------------------------- */

static void
map_region(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	size_t bytes = opt.mib << 20;

	if (opt.file != NULL) {
		flags = MAP_SHARED;
		fd = open(opt.file, O_RDWR);
		if (fd < 0)
			err(1, "%s", opt.file);
	}
	region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (region == MAP_FAILED)
		err(1, "mmap");
	npages = bytes / PAGE;
	/* Pages, not huge ones: on every side the same. */
	(void)madvise(region, bytes, MADV_NOHUGEPAGE);
	if (opt.random && madvise(region, bytes, MADV_RANDOM) != 0)
		err(1, "madvise");
}

static void __attribute__((noreturn)) usage(void)
{
	fprintf(stderr,
	    "usage: touch [--mib N] [--threads N] [--seconds S | --touches N]\n"
	    "             [--warm N] [--part MIB] [--untimed]\n"
	    "             [--file PATH [--random]] PATTERN\n"
	    "patterns:");
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		fprintf(stderr, " %s", patterns[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static void
parse(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"mib", required_argument, NULL, 'm'},
	    {"threads", required_argument, NULL, 't'},
	    {"seconds", required_argument, NULL, 's'},
	    {"touches", required_argument, NULL, 'n'},
	    {"warm", required_argument, NULL, 'w'},
	    {"part", required_argument, NULL, 'p'},
	    {"untimed", no_argument, NULL, 'u'},
	    {"file", required_argument, NULL, 'f'},
	    {"random", no_argument, NULL, 'r'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 'm':
			opt.mib = n;
			break;
		case 't':
			opt.threads = (unsigned)n;
			break;
		case 's':
			opt.seconds = strtod(optarg, NULL);
			break;
		case 'n':
			opt.touches = n;
			break;
		case 'w':
			opt.warm = n;
			break;
		case 'p':
			opt.part = n;
			break;
		case 'u':
			opt.untimed = true;
			break;
		case 'f':
			opt.file = optarg;
			break;
		case 'r':
			opt.random = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1)
		usage();
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (strcmp(argv[optind], patterns[i].name) == 0)
			opt.pattern = &patterns[i];
	if (opt.pattern == NULL || opt.mib < 1 || opt.mib > MIB_MAX ||
	    opt.part > opt.mib || opt.threads < 1 ||
	    opt.threads > THREADS_MAX ||
	    (opt.threads > 1 && !random_order(opt.pattern->order)))
		usage();
}

int
main(int argc, char **argv)
{
	parse(argc, argv);
	map_region();
	printf("{\"pages\": %zu", npages);
	fill();
	if (strcmp(opt.pattern->name, "hotscan") == 0)
		run_hotscan();
	else if (strcmp(opt.pattern->name, "fill") != 0)
		run_pattern();
	printf("}\n");
	return (0);
}
