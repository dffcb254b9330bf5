/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pager's threads, and whoever holds the preload library's lock, make system
 * calls, too, which find the hooks of libuswap-syscalls.so: for them nothing is
 * managed.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <string.h>
#include <unistd.h>

#include "preload/bring.h"
#include "preload/preload.h"

/* The pager's threads are known by their names: see alloc.c. */
static bool
concerned(void)
{
	static _Thread_local enum { UNKNOWN, PROGRAMS, PAGERS } whose;
	char name[16] = "";

	if (preload.state != ACTIVE || preload_holds_lock)
		return false;
	if (whose == UNKNOWN) {
		syscall(SYS_prctl, PR_GET_NAME, name);
		whose = strncmp(name, "uswap", 5) == 0 ? PAGERS : PROGRAMS;
	}
	return whose == PROGRAMS;
}

/* The first managed part of [*a, end) that may be used so. */
static bool
next_part(uintptr_t *a, uintptr_t end, unsigned use, uintptr_t *ret_end)
{
	const struct range *e;
	struct guard g;
	bool found = false;

	preload_lock(&g);
	while (preload.state == ACTIVE && !found && *a < end &&
	       (e = ranges_at(&preload.ranges, *a)) != NULL && e->start < end) {
		if (e->start > *a)
			*a = e->start;
		*ret_end = e->end < end ? e->end : end;
		found = (e->flags & use) != 0;
		if (!found)
			*a = *ret_end;
	}
	preload_unlock(&g);
	return found;
}

/* A write that changes nothing, whoever else writes: it puts back what it found. */
static void
touch(unsigned char *p, bool write)
{
	unsigned char c = __atomic_load_n(p, __ATOMIC_RELAXED);

	if (write)
		(void)__atomic_compare_exchange_n(
		    p, &c, c, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

HOOK int
uswap_preload_bring(const void *p, size_t len, int write)
{
	uintptr_t a = (uintptr_t)p, end = a + len, stop;
	int some = 0;

	if (p == NULL || end < a || !concerned())
		return 0;
	for (; next_part(&a, end, write ? RANGE_WRITE : RANGE_PROT, &stop);
	     a = stop)
		for (some = 1; a < stop; a = (a & ~(PAGE - 1)) + PAGE)
			touch((unsigned char *)a, write != 0);
	return some;
}

HOOK int
uswap_preload_holds(const void *p, size_t len)
{
	uintptr_t a = (uintptr_t)p, end = a + len;
	struct guard g;
	int yes;

	if (end < a || !concerned())
		return 0;
	preload_lock(&g);
	yes = preload.state == ACTIVE && ranges_any(&preload.ranges, a, end);
	preload_unlock(&g);
	return yes;
}

HOOK int
uswap_preload_missing(const void *p, size_t len)
{
	unsigned char there[((size_t)1 << 20) / PAGE + 1];
	uintptr_t a = (uintptr_t)p & ~(PAGE - 1);
	size_t n = ((uintptr_t)p + len - a + PAGE - 1) / PAGE;

	if (n > sizeof(there) ||
	    !uswap_preload_holds((const void *)a, n * PAGE) ||
	    syscall(SYS_mincore, a, n * PAGE, there) != 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if ((there[i] & 1) == 0)
			return 1;
	return 0;
}
