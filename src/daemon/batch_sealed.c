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
 * many as may be, the others are not marked any more.  Faults want some, too.  Lock
 * held.
 */
uint32_t
batch_shelve_begin(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pager *pg = po->pg;
	int64_t room = US_MAX(pager_free(pg), 0) / 2;
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		n += b->has_block[i] = b->has_block[i] && n < room;
	if (!pager_copies_begin(pg, n))
		KASSERT(false, "%u pages were free", n);
	return n;
}

/* The frames have the memory now, and the pages none.  Lock held. */
void
batch_shelve_end(struct pageout *po, uint32_t n)
{
	struct pager *pg = po->pg;

	pager_copies_end(pg, n);
	if (n > 0 && pg->have_memory != NULL)
		pg->have_memory(pg->event_arg);
}

/*
 * Copies n adjacent pages that are marked to their frames, from i on: how many.  The
 * next one is not marked any more.  The lock is not held.
 */
uint32_t
batch_shelve(struct pageout *po, uint32_t i, uint32_t n)
{
	struct batch *b = po->batch;
	struct pmap *pm = po->pg->pmap;
	uintptr_t va = pager_va(po->pg, batch_page(po, i));
	uint32_t done = pmap_sealed(pm, va, n);

	/* Not what would be copied in vain, or would fault. */
	if (done > 0)
		done = pmap_copy(
		    pm, va, frame_addr(&po->pg->frames, b->frame[i]), done);
	for (uint32_t k = 0; k < done; k++)
		b->fate[i + k] = COPIED;
	if (done < n)
		b->has_block[i + done] = false;
	return done;
}

/* How many from i on were copied and are adjacent in the program. */
static uint32_t
shelved_run(const struct batch *b, uint32_t i)
{
	uint32_t n = 0;

	while (i + n < b->n && b->fate[i + n] == COPIED &&
	       b->order[i + n].key == b->order[i].key + n)
		n++;
	return n;
}

/*
 * Drops what was copied, if it is sealed still, and so was when it was copied.  The
 * look comes last, so that nothing else can be there by the time of the drop.  The
 * lock is not held.
 */
void
batch_drop_shelved(struct pageout *po)
{
	struct batch *b = po->batch;
	struct pmap *pm = po->pg->pmap;
	struct iovec frame = {.iov_len = PAGE_SIZE};
	uint32_t runs = 0;

	for (uint32_t i = 0, n, sealed; i < b->n; i += US_MAX(sealed, 1)) {
		uintptr_t va = pager_va(po->pg, batch_page(po, i));

		n = shelved_run(b, i);
		sealed = n == 0 ? 0 : pmap_sealed(pm, va, n);
		if (sealed > 0) {
			b->run[runs++] =
			    (struct iovec){(void *)va, ptoa(sealed)};
		} else if (n > 0) {
			frame.iov_base =
			    frame_addr(&po->pg->frames, b->frame[i]);
			pmap_discard(pm, &frame, 1);
			b->fate[i] = STAYS;
		}
	}
	pmap_drop_runs(pm, b->run, runs);
}
