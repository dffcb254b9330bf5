/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress: real threads, real faults.
 *
 * Threads write and verify pages of one region, eight times the budget, each
 * page under a lock of its own so that its version is known exactly; now and
 * then one drops pages, wires some, or pages them out.  What a page must hold
 * follows from its number and version.  In one run the swap space moves from
 * one file to another and back all the time.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
	_Atomic uint64_t operations, wrong;
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

static void
verify(size_t page)
{
	uint64_t *p = (uint64_t *)(w.mem + page * PAGE);

	for (unsigned i = 0; i < PAGE / 8; i++)
		if (p[i] != word(page, w.version[page], i)) {
			if (atomic_fetch_add(&w.wrong, 1) == 0)
				printf("page %zu word %u version %u: wrong\n",
				    page, i, w.version[page]);
			return;
		}
}

static void
change(size_t page)
{
	uint64_t *p = (uint64_t *)(w.mem + page * PAGE);

	w.version[page]++;
	for (unsigned i = 0; i < PAGE / 8; i++)
		p[i] = word(page, w.version[page], i);
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
	pthread_t t[THREADS], off[2];
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
	/* All of it in swap space: it is what moves. */
	for (size_t i = 0; changing && i < w.pages; i++)
		change(i);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)(i + 1));
	if (changing) {
		pthread_create(&off[0], NULL, changer, NULL);
		pthread_create(&off[1], NULL, stopper, NULL);
	}
	sleep(seconds != NULL ? (unsigned)atoi(seconds) : SECONDS);
	atomic_store(&w.stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
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
	printf("%s: %" PRIu64 " operations, %" PRIu64 " pages in, %" PRIu64
	       " out, %" PRIu64 " wrong\n",
	    name, (uint64_t)w.operations, st.pages_in, st.pages_out,
	    (uint64_t)w.wrong);
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

/* The first `n` bytes are all this one. */
static bool
all(const unsigned char *p, size_t n, unsigned char byte)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return false;
	return true;
}

/*
 * An mremap that is refused changes neither what was to move nor what lies
 * where it was to go, though both are in swap space.
 */
static int
refused_moves(void)
{
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	struct uswap_options opt = USWAP_OPTIONS_INIT;
	unsigned char *a, *b;
	void *p, *q, *r;
	uswap_t *u;

	opt.ram = 32 * MIB;
	if (uswap_open(&opt, &u) != 0 || uswap_swapon(u, "tmp,size=64M") != 0 ||
	    uswap_map(u, MIB, &p) != 0 || uswap_map(u, MIB, &q) != 0)
		return fail("refused moves");
	memset(a = p, 1, MIB);
	memset(b = q, 2, MIB);
	if (uswap_pageout(u, a, MIB) != 0 || uswap_pageout(u, b, MIB) != 0)
		return fail("refused moves");
	if (uswap_remap(u, a, MIB, MIB, fixed, a + MIB / 2, &r) != -EINVAL ||
	    uswap_remap(u, a, MIB, MIB, fixed, a - MIB / 2, &r) != -EINVAL ||
	    uswap_remap(u, a, 2 * MIB, MIB, fixed, b, &r) == 0 ||
	    !all(a, MIB, 1) || !all(b, MIB, 2)) {
		printf("a refused mremap changed something\n");
		return 1;
	}
	if (uswap_remap(u, a, MIB, MIB, fixed, b, &r) != 0 || r != b ||
	    !all(b, MIB, 1) || uswap_unmap(u, b, MIB) != 0 ||
	    uswap_close(u) != 0)
		return fail("a move");
	return 0;
}

int
main(void)
{
	char name[64];
	int failed;

	if (uswap_probe() != 0) {
		printf("skipped: %s\n", uswap_error());
		return 77;
	}
	w.seed = test_seed();
	if (mkdtemp(dir) == NULL)
		return 1;
	failed = refused_moves() != 0 || run("move", 0, 0, false) != 0 ||
		 run("copy", USWAP_FORCE_COPY, 0, false) != 0 ||
		 run("one handler", 0, 1, false) != 0 ||
		 run("inline", USWAP_FAULT_INLINE, 0, true) != 0 ||
		 run("devices come and go", 0, 0, true) != 0;
	for (unsigned i = 0; i < 2; i++)
		(void)unlink(file(name, i, ""));
	(void)rmdir(dir);
	return failed;
}
