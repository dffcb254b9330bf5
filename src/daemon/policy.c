/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/policy.h"
#include "pager/pager.h"

/*
 * What is kept for buffers and kept free holds no data, and every page less
 * there is a page fewer to read.
 *
 * Buffers: a sixty-fourth part, 1 to 16 MiB: room for a few streams of
 * 1 MiB windows, and for one window at the least budget.
 *
 * Low has to cover what the program takes while the page-out thread wakes and
 * its first write ends, a few milliseconds: 3 MiB at a GiB a second, more where
 * there is more memory and so, probably, a faster disk and more threads.
 *
 * The inactive queue is what tells used pages from unused ones: a page that is
 * touched there goes back to the active queue.  Every such touch costs a fault
 * without I/O, so it is kept to a small part.
 *
 * Frames are address space only: twice what could be used keeps runs long.
 */
void
policy_divide(uint32_t ram_pages, struct pager_params *p)
{
	KASSERT(ram_pages >= SHARE_PAGES_MIN && ram_pages <= RAM_PAGES_MAX,
	    "budget of %u pages", ram_pages);
	p->buffers = US_MIN(US_MAX(ram_pages / 64, CLUSTER_MAX), 4096);
	p->budget = ram_pages - p->buffers;
	p->frames = ram_pages * 2;
	p->free_low = US_MIN(US_MAX(p->budget / 64, 64), 768);
	p->free_low = US_MIN(US_MAX(p->free_low, p->budget / 256), 8192);
	p->free_high = p->free_low * 2;
	p->inactive_goal = p->budget / 32;
}

/*
 * A quarter: a child that reads what it was given, as most do, needs little, and
 * what the parent loses it has to page out.  Many children at once have ever less,
 * until there is no more to divide.
 */
uint32_t
policy_share(uint32_t ram_pages)
{
	uint32_t share = US_MAX(ram_pages / 4, SHARE_PAGES_MIN);

	return ram_pages >= share + SHARE_PAGES_MIN ? share : 0;
}

uint32_t
policy_window(uint32_t want, int64_t free_pages)
{
	int64_t most = US_MAX(free_pages / 2, 1);

	return (uint32_t)US_MAX(US_MIN((int64_t)want, most), 1);
}
