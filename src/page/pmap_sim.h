/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap_sim: an address space made of memory and chance, in one thread.
 *
 * The simulated program has n_pages of managed addresses from SIMPMAP_BASE
 * on.  A test touches them with simpmap_touch, which answers like the MMU.
 */
#ifndef USWAP_PMAP_SIM_H
#define USWAP_PMAP_SIM_H

#include "page/pmap.h"

#define SIMPMAP_BASE ((uintptr_t)1 << 40)

struct simpmap_params {
	uint32_t n_pages;
	uint32_t n_frames;
	uint64_t seed;
	uint32_t
	    busy_in; /* one page in N refuses remove with -EBUSY; 0 never */
	/*
	 * Called when shared zeros are entered and not protected yet, and when it
	 * was seen that pages are sealed; or NULL.
	 */
	void (*gap)(uintptr_t va, uint32_t n);
};

int pmap_open_sim(const struct simpmap_params *, struct pmap **ret);

/*
 * One access.  Returns the page's memory when the access is allowed; NULL
 * when it faults: the fault is queued, once per page and kind until answered.
 * *ret_poisoned is set when the access would be SIGBUS.
 */
void *simpmap_touch(
    struct pmap *, uintptr_t va, bool write, bool *ret_poisoned);
/*
 * Whether a thread that made this kind of access still sleeps: it has neither
 * been answered nor woken since.
 */
bool simpmap_asleep(const struct pmap *, uintptr_t va, bool write);
/*
 * What mremap does: n pages of the program go to another place, which must be
 * empty and becomes managed; the old place is not managed any more.
 */
void simpmap_move(struct pmap *, uintptr_t from, uintptr_t to, uint32_t n);
/* How many pages of memory program and frames hold now, zero page excluded. */
uint32_t simpmap_memory(const struct pmap *);

#endif
