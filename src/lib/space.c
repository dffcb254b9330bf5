/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Swap space, wiring, reservation, residency and numbers: the calls that run
 * on the clerk and leave regions where they are.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "lib/config.h"
#include "lib/ctx.h"

/*
 * Files without a name are all called tmp: from the second on tmp2, tmp3, so
 * that each can be asked for.  Lock held.
 */
static void
name_apart(const struct swspace *s, struct blkdev *dev)
{
	char name[16];

	for (unsigned n = 2; swspace_find(s, blkdev_name(dev)) != NULL &&
			     strncmp(blkdev_name(dev), "tmp", 3) == 0;
	     n++)
		blkdev_rename(dev, strf(name, sizeof(name), "tmp%u", n));
}

/* Adds a device, which is the space's from now on; closes it on failure. */
static int
use_device(struct uswap *u, struct blkdev *dev, int prio, struct call *c)
{
	uint32_t pages = blkdev_pages(dev);
	char size[16];
	int error;

	mtx_lock(&u->pager.lock);
	name_apart(&u->pager.space, dev);
	error = swspace_on(&u->pager.space, dev, prio);
	/* What could not be written may be tried again. */
	if (error == 0) {
		u->pager.grow = false;
		u->pager.need_pageout(u);
	}
	mtx_unlock(&u->pager.lock);
	if (error == 0) {
		if (u->opt.flags & USWAP_VERBOSE)
			log_msg(LOG_NOTE, "swap on %s, %s, priority %d",
			    blkdev_name(dev), size_text(size, ptoa(pages)),
			    prio);
		return 0;
	}
	strf(c->text, sizeof(c->text), "%s cannot be used for swap: %s",
	    blkdev_name(dev), strerrorname_np(-error));
	blkdev_close(dev);
	return error;
}

/* ram_pages: for the size of a file of no given size. */
int
space_swapon(struct uswap *u, struct call *c, uint64_t ram_pages)
{
	struct blkdev *dev;
	char err[512];
	int prio, error;

	error =
	    config_open_spec(c->text, ram_pages, &dev, &prio, err, sizeof(err));
	if (error == 0 && u->swap_dir[0] == '\0')
		config_swap_dir(c->text, u->swap_dir, sizeof(u->swap_dir));
	if (error == 0)
		return use_device(u, dev, prio, c);
	strf(c->text, sizeof(c->text), "%s", err);
	return error;
}

int
do_swapon(struct uswap *u, struct call *c)
{
	return space_swapon(u, c, u->ram_pages);
}

int
do_swapon_opened(struct uswap *u, struct call *c)
{
	return use_device(u, (struct blkdev *)c->addr, (int)c->arg[0], c);
}

/* ---- wiring -------------------------------------------------------------- */

static uint32_t
slot_at(struct pager *pg, uintptr_t va)
{
	struct map_entry *e = map_lookup(&pg->map, va);

	return e == NULL ? SLOT_NONE
			 : object_slot(&pg->objects, e->object,
			       (pindex_t)atop(va - e->object->base));
}

static struct page *
page_at(struct pager *pg, uintptr_t va, bool *ret_lost)
{
	uint32_t slot = slot_at(pg, va);

	*ret_lost = slot == SLOT_LOST;
	return slot_is_page(slot) ? page_of(&pg->pages, slot) : NULL;
}

/*
 * Wires pages from the start of the range, as many as are in the program, and
 * says in out how many bytes: the caller touches the next one and comes back.
 * arg: 1 if the first page cannot be written to: if it is the shared page of
 * zeros, it has nothing that could be paged out, and is passed over.
 */
