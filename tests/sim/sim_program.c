/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated program: threads that touch memory, and the requests that a
 * program makes, carried out in the order in which src/lib carries them out.
 */
#include <errno.h>
#include <string.h>

#include "sim/sim.h"

static uint32_t
page_at(uintptr_t va)
{
	return (uint32_t)atop(va - SIMPMAP_BASE);
}

static char *
shadow_at(struct sim *s, uintptr_t va)
{
	return s->shadow + (va - SIMPMAP_BASE);
}

/* Whether the program may touch it. */
static bool
is_mapped(struct sim *s, uintptr_t va)
{
	return map_lookup(&s->pg.map, va) != NULL && !s->gone[page_at(va)];
}

/* ---- accesses ------------------------------------------------------------ */

/*
 * Whole pages say whose they are in their first words, for whoever has to
 * find out where wrong bytes came from.
 */
static void
fill(struct sim *s, uint64_t *w, uintptr_t va)
{
	struct rng r = {s->par.seed ^ ++s->version};

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*w); i++)
		w[i] = rng_next(&r);
	w[0] = page_at(va);
	w[1] = s->version;
}

static void
store(struct sim *s, char *mem, uintptr_t va)
{
	char *shadow = shadow_at(s, va);
	size_t at;

	switch (sim_below(s, 8)) {
	case 0: /* what is there already */
		break;
	case 1:
		memset(shadow, 0, PAGE_SIZE);
		break;
	case 2:
	case 3:
	case 4:
		at = sim_below(s, PAGE_SIZE / 8) * 8;
		*(uint64_t *)(void *)(shadow + at) = rng_next(&s->rng);
		break;
	default:
		fill(s, (uint64_t *)(void *)shadow, va);
	}
	memcpy(mem, shadow, PAGE_SIZE);
}

static void
compare(struct sim *s, const char *mem, uintptr_t va)
{
	const uint64_t *is = (const void *)mem;
	const uint64_t *be = (const void *)shadow_at(s, va);
	size_t i = 0;

	if (memcmp(is, be, PAGE_SIZE) == 0)
		return;
	while (is[i] == be[i])
		i++;
	sim_fail(s,
	    "page %u differs from word %zu on: %#jx, not %#jx; it begins with "
	    "page %ju version %ju, and should with page %ju version %ju",
	    page_at(va), i, (uintmax_t)is[i], (uintmax_t)be[i],
	    (uintmax_t)is[0], (uintmax_t)is[1], (uintmax_t)be[0],
	    (uintmax_t)be[1]);
}

/* A random page of a random mapping; false when nothing is mapped. */
static bool
pick(struct sim *s, uintptr_t *va)
{
	const struct map *m = &s->pg.map;
	const struct map_entry *e;

	if (m->n == 0)
		return false;
	e = &m->e[sim_below(s, m->n)];
	*va = e->start + ptoa(sim_below(s, atop(e->end - e->start)));
	return !s->gone[page_at(*va)];
}

/* What the thread does next: the scan it is on, or a new access. */
static bool
choose(struct sim *s, struct simthread *t)
{
	if (t->left > 0) {
		t->left--;
		t->va += (uintptr_t)((intptr_t)t->dir * (intptr_t)PAGE_SIZE);
		if (is_mapped(s, t->va))
			return true;
		t->left = 0;
	}
	if (!pick(s, &t->va))
		return false;
	t->write = sim_below(s, 2) == 0;
	if (sim_below(s, s->par.scan_in) == 0) {
		t->dir = sim_below(s, 4) == 0 ? -1 : 1;
		if (sim_below(s, 4) == 0) /* in leaps */
			t->dir *= 2 + (int)sim_below(s, 8);
		t->left = sim_below(s, 200);
	}
	return true;
}

bool
sim_thread(struct sim *s, struct simthread *t)
{
	bool poisoned, was = t->pending;
	char *mem;

	/* Unmapped meanwhile: a real thread would get SIGSEGV. */
	if (t->pending && !is_mapped(s, t->va))
		t->pending = was = false;
	if (t->pending && simpmap_asleep(s->pmap, t->va, t->write))
		return false;
	if (!t->pending && !choose(s, t))
		return false;
	mem = simpmap_touch(s->pmap, t->va, t->write, &poisoned);
	s->touches += !was;
	t->pending = mem == NULL && !poisoned;
	if (poisoned) {
		s->lost += !s->poisoned[page_at(t->va)];
		s->poisoned[page_at(t->va)] = true;
		if (!s->par.errors)
			sim_fail(s,
			    "page %u is lost, and no error was injected",
			    page_at(t->va));
	}
	if (mem == NULL) {
		if (s->wired[page_at(t->va)] && !poisoned)
			sim_fail(s, "wired page %u faults", page_at(t->va));
		return true;
	}
	compare(s, mem, t->va);
	if (t->write)
		store(s, mem, t->va);
	return true;
}

