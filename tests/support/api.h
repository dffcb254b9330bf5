/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api: what the tests of the public calls share: a pager `u` of 16 MiB for
 * each test, swap files in a directory `dir` that is removed at the end, and
 * pages with known contents.  cmocka is included before this.
 */
#ifndef USWAP_TEST_API_H
#define USWAP_TEST_API_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/pattern.h"
#include "uswap.h"

#define TOUCH_SIGBUS(sa) uswap_sigaction((sa), NULL)

#define PAGE             ((size_t)4096)
#define MIB              ((size_t)1 << 20)
#define RAM              (16 * MIB) /* the least there is ... */
#define BUDGET           3840 /* ... and its pages, without the buffers */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/*
 * The thread sanitizer ends a child that makes threads, as the pager does, and calls
 * handlers of signals later, with all signals blocked: they may not fault inline.
 */
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZED 1
#else
#define THREAD_SANITIZED 0
#endif

static uswap_t *u;
static char dir[64] = "/var/tmp/uswap-test-XXXXXX";
static unsigned api_flags; /* one of api_ways */

/* ---- the calls, expected to succeed or to fail --------------------------- */

static inline void
works(int ret)
{
	if (ret != 0)
		fail_msg("%d: %s", ret, uswap_error());
}

/* -error, and a sentence about it. */
#define fails(ret, error, about) fails_at((ret), (error), (about), __LINE__)
static inline void
fails_at(int ret, int error, const char *about, int line)
{
	const char *said = uswap_error();

	if (ret != -error || strstr(said, about) == NULL)
		fail_msg("line %d: %d, not %d (%s): %s", line, ret, -error,
		    about, said);
}

static inline struct uswap_stats
stats(void)
{
	struct uswap_stats st;

	works(uswap_stats(u, &st, sizeof(st)));
	return st;
}

/* Waits, for ten seconds at most, until the expression of st is true. */
#define until(st, expression)                                                  \
	do {                                                                   \
		for (int tries_ = 0; (st) = stats(), !(expression);            \
		     tries_++) {                                               \
			if (tries_ == 1000)                                    \
				fail_msg("never: %s", #expression);            \
			usleep(10000);                                         \
		}                                                              \
	} while (0)

/* The path of a file in dir; with ",size=..." in the name, a spec. */
static inline const char *
path(const char *name)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s/%s", dir, name);
	return text;
}

/* ---- one pager for each test --------------------------------------------- */

/* swap: the spec of a file in dir, or NULL. */
static inline void
opens_with(size_t ram, const char *swap)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;

	opt.ram = ram;
	opt.flags = api_flags;
	(void)unlink(path("swap")); /* of a test that failed */
	works(uswap_open(&opt, &u));
	if (swap != NULL)
		works(uswap_swapon(u, path(swap)));
}

static inline void
opens(const char *swap)
{
	opens_with(RAM, swap);
}

/* Nothing may be left of what the test did. */
static inline void
closes(void)
{
	struct uswap_stats st = stats();

	assert_int_equal(st.managed, 0);
	assert_int_equal(st.swap_used, 0);
	assert_int_equal(st.pages_active + st.pages_inactive, 0);
	assert_int_equal(st.pages_wired, 0);
	works(uswap_close(u));
	(void)unlink(path("swap"));
}

/* ---- pages --------------------------------------------------------------- */

/* n managed pages that hold the version; none: untouched. */
static inline char *
region(uint32_t n, uint32_t version)
{
	void *p;

	works(uswap_map(u, n * PAGE, &p));
	for (uint32_t i = 0; i < n && version != 0; i++)
		pattern((char *)p + i * PAGE, i, version);
	return p;
}

static inline void
unmap(void *p, uint32_t n)
{
	works(uswap_unmap(u, p, n * PAGE));
}

/* Pages [first, end) of a region. */
static inline void
write_pages(char *p, uint32_t first, uint32_t end, uint32_t version)
{
	for (uint32_t i = first; i < end; i++)
		pattern(p + i * PAGE, i, version);
}

static inline void
check_pages(const char *p, uint32_t first, uint32_t end, uint32_t version)
{
	for (uint32_t i = first; i < end; i++)
		if (!holds(p + i * PAGE, i, version))
			fail_msg("page %u is not of version %u", i, version);
}

/* The flags of one page. */
static inline unsigned
flags(void *p, uint32_t i)
{
	unsigned char vec = 0xff;

	works(uswap_residency(u, (char *)p + i * PAGE, PAGE, &vec));
	return vec;
}

/* A thread that has its page may run before the pager has noted it. */
static inline void
becomes(void *p, uint32_t i, unsigned want)
{
	for (int tries = 0; flags(p, i) != want; tries++) {
		if (tries == 1000)
			fail_msg(
			    "page %u is %#x, not %#x", i, flags(p, i), want);
		usleep(10000);
	}
}

/* Takes pages [first, end) out, and sees that they are. */
static inline void
page_out(char *p, uint32_t first, uint32_t end)
{
	works(uswap_pageout(u, p + first * PAGE, (end - first) * PAGE));
	for (uint32_t i = first; i < end; i++)
		if ((flags(p, i) & USWAP_RESIDENT) != 0)
			fail_msg("page %u of %u to %u is %#x", i, first, end,
			    flags(p, i));
}

/* ---- the program --------------------------------------------------------- */

/* main calls these around its tests, which run in every way. */
static const struct api_way {
	const char *name;
	unsigned flags;
} api_ways[] = {
    {"as the kernel has it", 0},
    {"without MOVE", USWAP_FORCE_COPY},
    {"inline", USWAP_FAULT_INLINE},
    {"inline, without MOVE", USWAP_FAULT_INLINE | USWAP_FORCE_COPY},
};

static inline void
api_begin(void)
{
	if (uswap_probe() != 0) {
		printf("skipped: %s\n", uswap_error());
		exit(77);
	}
	if (mkdtemp(dir) == NULL)
		exit(1);
}

/* The first so many have faults answered by the pager's threads. */
#define API_THREADS 2
#define API_WAYS    (sizeof(api_ways) / sizeof(api_ways[0]))

/* Runs a group of tests in the ways from..end; how many failed. */
#define api_run(tests) api_run_in(tests, 0, API_WAYS)
#define api_run_in(tests, from, end)                                           \
	({                                                                     \
		int api_failed = 0;                                            \
		for (size_t i = (from); i < (end); i++) {                      \
			api_flags = api_ways[i].flags;                         \
			api_failed += cmocka_run_group_tests_name(             \
			    api_ways[i].name, tests, NULL, NULL);              \
		}                                                              \
		api_failed;                                                    \
	})

static inline int
api_end(int failed)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return failed != 0 || system(command) != 0;
}

#endif