int
do_wire(struct uswap *u, struct call *c)
{
	struct pager *pg = &u->pager;
	bool lost = false;
	int error = 0;

	c->out = 0;
	mtx_lock(&pg->lock);
	for (; c->out < c->len; c->out += PAGE_SIZE) {
		struct page *p = page_at(pg, c->addr + c->out, &lost);

		if (map_lookup(&pg->map, c->addr + c->out) == NULL)
			error = -ENOMEM;
		else if (lost)
			error = -EIO;
		else if (c->out == 0 && c->arg[0] == 1 &&
			 slot_at(pg, c->addr) == SLOT_ZERO)
			continue;
		else if (p != NULL && p->wired == WIRE_MAX)
			error = -EAGAIN;
		else if (p != NULL && p->wired == 0 &&
			 pg->wired >= pg->budget / 2)
			error = -ENOMEM;
		if (error != 0 || p == NULL || p->state != PS_ACTIVE ||
		    (p->flags & PG_BUSY))
			break;
		pager_wire(pg, p);
	}
	mtx_unlock(&pg->lock);
	if (error == -EIO)
		strf(c->text, sizeof(c->text),
		    "a page of the range could not be read");
	else if (error == -EAGAIN)
		strf(c->text, sizeof(c->text),
		    "a page of the range is wired %d times already", WIRE_MAX);
	else if (error != 0)
		strf(c->text, sizeof(c->text),
		    "not managed memory, or more wired than half of the "
		    "budget");
	return error;
}

int
do_unwire(struct uswap *u, struct call *c)
{
	struct pager *pg = &u->pager;
	bool lost;

	mtx_lock(&pg->lock);
	for (uintptr_t va = c->addr; va < c->addr + c->len; va += PAGE_SIZE) {
		struct page *p = page_at(pg, va, &lost);

		if (p == NULL || p->wired == 0 || --p->wired > 0)
			continue;
		pg->wired--;
		if ((p->flags & PG_BUSY) == 0)
			page_enqueue(&pg->pages, p, PQ_ACTIVE);
	}
	mtx_unlock(&pg->lock);
	return 0;
}

/* ---- reservation, page-out ----------------------------------------------- */

int
do_reserve(struct uswap *u, struct call *c)
{
	int error;

	mtx_lock(&u->pager.lock);
	error = pager_reserve(&u->pager, c->addr, c->addr + c->len);
	mtx_unlock(&u->pager.lock);
	if (error != 0)
		strf(c->text, sizeof(c->text), "%s",
		    error == -ENOSPC  ? "swap space cannot hold the range"
		    : error == -EBUSY ? "a part is shared with a clone"
				      : "not managed memory, or no memory");
	return error;
}

/* Whether any page of the range waits to be written, and cannot be. */
static bool
waits_in_laundry(struct pager *pg, uintptr_t va, uintptr_t end)
{
	struct map_entry *e;

	for (; (e = map_first(&pg->map, va)) != NULL && e->start < end;
	     va = e->end) {
		const struct object *o = e->object;
		pindex_t i = (pindex_t)atop(US_MAX(va, e->start) - o->base);
		pindex_t last = (pindex_t)atop(US_MIN(end, e->end) - o->base);

		for (; object_next(&pg->objects, o, i, last, &i); i++) {
			uint32_t slot = object_slot(&pg->objects, o, i);

			if (slot_is_page(slot) &&
			    page_of(&pg->pages, slot)->queue == PQ_LAUNDRY)
				return true;
		}
	}
	return false;
}

int
do_pageout(struct uswap *u, struct call *c)
{
	struct ctx_job job = {
	    .fn = ctx_page_out, .start = c->addr, .end = c->addr + c->len};
	struct pager *pg = &u->pager;
	bool left;

	(void)ctx_pageout_do(u, &job);
	mtx_lock(&pg->lock);
	left = waits_in_laundry(pg, c->addr, c->addr + c->len);
	mtx_unlock(&pg->lock);
	if (!left)
		return 0;
	strf(c->text, sizeof(c->text), "swap space has no room for the range");
	return -ENOSPC;
}

/* ---- what is where ------------------------------------------------------- */

