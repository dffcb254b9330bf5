/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handler of SIGBUS runs in whatever state the program is in, but for one
 * thing: the thread has just touched memory that is managed, so it holds no lock of
 * ours (whoever does touches none) and may take them.
 *
 * It runs with all signals blocked, as the program's handlers could touch managed
 * memory, and with cancellation disabled, for waiting is a cancellation point.  It
 * runs on the stack where the thread is, and uses less than 16 KiB of it.
 *
 * Other SIGBUS are the program's: its action, which ours has taken the place of,
 * is kept here and carried out by hand.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/herefd.h"
#include "base/log.h"
#include "base/mem.h"
#include "lib/sigbus.h"

/* Contexts with inline delivery at once. */
#define CONTEXTS_MAX 8

/*
 * A signal comes without a context, so they are listed.  Who looks at one is
 * counted, and whoever takes it off the list, or has it stand still, waits for
 * zero.
 */
static struct listed {
	struct uswap *_Atomic u;
	_Atomic unsigned users;
	_Atomic pid_t only; /* while it forks: the thread that may; 0: all */
} listed[CONTEXTS_MAX];

/*
 * Wiped by a fork: locks of contexts may have been held by threads that are not in
 * the child, so nobody is asked there until sigbus_forked.
 */
static _Atomic bool *ours;

/* How long a thread waits before it looks again whether a fork is over. */
#define PAUSE_NS 500000

/* The program's action, under a lock that is held for a few loads and stores. */
static _Atomic bool action_lock;
static struct sigaction action;
static _Atomic bool installed;

/* A SIGBUS that nobody answered: where it was, in case it comes again. */
static _Thread_local struct {
	uintptr_t pc, va;
} stray;

/* ---- the program's action ------------------------------------------------ */

static void
action_begin(void)
{
	while (atomic_exchange(&action_lock, true))
		sched_yield();
}

static void
action_end(void)
{
	atomic_store(&action_lock, false);
}

/*
 * The kernel ends a program whose SIGBUS comes from an access even if it ignores
 * the signal.  With the default action the access does that now, once more.
 */
static void
by_default(bool sent)
{
	/* The kernel's structure, with SIG_DFL, no flags and no mask.  The C
	 * library's function may be the preloaded one, which asks us. */
	const uint64_t dfl[8] = {0};

	(void)syscall(SYS_rt_sigaction, SIGBUS, dfl, NULL, NSIG / 8);
	if (sent) /* it is blocked, and taken on return */
		(void)raise(SIGBUS);
}

static void
pass_on(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	sigset_t mask = uc->uc_sigmask;
	bool sent = info->si_code <= 0;
	struct sigaction a;

	action_begin();
	a = action;
	if (a.sa_flags & SA_RESETHAND)
		action = (struct sigaction){.sa_handler = SIG_DFL};
	action_end();
	if (a.sa_handler == SIG_IGN && sent)
		return;
	if (a.sa_handler == SIG_DFL || a.sa_handler == SIG_IGN) {
		by_default(sent);
		return;
	}
	/* SIGBUS itself stays open: the handler may touch managed memory. */
	for (int i = 1; i < NSIG; i++)
		if (i != SIGBUS && sigismember(&a.sa_mask, i) == 1)
			sigaddset(&mask, i);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (a.sa_flags & SA_SIGINFO)
		a.sa_sigaction(sig, info, context);
	else
		a.sa_handler(sig);
}

USWAP_API int
uswap_sigaction(const struct sigaction *act, struct sigaction *old)
{
	struct sigaction is, was;
	sigset_t all, mask;

	if (!atomic_load(&installed))
		return sigaction(SIGBUS, act, old) == 0 ? 0 : -errno;
	if (act != NULL)
		is = *act; /* may be managed memory, like old */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	action_begin();
	was = action;
	if (act != NULL)
		action = is;
	action_end();
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (old != NULL)
		*old = was;
	return 0;
}

/* ---- faults -------------------------------------------------------------- */

/*
 * What the processor says of the access.  Where that is not known, a write is
 * the safe guess: it costs a page where one of zeros would do.
 */
static struct pmap_fault
fault_of(uintptr_t va, const ucontext_t *uc, uintptr_t *ret_pc)
{
	struct pmap_fault f = {.va = trunc_page(va), .write = true};

#if defined(__x86_64__)
	greg_t error = uc->uc_mcontext.gregs[REG_ERR];

	f.write = (error & 2) != 0;
	f.protect = (error & 3) == 3;
	*ret_pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#else
	(void)uc;
	*ret_pc = 0;
#endif
	return f;
}

