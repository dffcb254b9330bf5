/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map: which object is behind which address of the program.
 *
 * A sorted table of entries that do not overlap.  An entry shows a part of an
 * object at its own address (va - object->base is the place in it), so
 * cutting an entry in two needs nothing else.  What no entry shows of an object
 * has neither page nor block.
 *
 * Context: the pager's lock.  map_insert may need memory for the table: it is
 * address space reserved at init.
 */
#ifndef USWAP_MAP_H
#define USWAP_MAP_H

#include "base/base.h"

/* Entries at most; the kernel's own limit of mappings is 65 530. */
#define MAP_ENTRIES_MAX (1u << 17)

struct object;

struct map_entry {
	uintptr_t start; /* page-aligned; start < end */
	uintptr_t end;
	struct object *object;
};

struct map {
	struct map_entry *e; /* e[0 .. n-1], ascending */
	uint32_t n;
	uint64_t pages; /* in all entries */
};

int map_init(struct map *); /* 0 or -ENOMEM */
void map_destroy(struct map *);

/* The entry that holds va, or NULL.  Valid until the map changes. */
struct map_entry *map_lookup(const struct map *, uintptr_t va);
/* The first entry that ends above va, or NULL. */
struct map_entry *map_first(const struct map *, uintptr_t va);

/*
 * An object shown near [start, end), which is free, whose pages reach over all of
 * it: the range can show them, too.  NULL if neither neighbour has one.
 */
struct object *map_near(const struct map *, uintptr_t start, uintptr_t end);

/*
 * -EEXIST overlap, -ENOSPC table full.  Joined with entries of the same object that
 * it touches; counts a mapping of the object otherwise.
 */
int map_insert(struct map *, uintptr_t start, uintptr_t end, struct object *);
/* Whether so many cuts or insertions cannot fail. */
static inline bool
map_room(const struct map *m, uint32_t n)
{
	return n <= MAP_ENTRIES_MAX - m->n;
}
/*
 * Takes [start, end) out of the first entry it overlaps, cutting it if need
 * be.  Returns false when nothing overlaps; else *ret is the part taken out,
 * whose object has lost a mapping if it was the whole entry (and gained one
 * if it was the middle).  -ENOSPC cannot happen to a cut at an edge; a cut in
 * the middle of a full table is refused: ret->object is NULL then.
 */
bool map_remove(
    struct map *, uintptr_t start, uintptr_t end, struct map_entry *ret);
/* Moves the end of an entry up.  -EEXIST when something is there. */
int map_extend(struct map *, struct map_entry *, uintptr_t end);

void map_check(const struct map *);

#endif
