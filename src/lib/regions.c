/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to managed regions.  All of it runs on the clerk, one call at a
 * time, so the map and the life of objects do not change under a function
 * here even where it sleeps for pages in progress.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/ctx.h"
#include "lib/vma.h"

static int
refuse(struct call *c, int error, const char *what)
{
	strf(c->text, sizeof(c->text), "%s (%zu bytes at %#zx): %s", what,
	    c->len, (size_t)c->addr, strerrorname_np(-error));
	return error;
}

/* Not the C library's: those may be the preloaded ones, which ask us. */
static void *
raw_mremap(uintptr_t old, size_t olen, size_t nlen, int flags, uintptr_t new)
{
	return (void *)syscall(SYS_mremap, old, olen, nlen, flags, new);
}

static void
raw_munmap(uintptr_t va, size_t len)
{
	(void)syscall(SYS_munmap, va, len);
}

/* Pages looked at together, and the longest region: half of what there can be. */
#define ADOPT_MAX  1024
#define REGION_MAX ((size_t)1 << 43)

/* ---- taking a range over ------------------------------------------------- */

/*
 * Pages that are there already become active pages.  The range is registered
 * but not in the map yet: a fault in it is woken, and faults again, until the
 * object can answer for all of it.
 */
static int
adopt_some(struct uswap *u, struct object *o, pindex_t i, uint32_t n)
{
	struct pager *pg = &u->pager;
	uint8_t present[ADOPT_MAX];
	int error;

	error = pmap_resident(u->pmap, object_va(o, i), n, present);
	if (error != 0)
		return error;
	mtx_lock(&pg->lock);
	for (uint32_t k = 0; k < n && error == 0; k++) {
		struct page *p;

		if (!present[k])
			continue;
		p = pager_page_adopt(pg, o, i + k);
		if (p == NULL) {
			error = -ENOMEM;
			break;
		}
		pager_unbusy(pg, p);
		page_enqueue(&pg->pages, p, PQ_ACTIVE);
	}
	mtx_unlock(&pg->lock);
	return error;
}

/* Reservations of terabytes are common, and mostly empty. */
static int
adopt_pages(struct uswap *u, struct object *o)
{
	uint64_t i = 0;
	int error = 0;

	while (error == 0 && i < o->npages) {
		uint32_t n;

		i += pmap_absent(
		    u->pmap, object_va(o, (pindex_t)i), o->npages - i);
		n = (uint32_t)US_MIN(o->npages - i, ADOPT_MAX);
		if (n > 0)
			error = adopt_some(u, o, (pindex_t)i, n);
		i += n;
	}
	return error;
}

/* fresh: known to be empty, so that nothing has to be looked for. */
static int
manage(struct uswap *u, uintptr_t va, size_t len, bool fresh)
{
	struct pager *pg = &u->pager;
	pindex_t npages = (pindex_t)atop(len);
	struct object *o;
	int error;

	mtx_lock(&pg->lock);
	o = pager_alloc(pg, va, npages);
	mtx_unlock(&pg->lock);
	if (o == NULL)
		return -ENOMEM;
	error = pmap_manage(u->pmap, va, npages);
	if (error == 0 && !fresh)
		error = adopt_pages(u, o);
	mtx_lock(&pg->lock);
	if (error == 0)
		error = map_insert(&pg->map, va, va + len, o);
	if (error == 0 && u->left)
		(void)syscall(SYS_madvise, va, len, MADV_DONTFORK);
	if (error != 0)
		pager_dealloc(pg, o);
	mtx_unlock(&pg->lock);
	/* Nobody would answer its faults. */
	if (error != 0)
		(void)pmap_unmanage(u->pmap, va, npages);
	return error;
}

static int
forget(struct uswap *u, uintptr_t start, uintptr_t end)
{
	bool done;

	mtx_lock(&u->pager.lock);
	done = pager_forget(&u->pager, start, end);
	mtx_unlock(&u->pager.lock);
	return done ? 0 : -ENOMEM;
}

