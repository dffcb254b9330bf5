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

int
ctx_refuse(struct call *c, int error, const char *what)
{
	strf(c->text, sizeof(c->text), "%s (%zu bytes at %#zx): %s", what,
	    c->len, (size_t)c->addr, strerrorname_np(-error));
	return error;
}

/* Not the C library's: that may be the preloaded one, which asks us. */
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
 * object can answer for all of it.  Until then no page is on a queue, so that none
 * leaves: should anything fail, the program has them as before.
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
	}
	mtx_unlock(&pg->lock);
	return error;
}

/* Reservations of terabytes are common, and mostly empty. */
static int
adopt_pages(struct uswap *u, struct object *o, pindex_t first, pindex_t last,
    const struct call *c)
{
	uint64_t i = first;
	int error = 0;

	(void)c;
	while (error == 0 && i < last) {
		uint32_t n;

		i += pmap_absent(u->pmap, object_va(o, (pindex_t)i), last - i);
		n = (uint32_t)US_MIN(last - i, ADOPT_MAX);
		if (n > 0)
			error = adopt_some(u, o, (pindex_t)i, n);
		i += n;
	}
	return error;
}

/* From here on they may leave, and have to if they are too many.  Lock held. */
static void
enqueue_pages(
    struct pager *pg, const struct object *o, pindex_t first, pindex_t last)
{
	for (pindex_t i = first; object_next(&pg->objects, o, i, last, &i);
	     i++) {
		uint32_t slot = object_slot(&pg->objects, o, i);

		if (slot_is_page(slot))
			page_enqueue(
			    &pg->pages, page_of(&pg->pages, slot), PQ_ACTIVE);
	}
	if (pager_free(pg) < (int64_t)pg->free_low && !pg->grow)
		pg->need_pageout(pg->event_arg);
}

/* Gives pages [first, last) of an object their contents; NULL: zeros. */
typedef int fill_fn(struct uswap *, struct object *, pindex_t first,
    pindex_t last, const struct call *);

/*
 * The object for a range.  The tables of one take two pages at least, which is as
 * much as small ranges hold, and they are enough for all of SHARED.  So a small
 * range is shown by the object of a neighbour, if that reaches so far; if none does,
 * by a new one for all the addresses around it.
 */
#define SMALL  ptoa((size_t)OBJECT_LEAF)
#define SHARED ((size_t)128 << 20)

static struct object *
object_for(struct pager *pg, uintptr_t va, size_t len, fill_fn *fill)
{
	uintptr_t base = va & ~(SHARED - 1);
	struct object *o;

	if (fill != adopt_pages || len >= SMALL)
		return pager_alloc(pg, va, (pindex_t)atop(len));
	o = map_near(&pg->map, va, va + len);
	if (o != NULL && !o->reserved)
		return o;
	if (va + len > base + SHARED)
		return pager_alloc(pg, va, (pindex_t)atop(len));
	return pager_alloc(pg, base, (pindex_t)atop(SHARED));
}

static int
manage(struct uswap *u, uintptr_t va, size_t len, fill_fn *fill,
    const struct call *c)
{
	struct pager *pg = &u->pager;
	pindex_t npages = (pindex_t)atop(len), first = 0;
	struct object *o = NULL;
	int error;

	mtx_lock(&pg->lock);
	if (map_room(&pg->map, 1))
		o = object_for(pg, va, len, fill);
	mtx_unlock(&pg->lock);
	if (o == NULL)
		return -ENOMEM;
	first = (pindex_t)atop(va - o->base);
	error = pmap_manage(u->pmap, va, npages);
	if (error == 0 && fill != NULL)
		error = fill(u, o, first, first + npages, c);
	mtx_lock(&pg->lock);
	if (error == 0)
		error = map_insert(&pg->map, va, va + len, o);
	if (error == 0 && fill == adopt_pages)
		enqueue_pages(pg, o, first, first + npages);
	if (error == 0 && u->left)
		(void)syscall(SYS_madvise, va, len, MADV_DONTFORK);
	if (error != 0) {
		pager_settle(pg, o, first, first + npages);
		pager_purge(pg, o, first, first + npages);
		if (o->mappings == 0)
			pager_dealloc(pg, o);
	}
	mtx_unlock(&pg->lock);
	/* Nobody would answer its faults. */
	if (error != 0)
		(void)pmap_unmanage(u->pmap, va, npages);
	return error;
}

