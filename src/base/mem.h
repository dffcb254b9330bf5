/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem: memory of uswap's own, straight from the kernel.
 *
 * The C library's allocator belongs to the program and may live in managed
 * memory, so nothing below lib calls it.  These functions issue the system
 * calls themselves: the preloaded mmap() never sees them.
 */
#ifndef USWAP_MEM_H
#define USWAP_MEM_H

#include <stddef.h>
#include <stdint.h>

/*
 * mem_map(bytes): a zero-filled, page-aligned private mapping.  Costs address
 * space only until touched.  NULL when the kernel refuses.
 */
void *mem_map(size_t bytes);
void mem_unmap(void *, size_t bytes);
/* The same of an open file's first bytes, shared with whoever maps it, too. */
void *mem_map_shared(int fd, size_t bytes);

/*
 * A pool of equal items inside one lazily touched reservation.
 *
 * pool_init(pool, item, max, spare) reserves address space for max items of
 * `item` bytes (a multiple of 8) and keeps `spare` free ones touched in
 * advance, so that freeing memory never waits for memory.  0 or -ENOMEM.
 * pool_get returns a zeroed item, NULL when all max are in use.
 * pool_index/pool_item translate between an item and its number, 0..max-1.
 *
 * Not locked: the owner of the pool serialises.
 */
struct pool {
	char *base;
	void *free; /* items given back, linked through their first word */
	size_t item;
	uint32_t max;
	uint32_t fresh; /* items [fresh, max) were never handed out */
	uint32_t warm; /* items [0, warm) have been touched */
	uint32_t spare;
	uint32_t used;
};

int pool_init(struct pool *, size_t item, uint32_t max, uint32_t spare);
void pool_destroy(struct pool *);
void *pool_get(struct pool *);
void pool_put(struct pool *, void *);
/* How many more pool_get will give. */
static inline uint32_t
pool_left(const struct pool *p)
{
	return p->max - p->used;
}
static inline void *
pool_item(const struct pool *p, uint32_t i)
{
	return p->base + (size_t)i * p->item;
}
static inline uint32_t
pool_index(const struct pool *p, const void *item)
{
	return (uint32_t)((size_t)((const char *)item - p->base) / p->item);
}

#endif