/* What is longer than an object can count becomes several regions. */
static int
manage_all(struct uswap *u, uintptr_t va, size_t len, bool fresh)
{
	size_t done, n;
	int error;

	for (done = 0; done < len; done += n) {
		n = US_MIN(len - done, REGION_MAX);
		error = manage(u, va + done, n, fresh);
		if (error != 0) {
			(void)forget(u, va, va + done);
			return error;
		}
	}
	return 0;
}

static int
overlaps(struct uswap *u, uintptr_t va, size_t len)
{
	struct map_entry *e;
	int yes;

	mtx_lock(&u->pager.lock);
	e = map_first(&u->pager.map, va);
	yes = e != NULL && e->start < va + len;
	mtx_unlock(&u->pager.lock);
	return yes;
}

/*
 * The kernel would take shared memory, huge pages, stacks and ranges with
 * holes as well, and the program would lose what it has there.
 */
int
do_manage(struct uswap *u, struct call *c)
{
	const char *unfit;
	char why[128];
	int error;

	if (overlaps(u, c->addr, c->len))
		return refuse(c, -EEXIST, "a part of the range is managed");
	unfit = vma_unfit(u->maps_fd, c->addr, c->addr + c->len);
	if (unfit != NULL)
		return refuse(c, -EINVAL,
		    strf(why, sizeof(why),
			"a part of the range is %s; only private anonymous "
			"memory can be managed",
			unfit));
	error = manage_all(u, c->addr, c->len, false);
	if (error == -ENOENT)
		error = -EINVAL;
	return error == 0 ? 0 : refuse(c, error, "the range cannot be managed");
}

int
do_map(struct uswap *u, struct call *c)
{
	void *p = mem_map(c->len);
	int error;

	if (p == NULL)
		return refuse(c, -ENOMEM, "no address space for a region");
	error = manage_all(u, (uintptr_t)p, c->len, true);
	if (error != 0) {
		mem_unmap(p, c->len);
		return refuse(c, error, "the region cannot be managed");
	}
	c->out = (uintptr_t)p;
	return 0;
}

int
do_is_managed(struct uswap *u, struct call *c)
{
	return overlaps(u, c->addr, c->len);
}

/* The first managed part of the range: out its start, arg its end; or 0. */
int
do_part(struct uswap *u, struct call *c)
{
	uintptr_t end = c->addr + c->len;
	struct map_entry *e;

	mtx_lock(&u->pager.lock);
	e = map_first(&u->pager.map, c->addr);
	if (e == NULL || e->start >= end) {
		c->out = c->arg[0] = 0;
	} else {
		c->out = US_MAX(e->start, c->addr);
		c->arg[0] = US_MIN(e->end, end);
	}
	mtx_unlock(&u->pager.lock);
	return 0;
}

/* ---- letting a range go -------------------------------------------------- */

int
do_forget(struct uswap *u, struct call *c)
{
	int error = forget(u, c->addr, c->addr + c->len);

	return error == 0 ? 0 : refuse(c, error, "too many regions to cut one");
}

int
do_unmap(struct uswap *u, struct call *c)
{
	int error = do_forget(u, c);

	if (error == 0)
		raw_munmap(c->addr, c->len);
	return error;
}

int
do_dontneed(struct uswap *u, struct call *c)
{
	uintptr_t va = c->addr, end = c->addr + c->len;

	mtx_lock(&u->pager.lock);
	while (va < end)
		va = pager_dontneed(&u->pager, va, end);
	mtx_unlock(&u->pager.lock);
	return 0;
}

/* ---- mremap -------------------------------------------------------------- */

/* Grows an entry where it is.  The new pages are registered with the old. */
static int
grow_in_place(struct uswap *u, struct call *c, struct map_entry *e, size_t nlen)
{
	struct pager *pg = &u->pager;
	struct object *o = e->object;
	uintptr_t end = c->addr + nlen;
	int error = 0;

	if (atop(end - o->base) > o->npages)
		error = object_grow(o, (pindex_t)atop(end - o->base));
	if (error != 0)
		return error;
	if (raw_mremap(c->addr, c->len, nlen, 0, 0) == MAP_FAILED)
		return -errno;
	return map_extend(&pg->map, e, end);
}

/*
 * Linux from 6.14 on forgets the write protection of what mremap moves: the
 * shared pages of zeros are protected again, before anybody knows where they
 * are.
 */
