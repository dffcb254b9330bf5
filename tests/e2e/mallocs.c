/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mallocs MIB SECONDS SEED [LIBRARY PREFIX]: four threads that allocate, resize,
 * check and free blocks of all sizes, of MIB MiB together; by the functions
 * PREFIXmalloc, PREFIXrealloc and PREFIXfree of the library, if one is named.
 */
#include <dlfcn.h>
#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/seed.h"

#define THREADS 4
#define BLOCKS  4096 /* of a thread */

static void *(*x_malloc)(size_t) = malloc;
static void *(*x_realloc)(void *, size_t) = realloc;
static void (*x_free)(void *) = free;
static size_t most; /* bytes of a thread */
static uint64_t seed;
static time_t end;

struct block {
	uint64_t *p; /* words, each its own index times the key */
	size_t words;
	uint64_t key;
};

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

static void
step(struct block *b, struct rng *r, size_t *held)
{
	size_t words = some_words(r), old = b->words;

	check(b, old);
	if (b->p != NULL && (*held > most || rng_below(r, 3) == 0)) {
		x_free(b->p);
		*held -= old * 8;
		*b = (struct block){0};
		return;
	}
	b->p = b->p == NULL ? x_malloc(words * 8) : x_realloc(b->p, words * 8);
	if (b->p == NULL)
		errx(1, "no memory");
	if (b->key == 0)
		b->key = rng_next(r) | 1;
	b->words = words;
	check(b, words < old ? words : old);
	fill(b, old);
	*held += words * 8 - old * 8;
}

static void *
run(void *arg)
{
	struct rng r = {seed + (uintptr_t)arg};
	struct block *b = x_malloc(BLOCKS * sizeof(*b));
	size_t held = 0;

	memset(b, 0, BLOCKS * sizeof(*b));
	while (time(NULL) < end)
		for (int i = 0; i < 256; i++)
			step(&b[rng_below(&r, BLOCKS)], &r, &held);
	for (int i = 0; i < BLOCKS; i++) {
		check(&b[i], b[i].words);
		x_free(b[i].p);
	}
	x_free(b);
	return NULL;
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
	pthread_t t[THREADS];

	if (argc < 4)
		errx(2, "usage: mallocs MIB SECONDS SEED [LIBRARY PREFIX]");
	most = ((size_t)strtoul(argv[1], NULL, 10) << 20) / THREADS;
	end = time(NULL) + atoi(argv[2]);
	seed = strtoull(argv[3], NULL, 10);
	if (argc > 5) {
		void *lib = dlopen(argv[4], RTLD_NOW);

		if (lib == NULL)
			errx(77, "%s", dlerror());
		*(void **)&x_malloc = function(lib, argv[5], "malloc");
		*(void **)&x_realloc = function(lib, argv[5], "realloc");
		*(void **)&x_free = function(lib, argv[5], "free");
	}
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, run, (void *)i) != 0)
			errx(1, "no thread");
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	return 0;
}
