/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libs: finds the library that is preloaded.
 *
 * libuswap-preload.so lies beside the command (a build directory), or where it
 * was installed, or in the usual place relative to the command (an unpacked
 * archive).
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

#define PRELOAD "libuswap-preload.so"

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

static bool
is_ours(const char *item, size_t len)
{
	static const char tail[] = "/" PRELOAD;
	size_t n = sizeof(tail) - 1;

	return len >= n && strncmp(item + len - n, tail, n) == 0;
}

/*
 * Ours first, so that the hooks precede all others; then what was there, but not
 * ours a second time (uswap run inside uswap run).
 */
const char *
preload_list(void)
{
	const char *preload = find_preload(), *old = getenv("LD_PRELOAD");
	char *list;
	size_t len;

	check_name(preload);
	if (old == NULL)
		old = "";
	list = malloc(strlen(preload) + strlen(old) + 2);
	if (list == NULL)
		fail(EXIT_USWAP, "out of memory");
	len = (size_t)sprintf(list, "%s", preload);
	while (*(old += strspn(old, ": \t\n")) != '\0') {
		size_t n = strcspn(old, ": \t\n");

		if (!is_ours(old, n))
			len +=
			    (size_t)sprintf(list + len, ":%.*s", (int)n, old);
		old += n;
	}
	return list;
}