static void
protect_zeros(struct pager *pg, const struct object *o)
{
	pindex_t i, n;

	for (i = 0; object_next(&pg->objects, o, i, o->npages, &i); i += n) {
		for (n = 0; i + n < o->npages; n++)
			if (object_slot(&pg->objects, o, i + n) != SLOT_ZERO)
				break;
		if (n > 0)
			(void)pmap_zero(pg->pmap, object_va(o, i), n, false);
		n = US_MAX(n, 1);
	}
}

/*
 * Moves [addr, addr + len) to a new place, as long as nlen.  The kernel takes
 * the pages that are there along; a new object takes over the others.
 */
static int
move(struct uswap *u, struct call *c, struct object *o, size_t nlen, int flags,
    uintptr_t to)
{
	struct pager *pg = &u->pager;
	pindex_t first = (pindex_t)atop(c->addr - o->base);
	pindex_t n = (pindex_t)atop(c->len);
	struct map_entry part;
	struct object *new;
	void *p;
	int error;

	mtx_assert(&pg->lock);
	new = pager_alloc(pg, to, (pindex_t)atop(nlen));
	if (new == NULL)
		return -ENOMEM;
	pager_settle(pg, o, first, first + n);
	p = raw_mremap(c->addr, c->len, nlen, flags, to);
	if (p == MAP_FAILED) {
		error = -errno;
		pager_dealloc(pg, new);
		return error;
	}
	new->base = (uintptr_t)p;
	error = pmap_manage(u->pmap, new->base, new->npages);
	KASSERT(error == 0, "a moved range cannot be registered: %d", error);
	if (u->left)
		(void)syscall(SYS_madvise, p, nlen, MADV_DONTFORK);
	while (pager_copy(pg, o, first, new, n) != 0)
		log_msg(LOG_ERROR, "no memory to move a region: trying again");
	protect_zeros(pg, new);
	while (map_remove(&pg->map, c->addr, c->addr + c->len, &part))
		KASSERT(part.object == o, "moved more than one object");
	error = map_insert(&pg->map, new->base, new->base + nlen, new);
	KASSERT(error == 0, "a moved range overlaps: %d", error);
	if (o->mappings == 0)
		pager_dealloc(pg, o);
	c->out = new->base;
	return 0;
}

/* Whether the range lies inside one region. */
static bool
inside_one(struct uswap *u, uintptr_t va, size_t len)
{
	const struct map_entry *e;
	bool yes;

	mtx_lock(&u->pager.lock);
	e = map_lookup(&u->pager.map, va);
	yes = e != NULL && e->end - va >= len;
	mtx_unlock(&u->pager.lock);
	return yes;
}

/*
 * arg: new length, flags, new address.  What can be refused is refused before
 * anything is forgotten.
 */
int
do_remap(struct uswap *u, struct call *c)
{
	size_t nlen = c->arg[0], olen = c->len;
	int flags = (int)c->arg[1], error = 0;
	struct pager *pg = &u->pager;
	struct map_entry *e;

	if (!inside_one(u, c->addr, c->len))
		return refuse(c, -EFAULT, "not inside one managed region");
	if (flags & MREMAP_FIXED)
		error = forget(u, c->arg[2], c->arg[2] + nlen);
	if (error == 0 && nlen < olen) {
		struct call tail = {.addr = c->addr + nlen, .len = olen - nlen};

		error = do_unmap(u, &tail);
		c->len = nlen;
	}
	if (error != 0)
		return refuse(c, error, "a part cannot be unmapped");
	mtx_lock(&pg->lock);
	e = map_lookup(&pg->map, c->addr);
	c->out = c->addr;
	if (!(flags & MREMAP_FIXED) && nlen > c->len) {
		error = -ENOMEM;
		if (e->end == c->addr + c->len)
			error = grow_in_place(u, c, e, nlen);
		if (error != 0 && (flags & MREMAP_MAYMOVE))
			error = move(u, c, e->object, nlen, flags, 0);
	} else if (flags & MREMAP_FIXED) {
		error = move(u, c, e->object, nlen, flags, c->arg[2]);
	}
	mtx_unlock(&pg->lock);
	return error == 0 ? 0 : refuse(c, error, "the region cannot be moved");
}
