/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libs: finds the two libraries that are preloaded.
 *
 * libuswap-preload.so lies beside the command (a build directory), or where it
 * was installed, or in the usual place relative to the command (an unpacked
 * archive).  jemalloc is the system's: it asks for its memory through mmap(),
 * which the C library's own allocator does in a way nobody can see.
 */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

#ifndef USWAP_PRELOAD_DIR
#define USWAP_PRELOAD_DIR "/usr/local/lib/uswap"
#endif

#define PRELOAD  "libuswap-preload.so"
#define JEMALLOC "libjemalloc.so.2"

/* The first readable file that matches the pattern; NULL when there is none. */
static char *
first_match(const char *pattern)
{
	char *found = NULL;
	size_t i;
	glob_t g;

	if (glob(pattern, 0, NULL, &g) != 0)
		return NULL;
	for (i = 0; i < g.gl_pathc && found == NULL; i++)
		if (access(g.gl_pathv[i], R_OK) == 0)
			found = realpath(g.gl_pathv[i], NULL);
	globfree(&g);
	return found;
}

static const char *
find_preload(void)
{
	static const char *const places[] = {
	    "", "../lib/uswap/", "../lib64/uswap/", "../lib/*/uswap/"};
	char dir[PATH_MAX] = "", path[PATH_MAX + 64], *found;
	size_t i, n = sizeof(places) / sizeof(places[0]);

	if (readlink("/proc/self/exe", dir, sizeof(dir) - 1) > 0 &&
	    strrchr(dir, '/') != NULL)
		strrchr(dir, '/')[1] = '\0';
	else
		n = 0; /* no /proc: not from the current directory */
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s%s" PRELOAD, dir, places[i]);
		found = first_match(path);
		if (found != NULL)
			return found;
	}
	found = first_match(USWAP_PRELOAD_DIR "/" PRELOAD);
	if (found == NULL)
		fail(EXIT_USWAP,
		    "cannot find " PRELOAD
		    " beside the command in %s or in " USWAP_PRELOAD_DIR
		    "; install uswap again",
		    dir);
	return found;
}

/* This machine's own directory first: others may be another architecture's. */
static const char *
find_jemalloc(void)
{
	static const char *const places[] = {
#ifdef __x86_64__
	    "/usr/lib/x86_64-linux-gnu/",
#elif defined(__aarch64__)
	    "/usr/lib/aarch64-linux-gnu/",
#endif
	    "/usr/lib64/", "/usr/lib/*-linux-gnu/", "/usr/lib/",
	    "/usr/local/lib64/", "/usr/local/lib/"};
	char path[128], *found;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s" JEMALLOC, places[i]);
		found = first_match(path);
		if (found != NULL)
			return found;
	}
	fail(EXIT_USWAP,
	    "cannot find " JEMALLOC ", the allocator that programs run with; "
	    "install it: apt-get install libjemalloc2");
}

/* ld.so knows no way to quote what separates its list. */
static void
check_name(const char *path)
{
	if (strpbrk(path, ": \t\n") != NULL)
		fail(EXIT_USWAP,
		    "%s cannot be preloaded: its path contains a space or a "
		    "colon; install uswap elsewhere",
		    path);
}

static bool
is_ours(const char *item, size_t len, const char *jemalloc)
{
	static const char tail[] = "/" PRELOAD;
	size_t n = sizeof(tail) - 1;

	if (len >= n && strncmp(item + len - n, tail, n) == 0)
		return true;
	return len == strlen(jemalloc) && strncmp(item, jemalloc, len) == 0;
}

/*
 * Ours first, so that the hooks precede the allocator; then what was there, but
 * not ours a second time (uswap run inside uswap run).
 */
const char *
preload_list(void)
{
	const char *preload = find_preload(), *jemalloc = find_jemalloc();
	const char *old = getenv("LD_PRELOAD");
	char *list;
	size_t len;

	check_name(preload);
	check_name(jemalloc);
	if (old == NULL)
		old = "";
	list = malloc(strlen(preload) + strlen(jemalloc) + strlen(old) + 3);
	if (list == NULL)
		fail(EXIT_USWAP, "out of memory");
	len = (size_t)sprintf(list, "%s:%s", preload, jemalloc);
	while (*(old += strspn(old, ": \t\n")) != '\0') {
		size_t n = strcspn(old, ": \t\n");

		if (!is_ours(old, n, jemalloc))
			len +=
			    (size_t)sprintf(list + len, ":%.*s", (int)n, old);
		old += n;
	}
	return list;
}
