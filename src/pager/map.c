/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program has few regions (allocators take memory in large pieces), and
 * every fault looks one up: a sorted array with a binary search is the least
 * that serves.  Insertion moves the tail, which at some thousand entries is
 * still cheaper than the system call that caused it.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "pager/map.h"
#include "pager/object.h"

int
map_init(struct map *m)
{
	*m = (struct map){0};
	m->e = mem_map(MAP_ENTRIES_MAX * sizeof(*m->e));
	return m->e == NULL ? -ENOMEM : 0;
}

void
map_destroy(struct map *m)
{
	if (m->e != NULL)
		mem_unmap(m->e, MAP_ENTRIES_MAX * sizeof(*m->e));
	*m = (struct map){0};
}

/* Index of the first entry that ends above va; n if there is none. */
static uint32_t
search(const struct map *m, uintptr_t va)
{
	uint32_t lo = 0, hi = m->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->e[mid].end > va)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct map_entry *
map_first(const struct map *m, uintptr_t va)
{
	uint32_t i = search(m, va);

	return i < m->n ? &m->e[i] : NULL;
}

struct map_entry *
map_lookup(const struct map *m, uintptr_t va)
{
	struct map_entry *e = map_first(m, va);

	return e != NULL && e->start <= va ? e : NULL;
}

static bool
reaches(const struct object *o, uintptr_t start, uintptr_t end)
{
	return o->base <= start && end <= o->base + ptoa(o->npages);
}

struct object *
map_near(const struct map *m, uintptr_t start, uintptr_t end)
{
	uint32_t i = search(m, start);

	if (i < m->n && reaches(m->e[i].object, start, end))
		return m->e[i].object;
	if (i > 0 && reaches(m->e[i - 1].object, start, end))
		return m->e[i - 1].object;
	return NULL;
}

static void
make_room(struct map *m, uint32_t i)
{
	memmove(&m->e[i + 1], &m->e[i], (m->n - i) * sizeof(*m->e));
	m->n++;
}

static void
take_out(struct map *m, uint32_t i)
{
	m->e[i].object->mappings--;
	m->n--;
	memmove(&m->e[i], &m->e[i + 1], (m->n - i) * sizeof(*m->e));
}

/* Whether entry i shows the object up to va, or from va on. */
static bool
ends_at(const struct map *m, uint32_t i, uintptr_t va, const struct object *o)
{
	return m->e[i].object == o && m->e[i].end == va;
}

static bool
begins_at(const struct map *m, uint32_t i, uintptr_t va, const struct object *o)
{
	return i < m->n && m->e[i].object == o && m->e[i].start == va;
}

int
map_insert(struct map *m, uintptr_t start, uintptr_t end, struct object *o)
{
	uint32_t i = search(m, start);

	KASSERT(start < end && ((start | end) & PAGE_MASK) == 0, "bad range");
	if (i < m->n && m->e[i].start < end)
		return -EEXIST;
	if (i > 0 && ends_at(m, i - 1, start, o)) {
		m->e[--i].end = end;
		if (begins_at(m, i + 1, end, o)) {
			m->e[i].end = m->e[i + 1].end;
			take_out(m, i + 1);
		}
	} else if (begins_at(m, i, end, o)) {
		m->e[i].start = start;
	} else {
		if (m->n == MAP_ENTRIES_MAX)
			return -ENOSPC;
		make_room(m, i);
		m->e[i] = (struct map_entry){start, end, o};
		o->mappings++;
	}
	m->pages += atop(end - start);
	return 0;
}

bool
map_remove(struct map *m, uintptr_t start, uintptr_t end, struct map_entry *ret)
{
	uint32_t i = search(m, start);
	struct map_entry *e = &m->e[i];

	if (i == m->n || e->start >= end)
		return false;
	*ret = (struct map_entry){
	    US_MAX(start, e->start), US_MIN(end, e->end), e->object};
	if (ret->start > e->start && ret->end < e->end) {
		if (m->n == MAP_ENTRIES_MAX) {
			ret->object = NULL;
			return true;
		}
		make_room(m, i);
		m->e[i].end = ret->start;
		m->e[i + 1].start = ret->end;
		ret->object->mappings++;
	} else if (ret->start > e->start) {
		e->end = ret->start;
	} else if (ret->end < e->end) {
		e->start = ret->end;
	} else {
		take_out(m, i);
	}
	m->pages -= atop(ret->end - ret->start);
	return true;
}

int
map_extend(struct map *m, struct map_entry *e, uintptr_t end)
{
	uint32_t i = (uint32_t)(e - m->e);

	KASSERT(i < m->n && end >= e->end, "map_extend only extends");
	if (i + 1 < m->n && m->e[i + 1].start < end)
		return -EEXIST;
	m->pages += atop(end - e->end);
	e->end = end;
	return 0;
}

void
map_check(const struct map *m)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct map_entry *e = &m->e[i];

		KASSERT(e->start < e->end, "empty entry");
		KASSERT(i == 0 || m->e[i - 1].end <= e->start, "overlap");
		KASSERT(e->start >= e->object->base &&
			    e->end <= e->object->base + ptoa(e->object->npages),
		    "entry outside its object");
		KASSERT(e->object->mappings > 0, "object not mapped");
		pages += atop(e->end - e->start);
	}
	KASSERT(pages == m->pages, "pages counted wrong");
}
