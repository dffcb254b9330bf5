/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress: real threads, real faults.
 *
 * Threads write and verify pages of one region, eight times the budget, each
 * page under a lock of its own so that its version is known exactly; now and
 * then one drops pages, wires some, or pages them out; one clones ranges.  What a
 * page must hold follows from its number and version.  In two runs the swap space
 * moves from one file to another and back all the time.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/seed.h"
#include "uswap.h"

#define PAGE    4096
#define MIB     ((size_t)1 << 20)
#define THREADS 8

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SECONDS 3
#else
#define SECONDS 5
#endif

static struct {
	uswap_t *u;
	unsigned char *mem;
	size_t pages;
	uint64_t seed;
	atomic_flag *lock;
	uint32_t *version; /* 0: zeros */
	_Atomic bool stop;
	_Atomic uint64_t operations, clones, wrong;
} w;

static uint64_t
word(size_t page, uint32_t version, unsigned i)
{
	struct rng r = {w.seed ^ page * 1000003 ^ (uint64_t)version << 40 ^ i};

	return version == 0 ? 0 : rng_next(&r);
}

static void
lock(size_t page)
{
	while (atomic_flag_test_and_set(&w.lock[page]))
		sched_yield();
}

/* What a wrong page holds instead, for whoever looks for the reason. */
static void
explain(const uint64_t *p, size_t page, uint32_t version, const char *where)
{
	static _Atomic unsigned said;
	unsigned bad = 0, first = 0, zero = 0;

	if (atomic_fetch_add(&said, 1) >= 8)
		return;
	for (unsigned i = PAGE / 8; i-- > 0;) {
		if (p[i] != word(page, version, i)) {
			bad++;
			first = i;
		}
		zero += p[i] == 0;
	}
	printf("%s: page %zu version %u: %u words wrong from %u on, %u are 0",
	    where, page, version, bad, first, zero);
	for (size_t k = 0; zero < PAGE / 8 && k < w.pages; k++)
		for (uint32_t v = 1; v <= w.version[k]; v++)
			if (p[first] == word(k, v, first))
				printf("; of page %zu, version %u of %u", k, v,
				    w.version[k]);
	printf("\n");
}

/* Memory that must hold what a page held in that version. */
static void
verify_at(const void *mem, size_t page, uint32_t version, const char *where)
{
	const uint64_t *p = mem;

	for (unsigned i = 0; i < PAGE / 8; i++)
		if (p[i] != word(page, version, i)) {
			atomic_fetch_add(&w.wrong, 1);
			explain(p, page, version, where);
			return;
		}
}

static void
verify(size_t page)
{
	verify_at(w.mem + page * PAGE, page, w.version[page], "region");
}

static void
write_at(void *mem, size_t page, uint32_t version)
{
	uint64_t *p = mem;

	for (unsigned i = 0; i < PAGE / 8; i++)
		p[i] = word(page, version, i);
}

static void
change(size_t page)
{
	write_at(w.mem + page * PAGE, page, ++w.version[page]);
}

/* What a program does seldom, on one page that we hold the lock of. */
static void
odd_job(struct rng *r, size_t page)
{
	void *at = w.mem + page * PAGE;

	switch (rng_below(r, 4)) {
	case 0:
		if (uswap_advise(w.u, at, PAGE, USWAP_DONTNEED) == 0)
			w.version[page] = 0;
		break;
	case 1:
		if (uswap_wire(w.u, at, PAGE) == 0) {
			verify(page);
			(void)uswap_unwire(w.u, at, PAGE);
		}
		break;
	case 2:
		(void)uswap_pageout(w.u, at, PAGE);
		break;
	default:
		(void)uswap_advise(w.u, at, PAGE, USWAP_WILLNEED);
	}
}

static void *
worker(void *arg)
{
	struct rng r = {w.seed + (uint64_t)(uintptr_t)arg * 77};
	size_t page = 0;

	while (!atomic_load(&w.stop)) {
		page = rng_below(&r, 4) == 0 ? (page + 1) % w.pages
					     : rng_below(&r, w.pages);
		lock(page);
		verify(page);
		if (rng_below(&r, 2) == 0)
			change(page);
		if (rng_below(&r, 500) == 0)
			odd_job(&r, page);
		atomic_flag_clear(&w.lock[page]);
		atomic_fetch_add(&w.operations, 1);
	}
	return NULL;
}

static int
fail(const char *what)
{
	printf("%s: %s\n", what, uswap_error());
	return 1;
}

