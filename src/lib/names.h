/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names: the named regions, which several callers share: see uswap_map_named.
 *
 * FreeBSD's list of named objects with its lock: here the clerk is the lock.
 * Two callers of one name, whoever is first, execute one after the other, and
 * nobody sees a region that has a name but no pages yet, or the reverse.
 *
 * Context: the clerk only.
 */
#ifndef USWAP_NAMES_H
#define USWAP_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uswap.h"

struct named {
	char name[USWAP_NAME_MAX];
	uintptr_t addr; /* the region, as long as it has a reference */
	size_t len;
	uint64_t refs; /* > 0 */
};

struct names {
	struct named *e; /* USWAP_NAMES_MAX of address space; n in use */
	unsigned n;
};

int names_init(struct names *); /* 0 or -ENOMEM */
void names_destroy(struct names *);

/* NULL: nothing has that name. */
struct named *names_find(const struct names *, const char *name);
/* A name that nothing has, with one reference.  False: there are too many. */
bool names_add(struct names *, const char *name, uintptr_t addr, size_t len);
void names_remove(struct names *, struct named *);
/* A named region of which [start, end) is a part, or NULL. */
const struct named *names_overlap(
    const struct names *, uintptr_t start, uintptr_t end);

#endif