void
sim_write(struct sim *s, uintptr_t va)
{
	bool poisoned;
	char *mem;

	if (s->gone[page_at(va)])
		return;
	mem = simpmap_touch(s->pmap, va, true, &poisoned);
	if (mem == NULL)
		return;
	compare(s, mem, va);
	store(s, mem, va);
}

/* ---- mapping ------------------------------------------------------------- */

/* From now on [start, end) is new to the program. */
static void
forget(struct sim *s, uintptr_t start, uintptr_t end)
{
	memset(shadow_at(s, start), 0, end - start);
	memset(s->poisoned + page_at(start), 0, atop(end - start));
	memset(s->wired + page_at(start), 0, atop(end - start));
	memset(s->gone + page_at(start), 0, atop(end - start));
}

/* A hole for at most `want` pages: [*va, *va + ptoa(result)), 0 if none. */
static uint32_t
find_hole(struct sim *s, uint32_t want, uintptr_t *va)
{
	uint32_t first = sim_below(s, s->par.n_pages), n = 0;

	*va = SIMPMAP_BASE + ptoa(first);
	while (n < want && first + n < s->par.n_pages &&
	       map_lookup(&s->pg.map, *va + ptoa(n)) == NULL)
		n++;
	return n;
}

static void
map(struct sim *s)
{
	struct pager *pg = &s->pg;
	struct object *o;
	uintptr_t va;
	uint32_t n = find_hole(s, 1 + sim_below(s, s->par.n_pages / 2), &va);

	if (n == 0)
		return;
	mtx_lock(&pg->lock);
	o = pager_alloc(pg, va, n);
	mtx_unlock(&pg->lock);
	KASSERT(o != NULL && pmap_manage(s->pmap, va, n) == 0, "map");
	mtx_lock(&pg->lock);
	KASSERT(map_insert(&pg->map, va, va + ptoa(n), o) == 0, "map");
	mtx_unlock(&pg->lock);
}

/* An entry grows into the hole behind it, as by mremap in place. */
static void
grow(struct sim *s)
{
	struct pager *pg = &s->pg;
	struct map_entry *e;
	uintptr_t va, end;
	pindex_t npages;

	if (!pick(s, &va))
		return;
	mtx_lock(&pg->lock);
	e = map_lookup(&pg->map, va);
	if (e == NULL)
		goto out;
	for (end = e->end; end < SIMPMAP_BASE + ptoa(s->par.n_pages) &&
			   map_lookup(&pg->map, end) == NULL &&
			   sim_below(s, 50) != 0;)
		end += PAGE_SIZE;
	npages = (pindex_t)atop(end - e->object->base);
	if (npages > e->object->npages)
		KASSERT(object_grow(e->object, npages) == 0, "object_grow");
	KASSERT(pmap_manage(s->pmap, e->end, atop(end - e->end)) == 0, " ");
	KASSERT(map_extend(&pg->map, e, end) == 0, "map_extend");
out:
	mtx_unlock(&pg->lock);
}

void
sim_unmap(struct sim *s, uintptr_t start, uintptr_t end)
{
	struct pager *pg = &s->pg;

	mtx_lock(&pg->lock);
	if (!pager_forget(pg, start, end))
		sim_fail(s, "the map is full");
	(void)pmap_drop(s->pmap, start, atop(end - start));
	forget(s, start, end);
	mtx_unlock(&pg->lock);
}

static void
dontneed(struct sim *s, uintptr_t va, uintptr_t end)
{
	struct pager *pg = &s->pg;

	mtx_lock(&pg->lock);
	while (va < end) {
		uintptr_t to = pager_dontneed(pg, va, end);

		/* Another thread may see zeros now: the lock is ours. */
		forget(s, va, to);
		va = to;
	}
	mtx_unlock(&pg->lock);
}

