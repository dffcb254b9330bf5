/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pager: moves pages between memory and swap space.
 *
 * The operations are FreeBSD's: alloc, dealloc, getpages, putpages, haspage,
 * unswapped, freespace, reserve, copy.  Reads and writes are split in a start,
 * which hands a pgio to a block queue, and a completion, run by whoever reaps
 * the queue; between them nobody waits.
 *
 * What is in memory costs budget, one page each:
 *	a descriptor (mapped, held in a frame, or being read), and
 *	a loose frame: its page is gone or mapped again, its memory not yet
 *	given back.
 *
 * Locking: one lock, pager.lock, serialises all state of this room and of the
 * rooms below, except pages that are busy (see page.h) and requests in flight.
 * It is never held across a sleep other than pager_sleep, nor across pmap
 * calls other than pmap_wake, (pager_junk) pmap_discard, poisoning a lost page
 * once more, and those with which lib changes the program's mappings and our
 * record of them at once.
 */
#ifndef USWAP_PAGER_H
#define USWAP_PAGER_H

#include "base/clock.h"
#include "base/lock.h"
#include "page/frames.h"
#include "page/page.h"
#include "page/pmap.h"
#include "pager/ghosts.h"
#include "pager/map.h"
#include "pager/object.h"
#include "swap/swspace.h"

/* Results of getpages and putpages. */
enum pager_rv {
	PAGER_PEND, /* started: the completion will tell */
	PAGER_AGAIN, /* no memory or buffer for it now: try later */
	PAGER_FAIL, /* putpages: no swap space left */
};

/* Soft-faulted frames waiting to be given back together. */
#define JUNK_MAX 1024

/* The lock guards them all; the names are those of the public statistics. */
struct pager_counters {
	uint64_t faults, faults_zero, faults_soft, faults_disk;
	uint64_t pages_in, pages_ahead, pages_out, pages_zero;
	uint64_t clean_drops, zero_drops;
	uint64_t swap_reads, swap_writes, read_errors, write_errors;
	uint64_t waits_memory, wait_memory_ns, wait_read_ns;
	uint64_t over_budget, ram_peak, pages_moved;
	/* Pages of reads and writes begun, faults on pages on their way. */
	uint64_t v_swappgsin, v_swappgsout, v_intrans; /* FreeBSD's names */
};

struct pager_params {
	struct pmap *pmap;
	struct clock *clock;
	uint64_t total_pages; /* that may ever be touched: address space */
	/* What daemon/policy makes of the budget, in pages. */
	uint32_t budget; /* without the buffers */
	uint32_t buffers; /* read buffers (in frames) */
	uint32_t frames; /* out frames, which the pmap brings */
	uint32_t free_low, free_high, inactive_goal;
};

/* (C) constant after pager_init, (L) lock, (A) set before threads start. */
struct pager {
	struct mtx lock;
	struct cv unbusied; /* (L) */
	unsigned sleepers; /* (L) threads in pager_sleep */
	struct clock *clock; /* (C) */
	struct pmap *pmap; /* (C) */
	struct swspace space; /* (L) */
	struct objects objects; /* (L) */
	struct map map; /* (L) */
	struct pages pages; /* (L) */
	struct frames frames; /* (L) */
	uint32_t budget; /* (L) pages, buffers deducted */
	uint32_t resident; /* (L) descriptors in use */
	uint32_t loose; /* (L) loose frames */
	uint32_t wired; /* (L) pages with a wire count */
	/* Settings, which may change while all runs: see lib/settings.c. */
	uint32_t free_low; /* (L) page-out starts below ... */
	uint32_t free_high; /* (L) ... and stops above */
	uint32_t inactive_goal; /* (L) */
	struct ghosts ghosts; /* (L) */
	uint32_t read_window; /* (L) pages one read may bring, at most */
	uint32_t write_cluster; /* (L) pages one write may take, at most */
	uint32_t junk[JUNK_MAX]; /* (L) loose frames waiting for discard */
	uint32_t njunk; /* (L) */
	uint32_t careful; /* (L) writes left to do page by page */
	uint32_t moving; /* (L) new blocks of moves in flight: pager_off.h */
	bool grow; /* (L) swap space is full, or no page can leave: exceed the
		      budget */
	bool still; /* (L) see pager_still */
	bool said_tables; /* (L) that objects have no room for more leaves */
	struct pager_counters ctr; /* (L) */

