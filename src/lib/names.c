/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program names few regions, and opens them seldom: a list, searched from
 * one end to the other.
 */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "base/log.h"
#include "base/mem.h"
#include "lib/names.h"

int
names_init(struct names *s)
{
	s->n = 0;
	s->e = mem_map(USWAP_NAMES_MAX * sizeof(*s->e));
	return s->e == NULL ? -ENOMEM : 0;
}

void
names_destroy(struct names *s)
{
	if (s->e != NULL)
		mem_unmap(s->e, USWAP_NAMES_MAX * sizeof(*s->e));
	s->e = NULL;
}

struct named *
names_find(const struct names *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->e[i].name, name) == 0)
			return &s->e[i];
	return NULL;
}

bool
names_add(struct names *s, const char *name, uintptr_t addr, size_t len)
{
	struct named *d;

	if (s->n == USWAP_NAMES_MAX)
		return false;
	d = &s->e[s->n++];
	*d = (struct named){.addr = addr, .len = len, .refs = 1};
	strf(d->name, sizeof(d->name), "%s", name);
	return true;
}

void
names_remove(struct names *s, struct named *d)
{
	*d = s->e[--s->n];
}

const struct named *
names_overlap(const struct names *s, uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->e[i].addr < end && start < s->e[i].addr + s->e[i].len)
			return &s->e[i];
	return NULL;
}
