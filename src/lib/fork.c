/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork: the child gets a pager of its own, on copies of all that its parent's
 * knows, at the same addresses.
 *
 *	parent, forking thread		parent, clerk		child
 *	uswap_fork_begin		all stands still,
 *					a hold on all blocks
 *	fork				          		(a copy)
 *	uswap_fork_end			the child's share	uswap_fork_end:
 *					faults go on		locks, a clerk;
 *					descriptors ──────────▶	which fetches them,
 *					page-out goes on	manages all ranges,
 *								makes the threads
 *
 * The mailbox stays with the forking thread from begin to end, so that no call is
 * executed meanwhile, and all its signals stay blocked, but SIGBUS if that is how it
 * faults.
 *
 * What is swapped out has no page in the child either, and no userfaultfd sees to it
 * before the child's clerk does.  Until then, in the time of a few instructions of
 * the C library's, somebody may have touched such a page, and been given zeros by
 * the kernel.  Each page that is in the child and should not be is found: then the
 * child ends, for its bytes are wrong.
 *
 * Managed memory and frames are marked MADV_DONTFORK but at that moment: a child
 * made by the bare system call, which nobody prepares for, has none of them.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/policy.h"
#include "lib/ctl.h"
#include "lib/ctx.h"
#include "lib/sigbus.h"

/* Pages looked at together. */
#define LOOK_MAX 1024

/* ---- what a child gets --------------------------------------------------- */

static void
advise(uintptr_t va, size_t len, int advice)
{
	(void)syscall(SYS_madvise, va, len, advice);
}

/*
 * What a child gets from now on, or does not get.  Without the lock: nothing changes
 * just now.
 */
static void
let_through(struct uswap *u, bool yes)
{
	const struct map *m = &u->pager.map;
	int advice = yes ? MADV_DOFORK : MADV_DONTFORK;
	struct swdev_info info;

	for (unsigned i = 0; i < u->pager.space.ndev; i++) {
		swspace_info(&u->pager.space, i, &info);
		blkdev_share(info.dev, yes);
		u->crypt |= blkdev_encrypted(info.dev);
	}
	for (uint32_t i = 0; i < m->n && u->left; i++)
		advise(m->e[i].start, m->e[i].end - m->e[i].start, advice);
	advise((uintptr_t)u->pmap->frames, ptoa((size_t)u->pmap->n_frames),
	    advice);
}

/* ---- the parent ---------------------------------------------------------- */

static int
do_fork_check(struct uswap *u, struct call *c)
{
	char err[256];
	int error = kin_check(u, err, sizeof(err));

	if (error != 0)
		strf(c->text, sizeof(c->text), "fork is not possible: %s", err);
	return error;
}

/* arg[0]: the forking thread. */
static int
do_fork_begin(struct uswap *u, struct call *c)
{
	int error = do_fork_check(u, c);
	char err[256];

	if (error != 0)
		return error;
	still_begin(u, (pid_t)c->arg[0]);
	error = do_fork_check(u, c); /* pages may have left meanwhile */
	if (error == 0) {
		error = kin_prepare(u, err, sizeof(err));
		if (error != 0)
			strf(c->text, sizeof(c->text), "%s", err);
	}
	if (error == 0) {
		let_through(u, true);
	} else {
		still_faults_go_on(u);
		still_end(u);
	}
	return error;
}

static int
do_fork_end(struct uswap *u, struct call *c)
{
	(void)c;
	let_through(u, false);
	kin_add(u);
	still_faults_go_on(u);
	kin_hand_over(u);
	kin_reap(u);
	still_end(u);
	return 0;
}

USWAP_API int
uswap_fork_check(uswap_t *u)
{
	struct call c = {.fn = do_fork_check};

	return ctx_call(u, &c);
}