	/*
	 * (A) The page-out thread's, 0 in simulation: its own faults, in
	 * pmap_remove, are on pages that it has made busy.
	 */
	pid_t pageout_tid;
	/* (A) How others hear of events; called with the lock held. */
	void (*need_pageout)(void *arg); /* free pages fell below free_low */
	void (*have_memory)(void *arg); /* a waiting fault may go on */
	void (*sleep)(struct pager *, void *arg); /* see pager_sleep */
	void *event_arg;
};

/* Pages, or read buffers, have become free.  Lock held. */
static inline void
pager_have_memory(const struct pager *pg)
{
	if (pg->have_memory != NULL)
		pg->have_memory(pg->event_arg);
}

/*
 * An inactive page was touched, or was not.  Of streams all tell, for when they leave hangs
 * on it as well; of the others those that could have been dropped.  Lock held.
 */
static inline void
pager_chance(struct pager *pg, const struct page *p, bool taken)
{
	if (p->flags & (PG_SEALED | PG_PASSED))
		ghosts_chance(&pg->ghosts, (p->flags & PG_PASSED) != 0, taken);
}

/* One read or write of up to CLUSTER_MAX pages.  Its owner's, in flight. */
struct pgio {
	struct blkreq req;
	struct pgio *next; /* owner's free list */
	struct object *object; /* reads: whose pages */
	pindex_t first; /* reads: the first page */
	uint32_t n;
	swblk_t blk;
	bool ahead; /* reads: nobody waits for it, as far as we know */
	bool write; /* reads: who waits for it will write */
	bool in_place; /* writes: over the page's own block */
	uint64_t started; /* clock, ns */
	uint32_t page[CLUSTER_MAX];
	uint32_t frame[CLUSTER_MAX]; /* reads: adjacent */
	uint64_t tag[CLUSTER_MAX]; /* what was written, or must come back */
	bool good[CLUSTER_MAX]; /* reads: verified */
	struct iovec iov[CLUSTER_MAX];
	int niov; /* writes; the request's own is the queue's, in flight */
};

/* ---- pager.c: life, pages, space ----------------------------------------- */

/* 0 or -ENOMEM.  The event functions are set afterwards, by the owner. */
int pager_init(struct pager *, const struct pager_params *);
/* No object may be left; closes swap devices, leaves the pmap. */
void pager_destroy(struct pager *);

/* Everything below: lock held, unless it says otherwise. */

/* Pages that may still be taken; <= 0 when the budget is used. */
int64_t pager_free(const struct pager *);
/* From now on memory may be more than the budget; who waits for some is told. */
void pager_grow(struct pager *);

/* A busy page in the slot of a page not in memory; NULL without memory. */
struct page *pager_page_new(struct pager *, struct object *, pindex_t);
/* The same for a page that is in memory already, whatever the budget says. */
struct page *pager_page_adopt(struct pager *, struct object *, pindex_t);
/*
 * Around the copying of n frames into the program: until they are discarded
 * they cost budget too.  False when so much is not free: wait.
 */
bool pager_copies_begin(struct pager *, uint32_t n);
void pager_copies_end(struct pager *, uint32_t n);
/*
 * Ends a busy page: its slot becomes `slot`, waiting faults try again, and
 * its frame, if any, becomes loose and is returned for pager_junk or a batch
 * of the caller's; FRAME_NONE otherwise.
 */
uint32_t pager_page_gone(struct pager *, struct page *, uint32_t slot);

/* Ends a page of the ahead queue: it costs nothing to read again. */
void pager_ahead_gone(struct pager *, struct page *);

/*
 * Wires an ACTIVE page that is not busy, once more: it does not leave, and no
 * access to it faults.  Fewer than WIRE_MAX times.
 */
void pager_wire(struct pager *, struct page *);

void pager_busy(struct pager *, struct page *);
/* Waiting faults try again, waiting calls look again. */
void pager_unbusy(struct pager *, struct page *);
/* Sets or clears PG_WRITING, counted as paging in progress. */
void pager_set_writing(struct pager *, struct page *, bool);
static inline struct object *
pager_object(const struct pager *pg, const struct page *p)
{
	return object_of(&pg->objects, p->object);
}
static inline uintptr_t
pager_va(const struct pager *pg, const struct page *p)
{
	return object_va(pager_object(pg, p), p->pindex);
}