/* ---- clones -------------------------------------------------------------- */

#define CLONE_PAGES 64
/* No page of the region is ever of such a version. */
#define CLONES_OWN 0x800000

/* What becomes of one is not seen in the other, wherever the two are. */
static void
use_clone(unsigned char *copy, size_t first, size_t n, uint32_t *version)
{
	for (size_t i = 0; i < n; i++)
		verify_at(copy + i * PAGE, first + i, version[i], "new clone");
	for (size_t i = 0; i < n; i += 2) {
		version[i] |= CLONES_OWN;
		write_at(copy + i * PAGE, first + i, version[i]);
	}
	(void)uswap_pageout(w.u, copy, n * PAGE);
	for (size_t i = 0; i < n; i++)
		verify_at(copy + i * PAGE, first + i, version[i], "clone");
}

/* The pages are locked until it is made: all are known. */
static int
clone_once(size_t first, size_t n)
{
	uint32_t version[CLONE_PAGES];
	void *copy;
	int error;

	for (size_t i = first; i < first + n; i++)
		lock(i);
	memcpy(version, w.version + first, n * sizeof(*version));
	error = uswap_clone(w.u, w.mem + first * PAGE, n * PAGE, &copy);
	for (size_t i = first; i < first + n; i++)
		atomic_flag_clear(&w.lock[i]);
	if (error != 0)
		return error;
	use_clone(copy, first, n, version);
	return uswap_unmap(w.u, copy, n * PAGE);
}

static void *
cloner(void *arg)
{
	struct rng r = {w.seed + 5};

	(void)arg;
	while (!atomic_load(&w.stop)) {
		size_t n = 1 + rng_below(&r, CLONE_PAGES);

		if (clone_once(rng_below(&r, w.pages - n), n) != 0)
			return strdup(uswap_error());
		atomic_fetch_add(&w.clones, 1);
		usleep((useconds_t)rng_below(&r, 2000));
	}
	return NULL;
}

/* ---- swap space that comes and goes -------------------------------------- */

static char dir[] = "/var/tmp/uswap-stress-XXXXXX";
static _Atomic unsigned cycles;

static const char *
file(char *text, unsigned which, const char *rest)
{
	sprintf(text, "%s/%c%s", dir, 'a' + (int)which % 2, rest);
	return text;
}

/* Now and then it thinks better of it. */
static void *
stopper(void *arg)
{
	struct rng r = {w.seed};
	char name[64];

	(void)arg;
	while (!atomic_load(&w.stop)) {
		usleep((useconds_t)rng_below(&r, 300000));
		(void)uswap_swapoff_stop(w.u, file(name, 0, ""));
		(void)uswap_swapoff_stop(w.u, file(name, 1, ""));
	}
	return NULL;
}

static void *
changer(void *arg)
{
	char name[64];

	(void)arg;
	for (unsigned i = 0; !atomic_load(&w.stop); i++) {
		int error;

		if (uswap_swapon(w.u, file(name, i + 1, ",size=256M")) != 0)
			return strdup(uswap_error());
		do
			error = uswap_swapoff(w.u, file(name, i, ""), 0);
		while (error == -EINTR);
		if (error != 0)
			return strdup(uswap_error());
		atomic_fetch_add(&cycles, 1);
	}
	return NULL;
}

/* Blocks in use on all devices, and pages that have one. */
static void
count_blocks(uint64_t *used, uint64_t *pages)
{
	static unsigned char vec[192 * MIB / PAGE];
	struct uswap_device dev[USWAP_DEVICES_MAX];
	unsigned n = USWAP_DEVICES_MAX;

	*used = *pages = 0;
	if (uswap_devices(w.u, dev, &n, sizeof(dev[0])) != 0 ||
	    uswap_residency(w.u, w.mem, w.pages * PAGE, vec) != 0)
		return;
	for (unsigned i = 0; i < n; i++)
		*used += dev[i].used;
	for (size_t i = 0; i < w.pages; i++)
		*pages += (vec[i] & USWAP_SWAPPED) != 0;
}

/* The page-out thread may be at work for a moment longer. */
static bool
blocks_agree(void)
{
	uint64_t used = 0, pages = 1;

	for (int tries = 0; used != pages && tries < 1000; tries++) {
		usleep(10000);
		count_blocks(&used, &pages);
	}
	printf("%u cycles; %" PRIu64 " blocks in use, %" PRIu64 " mapped\n",
	    atomic_load(&cycles), used, pages);
	return used == pages && used > 0;
}

