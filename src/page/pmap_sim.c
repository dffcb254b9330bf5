/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap_sim: what userfaultfd does, in one thread and from one seed.
 *
 * It answers as the kernel does and is stricter where the kernel would hang
 * or corrupt: a frame that holds nothing may not be read from or discarded,
 * and one that holds something may not be removed into.  What a page or frame
 * held is overwritten when it goes, so that a stale pointer shows.
 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "base/mem.h"
#include "page/pmap_sim.h"

#define STALE 0xdb

enum hold { HOLDS_NONE, HOLDS_ZERO, HOLDS_MEMORY };
enum { WAIT_READ = 1, WAIT_WRITE = 2, WAIT_PROTECT = 4 };

/*
 * (1) unread is a subset of waiting: who is woken takes the message along.
 * (2) a page that holds nothing is not protected; a poisoned one holds nothing.
 */
struct simpage {
	uint8_t hold; /* enum hold */
	uint8_t waiting; /* WAIT_*: who sleeps on it */
	uint8_t unread; /* WAIT_*: not yet seen by next_fault */
	bool managed, protect, poisoned;
};

struct simpmap {
	struct pmap pm;
	struct simpmap_params p;
	struct simpage *page; /* n_pages */
	char *mem; /* n_pages, what they hold */
	uint8_t *frame; /* n_frames: enum hold */
	uint64_t rng;
	uint32_t memory; /* pages and frames with HOLDS_MEMORY */
};

static const struct pmap_ops sim_ops;

static struct simpmap *
simpmap(const struct pmap *pm)
{
	KASSERT(pm->ops == &sim_ops, "not a simulated pmap");
	return (struct simpmap *)(uintptr_t)pm;
}

static uint64_t
chance(struct simpmap *s, uint64_t n)
{
	uint64_t z = (s->rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % n;
}

/* The first page of a range that must lie in the program. */
static uint32_t
first_page(const struct simpmap *s, uintptr_t va, uint64_t n)
{
	uint64_t i = atop(va - SIMPMAP_BASE);

	KASSERT(
	    (va & PAGE_MASK) == 0 && i <= s->p.n_pages && n <= s->p.n_pages - i,
	    "%llu pages at %#lx", (unsigned long long)n, (unsigned long)va);
	return (uint32_t)i;
}

static uint32_t
first_frame(const struct simpmap *s, const void *frame, uint32_t n)
{
	uintptr_t off = (uintptr_t)frame - (uintptr_t)s->pm.frames;

	KASSERT((off & PAGE_MASK) == 0 && atop(off) <= s->p.n_frames &&
		    n <= s->p.n_frames - atop(off),
	    "%u pages at %p are no frames", n, frame);
	return (uint32_t)atop(off);
}

static void
rouse(struct simpage *p)
{
	p->waiting = p->unread = 0;
}

static void
hold(struct simpmap *s, uint8_t *what, char *mem, enum hold h)
{
	if (*what == HOLDS_MEMORY)
		s->memory--;
	*what = (uint8_t)h;
	if (h == HOLDS_MEMORY)
		s->memory++;
	memset(mem, h == HOLDS_NONE ? STALE : 0, PAGE_SIZE);
}

static void
set_page(struct simpmap *s, uint32_t i, enum hold h)
{
	hold(s, &s->page[i].hold, s->mem + ptoa(i), h);
	if (h == HOLDS_NONE)
		s->page[i].protect = false;
}

static int
sim_set_managed(struct pmap *pm, uintptr_t va, uint64_t n, bool on)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, va, n);

	for (; n > 0; n--, i++) {
		s->page[i].managed = on;
		if (!on) {
			s->page[i].protect = false;
			rouse(&s->page[i]);
		}
	}
	return 0;
}

static int
sim_manage(struct pmap *pm, uintptr_t va, uint64_t n)
{
	return sim_set_managed(pm, va, n, true);
}

static int
sim_unmanage(struct pmap *pm, uintptr_t va, uint64_t n)
{
	return sim_set_managed(pm, va, n, false);
}

