/* SPDX-License-Identifier: BSD-2-Clause */
/* pieces: see pieces.h. */
#include "preload/pieces.h"

#include <errno.h>

#include "preload/preload.h"

struct piece
piece_at(uintptr_t a, uintptr_t end)
{
	const struct range *e = ranges_at(&preload.ranges, a);
	struct piece p = {a, end, false, 0};

	if (e == NULL || e->start >= end)
		return p;
	p.managed = e->start <= a && (e->flags & RANGE_YOUNG) == 0;
	p.flags = e->flags;
	p.end = e->start <= a ? e->end : e->start;
	if (p.end > end)
		p.end = end;
	return p;
}

struct piece
look_at(uintptr_t a, uintptr_t end)
{
	struct guard g;
	struct piece p;

	preload_lock(&g);
	p = piece_at(a, end);
	preload_unlock(&g);
	return p;
}

bool
tracked_span(const void *addr, size_t len, uintptr_t *start, uintptr_t *end)
{
	uintptr_t a = (uintptr_t)addr;

	if (len == 0 || len > UINTPTR_MAX - a - PAGE)
		return false;
	*start = a & ~(PAGE - 1);
	*end = page_end(a, len);
	/* What stays young because that fails is the kernel's for now. */
	if (preload.state == ACTIVE)
		(void)preload_settle_range(*start, *end);
	return ranges_any(&preload.ranges, *start, *end);
}

bool
managed_span(const void *addr, size_t len, uintptr_t *start, uintptr_t *end)
{
	return preload.state == ACTIVE && tracked_span(addr, len, start, end);
}

int
to_kernel(long result)
{
	return result == 0 ? 0 : -errno;
}
