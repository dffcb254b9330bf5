/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mallocs MIB SECONDS SEED [LIBRARY PREFIX]: threads that allocate, resize, check,
 * pass on and free blocks of all sizes, of MIB MiB together; what they leave in other
 * hands when they end, threads after them check and free.  By the functions
 * PREFIXmalloc and so on of the library, if one is named.  Says how many MiB there
 * were at most.
 */
#include <dlfcn.h>
#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/seed.h"

#define THREADS 8
#define ROUNDS  3 /* of threads, one after the other */
#define BLOCKS  2048 /* of a thread */
#define PASSED  256 /* on their way from one thread to another */

static void *(*x_malloc)(size_t) = malloc;
static void *(*x_calloc)(size_t, size_t) = calloc;
static void *(*x_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*x_realloc)(void *, size_t) = realloc;
static void (*x_free)(void *) = free;
static size_t most; /* bytes of a thread */
static uint64_t seed;
static time_t end; /* of a round */
static _Atomic size_t all, peak;

struct block {
	uint64_t *p; /* words, each its own index times the key */
	size_t words;
	uint64_t key;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block passed[PASSED]; /* by lock */

static void
fill(struct block *b, size_t from)
{
	for (size_t i = from; i < b->words; i++)
		b->p[i] = i * b->key;
}

static void
check(const struct block *b, size_t words)
{
	for (size_t i = 0; i < words; i++)
		if (b->p[i] != i * b->key)
			errx(1, "word %zu of %zu has changed", i, b->words);
}

/* Mostly small, now and then a megabyte. */
static size_t
some_words(struct rng *r)
{
	return 1 + rng_below(r, (uint64_t)1 << (4 + rng_below(r, 14)));
}

static void *
zeroed(size_t words)
{
	uint64_t *p = x_calloc(words, 8);

	for (size_t i = 0; p != NULL && i < words; i++)
		if (p[i] != 0)
			errx(1, "word %zu of calloc's %zu is not 0", i, words);
	return p;
}

static void *
some_block(struct rng *r, size_t words)
{
	size_t to = (size_t)64 << rng_below(r, 12);

	switch (rng_below(r, 4)) {
	case 0:
		return zeroed(words);
	case 1:
		return x_aligned_alloc(to, (words * 8 + to - 1) & ~(to - 1));
	default:
		return x_malloc(words * 8);
	}
}

static void
count(size_t more)
{
	size_t now = atomic_fetch_add(&all, more) + more;
	size_t old = atomic_load(&peak);

	while (now > old && !atomic_compare_exchange_weak(&peak, &old, now))
		continue;
}

static void
drop(struct block *b)
{
	check(b, b->words);
	x_free(b->p);
	atomic_fetch_sub(&all, b->words * 8);
	*b = (struct block){0};
}

static void
pass_on(struct block *b, struct rng *r)
{
	struct block *other = &passed[rng_below(r, PASSED)], mine = *b;

	pthread_mutex_lock(&lock);
	*b = *other;
	*other = mine;
	pthread_mutex_unlock(&lock);
}

static void
grow(struct block *b, struct rng *r)
{
	size_t words = some_words(r), old = b->words;

	b->p = b->p == NULL ? some_block(r, words) : x_realloc(b->p, words * 8);
	if (b->p == NULL)
		errx(1, "no memory");
	if (b->key == 0)
		b->key = rng_next(r) | 1;
	b->words = words;
	count((words - old) * 8);
	check(b, words < old ? words : old);
	fill(b, old);
}

static void
step(struct block *b, struct rng *r, size_t *held)
{
	size_t old = b->words;

	check(b, old);
	if (b->p != NULL && (*held > most || rng_below(r, 3) == 0))
		drop(b);
	else if (rng_below(r, 4) == 0)
		pass_on(b, r);
	else if (*held <= most)
		grow(b, r);
	*held += (b->words - old) * 8;
}

static void *
run(void *arg)
{
	struct rng r = {seed + (uintptr_t)arg};
	struct block *b = x_malloc(BLOCKS * sizeof(*b));
	size_t held = 0;

	memset(b, 0, BLOCKS * sizeof(*b));
	while (time(NULL) < end)
		for (int i = 0; i < 64; i++)
			step(&b[rng_below(&r, BLOCKS)], &r, &held);
	for (int i = 0; i < BLOCKS; i++) {
		pass_on(&b[i], &r);
		drop(&b[i]);
	}
	x_free(b);
	return NULL;
}

static void
one_round(uintptr_t first)
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, run, (void *)(first + i)) != 0)
			errx(1, "no thread");
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

static void *
function(void *lib, const char *prefix, const char *name)
{
	char text[64];
	void *p;

	snprintf(text, sizeof(text), "%s%s", prefix, name);
	p = dlsym(lib, text);
	if (p == NULL)
		errx(1, "%s: %s", text, dlerror());
	return p;
}

int
main(int argc, char **argv)
{
	if (argc < 4)
		errx(2, "usage: mallocs MIB SECONDS SEED [LIBRARY PREFIX]");
	most = ((size_t)strtoul(argv[1], NULL, 10) << 20) / THREADS;
	seed = strtoull(argv[3], NULL, 10);
	if (argc > 5) {
		void *lib = dlopen(argv[4], RTLD_NOW);

		if (lib == NULL)
			errx(77, "%s", dlerror());
		*(void **)&x_malloc = function(lib, argv[5], "malloc");
		*(void **)&x_calloc = function(lib, argv[5], "calloc");
		*(void **)&x_aligned_alloc =
		    function(lib, argv[5], "aligned_alloc");
		*(void **)&x_realloc = function(lib, argv[5], "realloc");
		*(void **)&x_free = function(lib, argv[5], "free");
	}
	for (uintptr_t i = 0; i < ROUNDS; i++) {
		end = time(NULL) + atoi(argv[2]) / ROUNDS;
		one_round(i * THREADS);
	}
	for (int i = 0; i < PASSED; i++)
		drop(&passed[i]);
	printf("%zu\n", atomic_load(&peak) >> 20);
	return 0;
}