/* The source may be a frame: it must hold something then. */
static void
source_check(struct simpmap *s, const char *src, uint32_t n)
{
	uintptr_t off = (uintptr_t)src - (uintptr_t)s->pm.frames;
	uint32_t i, f;

	if (off >= ptoa(s->p.n_frames))
		return;
	f = first_frame(s, src, n);
	for (i = 0; i < n; i++)
		KASSERT(s->frame[f + i] != HOLDS_NONE,
		    "reading frame %u, which holds nothing", f + i);
}

static int
sim_enter(
    struct pmap *pm, uintptr_t va, const void *src, uint32_t n, bool sealed)
{
	struct simpmap *s = simpmap(pm);
	uint32_t k, i = first_page(s, va, n);
	int error = 0;

	source_check(s, src, n);
	for (k = 0; k < n; k++, i++) {
		if (!s->page[i].managed) {
			error = -ENOENT;
			continue;
		}
		if (s->page[i].hold == HOLDS_NONE && !s->page[i].poisoned) {
			set_page(s, i, HOLDS_MEMORY);
			memcpy(s->mem + ptoa(i), (const char *)src + ptoa(k),
			    PAGE_SIZE);
			s->page[i].protect = sealed;
		}
		rouse(&s->page[i]);
	}
	return error;
}

static uint32_t
sim_sealed(struct pmap *pm, uintptr_t va, uint32_t n)
{
	struct simpmap *s = simpmap(pm);
	uint32_t k, i = first_page(s, va, n);

	for (k = 0; k < n; k++, i++)
		if (s->page[i].hold == HOLDS_NONE || !s->page[i].protect ||
		    !s->page[i].managed)
			break;
	/* Whoever writes now waits. */
	if (k > 0 && s->p.gap != NULL)
		s->p.gap(va, k);
	return k;
}

static int
sim_zero(struct pmap *pm, uintptr_t va, uint32_t n, bool writable)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, va, n);
	int error = 0;

	for (uint32_t k = i; k < i + n; k++)
		if (!s->page[k].managed)
			error = -ENOENT;
		else if (s->page[k].hold == HOLDS_NONE && !s->page[k].poisoned)
			set_page(s, k, writable ? HOLDS_MEMORY : HOLDS_ZERO);
	/* The kernel has no call that does both at once. */
	if (!writable && s->p.gap != NULL)
		s->p.gap(va, n);
	for (uint32_t k = i; k < i + n; k++) {
		if (!s->page[k].managed)
			continue;
		if (!writable && s->page[k].hold != HOLDS_NONE)
			s->page[k].protect = true;
		rouse(&s->page[k]);
	}
	return error;
}

static void
sim_own(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, va, n);

	for (uint32_t k = 0; k < n; k++)
		vec[k] = s->page[i + k].hold == HOLDS_MEMORY;
}

static int
sim_unprotect(struct pmap *pm, uintptr_t va, uint32_t n)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, va, n);
	int error = 0;

	for (; n > 0; n--, i++) {
		if (!s->page[i].managed)
			error = -ENOENT;
		s->page[i].protect = false;
		rouse(&s->page[i]);
	}
	return error;
}

static int
sim_wake(struct pmap *pm, uintptr_t va, uint32_t n)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, va, n);

	for (; n > 0; n--, i++)
		rouse(&s->page[i]);
	return 0;
}

static uint32_t
sim_remove(struct pmap *pm, uintptr_t va, void *frame, uint32_t n, int *ret_err)
{
	struct simpmap *s = simpmap(pm);
	uint32_t k, i = first_page(s, va, n), f = first_frame(s, frame, n);
	enum hold h;

	for (k = 0; k < n; k++, i++, f++) {
		KASSERT(s->frame[f] == HOLDS_NONE, "frame %u is in use", f);
		h = (enum hold)s->page[i].hold;
		if (!s->page[i].managed || h == HOLDS_NONE) {
			*ret_err = -ENOENT;
			break;
		}
		if (s->p.busy_in != 0 && chance(s, s->p.busy_in) == 0) {
			*ret_err = -EBUSY;
			break;
		}
		hold(s, &s->frame[f], pm->frames + ptoa(f), h);
		memcpy(pm->frames + ptoa(f), s->mem + ptoa(i), PAGE_SIZE);
		set_page(s, i, HOLDS_NONE);
	}
	return k;
}