/* Pages that are in the program are zeros afterwards; others may not be. */
static void
raw_drop(struct sim *s)
{
	struct pager *pg = &s->pg;
	struct map_entry *e;
	uintptr_t va;
	uint32_t slot;
	struct page *p;

	if (!pick(s, &va))
		return;
	e = map_lookup(&pg->map, va);
	slot = object_slot(
	    &pg->objects, e->object, (pindex_t)atop(va - e->object->base));
	if (!slot_is_page(slot))
		return;
	p = page_of(&pg->pages, slot);
	if (p->state != PS_ACTIVE || (p->flags & PG_BUSY) || p->wired > 0)
		return;
	(void)pmap_drop(s->pmap, va, 1);
	forget(s, va, va + PAGE_SIZE);
}

/*
 * A raw munmap that nobody told us of, or too late: the range vanishes while
 * its pages are anywhere.  The library learns of it after a while.
 */
static void
raw_unmap(struct sim *s, uintptr_t va, uintptr_t end)
{
	uint32_t i = page_at(va), n = (uint32_t)atop(end - va);

	memset(s->gone + i, 1, n);
	(void)pmap_unmanage(s->pmap, va, n);
	(void)pmap_drop(s->pmap, va, n);
	for (uint32_t k = sim_below(s, 10); k > 0; k--)
		sim_round(s);
	sim_unmap(s, va, end);
	memset(s->gone + i, 0, n);
}

/* mremap to another place: see move() in src/lib/regions.c. */
static void
move(struct sim *s)
{
	struct pager *pg = &s->pg;
	struct map_entry *e, part;
	struct object *o, *new;
	uintptr_t va, to;
	pindex_t first, n;

	if (!pick(s, &va))
		return;
	mtx_lock(&pg->lock);
	e = map_lookup(&pg->map, va);
	o = e == NULL ? NULL : e->object;
	n = e == NULL ? 0 : (pindex_t)atop(e->end - va);
	n = n == 0 ? 0 : find_hole(s, 1 + sim_below(s, n), &to);
	if (n == 0)
		goto out;
	first = (pindex_t)atop(va - o->base);
	new = pager_alloc(pg, to, n);
	pager_settle(pg, o, first, first + n);
	simpmap_move(s->pmap, va, to, n);
	memcpy(shadow_at(s, to), shadow_at(s, va), ptoa(n));
	memcpy(s->poisoned + page_at(to), s->poisoned + page_at(va), n);
	memcpy(s->wired + page_at(to), s->wired + page_at(va), n);
	forget(s, va, va + ptoa(n));
	KASSERT(pager_copy(pg, o, first, new, 0, n) == 0, "pager_copy");
	KASSERT(map_remove(&pg->map, va, va + ptoa(n), &part), "map_remove");
	KASSERT(map_insert(&pg->map, to, to + ptoa(n), new) == 0, "map");
	if (o->mappings == 0)
		pager_dealloc(pg, o);
out:
	mtx_unlock(&pg->lock);
}

/* ---- clones -------------------------------------------------------------- */

/*
 * While the object is frozen nobody writes to what has left the program, and
 * what is written in the last of the others is part of the clone.  So what the
 * clone must hold is what the shadow holds when it is thawed.
 */
void
sim_clone_moment(struct sim *s)
{
	bool frozen = s->clone.o != NULL && s->clone.o->frozen;

	if (s->clone.frozen && !frozen)
		memcpy(shadow_at(s, s->clone.to), shadow_at(s, s->clone.from),
		    ptoa(s->clone.n));
	s->clone.frozen = frozen;
}

/* What was lost before is the same loss in both; counted where it is found. */
static void
clone_losses(struct sim *s, const struct object *new, uintptr_t to)
{
	for (pindex_t i = 0; i < new->npages; i++)
		s->poisoned[page_at(to) + i] =
		    object_slot(&s->pg.objects, new, i) == SLOT_LOST;
}

/* As do_clone() in src/lib/regions.c, and the page-out thread for it. */
int
sim_clone(struct sim *s, uintptr_t va, uint32_t n, uintptr_t to)
{
	struct pager *pg = &s->pg;
	struct object *o, *new;
	int error;

	mtx_lock(&pg->lock);
	o = map_lookup(&pg->map, va)->object;
	new = pager_alloc(pg, to, n);
	KASSERT(new != NULL &&pmap_manage(s->pmap, to, n) == 0, "clone");
	s->clone.o = o;
	s->clone.from = va;
	s->clone.to = to;
	s->clone.n = n;
	s->clone.frozen = false;
	mtx_unlock(&pg->lock);
	s->running[SIM_PAGEOUT] = true;
	error =
	    clone_make(&s->pageout, o, (pindex_t)atop(va - o->base), n, new);
	s->running[SIM_PAGEOUT] = false;
	s->again = true;
	s->grew |= pg->grow;
	s->clone.o = NULL;
	mtx_lock(&pg->lock);
	if (o->frozen || o->kept)
		sim_fail(s, "a cloned object stays frozen");
	if (error == 0) {
		clone_losses(s, new, to);
		KASSERT(map_insert(&pg->map, to, to + ptoa(n), new) == 0, " ");
	} else {
		pager_dealloc(pg, new);
		forget(s, to, to + ptoa(n));
		(void)pmap_unmanage(s->pmap, to, n);
	}
	mtx_unlock(&pg->lock);
	return error;
}