int
do_residency(struct uswap *u, struct call *c)
{
	struct pager *pg = &u->pager;
	int error = 0;

	mtx_lock(&pg->lock);
	for (size_t k = 0; k < c->len / PAGE_SIZE && error == 0; k++) {
		uintptr_t va = c->addr + k * PAGE_SIZE;
		struct map_entry *e = map_lookup(&pg->map, va);
		bool lost;
		struct page *p = page_at(pg, va, &lost);
		unsigned char *v = &c->vec[k];

		if (e == NULL) {
			error = -ENOMEM;
			break;
		}
		*v = 0;
		if (p != NULL && p->state != PS_READING)
			*v |= USWAP_RESIDENT;
		if (p != NULL && p->state == PS_ACTIVE)
			*v |= USWAP_MAPPED;
		if (swblk_valid(swmap_get(&e->object->swmap,
			(pindex_t)atop(va - e->object->base))))
			*v |= USWAP_SWAPPED;
		if (lost)
			*v |= USWAP_LOST;
	}
	mtx_unlock(&pg->lock);
	if (error != 0)
		strf(c->text, sizeof(c->text), "a part is not managed memory");
	return error;
}

static uint64_t
metadata_bytes(const struct pager *pg)
{
	const struct pool *pools[] = {&pg->objects.pool, &pg->objects.leaves,
	    &pg->objects.swleaves, &pg->pages.pool};
	uint64_t bytes = 0;

	/* What was ever touched stays touched. */
	for (unsigned i = 0; i < nitems(pools); i++)
		bytes += (uint64_t)pools[i]->warm * pools[i]->item;
	return bytes;
}

int
do_stats(struct uswap *u, struct call *c)
{
	struct pager *pg = &u->pager;
	const struct pager_counters *k = &pg->ctr;
	uint64_t buffers = pg->frames.n_in;

	kin_reap(u);
	mtx_lock(&pg->lock);
	c->stats = (struct uswap_stats){
	    .ram_budget = ptoa(u->ram_pages),
	    .ram_used = ptoa(pg->resident + pg->loose + buffers),
	    .ram_peak = ptoa(k->ram_peak + buffers),
	    .managed = ptoa(pg->map.pages),
	    .swap_total = ptoa(pg->space.total),
	    .swap_used = ptoa(swspace_used(&pg->space)),
	    .metadata = metadata_bytes(pg),
	    .pages_active =
		pg->pages.q[PQ_ACTIVE].count + pg->pages.q[PQ_STREAM].count,
	    .pages_inactive = pg->pages.q[PQ_INACTIVE].count +
			      pg->pages.q[PQ_LAUNDRY].count +
			      pg->pages.q[PQ_AHEAD].count,
	    .pages_wired = pg->wired,
	    .faults = k->faults,
	    .faults_zero = k->faults_zero,
	    .faults_soft = k->faults_soft,
	    .faults_disk = k->faults_disk,
	    .pages_in = k->pages_in,
	    .pages_ahead = k->pages_ahead,
	    .pages_out = k->pages_out,
	    .pages_zero = k->pages_zero,
	    .clean_drops = k->clean_drops,
	    .zero_drops = k->zero_drops,
	    .swap_reads = k->swap_reads,
	    .swap_writes = k->swap_writes,
	    .read_errors = k->read_errors,
	    .write_errors = k->write_errors,
	    .blocks_bad = pg->space.bad,
	    .waits_memory = k->waits_memory,
	    .wait_memory_ns = k->wait_memory_ns,
	    .wait_read_ns = k->wait_read_ns,
	    .over_budget = k->over_budget,
	    .v_swapin = k->swap_reads,
	    .v_swapout = k->swap_writes,
	    .v_swappgsin = k->v_swappgsin,
	    .v_swappgsout = k->v_swappgsout,
	    .v_intrans = k->v_intrans,
	    .pages_moved = k->pages_moved,
	    .transfers_slow = swspace_slow(&pg->space),
	    .children = u->kin.n,
	    .swap_held = ptoa(swspace_held(&pg->space)),
	};
	mtx_unlock(&pg->lock);
	return 0;
}