static void
sim_look(struct pmap *pm, const struct iovec *runs, uint32_t n, void *dst)
{
	struct simpmap *s = simpmap(pm);
	char *to = dst;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = (uint32_t)atop(runs[i].iov_len);
		uint32_t f = first_frame(s, runs[i].iov_base, k);

		for (; k > 0; k--, f++, to += PAGE_SIZE) {
			KASSERT(
			    s->frame[f] != HOLDS_NONE, "frame %u is empty", f);
			memcpy(to, pm->frames + ptoa(f), PAGE_SIZE);
		}
	}
}

static void
sim_discard(struct pmap *pm, const struct iovec *runs, uint32_t n)
{
	struct simpmap *s = simpmap(pm);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = (uint32_t)atop(runs[i].iov_len);
		uint32_t f = first_frame(s, runs[i].iov_base, k);

		for (; k > 0; k--, f++) {
			KASSERT(
			    s->frame[f] != HOLDS_NONE, "frame %u is empty", f);
			hold(s, &s->frame[f], pm->frames + ptoa(f), HOLDS_NONE);
		}
	}
}

static int
sim_drop(struct pmap *pm, const struct iovec *runs, uint32_t nruns)
{
	struct simpmap *s = simpmap(pm);

	for (uint32_t k = 0; k < nruns; k++) {
		uint32_t n = (uint32_t)atop(runs[k].iov_len);
		uint32_t i = first_page(s, (uintptr_t)runs[k].iov_base, n);

		for (; n > 0; n--, i++) {
			set_page(s, i, HOLDS_NONE);
			s->page[i].poisoned = false;
		}
	}
	return 0;
}

static int
sim_poison(struct pmap *pm, uintptr_t va)
{
	struct simpmap *s = simpmap(pm);
	struct simpage *p = &s->page[first_page(s, va, 1)];

	if (!p->managed)
		return -ENOENT;
	KASSERT(p->hold == HOLDS_NONE, "poisoning a page that is there");
	p->poisoned = true;
	rouse(p);
	return 0;
}

static int
sim_resident(struct pmap *pm, uintptr_t va, uint32_t n, uint8_t *vec)
{
	struct simpmap *s = simpmap(pm);
	uint32_t k, i = first_page(s, va, n);

	for (k = 0; k < n; k++)
		vec[k] = s->page[i + k].hold != HOLDS_NONE;
	return 0;
}

static uint64_t
sim_absent(struct pmap *pm, uintptr_t va, uint64_t n)
{
	struct simpmap *s = simpmap(pm);
	uint32_t k, i = first_page(s, va, (uint32_t)n);

	for (k = 0; k < n && s->page[i + k].hold == HOLDS_NONE; k++)
		continue;
	return k;
}

/* Faults arrive in any order: the search starts anywhere. */
static uint32_t
sim_next_faults(struct pmap *pm, struct pmap_fault *f, uint32_t n)
{
	struct simpmap *s = simpmap(pm);
	uint32_t k, i = (uint32_t)chance(s, s->p.n_pages), got = 0;
	uint8_t kind;

	for (k = 0; k < s->p.n_pages && got < n;
	     k++, i = (i + 1) % s->p.n_pages) {
		if (s->page[i].unread == 0)
			continue;
		kind = s->page[i].unread & (uint8_t)-s->page[i].unread;
		s->page[i].unread &= (uint8_t)~kind;
		f[got].va = SIMPMAP_BASE + ptoa(i);
		f[got].write = kind != WAIT_READ;
		f[got++].protect = kind == WAIT_PROTECT;
	}
	return got;
}