/* Whether a page of the range is wired, or may refuse to leave. */
static bool
may_be_busy(const struct sim *s, uintptr_t va, uint32_t n)
{
	if (s->par.busy_in != 0)
		return true;
	for (uint32_t i = page_at(va); n > 0; n--, i++)
		if (s->wired[i])
			return true;
	return false;
}

static void
clone_range(struct sim *s)
{
	uint32_t n = 1u << sim_below(s, 10);
	const struct map_entry *e;
	uintptr_t va, to;
	int error;

	if (s->running[SIM_PAGEOUT] || !pick(s, &va))
		return;
	e = map_lookup(&s->pg.map, va);
	n = find_hole(s, US_MIN(n, (uint32_t)atop(e->end - va)), &to);
	if (n == 0 || e->object->reserved)
		return;
	error = sim_clone(s, va, n, to);
	s->cloned += error == 0;
	s->clone_full += error == -ENOSPC;
	s->clone_busy += error == -EBUSY;
	if (error != 0 && error != -ENOSPC &&
	    (error != -EBUSY || !may_be_busy(s, va, n)))
		sim_fail(s, "clone_make: %d", error);
}

/* ---- the other requests -------------------------------------------------- */

#define RESERVE_MAX 300

/* What a page has, for comparison. */
struct has {
	bool managed;
	uint32_t slot;
	swblk_t blk;
};

static struct has
page_has(const struct pager *pg, uintptr_t va)
{
	const struct map_entry *e = map_lookup(&pg->map, va);
	struct has h = {e != NULL, SLOT_NONE, SWBLK_NONE};
	pindex_t i;

	if (e == NULL)
		return h;
	i = (pindex_t)atop(va - e->object->base);
	h.slot = object_slot(&pg->objects, e->object, i);
	h.blk = swmap_get(&e->object->swmap, i);
	return h;
}

/* All or nothing, whatever is in the way: no space, or a hole. */
static void
reserve(struct sim *s)
{
	static struct has was[RESERVE_MAX];
	struct pager *pg = &s->pg;
	uint32_t n = 1 + sim_below(s, RESERVE_MAX);
	bool hole = false, shared = false;
	uintptr_t va;
	int error;

	if (!pick(s, &va))
		return;
	n = US_MIN(n, s->par.n_pages - page_at(va));
	mtx_lock(&pg->lock);
	for (uint32_t i = 0; i < n; i++) {
		was[i] = page_has(pg, va + ptoa(i));
		hole |= !was[i].managed;
		shared |= swblk_valid(was[i].blk) &&
			  swspace_shared(&pg->space, was[i].blk);
	}
	error = pager_reserve(pg, va, va + ptoa(n));
	if (hole ? error != -ENOMEM
		 : error != (shared ? -EBUSY : 0) && error != -ENOSPC)
		sim_fail(s, "pager_reserve: %d, hole %d, shared %d", error,
		    hole, shared);
	s->reserved += error == 0;
	s->refused += error == -ENOSPC;
	for (uint32_t i = 0; i < n; i++) {
		struct has is = page_has(pg, va + ptoa(i));
		bool same = swblk_eq(is.blk, was[i].blk);

		if (error == 0 ? !swblk_valid(is.blk) && is.slot != SLOT_LOST
			       : !same || is.slot != was[i].slot)
			sim_fail(s, "page %u of %u after pager_reserve: %d", i,
			    n, error);
	}
	mtx_unlock(&pg->lock);
}

static struct page *
page_of_va(struct sim *s, uintptr_t va)
{
	struct map_entry *e = map_lookup(&s->pg.map, va);
	uint32_t slot;

	if (e == NULL)
		return NULL;
	slot = object_slot(
	    &s->pg.objects, e->object, (pindex_t)atop(va - e->object->base));
	return slot_is_page(slot) ? page_of(&s->pg.pages, slot) : NULL;
}

