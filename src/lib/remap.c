/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remap: mremap of managed memory, or onto it.  On the clerk, like regions.c.
 *
 * What can be refused is refused before anything is changed.  After that the
 * pages on both sides are settled, and then the lock is held without a break:
 * the kernel moves its pages, and if it did, our record follows it.  So a call
 * that the kernel refuses has changed nothing, and no fault is answered in the
 * middle.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/ctx.h"
#include "lib/vma.h"

/* Not the C library's: that may be the preloaded one, which asks us. */
static void *
raw_mremap(uintptr_t old, size_t olen, size_t nlen, int flags, uintptr_t new)
{
	return (void *)syscall(SYS_mremap, old, olen, nlen, flags, new);
}

/* ---- what is where ------------------------------------------------------- */

enum cover { NOTHING, A_PART, ALL };

/* How much of the range is managed, by however many regions. */
static enum cover
cover(struct pager *pg, uintptr_t start, uintptr_t end)
{
	const struct map_entry *e = map_first(&pg->map, start);

	if (e == NULL || e->start >= end)
		return NOTHING;
	while (e != NULL && e->start <= start && e->end < end) {
		start = e->end;
		e = map_first(&pg->map, start);
	}
	return e != NULL && e->start <= start ? ALL : A_PART;
}

/* ---- in its place -------------------------------------------------------- */

/*
 * Grows the region that the range ends with, where it is.  The new pages are
 * registered with the old.
 */
static int
grow_in_place(struct uswap *u, struct call *c, size_t nlen)
{
	struct pager *pg = &u->pager;
	struct map_entry *e = map_lookup(&pg->map, c->addr + c->len - 1);
	struct object *o = e->object;
	uintptr_t end = c->addr + nlen;
	int error = 0;

	if (e->end != c->addr + c->len)
		return -ENOMEM;
	if (atop(end - o->base) > o->npages)
		error = object_grow(o, (pindex_t)atop(end - o->base));
	if (error != 0)
		return error;
	if (raw_mremap(c->addr, c->len, nlen, 0, 0) == MAP_FAILED)
		return -errno;
	return map_extend(&pg->map, e, end);
}

/* ---- to another place ---------------------------------------------------- */

/*
 * Linux from 6.14 on forgets the write protection of what mremap moves: the
 * shared pages of zeros are protected again, before anybody knows where they
 * are.
 */
void
regions_protect_zeros(
    struct pager *pg, const struct object *o, pindex_t first, pindex_t end)
{
	pindex_t i, n;

	for (i = first; object_next(&pg->objects, o, i, end, &i); i += n) {
		for (n = 0; i + n < end; n++)
			if (object_slot(&pg->objects, o, i + n) != SLOT_ZERO)
				break;
		if (n > 0)
			(void)pmap_zero(pg->pmap, object_va(o, i), n, false);
		n = US_MAX(n, 1);
	}
}

/* The new object takes over what those behind the range have. */
static void
take_over(struct pager *pg, struct object *new, uintptr_t start, uintptr_t end)
{
	const struct map_entry *e;
	uintptr_t va, stop;

	for (va = start; va < end; va = stop) {
		struct object *o;

		e = map_lookup(&pg->map, va);
		o = e->object;
		stop = US_MIN(end, e->end);
		while (pager_copy(pg, o, (pindex_t)atop(va - o->base), new,
			   (pindex_t)atop(va - start),
			   (pindex_t)atop(stop - va)) != 0)
			log_msg(LOG_ERROR,
			    "no memory to move a region: trying again");
	}
}

/*
 * The kernel's part, and what became of the new place: on failure it may have
 * taken away what was there (Linux before 6.17 does so before it looks at the
 * rest).
 */
static void *
kernel_moves(
    struct uswap *u, struct call *c, size_t nlen, int flags, uintptr_t to)
{
	const struct map_entry *e = map_first(&u->pager.map, to);
	uintptr_t first = e == NULL ? to : US_MAX(to, e->start);
	void *p = raw_mremap(c->addr, c->len, nlen, flags, to);
	int error = errno;

	if ((flags & MREMAP_FIXED) && first < to + nlen &&
	    (p != MAP_FAILED ||
		!vma_is_one(u->maps_fd, first, first + PAGE_SIZE)))
		pager_replaced(&u->pager, to, to + nlen);
	errno = error;
	return p;
}

/*
 * Linux takes a mapping that has moved from its userfaultfd, and if the mapping
 * was untouched and its new neighbours are like it, they are one by then: they
 * go too, and their pages in swap space read as zeros.  So what moves is not
 * like them: managed memory has no MADV_RANDOM otherwise (see uffd_manage).
 */
static int
make_different(const struct call *c, bool different)
{
	return syscall(SYS_madvise, c->addr, c->len,
		   different ? MADV_RANDOM : MADV_NORMAL) == 0
		   ? 0
		   : -errno;
}