/* Ends the management of a range; no part of it has a name. */
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
manage_all(struct uswap *u, uintptr_t va, size_t len, fill_fn *fill)
{
	size_t done, n;
	int error;

	for (done = 0; done < len; done += n) {
		n = US_MIN(len - done, REGION_MAX);
		error = manage(u, va + done, n, fill, NULL);
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
		return ctx_refuse(c, -EEXIST, "a part of the range is managed");
	unfit = vma_unfit(u->maps_fd, c->addr, c->addr + c->len);
	if (unfit != NULL)
		return ctx_refuse(c, -EINVAL,
		    strf(why, sizeof(why),
			"a part of the range is %s; only private anonymous "
			"memory can be managed",
			unfit));
	error = manage_all(u, c->addr, c->len, adopt_pages);
	if (error == -ENOENT)
		error = -EINVAL;
	return error == 0 ? 0
			  : ctx_refuse(c, error, "the range cannot be managed");
}

int
do_map(struct uswap *u, struct call *c)
{
	void *p = mem_map(c->len);
	int error;

	if (p == NULL)
		return ctx_refuse(c, -ENOMEM, "no address space for a region");
	error = manage_all(u, (uintptr_t)p, c->len, NULL);
	if (error != 0) {
		mem_unmap(p, c->len);
		return ctx_refuse(c, error, "the region cannot be managed");
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

/* Others may have a named region too: only do_unmap_named ends it. */
int
ctx_refuse_named(struct uswap *u, struct call *c, uintptr_t va, size_t len)
{
	const struct named *d = names_overlap(&u->names, va, va + len);
	char text[160];

	if (d == NULL)
		return 0;
	return ctx_refuse(c, -EBUSY,
	    strf(text, sizeof(text),
		"a part of the range has the name \"%s\": see "
		"uswap_unmap_named",
		d->name));
}

int
do_forget(struct uswap *u, struct call *c)
{
	int error = ctx_refuse_named(u, c, c->addr, c->len);

	if (error != 0)
		return error;
	error = forget(u, c->addr, c->addr + c->len);
	return error == 0 ? 0
			  : ctx_refuse(c, error, "too many regions to cut one");
}

int
do_unmap(struct uswap *u, struct call *c)
{
	int error = do_forget(u, c);

	if (error == 0)
		raw_munmap(c->addr, c->len);
	return error;
}

/* ---- named regions ------------------------------------------------------- */

/* The name is in c->text, where the sentence of a failure goes, too. */
int
do_map_named(struct uswap *u, struct call *c)
{
	struct named *d = names_find(&u->names, c->text);
	char name[USWAP_NAME_MAX];
	int error;

	if (d != NULL && c->len > d->len)
		return ctx_refuse(
		    c, -EINVAL, "the region of that name is shorter");
	if (d != NULL) {
		d->refs++;
		c->out = d->addr;
		return 0;
	}
	if (u->names.n == USWAP_NAMES_MAX)
		return ctx_refuse(c, -ENOSPC, "too many names");
	strf(name, sizeof(name), "%s", c->text);
	error = do_map(u, c);
	if (error == 0)
		(void)names_add(&u->names, name, c->out, c->len);
	return error;
}

int
do_unmap_named(struct uswap *u, struct call *c)
{
	struct named *d = names_find(&u->names, c->text), last;

	if (d == NULL) {
		strf(c->text, sizeof(c->text), "no region has that name");
		return -ENOENT;
	}
	if (--d->refs > 0)
		return 0;
	last = *d;
	names_remove(&u->names, d);
	c->addr = last.addr;
	c->len = last.len;
	return do_unmap(u, c);
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

/* ---- clones -------------------------------------------------------------- */

/* The object that the whole range shows a part of, or NULL. */
static struct object *
inside_one(struct uswap *u, uintptr_t va, size_t len)
{
	const struct map_entry *e;
	struct object *o = NULL;

	mtx_lock(&u->pager.lock);
	e = map_lookup(&u->pager.map, va);
	if (e != NULL && e->end - va >= len)
		o = e->object;
	mtx_unlock(&u->pager.lock);
	return o;
}

/* In the page-out thread, for pages have to be written. */
static int
clone_pages(struct uswap *u, struct object *dst, pindex_t first, pindex_t last,
    const struct call *c)
{
	struct ctx_job job = {.fn = ctx_clone,
	    .start = c->addr,
	    .end = c->addr + c->len,
	    .dst = dst};

	(void)first;
	(void)last;
	return ctx_pageout_do(u, &job);
}

static const char *
clone_hint(int error)
{
	switch (error) {
	case -ENOSPC:
		return "swap space cannot hold what is in memory";
	case -EBUSY:
		return "a page is wired, or pinned by a transfer";
	case -EMLINK:
		return "there are too many clones";
	default:
		return "the region cannot be cloned";
	}
}

int
do_clone(struct uswap *u, struct call *c)
{
	const struct object *o = inside_one(u, c->addr, c->len);
	void *p;
	int error;

	if (o == NULL)
		return ctx_refuse(c, -EFAULT, "not inside one managed region");
	if (o->reserved)
		return ctx_refuse(c, -EBUSY, "the region is reserved");
	p = mem_map(c->len);
	if (p == NULL)
		return ctx_refuse(c, -ENOMEM, "no address space for a region");
	error = manage(u, (uintptr_t)p, c->len, clone_pages, c);
	if (error != 0) {
		mem_unmap(p, c->len);
		return ctx_refuse(c, error, clone_hint(error));
	}
	c->out = (uintptr_t)p;
	return 0;
}