/*
 * Adds a loose frame to the junk (FRAME_NONE: nothing to add).  A full list is
 * given back at once, with the lock held.
 */
void pager_junk(struct pager *, uint32_t frame);
/* Gives the junk back to the kernel; the lock is released meanwhile. */
void pager_sweep(struct pager *);
/*
 * Gives n <= JUNK_MAX loose frames back together, sorting them.  The lock is
 * released meanwhile.
 */
void pager_discard(struct pager *, uint32_t *frames, uint32_t n);

/*
 * Sleeps until some page was unbusied; the lock is released meanwhile, so
 * look at everything again.  In simulation it lets the others run.
 */
void pager_sleep(struct pager *);
/* The same, but for ms milliseconds at most. */
void pager_doze(struct pager *, unsigned ms);
/* Lets them look again, though no page was unbusied. */
void pager_wake(struct pager *);

/* Whether a page of [first, end) is busy or being written. */
bool pager_in_progress(
    const struct pager *, const struct object *, pindex_t first, pindex_t end);
/* Sleeps until no page of [first, end) is in progress. */
void pager_settle(
    struct pager *, const struct object *, pindex_t first, pindex_t end);

/* Faults on the object are answered again, and those that wait, made again. */
void pager_thaw(struct pager *, struct object *);

/* Verifies every module's invariants, and that they agree. */
void pager_check(struct pager *);

/*
 * While the program forks nothing is read ahead, windows are one page, and page-out
 * being stopped, pages that are needed at once are given beyond the budget.
 */
static inline void
pager_still(struct pager *pg, bool still)
{
	pg->still = still;
}
/* How many pages are worth bringing for a stream, if they can be had. */
static inline uint32_t
pager_run(const struct pager *pg, const struct stream *s)
{
	return pg->still ? 1 : stream_run(s);
}
/* Another budget from now on, with its marks: p as policy_divide leaves it. */
void pager_set_budget(struct pager *, const struct pager_params *p);
/*
 * Before a fork, with nothing in flight: no frame is loose, no buffer in use, so
 * that a copy of all this is whole.  The lock is released meanwhile.
 */
void pager_tidy(struct pager *);
/*
 * In the forked child, its only thread so far, without the lock, which is made
 * anew: nothing has been counted.  0 or -ENOMEM.
 */
int pager_forked(struct pager *, const struct pager_params *p);

/* ---- pager_space.c: objects and their blocks ----------------------------- */

/* A new object of npages at va.  NULL without memory. */
struct object *pager_alloc(struct pager *, uintptr_t va, pindex_t npages);
/* Waits for paging to end, frees all pages and blocks, and the object. */
void pager_dealloc(struct pager *, struct object *);

/*
 * Whether page i can be read from swap space; if so, how many neighbours on
 * either side are contiguous with it in the object and in swap and are not in
 * memory, at most as many as *before and *after held.
 */
bool pager_haspage(const struct pager *, const struct object *, pindex_t i,
    uint32_t *before, uint32_t *after);
/*
 * Whether page i has a block that it need not keep and that would be free then:
 * not one that a clone has too.
 */
bool pager_spares(const struct pager *, const struct object *, pindex_t i);
/* Frees the page's block, if any: the page in memory is the only copy now. */
void pager_unswapped(struct pager *, struct object *, pindex_t);
/* Frees the blocks of [first, end); pages in memory are not touched. */
void pager_freespace(
    struct pager *, struct object *, pindex_t first, pindex_t end);
/*
 * Forgets the contents of [first, end): pages, frames and blocks.  The range
 * must be settled; the program's own mappings are the caller's business.
 */
void pager_purge(struct pager *, struct object *, pindex_t first, pindex_t end);
/*
 * Moves pages and blocks of src from [first, first + n) to dst from page `to`
 * on, without I/O.  Both settled, dst empty there.  0, or -ENOMEM: some were
 * moved, and the call may be repeated.
 */
int pager_copy(struct pager *, struct object *src, pindex_t first,
    struct object *dst, pindex_t to, pindex_t n);
/*
 * pager_share(pg, src, i, dst, k): page k of dst, which has nothing, becomes what
 * page i of src is, without I/O: the block is shared.  Page i must be still: not
 * in memory, or there as its block has it.  0; -ENOMEM; -EMLINK the block has
 * too many owners.
 */