static enum answer
answer(struct uswap *u, const struct pmap_fault *f)
{
	return inline_fault(&u->inline_pool, f);
}

/*
 * A range that is just being taken over gives faults before anybody can answer
 * them; but the kernel knows of it, whichever context's it will be.
 */
static enum answer
wait_for(struct uswap *u, const struct pmap_fault *f)
{
	struct pmap *here;

	if (pmap_here(u->pmap, &here) != 0 ||
	    pmap_unprotect(here, f->va, 1) != 0)
		return STRAY;
	sched_yield();
	return LEFT;
}

static void
pause_for(long ns)
{
	const struct timespec t = {.tv_nsec = ns};

	(void)nanosleep(&t, NULL);
}

/* Whether this thread must keep away, for the program forks. */
static bool
stands_still(struct listed *l)
{
	pid_t only = atomic_load(&l->only);

	return only != 0 && only != (pid_t)syscall(SYS_gettid);
}

/*
 * Counted before it looks, so that whoever made it stand still, and saw zero, knows
 * that all who come see that.
 */
static enum answer
ask_one(struct listed *l,
    enum answer (*ask)(struct uswap *, const struct pmap_fault *),
    const struct pmap_fault *f)
{
	enum answer said = STRAY;
	struct uswap *u;
	bool still;

	atomic_fetch_add(&l->users, 1);
	u = atomic_load(&l->u);
	still = u != NULL && stands_still(l);
	if (u != NULL && !still && !atomic_load(&u->dead))
		said = ask(u, f);
	atomic_fetch_sub(&l->users, 1);
	if (!still)
		return said;
	pause_for(PAUSE_NS);
	return LEFT;
}

/* What the first one says that knows of the page. */
static enum answer
ask_each(enum answer (*ask)(struct uswap *, const struct pmap_fault *),
    const struct pmap_fault *f)
{
	enum answer said = STRAY;

	if (!atomic_load_explicit(ours, memory_order_relaxed))
		return STRAY;
	for (unsigned i = 0; i < CONTEXTS_MAX && said == STRAY; i++)
		if (atomic_load_explicit(&listed[i].u, memory_order_relaxed) !=
		    NULL)
			said = ask_one(&listed[i], ask, f);
	return said;
}

/*
 * A fault in a range that is not managed any more is answered by trying again:
 * what is there now will show.  If the same access fails again it was no fault, or
 * one without an answer.
 */
static bool
try_again(uintptr_t va, uintptr_t pc)
{
	bool again = stray.va == va && stray.pc == pc;

	stray.va = again ? 0 : va;
	stray.pc = again ? 0 : pc;
	return !again;
}

static bool
answer_any(const struct pmap_fault *f, uintptr_t va, uintptr_t pc)
{
	enum answer said = ask_each(answer, f);

	if (said == STRAY)
		said = ask_each(wait_for, f);
	/* A page that has just been poisoned shows it the next time. */
	return (said != STRAY && said != LOST) || try_again(va, pc);
}

static void
on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t va = (uintptr_t)info->si_addr, pc;
	int error = errno, cancel;
	bool answered = false;
	struct pmap_fault f;

	if (info->si_code == BUS_ADRERR) {
		f = fault_of(va, context, &pc);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
		herefd_sweep();
		answered = answer_any(&f, va, pc);
		pthread_setcancelstate(cancel, NULL);
	}
	errno = error;
	if (!answered)
		pass_on(sig, info, context);
}

static struct listed *
find(const struct uswap *u)
{
	unsigned i = 0;

	while (atomic_load(&listed[i].u) != u)
		i++;
	return &listed[i];
}

void
sigbus_touch(struct uswap *u, uintptr_t va, bool write)
{
	struct pmap_fault f = {.va = va, .write = write};
	sigset_t all, mask;
	int cancel;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	(void)ask_one(find(u), answer, &f);
	pthread_setcancelstate(cancel, NULL);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* ---- begin and end ------------------------------------------------------- */

/*
 * With the first context, and away with the last.  If somebody has put another in
 * front meanwhile it stays, for that one may pass on to it.
 */
static void
install(void)
{
	struct sigaction a = {
	    .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigfillset(&a.sa_mask);
	if (atomic_load(&installed))
		return;
	(void)sigaction(SIGBUS, NULL, &action);
	(void)sigaction(SIGBUS, &a, NULL);
	atomic_store(&installed, true);
}

static void
uninstall(void)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) != 0 || now.sa_sigaction != on_sigbus)
		return;
	atomic_store(&installed, false);
	(void)sigaction(SIGBUS, &action, NULL);
}

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;

