/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that were read and only read: nothing has to be moved, and nothing looked
 * at.  What a stream has read is dropped; what was read alone goes to its frame first,
 * where it may be touched again.
 */
#include <string.h>

#include "daemon/batch.h"

/*
 * Whether the page's block holds what was read from it.  A block that it was given
 * since then has a tag that nothing has: see assign() in pager_range.c.
 */
bool
batch_may_drop(const struct pager *pg, const struct page *p)
{
	const struct object *o = pager_object(pg, p);

	return (p->flags & PG_SEALED) != 0 &&
	       swblk_valid(swmap_get(&o->swmap, p->pindex)) &&
	       object_tag(&pg->objects, o, p->pindex) != 0;
}

/* From i on, adjacent in the program. */
static uint32_t
sealed_run(const struct batch *b, uint32_t i)
{
	uint32_t n = 0;

	while (i + n < b->n && b->order[i + n].key == b->order[i].key + n &&
	       b->has_block[i + n])
		n++;
	return n;
}

/* The lock is not held.  Whoever writes meanwhile waits, for the page is busy. */
static bool
drop_sealed(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	bool any = false;

	for (uint32_t i = 0, n, sealed; i < b->n; i += US_MAX(n, 1)) {
		uintptr_t va = pager_va(pg, batch_page(po, i));

		n = sealed_run(b, i);
		sealed = n == 0 ? 0 : pmap_sealed(pg->pmap, va, n);
		/* Should a part be unmapped by now, the rest is gone all the same. */
		if (sealed > 0)
			(void)pmap_drop(pg->pmap, va, sealed);
		for (uint32_t k = 0; k < US_MAX(n, 1); k++)
			b->fate[i + k] = k < sealed ? CLEAN : STAYS;
		any |= sealed > 0;
	}
	return any;
}

/* Whether some were read and only read; has_block says which.  Lock held. */
bool
batch_mark_sealed(struct pageout *po)
{
	struct batch *b = po->batch;
	bool any = false;

	for (uint32_t i = 0; i < b->n; i++)
		any |= b->has_block[i] =
		    po->pg->pmap->seals &&
		    batch_may_drop(po->pg, batch_page(po, i));
	return any;
}

/*
 * Those that are marked are dropped at once; the others stay in the batch, and none
 * is marked then.  Returns how many are gone.  Lock held, and released meanwhile.
 */
uint32_t
batch_drop_sealed(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	uint32_t kept = 0, gone;
	bool any;

	mtx_unlock(&pg->lock);
	any = drop_sealed(po);
	mtx_lock(&pg->lock);
	memset(b->has_block, 0, sizeof(b->has_block));
	if (!any)
		return 0;
	for (uint32_t i = 0; i < b->n; i++) {
		struct page *p = batch_page(po, i);

		if (b->fate[i] != CLEAN) {
			b->order[kept++] = b->order[i];
			continue;
		}
		object_rewritten(pager_object(pg, p), -1);
		(void)pager_page_gone(pg, p, SLOT_NONE);
	}
	gone = b->n - kept;
	pg->ctr.clean_drops += gone;
	b->n = kept;
	return gone;
}

/*
 * The frames of those that are marked hold memory beside the pages for a moment: so
 * many as may be, the others are not marked any more.  Lock held.
 */
uint32_t
batch_shelve_begin(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	int64_t room = US_MAX(pager_free(pg), 0);
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		n += b->has_block[i] = b->has_block[i] && n < room;
	if (!pager_copies_begin(pg, n))
		KASSERT(false, "%u pages were free", n);
	return n;
}

/*
 * Copies n adjacent pages from i on to their frames, those that are still sealed:
 * how many.  They are to be dropped, by run `at`.  The lock is not held.
 */
uint32_t
batch_shelve(struct pageout *po, uint32_t i, uint32_t n, uint32_t at)
{
	struct batch *b = po->batch;
	struct pmap *pm = po->pg->pmap;
	uintptr_t va = pager_va(po->pg, batch_page(po, i));
	char *frame = frame_addr(&po->pg->frames, b->frame[i]);
	uint32_t done = pmap_copy(pm, va, frame, n), sealed;
	struct iovec rest;

	sealed = done == 0 ? 0 : pmap_sealed(pm, va, done);
	rest = (struct iovec){frame + ptoa(sealed), ptoa(done - sealed)};
	if (sealed < done)
		pmap_discard(pm, &rest, 1);
	b->run[at] = (struct iovec){(void *)va, ptoa(sealed)};
	for (uint32_t k = 0; k < n; k++)
		b->fate[i + k] = k < sealed ? COPIED : STAYS;
	return sealed;
}
