/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem: mappings and pools, past the C library's allocator.
 *
 * syscall(2) is used rather than mmap(3) because under `uswap run` mmap is
 * ours and would register the mapping as managed memory: the pager would then
 * page out its own tables.  MAP_NORESERVE because reservations are sized for
 * the largest case and mostly stay untouched.
 *
 * A pool hands out items given back before fresh ones: those are touched
 * already, and the fewer items were ever used, the less memory is taken.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/mem.h"

/*
 * The thread sanitizer must see memory come and go: else it takes what two
 * owners did with one address, one after the other, for a race.
 */
#ifdef __SANITIZE_THREAD__
#define raw_map(bytes, prot, flags) (long)mmap(NULL, bytes, prot, flags, -1, 0)
#define raw_unmap(p, bytes)         munmap(p, bytes)
#else
#define raw_map(bytes, prot, flags)                                            \
	syscall(SYS_mmap, NULL, bytes, prot, flags, -1, 0L)
#define raw_unmap(p, bytes) syscall(SYS_munmap, p, bytes)
#endif

void *
mem_map(size_t bytes)
{
	long rv;

	KASSERT(bytes > 0, "mapping nothing");
	rv = raw_map(bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	return rv == -1 ? NULL : (void *)rv;
}

void *
mem_map_shared(int fd, size_t bytes)
{
	long rv = syscall(
	    SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);

	return rv == -1 ? NULL : (void *)rv;
}

void
mem_unmap(void *p, size_t bytes)
{
	long rv;

	KASSERT(((uintptr_t)p & PAGE_MASK) == 0, "unmapping %p", p);
	rv = raw_unmap(p, bytes);
	KASSERT(
	    rv == 0, "munmap of %zu bytes at %p: errno %d", bytes, p, errno);
}

/*
 * Touches an item that was never handed out: its first byte and each page
 * that begins inside it.  A store, since a load would map the zero page; to
 * bytes of this item only, since its neighbour may be in use.
 */
static void
touch(struct pool *p, uint32_t i)
{
	uintptr_t a = (uintptr_t)pool_item(p, i), end = a + p->item;

	for (; a < end; a = trunc_page(a) + PAGE_SIZE)
		*(volatile char *)a = 0;
}

/*
 * Keeps [used + spare] items touched, as far as there are that many.  Of the
 * `warm` touched ones `used` are out; the rest are on the free list or the
 * first fresh ones, and pool_get takes them in that order.
 */
static void
warm_up(struct pool *p)
{
	uint32_t want = (uint32_t)US_MIN((uint64_t)p->used + p->spare, p->max);

	while (p->warm < want)
		touch(p, p->warm++);
}

int
pool_init(struct pool *p, size_t item, uint32_t max, uint32_t spare)
{
	size_t bytes;

	KASSERT(item >= sizeof(void *) && item % 8 == 0 && max > 0,
	    "a pool of %u items of %zu bytes", max, item);
	memset(p, 0, sizeof(*p));
	if (__builtin_mul_overflow(item, (size_t)max, &bytes))
		return -ENOMEM;
	p->base = mem_map(bytes);
	if (p->base == NULL)
		return -ENOMEM;
	p->item = item;
	p->max = max;
	p->spare = spare;
	warm_up(p);
	return 0;
}

void
pool_destroy(struct pool *p)
{
	if (p->base == NULL)
		return;
	mem_unmap(p->base, p->item * p->max);
	memset(p, 0, sizeof(*p));
}

void *
pool_get(struct pool *p)
{
	void *item = p->free;

	if (item != NULL) {
		memcpy(&p->free, item, sizeof(p->free));
		memset(item, 0, p->item);
	} else if (p->fresh < p->max) {
		item = pool_item(p, p->fresh++);
	} else {
		return NULL;
	}
	p->used++;
	warm_up(p);
	return item;
}

void
pool_put(struct pool *p, void *item)
{
	uint32_t i = pool_index(p, item);

	KASSERT(
	    (char *)item >= p->base && i < p->fresh && pool_item(p, i) == item,
	    "%p is no item of this pool", item);
	KASSERT(p->used > 0, "more items given back than taken");
	memcpy(item, &p->free, sizeof(p->free));
	p->free = item;
	p->used--;
}