static bool
make_ours(void)
{
	if (ours != NULL)
		return true;
	ours = mem_map(PAGE_SIZE);
	if (ours == NULL)
		return false;
	(void)syscall(SYS_madvise, ours, PAGE_SIZE, MADV_WIPEONFORK);
	return true;
}

static int
enlist(struct uswap *u)
{
	unsigned i = 0;
	int error = 0;

	pthread_mutex_lock(&list_lock);
	while (i < CONTEXTS_MAX && atomic_load(&listed[i].u) != NULL)
		i++;
	if (i == CONTEXTS_MAX)
		error = -EAGAIN;
	else if (!make_ours())
		error = -ENOMEM;
	if (error == 0) {
		atomic_store(ours, true);
		atomic_store(&listed[i].u, u);
		install();
	}
	pthread_mutex_unlock(&list_lock);
	return error;
}

static void
delist(struct uswap *u)
{
	unsigned left = 0;

	pthread_mutex_lock(&list_lock);
	for (unsigned i = 0; i < CONTEXTS_MAX; i++) {
		if (atomic_load(&listed[i].u) == u) {
			atomic_store(&listed[i].u, NULL);
			while (atomic_load(&listed[i].users) > 0)
				sched_yield();
		}
		left += atomic_load(&listed[i].u) != NULL;
	}
	if (left == 0)
		uninstall();
	pthread_mutex_unlock(&list_lock);
}

int
sigbus_begin(struct uswap *u, char *err, size_t errlen)
{
	struct pmap *here;
	int error = pmap_here(u->pmap, &here);

	if (error != 0) {
		strf(err, errlen, "%s", PMAP_NO_HERE);
		return error;
	}
	error = inline_init(&u->inline_pool, &u->pager, here, &u->handler[0]);
	if (error == 0) {
		error = enlist(u);
		if (error == 0)
			return 0;
		inline_destroy(&u->inline_pool);
	}
	strf(err, errlen, "%s",
	    error == -EAGAIN
		? "too many pagers with inline delivery in one process"
		: "no memory for a pager");
	pmap_close_here(u->pmap);
	return error;
}

void
sigbus_end(struct uswap *u)
{
	delist(u);
	inline_destroy(&u->inline_pool);
	pmap_close_here(u->pmap);
}

/* ---- while the program forks --------------------------------------------- */

/*
 * Who waits for memory, or for somebody else's page, is sent back to its access: what
 * it waits for may not come before the fork is over.
 */
void
sigbus_still(struct uswap *u, pid_t tid)
{
	struct listed *l = find(u);

	atomic_store(&l->only, tid);
	while (atomic_load(&l->users) > 0) {
		mtx_lock(&u->pager.lock);
		pager_wake(&u->pager);
		mtx_unlock(&u->pager.lock);
		pause_for(PAUSE_NS / 10);
	}
}

void
sigbus_go_on(struct uswap *u)
{
	atomic_store(&find(u)->only, 0);
}

/*
 * Other threads may have held what is here, and are not in the child, like all other
 * contexts.  The duplicate of the userfaultfd is the parent's: by it the child would
 * change its parent's memory.
 */
void
sigbus_forked(struct uswap *u)
{
	atomic_store(&action_lock, false);
	list_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	for (unsigned i = 0; i < CONTEXTS_MAX; i++) {
		atomic_store(&listed[i].users, 0);
		atomic_store(&listed[i].only, 0);
		if (atomic_load(&listed[i].u) != u)
			atomic_store(&listed[i].u, NULL);
	}
	pmap_close_here(u->pmap);
	inline_forked(&u->inline_pool);
	atomic_store(ours, true);
}

int
sigbus_begin_again(struct uswap *u, char *err, size_t errlen)
{
	struct pmap *here;
	int error = pmap_here(u->pmap, &here);

	if (error != 0)
		strf(err, errlen,
		    "faults cannot be answered inline: %s; raise ulimit -n",
		    strerrordesc_np(-error));
	return error;
}