/* Only pages that are really there: the library's caller has touched them. */
static void
wire(struct sim *s)
{
	struct pager *pg = &s->pg;
	struct page *p;
	uint8_t there;
	uintptr_t va;

	if (!pick(s, &va))
		return;
	mtx_lock(&pg->lock);
	p = page_of_va(s, va);
	(void)pmap_resident(s->pmap, va, 1, &there);
	if (p != NULL && there && p->state == PS_ACTIVE &&
	    !(p->flags & PG_BUSY) && p->wired < WIRE_MAX &&
	    pg->wired < pg->budget / 2) {
		pager_wire(pg, p);
		s->wired[page_at(va)] = true;
	}
	mtx_unlock(&pg->lock);
}

static void
unwire(struct sim *s)
{
	struct pager *pg = &s->pg;
	uint32_t i = sim_below(s, s->par.n_pages), k;
	struct page *p;

	for (k = 0; k < s->par.n_pages && !s->wired[i]; k++)
		i = (i + 1) % s->par.n_pages;
	if (!s->wired[i])
		return;
	mtx_lock(&pg->lock);
	p = page_of_va(s, SIMPMAP_BASE + ptoa(i));
	if (p == NULL || p->wired == 0)
		sim_fail(s, "page %u is not wired any more", i);
	if (--p->wired == 0) {
		s->wired[i] = false;
		pg->wired--;
		if ((p->flags & PG_BUSY) == 0)
			page_enqueue(&pg->pages, p, PQ_ACTIVE);
	}
	mtx_unlock(&pg->lock);
}

/* The page-out thread's page_out_range(), see src/lib/ctx.c. */
static void
page_out_range(struct sim *s)
{
	struct pageout *po = &s->pageout;
	struct pager *pg = &s->pg;
	struct map_entry *e;
	struct object *o;
	pindex_t i, end;
	uintptr_t va;

	if (!pick(s, &va))
		return;
	s->running[SIM_PAGEOUT] = true;
	mtx_lock(&pg->lock);
	e = map_lookup(&pg->map, va);
	o = e == NULL ? NULL : e->object;
	i = e == NULL ? 0 : (pindex_t)atop(va - o->base);
	end = e == NULL ? 0 : (pindex_t)atop(e->end - o->base);
	mtx_unlock(&pg->lock);
	while (o != NULL && i < end) {
		uint64_t steps = 0;

		i = pageout_piece(po, o, i, end);
		po->force = true;
		while (pageout_step(po) || blkq_inflight(po->q) > 0) {
			blkq_wait(po->q, 1);
			if (++steps > 20000)
				sim_fail(s, "pageout does not end");
		}
		po->force = false;
	}
	s->again = true;
	s->running[SIM_PAGEOUT] = false;
	s->grew |= pg->grow;
}

void
sim_program_event(struct sim *s, enum sim_event ev)
{
	struct simthread *t;
	uintptr_t va = 0, end;
	uint32_t n;

	if ((ev == EV_UNMAP || ev == EV_DONTNEED || ev == EV_RAW_UNMAP) &&
	    !pick(s, &va))
		return;
	n = 1u << sim_below(s, 9);
	end = va + ptoa(1 + sim_below(s, US_MIN(n, s->par.n_pages / 4)));
	end = US_MIN(end, SIMPMAP_BASE + ptoa(s->par.n_pages));
	switch (ev) {
	case EV_THREAD:
		t = &s->thread[sim_below(s, s->par.threads)];
		for (n = 1 + sim_below(s, 16); n > 0 && sim_thread(s, t); n--)
			continue;
		break;
	case EV_MAP:
		map(s);
		break;
	case EV_GROW:
		grow(s);
		break;
	case EV_UNMAP:
		sim_unmap(s, va, end);
		break;
	case EV_DONTNEED:
		dontneed(s, va, end);
		break;
	case EV_RAW_DROP:
		raw_drop(s);
		break;
	case EV_RAW_UNMAP:
		raw_unmap(s, va, end);
		break;
	case EV_MOVE:
		move(s);
		break;
	case EV_RESERVE:
		reserve(s);
		break;
	case EV_WIRE:
		wire(s);
		break;
	case EV_UNWIRE:
		unwire(s);
		break;
	case EV_RANGE:
		page_out_range(s);
		break;
	case EV_CLONE:
		clone_range(s);
		break;
	default:
		KASSERT(false, "no event %d", (int)ev);
	}
}
