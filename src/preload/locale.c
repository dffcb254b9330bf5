/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * locale: the memory of the program's that each new thread looks at.
 *
 * A thread begins with the locale of the process, and looks into its data for three
 * tables (__ctype_init).  setlocale(3) has them on the heap, so they can be swapped
 * out.  The C library does it with all signals blocked, when a fault that is a SIGBUS
 * ends the process: with --inline the data stays in memory.  And the child's pager
 * has to make its first thread before it can answer a fault: before a fork it is
 * brought in.
 */
#include <dlfcn.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>

#include "preload/bring.h"
#include "preload/preload.h"

/* The GNU C library's description of the data of one category begins so. */
#define DATA_BYTES 256

static char *(*next_setlocale)(int, const char *);

void
locale_touch(void)
{
	locale_t own = uselocale(LC_GLOBAL_LOCALE);

	(void)nl_langinfo(_NL_CTYPE_CLASS);
	(void)nl_langinfo(_NL_CTYPE_TOUPPER);
	(void)nl_langinfo(_NL_CTYPE_TOLOWER);
	(void)uselocale(own);
}

static void
keep_tables(void)
{
	int error = errno;
	locale_t all = duplocale(LC_GLOBAL_LOCALE);

	if (all != NULL) {
		(void)uswap_preload_keep(all->__locales[LC_CTYPE], DATA_BYTES);
		freelocale(all);
	}
	errno = error;
}

HOOK char *
setlocale(int category, const char *name)
{
	char *now;

	if (next_setlocale == NULL)
		next_setlocale =
		    (char *(*)(int, const char *))dlsym(RTLD_NEXT, "setlocale");
	now = next_setlocale(category, name);
	if (now != NULL && name != NULL && preload.inline_faults)
		keep_tables();
	return now;
}
