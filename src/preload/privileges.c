/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privileges: chroot and setuid, after which a pager could not be started.
 *
 * The pager opens userfaultfd and swap space when the program passes its budget;
 * a daemon has given up by then what that takes: it is another user's, and in an
 * empty root.  So it is started before.  That a process of root's that never
 * grows pays for a pager is the lesser evil: it would end in the middle.
 */
#include <dlfcn.h>
#include <unistd.h>

#include "preload/preload.h"
#include "preload/raw.h"

static void
last_chance(void)
{
	struct guard g;

	preload_lock(&g);
	if (geteuid() == 0)
		preload_start_now();
	preload_unlock(&g);
}

/* The C library's function of the same name. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

HOOK int
chroot(const char *path)
{
	last_chance();
	return NEXT(chroot)(path);
}

HOOK int
setuid(uid_t uid)
{
	last_chance();
	return NEXT(setuid)(uid);
}

HOOK int
setreuid(uid_t real, uid_t effective)
{
	last_chance();
	return NEXT(setreuid)(real, effective);
}

HOOK int
setresuid(uid_t real, uid_t effective, uid_t saved)
{
	last_chance();
	return NEXT(setresuid)(real, effective, saved);
}