/*
 * Moves [addr, addr + len) to a new place, as long as nlen.  The kernel takes
 * the pages that are there along; a new object takes over the others.
 */
static int
move(struct uswap *u, struct call *c, size_t nlen, int flags, uintptr_t to)
{
	struct pager *pg = &u->pager;
	uintptr_t end = c->addr + c->len;
	struct object *new;
	void *p;
	int error;

	if (!map_room(&pg->map, 4))
		return -ENOMEM;
	new = pager_alloc(pg, to, (pindex_t)atop(nlen));
	if (new == NULL)
		return -ENOMEM;
	error = make_different(c, true);
	p = error == 0 ? kernel_moves(u, c, nlen, flags, to) : MAP_FAILED;
	if (error == 0 && p == MAP_FAILED)
		error = -errno;
	if (error != 0) {
		(void)make_different(c, false);
		pager_dealloc(pg, new);
		return error;
	}
	new->base = (uintptr_t)p;
	error = pmap_manage(u->pmap, new->base, new->npages);
	/* What stays has gone, too, if the two are neighbours and became one. */
	if (error == 0 && (flags & MREMAP_DONTUNMAP))
		error = pmap_manage(u->pmap, c->addr, atop(c->len));
	KASSERT(error == 0, "a moved range cannot be registered: %d", error);
	if (u->left)
		(void)syscall(SYS_madvise, p, nlen, MADV_DONTFORK);
	take_over(pg, new, c->addr, end);
	regions_protect_zeros(pg, new, 0, new->npages);
	if (!(flags & MREMAP_DONTUNMAP))
		pager_replaced(pg, c->addr, end);
	error = map_insert(&pg->map, new->base, new->base + nlen, new);
	KASSERT(error == 0, "a moved range overlaps: %d", error);
	c->out = new->base;
	return 0;
}

/* What is not managed takes the place of what is. */
static int
move_in(struct uswap *u, struct call *c, size_t nlen, int flags, uintptr_t to)
{
	void *p;

	if (!map_room(&u->pager.map, 2))
		return -ENOMEM;
	p = kernel_moves(u, c, nlen, flags, to);
	if (p == MAP_FAILED)
		return -errno;
	c->out = (uintptr_t)p;
	return 0;
}

/* Nothing is in progress on either side, and the lock was not released since. */
static void
settle(struct pager *pg, const struct call *c, size_t nlen, int flags,
    uintptr_t to)
{
	bool fixed = (flags & MREMAP_FIXED) != 0, slept;

	do {
		slept = pager_settle_range(pg, c->addr, c->addr + c->len);
		if (fixed && pager_settle_range(pg, to, to + nlen))
			slept = true;
	} while (slept);
}

/* As the kernel: the end is cut off first, and then the rest moves. */
static int
cut(struct uswap *u, struct call *c, size_t nlen)
{
	struct call tail = {.addr = c->addr + nlen, .len = c->len - nlen};
	int error = c->len > nlen ? do_unmap(u, &tail) : 0;

	c->len = US_MIN(c->len, nlen);
	return error;
}

/* arg: new length, flags, new address. */
int
do_remap(struct uswap *u, struct call *c)
{
	size_t nlen = c->arg[0];
	int flags = (int)c->arg[1], error;
	bool moves = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0;
	uintptr_t to = c->arg[2];
	struct pager *pg = &u->pager;
	enum cover from;

	mtx_lock(&pg->lock);
	from = cover(pg, c->addr, c->addr + c->len);
	mtx_unlock(&pg->lock);
	if (from == A_PART)
		return ctx_refuse(c, -EFAULT, "managed in part");
	if ((moves || nlen > c->len) &&
	    !vma_is_one(u->maps_fd, c->addr, c->addr + c->len))
		return ctx_refuse(c, -EFAULT, "more than one mapping");
	error = ctx_refuse_named(u, c, c->addr, c->len);
	if (error == 0 && (flags & MREMAP_FIXED) != 0)
		error = ctx_refuse_named(u, c, to, nlen);
	if (error != 0)
		return error;
	error = cut(u, c, nlen);
	if (error != 0)
		return ctx_refuse(c, error, "a part cannot be unmapped");
	c->out = c->addr;
	mtx_lock(&pg->lock);
	settle(pg, c, nlen, flags, to);
	if (from == NOTHING) {
		error = move_in(u, c, nlen, flags, to);
	} else if (moves) {
		error = move(u, c, nlen, flags, to);
	} else if (nlen > c->len) {
		error = grow_in_place(u, c, nlen);
		if (error != 0 && (flags & MREMAP_MAYMOVE))
			error = move(u, c, nlen, flags, 0);
	}
	mtx_unlock(&pg->lock);
	return error == 0 ? 0 : ctx_refuse(c, error, "it cannot be moved");
}