int pager_share(struct pager *, const struct object *src, pindex_t i,
    struct object *dst, pindex_t k);
/*
 * Frees up to `want` blocks whose page is in memory: a copy can be written
 * again, a page without space cannot leave.  Returns how many.  Blocks on a
 * closing device are not among them: freeing those gives nobody space.
 */
uint32_t pager_reclaim_blocks(struct pager *, uint32_t want);

/* ---- pager_range.c: ranges of addresses ---------------------------------- */

/*
 * Forgets the contents of the first part of [va, end) that is managed, in the
 * program too: it reads as zeros.  Returns where that part ends, for the next
 * call; end when there was none.  Sleeps for pages in progress, but between
 * the kernel's pages and our record of them the lock is not released: no fault
 * can be answered in the middle.  The map must not change meanwhile.
 */
uintptr_t pager_dontneed(struct pager *, uintptr_t va, uintptr_t end);
/*
 * Ends the management of whatever is managed in [start, end), contents and
 * all; pages in the program stay there, ordinary memory from now on.  The lock
 * is released meanwhile.  False: the map is full, and cutting an entry in two
 * would need one more; the parts before it are done.
 */
bool pager_forget(struct pager *, uintptr_t start, uintptr_t end);
/*
 * Sleeps until no page of [start, end) is in progress, whichever objects are
 * there.  True if the lock was released meanwhile.
 */
bool pager_settle_range(struct pager *, uintptr_t start, uintptr_t end);
/*
 * The program has another mapping now where [start, end) was: whatever was
 * managed there is gone, with its contents.  Settled, so that it does not
 * sleep; the map must have room for one entry more.
 */
void pager_replaced(struct pager *, uintptr_t start, uintptr_t end);
/*
 * Gives every page of [start, end) that has none a block of its own: 0; or
 * -ENOSPC, -ENOMEM (a part is not managed, or no memory) or -EBUSY (a block is
 * shared, so that nothing could be written over it), and nothing has changed.
 * From then on the objects in the range keep their blocks.
 */
int pager_reserve(struct pager *, uintptr_t start, uintptr_t end);

/* ---- pager_count.c ------------------------------------------------------- */

/* Pages and blocks of a range; the names are those of the public numbers. */
struct pager_count {
	uint64_t mapped, resident, wired, swapped, lost;
	uint64_t blocks, shared, reserved;
	uint64_t on[SWDEV_MAX]; /* blocks by device, in the space's order */
};

/* Adds [first, end).  It takes a few ns for each page ever touched. */
void pager_count(const struct pager *, const struct object *, pindex_t first,
    pindex_t end, struct pager_count *);

/* ---- pager_get.c --------------------------------------------------------- */

/*
 * Starts reading n pages from `first` on, which must be contiguous in swap and not in
 * memory, or fewer of them when buffers are short: some around page i, which is one of
 * the n.  io->first and io->n say which; when descriptors are short, too, i may be
 * missing.  PAGER_AGAIN: no page, buffer.
 */
enum pager_rv pager_getpages(struct pager *, struct blkq *, struct pgio *,
    struct object *, pindex_t first, uint32_t n, pindex_t i, bool ahead);
/*
 * The lock is not held.  Fills io->good: which pages came back as they went
 * out; counts errors.
 */
void pager_get_verify(struct pager *, struct pgio *);

/* ---- pager_put.c --------------------------------------------------------- */

/*
 * Starts writing pages from the head of the laundry, as one run of blocks.
 * Returns PAGER_FAIL when there is no space for even one.
 */
enum pager_rv pager_putpages(struct pager *, struct blkq *, struct pgio *);
/*
 * Notes the tags of what is being written; the lock is not held, for frames
 * do not change while they are written.  Between start and completion.  buf is
 * scratch memory, CLUSTER_MAX pages.
 */
void pager_put_tags(struct pager *, struct pgio *, void *buf);
/*
 * Completion: pages that were not touched meanwhile are gone; after an error
 * they are back in the laundry.  Stores the frames that became loose in
 * loose[CLUSTER_MAX] and returns their number.
 */
uint32_t pager_put_done(struct pager *, struct pgio *, uint32_t *loose);

#endif