/* ---- one run ------------------------------------------------------------- */

static int
start(bool changing)
{
	char spec[64];
	int error;

	if (changing)
		return uswap_swapon(w.u, file(spec, 0, ",size=256M"));
	error = uswap_swapon(w.u, "tmp,size=64M,prio=5");
	return error != 0 ? error : uswap_swapon(w.u, "tmp,size=512M");
}

static int
run(const char *name, unsigned flags, unsigned handlers, bool changing)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;
	const char *seconds = getenv("USWAP_SECONDS");
	struct uswap_stats st;
	pthread_t t[THREADS], cloning, off[2];
	void *mem, *said = NULL;

	opt.ram = 24 * MIB;
	opt.flags = flags;
	opt.handlers = handlers;
	w.pages = 192 * MIB / PAGE;
	if (uswap_open(&opt, &w.u) != 0 || start(changing) != 0 ||
	    uswap_map(w.u, w.pages * PAGE, &mem) != 0)
		return fail(name);
	w.mem = mem;
	w.lock = calloc(w.pages, sizeof(*w.lock));
	w.version = calloc(w.pages, sizeof(*w.version));
	atomic_store(&w.stop, false);
	atomic_store(&w.operations, 0);
	atomic_store(&w.clones, 0);
	/* All of it in swap space: it is what moves. */
	for (size_t i = 0; changing && i < w.pages; i++)
		change(i);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)(i + 1));
	pthread_create(&cloning, NULL, cloner, NULL);
	if (changing) {
		pthread_create(&off[0], NULL, changer, NULL);
		pthread_create(&off[1], NULL, stopper, NULL);
	}
	sleep(seconds != NULL ? (unsigned)atoi(seconds) : SECONDS);
	atomic_store(&w.stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pthread_join(cloning, &said);
	if (said != NULL || atomic_load(&w.clones) == 0) {
		printf("%s: clones: %s\n", name,
		    said == NULL ? "none" : (char *)said);
		return 1;
	}
	if (changing) {
		pthread_join(off[0], &said);
		pthread_join(off[1], NULL);
		if (said != NULL || !blocks_agree()) {
			printf("%s: %s\n", name,
			    said == NULL ? "blocks leaked" : (char *)said);
			return 1;
		}
	}
	for (size_t i = 0; i < w.pages; i++)
		verify(i);
	free(w.lock);
	free(w.version);
	(void)uswap_stats(w.u, &st, sizeof(st));
	printf("%s: %" PRIu64 " operations, %" PRIu64 " clones, %" PRIu64
	       " pages in, %" PRIu64 " out, %" PRIu64 " wrong\n",
	    name, (uint64_t)w.operations, (uint64_t)w.clones, st.pages_in,
	    st.pages_out, (uint64_t)w.wrong);
	if (st.pages_out == 0 || st.ram_peak > opt.ram)
		return fail("nothing was paged out, or too much memory used");
	if (uswap_unmap(w.u, mem, w.pages * PAGE) != 0 ||
	    uswap_stats(w.u, &st, sizeof(st)) != 0)
		return fail(name);
	if (st.swap_used != 0 || st.pages_active + st.pages_inactive != 0)
		return fail("something is left after the last unmap");
	if (uswap_close(w.u) != 0)
		return fail(name);
	return atomic_load(&w.wrong) != 0;
}

static const struct {
	const char *name;
	unsigned flags, handlers;
	bool changing;
} runs[] = {
    {"move", 0, 0, false},
    {"copy", USWAP_FORCE_COPY, 0, false},
    {"one handler", 0, 1, false},
    {"inline", USWAP_FAULT_INLINE, 0, true},
    {"devices come and go", 0, 0, true},
};

/* test_stress [NAME]: all of them, or the one of that name. */
int
main(int argc, char **argv)
{
	char name[64];
	int failed = 0;

	if (uswap_probe() != 0) {
		printf("skipped: %s\n", uswap_error());
		return 77;
	}
	w.seed = test_seed();
	if (mkdtemp(dir) == NULL)
		return 1;
	for (unsigned i = 0; !failed && i < sizeof(runs) / sizeof(*runs); i++)
		if (argc < 2 || strcmp(argv[1], runs[i].name) == 0)
			failed = run(runs[i].name, runs[i].flags,
			    runs[i].handlers, runs[i].changing);
	for (unsigned i = 0; i < 2; i++)
		(void)unlink(file(name, i, ""));
	(void)rmdir(dir);
	return failed;
}
