/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * starts: the memory of the program's that is looked at when a thread starts.
 *
 * The one that makes it goes through the loaded libraries, for the variables of each
 * thread's that they have.  Of those loaded by dlopen(3) the linker's record (link_map)
 * is on the heap, so it can be swapped out.
 *
 * The new one begins with the locale of the process, and looks into its data for three
 * tables (__ctype_init).  setlocale(3) has them on the heap.  The C library does it
 * with all signals blocked, when a fault that is a SIGBUS ends the process: with
 * --inline the data stays in memory.
 *
 * A child's pager has to make its first thread before it can answer a fault: before a
 * fork all this is brought in.
 */
#include <dlfcn.h>
#include <errno.h>
#include <langinfo.h>
#include <link.h>
#include <locale.h>
#include <stdatomic.h>

#include "preload/bring.h"
#include "preload/preload.h"

/* The GNU C library's description of the data of one category begins so. */
#define DATA_BYTES 256
/* Not less than its record of a library has (1 176 bytes in version 2.36). */
#define RECORD_BYTES 1536
/* More libraries than a process has. */
#define RECORDS_MAX 4096

/*
 * The linker's list, as it was when a thread last noted it before a fork.  Should one
 * note it while another touches what is in it, and libraries be unloaded as well,
 * there may be one that is not touched: then a child may have to end.
 */
static _Atomic uintptr_t records[RECORDS_MAX];
static _Atomic unsigned nrecords;

/* ---- the libraries ------------------------------------------------------- */

/* Called once, with the linker's lock held: its list does not change meanwhile. */
static int
note_all(struct dl_phdr_info *info, size_t len, void *arg)
{
	unsigned n = 0;

	(void)info;
	(void)len;
	(void)arg;
	for (const struct link_map *l = _r_debug.r_map;
	     l != NULL && n < RECORDS_MAX; l = l->l_next)
		atomic_store(&records[n++], (uintptr_t)l);
	atomic_store(&nrecords, n);
	return 1;
}

void
starts_note(void)
{
	(void)dl_iterate_phdr(note_all, NULL);
}

/* One that was unloaded since it was noted may not be there. */
static bool
is_there(uintptr_t a)
{
	const struct range *r = ranges_at(&preload.ranges, a);

	return r != NULL && r->start <= a && (r->flags & RANGE_WRITE) != 0;
}

static void
touch_records(void)
{
	unsigned n = atomic_load(&nrecords);

	for (unsigned i = 0; i < n; i++) {
		uintptr_t at = atomic_load(&records[i]), a = at & ~(PAGE - 1);

		for (; a < at + RECORD_BYTES; a += PAGE)
			if (is_there(a))
				(void)*(volatile char *)a;
	}
}

/* ---- the locale ---------------------------------------------------------- */

static char *(*next_setlocale)(int, const char *);

static void
touch_locale(void)
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

/* ---- both ---------------------------------------------------------------- */

void
starts_touch(void)
{
	touch_records();
	touch_locale();
}
