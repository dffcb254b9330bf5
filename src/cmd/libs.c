/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libs: finds the libraries that are preloaded.
 *
 * libuswap-preload.so lies beside the command (a build directory), or where it
 * was installed, or in the usual place relative to the command (an unpacked
 * archive); libuswap-syscalls.so, which --inline takes, too, beside it.
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
#define SYSCALLS "libuswap-syscalls.so"

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

static const char *
find_syscalls(const char *preload)
{
	int dir = (int)(strrchr(preload, '/') - preload);
	char *path;

	if (asprintf(&path, "%.*s/" SYSCALLS, dir, preload) < 0)
		fail(EXIT_USWAP, "out of memory");
	if (access(path, R_OK) != 0)
		fail(EXIT_USWAP,
		    "cannot read %s, which --inline takes; install uswap again",
		    path);
	return path;
}

static bool
ends(const char *item, size_t len, const char *tail)
{
	size_t n = strlen(tail);

	return len >= n && strncmp(item + len - n, tail, n) == 0;
}

static bool
is_ours(const char *item, size_t len)
{
	return ends(item, len, "/" PRELOAD) || ends(item, len, "/" SYSCALLS);
}

/*
 * Ours first, so that the hooks precede all others; then what was there, but not
 * ours a second time (uswap run inside uswap run).
 */
const char *
preload_list(bool inline_faults)
{
	const char *preload = find_preload(), *old = getenv("LD_PRELOAD");
	const char *first = inline_faults ? find_syscalls(preload) : "";
	char *list;
	size_t len;

	check_name(preload);
	if (old == NULL)
		old = "";
	list = malloc(strlen(first) + strlen(preload) + strlen(old) + 3);
	if (list == NULL)
		fail(EXIT_USWAP, "out of memory");
	len = (size_t)sprintf(
	    list, "%s%s%s", first, *first != '\0' ? ":" : "", preload);
	while (*(old += strspn(old, ": \t\n")) != '\0') {
		size_t n = strcspn(old, ": \t\n");

		if (!is_ours(old, n))
			len +=
			    (size_t)sprintf(list + len, ":%.*s", (int)n, old);
		old += n;
	}
	return list;
}
