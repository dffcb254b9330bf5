/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * small MIB OPERATIONS: memory in many small mappings, as ruby has it.  Mappings of
 * two to eight pages are made, cut, filled, checked, changed and unmapped at random,
 * MIB of them and more; what is unmapped must be gone, and what is new must be zeros.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/seed.h"

#define PAGE  ((size_t)4096)
#define MOST  8 /* pages of a mapping */
#define KEPT  2 /* at least about so many of them are kept */
#define WORDS (PAGE / sizeof(uint64_t))

#define MUST(e)                                                                \
	do {                                                                   \
		if (!(e)) {                                                    \
			fprintf(stderr, "small.c:%d: %s (errno %d)\n",         \
			    __LINE__, #e, errno);                              \
			_exit(1);                                              \
		}                                                              \
	} while (0)

/* Pages of one mapping; version 0 is zeros. */
struct small {
	uint64_t *p; /* NULL: none */
	uint32_t pages;
	uint32_t version;
};

static struct rng rng;
static struct small *all;
static size_t n;

static uint64_t
word(const struct small *s, size_t page, size_t w)
{
	struct rng r = {((uint64_t)(s - all) << 32 | s->version) + page};

	return s->version == 0 ? 0 : rng_next(&r) + w;
}

static void
check(const struct small *s)
{
	for (size_t i = 0; i < s->pages; i++)
		for (size_t w = 0; w < WORDS; w += 37)
			MUST(s->p[i * WORDS + w] == word(s, i, w));
}

static void
fill(struct small *s)
{
	s->version++;
	for (size_t i = 0; i < s->pages; i++)
		for (size_t w = 0; w < WORDS; w++)
			s->p[i * WORDS + w] = word(s, i, w);
}

static bool
mapped(const void *p)
{
	unsigned char there;

	return mincore((void *)(uintptr_t)p, PAGE, &there) == 0;
}

/* More than is needed, and the beginning or the end of it cut off again. */
static void
map(struct small *s)
{
	size_t pages = 2 + rng_below(&rng, MOST - 1), cut = pages / 2;
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool head = rng_below(&rng, 4) != 0;
	char *gone = head ? p : p + (pages - cut) * PAGE;

	MUST(p != MAP_FAILED);
	MUST(munmap(gone, cut * PAGE) == 0);
	MUST(!mapped(gone));
	*s = (struct small){(uint64_t *)(void *)(head ? p + cut * PAGE : p),
	    (uint32_t)(pages - cut), 0};
	check(s);
	fill(s);
}

static void
unmap(struct small *s)
{
	check(s);
	MUST(munmap(s->p, s->pages * PAGE) == 0);
	MUST(!mapped(s->p));
	s->p = NULL;
}

/* Grown or shrunk by a page, where it is or elsewhere. */
static void
resize(struct small *s)
{
	uint32_t pages =
	    s->pages > 1 && rng_below(&rng, 2) ? s->pages - 1 : s->pages + 1;
	uint32_t was = s->pages;
	void *p = mremap(s->p, was * PAGE, pages * PAGE, MREMAP_MAYMOVE);

	MUST(p != MAP_FAILED);
	s->p = p;
	s->pages = pages < was ? pages : was;
	check(s);
	for (size_t w = 0; w < WORDS && pages > was; w++)
		MUST(s->p[was * WORDS + w] == 0);
	s->pages = pages;
	fill(s);
}

/* What a program may do to one of them. */
static void
change(struct small *s)
{
	size_t len = s->pages * PAGE;

	switch (rng_below(&rng, 7)) {
	case 0:
		MUST(madvise(s->p, len, MADV_DONTNEED) == 0);
		s->version = 0;
		break;
	case 1:
		MUST(madvise(s->p, len, MADV_PAGEOUT) == 0);
		break;
	case 2:
		MUST(mprotect(s->p, len, PROT_READ) == 0);
		check(s);
		MUST(mprotect(s->p, len, PROT_READ | PROT_WRITE) == 0);
		break;
	case 3:
		MUST(mmap(s->p, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) == s->p);
		s->version = 0;
		break;
	case 4:
		resize(s);
		break;
	case 5:
		MUST(mlock(s->p, len) == 0 && munlock(s->p, len) == 0);
		break;
	default:
		fill(s);
	}
	check(s);
}

static void
check_all(void)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].p != NULL)
			check(&all[i]);
}

/* The child has them, whatever they are just now. */
static void
forks(void)
{
	int status = -1;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid == 0) {
		check_all();
		_exit(3);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

int
main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 16;
	size_t operations = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;

	rng.s = test_seed();
	n = (mib << 20) / (KEPT * PAGE);
	all = calloc(n, sizeof(*all));
	MUST(all != NULL);
	for (size_t i = 0; i < n; i++)
		map(&all[i]);
	for (size_t k = 0; k < operations; k++) {
		struct small *s = &all[rng_below(&rng, n)];

		if (s->p == NULL)
			map(s);
		else if (rng_below(&rng, 2) == 0)
			unmap(s);
		else
			change(s);
		if (k == operations / 2)
			forks();
	}
	check_all();
	for (size_t i = 0; i < n; i++)
		if (all[i].p != NULL)
			unmap(&all[i]);
	printf("%zu mappings, %zu operations\n", n, operations);
	return 0;
}
