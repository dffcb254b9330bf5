/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads MIB THREADS SECONDS SEED: threads write, check and discard random
 * pages of one region, then every page is checked.
 *
 * The content of a page is a function of its index and version; the versions
 * are kept beside it, in an array too small to leave memory often.  Version 0
 * is zeros.
 */
#include <sys/mman.h>

#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAGE  4096
#define WORDS (PAGE / sizeof(uint64_t))
#define LOCKS 1024

static uint64_t *region;
static uint32_t *versions; /* of page i: locks[i % LOCKS] */
static size_t npages;
static pthread_mutex_t locks[LOCKS];
static struct timespec deadline;

/* splitmix64's finalizer */
static uint64_t
mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31);
}

static uint64_t
content(size_t page, uint32_t version, size_t word)
{
	if (version == 0)
		return (0);
	return (mix((uint64_t)page << 32 | version) + word);
}

static void
check(size_t page)
{
	const uint64_t *p = region + page * WORDS;

	for (size_t i = 0; i < WORDS; i++)
		if (p[i] != content(page, versions[page], i)) {
			fprintf(stderr,
			    "page %zu, version %u, word %zu: %#lx, not %#lx\n",
			    page, versions[page], i, (unsigned long)p[i],
			    (unsigned long)content(page, versions[page], i));
			abort();
		}
}

static void
write_page(size_t page)
{
	uint64_t *p = region + page * WORDS;

	versions[page]++;
	for (size_t i = 0; i < WORDS; i++)
		p[i] = content(page, versions[page], i);
}

static void
discard(size_t page)
{
	if (madvise(region + page * WORDS, PAGE, MADV_DONTNEED) != 0)
		err(1, "madvise");
	versions[page] = 0;
}

static int
time_is_up(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (
	    now.tv_sec > deadline.tv_sec ||
	    (now.tv_sec == deadline.tv_sec && now.tv_nsec > deadline.tv_nsec));
}

static void *
run(void *arg)
{
	uint64_t state = *(uint64_t *)arg, n = 0;

	for (; n % 64 != 0 || !time_is_up(); n++) {
		uint64_t r = mix(state += 0x9e3779b97f4a7c15);
		size_t page = r % npages;
		unsigned what = r >> 58;

		pthread_mutex_lock(&locks[page % LOCKS]);
		check(page);
		if (what == 0)
			discard(page);
		else if (what < 32)
			write_page(page);
		pthread_mutex_unlock(&locks[page % LOCKS]);
	}
	*(uint64_t *)arg = n;
	return (NULL);
}

int
main(int argc, char **argv)
{
	uint64_t args[256], total = 0;
	pthread_t ids[256];
	unsigned n;

	if (argc != 5 || (n = strtoul(argv[2], NULL, 10)) < 1 || n > 256)
		errx(2, "usage: threads MIB THREADS SECONDS SEED");
	npages = ((size_t)strtoul(argv[1], NULL, 10) << 20) / PAGE;
	region = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	versions = calloc(npages, sizeof(*versions));
	if (region == MAP_FAILED || versions == NULL)
		err(1, "no memory");
	for (unsigned i = 0; i < LOCKS; i++)
		pthread_mutex_init(&locks[i], NULL);
	for (size_t i = 0; i < npages; i++)
		write_page(i);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += atoi(argv[3]);
	for (unsigned i = 0; i < n; i++) {
		args[i] = mix(strtoull(argv[4], NULL, 10) + i);
		if (pthread_create(&ids[i], NULL, run, &args[i]) != 0)
			errx(1, "pthread_create");
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(ids[i], NULL);
		total += args[i];
	}
	for (size_t i = 0; i < npages; i++)
		check(i);
	printf("%lu operations on %zu pages, all right\n", (unsigned long)total,
	    npages);
	return (0);
}
