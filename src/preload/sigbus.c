/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sigbus: what a program run with --inline may not do to SIGBUS.
 *
 * Faults are SIGBUS then (see uswap.h).  So the program's action for it is kept by
 * the library and not by the kernel, and no thread can block it: it is taken out of
 * every mask that is set, also of those for the time of a handler, from the
 * program's start on.  The program reads its masks back without it.
 *
 * Without --inline everything is passed through.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "preload/preload.h"

typedef int sigaction_fn(int, const struct sigaction *, struct sigaction *);
typedef int mask_fn(int, const sigset_t *, sigset_t *);

static sigaction_fn *next_sigaction;
static sighandler_t (*next_signal)(int, sighandler_t);
static mask_fn *next_sigprocmask, *next_pthread_sigmask;

void
sigbus_init(void)
{
	sigset_t bus;

	next_sigaction = (sigaction_fn *)dlsym(RTLD_NEXT, "sigaction");
	next_signal =
	    (sighandler_t(*)(int, sighandler_t))dlsym(RTLD_NEXT, "signal");
	next_sigprocmask = (mask_fn *)dlsym(RTLD_NEXT, "sigprocmask");
	next_pthread_sigmask = (mask_fn *)dlsym(RTLD_NEXT, "pthread_sigmask");
	if (!preload.inline_faults)
		return;
	/* As somebody else may have started the program. */
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	next_sigprocmask(SIG_UNBLOCK, &bus, NULL);
}

/* The set without SIGBUS, in *copy, if it would be blocked. */
static const sigset_t *
strip(int how, const sigset_t *set, sigset_t *copy)
{
	if (set == NULL)
		return NULL;
	*copy = *set;
	if (how != SIG_UNBLOCK)
		sigdelset(copy, SIGBUS);
	return copy;
}

/*
 * Both sets are our own for the kernel: one that is out would make it fail after it has
 * changed the mask.
 */
static int
mask(mask_fn *next, int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy, was;
	int ret;

	if (!preload.inline_faults)
		return next(how, set, old);
	ret = next(how, strip(how, set, &copy), &was);
	if (ret == 0 && old != NULL) /* the rest is none of the kernel's */
		memcpy(old, &was, NSIG / 8);
	return ret;
}

/*
 * Whose the action is changes while the pager is started, under the lock: the
 * library installs its own by this function then.  A child that is OFF has none of
 * its own any more to protect.
 */
static int
sigbus_action(const struct sigaction *act, struct sigaction *old)
{
	struct guard g;
	int error = 0;
	bool ours;

	preload_lock(&g);
	ours = preload.state == ACTIVE;
	if (!ours && next_sigaction(SIGBUS, act, old) != 0)
		error = -errno;
	preload_unlock(&g);
	return ours ? uswap_sigaction(act, old) : error;
}

HOOK int
sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction a;
	int error;

	if (next_sigaction == NULL)
		sigbus_init();
	if (!preload.inline_faults || preload_holds_lock)
		return next_sigaction(sig, act, old);
	if (act != NULL) {
		a = *act;
		sigdelset(&a.sa_mask, SIGBUS);
		act = &a;
	}
	if (sig != SIGBUS)
		return next_sigaction(sig, act, old);
	error = sigbus_action(act, old);
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

HOOK sighandler_t
signal(int sig, sighandler_t handler)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct sigaction old;

	if (next_signal == NULL)
		sigbus_init();
	if (!preload.inline_faults || sig != SIGBUS || handler == SIG_ERR)
		return next_signal(sig, handler);
	sigemptyset(&a.sa_mask);
	return sigaction(sig, &a, &old) == 0 ? old.sa_handler : SIG_ERR;
}

HOOK int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (next_sigprocmask == NULL)
		sigbus_init();
	return mask(next_sigprocmask, how, set, old);
}

HOOK int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (next_pthread_sigmask == NULL)
		sigbus_init();
	return mask(next_pthread_sigmask, how, set, old);
}