USWAP_API int
uswap_fork_begin(uswap_t *u)
{
	struct call c = {
	    .fn = do_fork_begin, .arg = {(uintptr_t)syscall(SYS_gettid)}};
	sigset_t all, old;

	if (atomic_load(&u->dead))
		return 0;
	sigfillset(&all);
	if (ctx_inline(u)) /* this thread may still fault */
		sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	mtx_lock(&u->fork_lock);
	mailbox_take(u);
	mailbox_use(u, &c);
	if (c.ret == 0) {
		u->fork_signals = old;
		return 0;
	}
	mailbox_leave(u);
	mtx_unlock(&u->fork_lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ctx_error(c.ret, "%s", c.text);
}

/* ---- the child: its first thread ----------------------------------------- */

/*
 * What belonged to threads that are not here.  Their locks may have been held:
 * they are made anew.  No memory of the program's is touched.
 */
static void
forget_threads(struct uswap *u)
{
	for (unsigned i = 0; i < u->nhandlers; i++)
		handler_forget(&u->handler[i]);
	pageout_forget(&u->pageout);
	if (u->off.running)
		swapoff_forget(&u->off.swapoff);
	u->off = (struct off){0};
	if (u->ctl != NULL)
		mem_unmap(u->ctl, sizeof(*u->ctl));
	u->ctl = NULL;
	u->started = u->failure = u->created = u->ended = u->parked = 0;
	u->release = false;
	atomic_store(&u->job, NULL);
	atomic_store(&u->still, STILL_NONE);
}

/* Nothing may be read that is not right: what was managed is not there. */
static void
unmap_all(struct uswap *u)
{
	const struct map *m = &u->pager.map;

	for (uint32_t i = 0; i < m->n; i++)
		(void)syscall(
		    SYS_munmap, m->e[i].start, m->e[i].end - m->e[i].start);
}

static int
begin_child(struct uswap *u)
{
	struct pager_params p;
	char err[512];
	int error;

	forget_threads(u);
	if (ctx_inline(u))
		sigbus_forked(u);
	kin_forked(u);
	policy_divide((uint32_t)u->ram_pages, &p);
	error = pager_forked(&u->pager, &p);
	if (error != 0)
		strf(err, sizeof(err), "no memory for the child's buffers");
	else
		error = ctx_start(u, err, sizeof(err));
	if (error == 0 && ctx_inline(u)) {
		error = sigbus_begin_again(u, err, sizeof(err));
		if (error != 0) /* its threads find nothing to do */
			ctl_stop(u);
	}
	if (error == 0)
		return 0;
	unmap_all(u);
	atomic_store(&u->dead, true);
	return ctx_error(error, "the child cannot have a pager: %s", err);
}

USWAP_API int
uswap_fork_end(uswap_t *u, int in_child)
{
	struct call c = {.fn = do_fork_end};
	sigset_t old;
	int error = 0;

	if (atomic_load(&u->dead))
		return 0;
	old = u->fork_signals;
	if (in_child) {
		error = begin_child(u);
	} else {
		mailbox_use(u, &c);
		mailbox_leave(u);
	}
	mtx_unlock(&u->fork_lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error;
}

/* ---- the child: its clerk ------------------------------------------------ */

/*
 * A page that is in the program.  What had no contents may have been touched since
 * the fork, and has some now; own: it is not the shared page of zeros.
 */
static int
note_present(struct pager *pg, struct object *o, pindex_t i, bool own)
{
	uint32_t slot = object_slot(&pg->objects, o, i);
	struct page *p;

	if (slot_is_page(slot))
		return page_of(&pg->pages, slot)->state == PS_ACTIVE ? 0
								     : -EILSEQ;
	if ((slot == SLOT_ZERO && !own) || slot == SLOT_RESERVED)
		return 0;
	if (slot == SLOT_LOST || swblk_valid(swmap_get(&o->swmap, i)))
		return -EILSEQ;
	p = pager_page_adopt(pg, o, i);
	if (p == NULL)
		return -ENOMEM;
	pager_unbusy(pg, p);
	page_enqueue(&pg->pages, p, PQ_ACTIVE);
	return 0;
}

static int
look_at(struct uswap *u, struct object *o, pindex_t i, uint32_t n)
{
	uint8_t present[LOOK_MAX], own[LOOK_MAX] = {0};
	int error;

	error = pmap_resident(u->pmap, object_va(o, i), n, present);
	if (error == -ENOENT)
		return 0; /* unmapped behind our back */
	if (u->pmap->shares)
		pmap_own(u->pmap, object_va(o, i), n, own);
	mtx_lock(&u->pager.lock);
	for (uint32_t k = 0; k < n && error == 0; k++)
		if (present[k])
			error = note_present(&u->pager, o, i + k, own[k] != 0);
	mtx_unlock(&u->pager.lock);
	return error;
}

/* Is all that is there what should be there? */
static int
look_over(struct uswap *u, const struct map_entry *e)
{
	struct object *o = e->object;
	uint64_t i = atop(e->start - o->base), end = atop(e->end - o->base);
	int error = 0;

	while (error == 0 && i < end) {
		uint32_t n;

		i += pmap_absent(u->pmap, object_va(o, (pindex_t)i), end - i);
		n = (uint32_t)US_MIN(end - i, LOOK_MAX);
		if (n > 0)
			error = look_at(u, o, (pindex_t)i, n);
		i += n;
	}
	return error;
}

/*
 * Managed first, so that nothing more can be touched unseen.  The protection of
 * the shared pages of zeros is not inherited.
 */
static int
manage_again(struct uswap *u, char *err, size_t errlen)
{
	struct map *m = &u->pager.map;
	int error = 0;

	for (uint32_t i = 0; i < m->n && error == 0; i++) {
		error = pmap_manage(
		    u->pmap, m->e[i].start, atop(m->e[i].end - m->e[i].start));
		if (error == -ENOENT)
			error = 0;
	}
	for (uint32_t i = 0; i < m->n && error == 0; i++)
		error = look_over(u, &m->e[i]);
	mtx_lock(&u->pager.lock);
	for (uint32_t i = 0; i < m->n && error == 0; i++)
		regions_protect_zeros(&u->pager, m->e[i].object,
		    (pindex_t)atop(m->e[i].start - m->e[i].object->base),
		    (pindex_t)atop(m->e[i].end - m->e[i].object->base));
	mtx_unlock(&u->pager.lock);
	if (error == -EILSEQ)
		strf(err, errlen,
		    "memory that is swapped out was touched during the fork");
	else if (error != 0)
		strf(err, errlen, "its memory cannot be managed: %s",
		    strerrordesc_np(-error));
	return error;
}

int
fork_rebuild(struct uswap *u, char *err, size_t errlen)
{
	int error = kin_fetch(u, err, errlen);

	if (error == 0)
		error = pmap_reopen_uffd(u->pmap, err, errlen);
	if (error == 0)
		error = manage_again(u, err, errlen);
	if (error == 0)
		let_through(u, false);
	return error;
}

/* ---- the child: space of its own ----------------------------------------- */

/*
 * Before the first page leaves: an unnamed file where the parent's swap files are,
 * of the size that suits the budget before all forks, for so much there may be to
 * write.  Without one, pages stay, as ever when space is full.
 */
void
fork_own_space(struct uswap *u)
{
	struct call c;

	strf(c.text, sizeof(c.text), "tmp%s%s%s", u->crypt ? ",crypt" : "",
	    u->swap_dir[0] != '\0' ? ",dir=" : "", u->swap_dir);
	if (space_swapon(u, &c, u->first_ram_pages) != 0)
		log_msg(LOG_ERROR,
		    "a forked child has no swap space of its own: %s", c.text);
}