void *
simpmap_touch(struct pmap *pm, uintptr_t va, bool write, bool *ret_poisoned)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, trunc_page(va), 1);
	struct simpage *p = &s->page[i];
	uint8_t kind = 0;

	*ret_poisoned = p->poisoned;
	if (p->poisoned)
		return NULL;
	if (p->hold == HOLDS_NONE && p->managed)
		kind = write ? WAIT_WRITE : WAIT_READ;
	else if (p->protect && write)
		kind = WAIT_PROTECT;
	if (kind != 0) {
		if ((p->waiting & kind) == 0)
			p->unread |= kind;
		p->waiting |= kind;
		return NULL;
	}
	/* What the kernel does by itself: zero fill, and copy on write. */
	if (p->hold == HOLDS_NONE || (p->hold == HOLDS_ZERO && write))
		set_page(s, i, HOLDS_MEMORY);
	return s->mem + ptoa(i) + (va & PAGE_MASK);
}

bool
simpmap_asleep(const struct pmap *pm, uintptr_t va, bool write)
{
	struct simpmap *s = simpmap(pm);
	const struct simpage *p = &s->page[first_page(s, trunc_page(va), 1)];

	return (p->waiting & (write ? WAIT_WRITE | WAIT_PROTECT : WAIT_READ)) !=
	       0;
}

void
simpmap_move(struct pmap *pm, uintptr_t from, uintptr_t to, uint32_t n)
{
	struct simpmap *s = simpmap(pm);
	uint32_t i = first_page(s, from, n), k = first_page(s, to, n);

	for (; n > 0; n--, i++, k++) {
		KASSERT(s->page[k].hold == HOLDS_NONE, "page %u is there", k);
		rouse(&s->page[i]);
		s->page[k] = s->page[i];
		s->page[k].managed = true;
		memcpy(s->mem + ptoa(k), s->mem + ptoa(i), PAGE_SIZE);
		memset(s->mem + ptoa(i), STALE, PAGE_SIZE);
		s->page[i] = (struct simpage){.hold = HOLDS_NONE};
	}
}

uint32_t
simpmap_memory(const struct pmap *pm)
{
	return simpmap(pm)->memory;
}

static void
sim_close(struct pmap *pm)
{
	struct simpmap *s = simpmap(pm);

	if (s->page != NULL)
		mem_unmap(s->page, s->p.n_pages * sizeof(*s->page));
	if (s->mem != NULL)
		mem_unmap(s->mem, ptoa(s->p.n_pages));
	if (s->frame != NULL)
		mem_unmap(s->frame, s->p.n_frames);
	if (pm->frames != NULL)
		mem_unmap(pm->frames, ptoa(s->p.n_frames));
	mem_unmap(s, sizeof(*s));
}

int
pmap_open_sim(const struct simpmap_params *p, struct pmap **ret)
{
	struct simpmap *s = mem_map(sizeof(*s));
	uint32_t i;

	KASSERT(p->n_pages > 0 && p->n_frames > 0, "nothing to simulate");
	if (s == NULL)
		return -ENOMEM;
	s->pm.ops = &sim_ops;
	s->pm.fd = -1;
	s->pm.how = "move";
	s->pm.seals = s->pm.shares = true;
	s->p = *p;
	s->rng = p->seed;
	s->page = mem_map(p->n_pages * sizeof(*s->page));
	s->mem = mem_map(ptoa(p->n_pages));
	s->frame = mem_map(p->n_frames);
	s->pm.frames = mem_map(ptoa(p->n_frames));
	s->pm.n_frames = p->n_frames;
	if (s->page == NULL || s->mem == NULL || s->frame == NULL ||
	    s->pm.frames == NULL) {
		sim_close(&s->pm);
		return -ENOMEM;
	}
	for (i = 0; i < p->n_pages; i++)
		s->page[i].managed = true;
	*ret = &s->pm;
	return 0;
}

static const struct pmap_ops sim_ops = {
    .manage = sim_manage,
    .unmanage = sim_unmanage,
    .enter = sim_enter,
    .sealed = sim_sealed,
    .zero = sim_zero,
    .own = sim_own,
    .unprotect = sim_unprotect,
    .wake = sim_wake,
    .remove = sim_remove,
    .look = sim_look,
    .discard = sim_discard,
    .drop = sim_drop,
    .poison = sim_poison,
    .resident = sim_resident,
    .absent = sim_absent,
    .next_faults = sim_next_faults,
    .close = sim_close,
};
