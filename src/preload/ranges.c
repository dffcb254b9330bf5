/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges: see ranges.h.
 *
 * Every change is the same act: cut a hole [start, end) into the table, put at
 * most one range into the hole, and join what now touches.  An array is right
 * here: the kernel limits a process to some 65000 mappings, neighbours are
 * joined, and a change costs a move of the tail beside a system call that
 * costs more.
 */
#include "preload/ranges.h"

#include <string.h>
#include <sys/mman.h>

#include "preload/raw.h"

void
ranges_clear(struct ranges *r)
{
	r->n = 0;
	r->writable = r->young = 0;
}

bool
ranges_reserve(struct ranges *r, size_t changes)
{
	size_t cap = r->cap;
	struct range *v;

	while (cap < r->n + 2 * changes)
		cap *= 2;
	if (cap == r->cap)
		return true;
	v = raw_mmap(NULL, cap * sizeof(*v), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v == MAP_FAILED)
		return false;
	memcpy(v, r->v, r->n * sizeof(*v));
	if (r->v != r->own)
		raw_munmap(r->v, r->cap * sizeof(*v));
	r->v = v;
	r->cap = cap;
	return true;
}

/* The index of the first range that ends after addr, n when none does. */
static size_t
find(const struct ranges *r, uintptr_t addr)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->v[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void
count(struct ranges *r, const struct range *e, int sign)
{
	uint64_t bytes = (uint64_t)sign * (e->end - e->start);

	if (e->flags & RANGE_WRITE)
		r->writable += bytes;
	if (e->flags & RANGE_YOUNG)
		r->young += bytes;
}

/* Replaces v[i..j) by the k ranges of new[], moving the tail. */
static void
splice(struct ranges *r, size_t i, size_t j, const struct range *new, size_t k)
{
	size_t x;

	for (x = i; x < j; x++)
		count(r, &r->v[x], -1);
	memmove(&r->v[i + k], &r->v[j], (r->n - j) * sizeof(*new));
	r->n = r->n - (j - i) + k;
	for (x = 0; x < k; x++) {
		r->v[i + x] = new[x];
		count(r, &new[x], 1);
	}
}

/* Appends to new[] unless empty, joining with its last element if equal. */
static size_t
push(struct range *new, size_t k, struct range e)
{
	if (e.start >= e.end)
		return k;
	if (k > 0 && new[k - 1].end == e.start &&new[k - 1].flags == e.flags) {
		new[k - 1].end = e.end;
		return k;
	}
	new[k] = e;
	return k + 1;
}

/*
 * Cuts [start, end) out and puts the range `in` there (empty: nothing).  The
 * ranges taken out are those that overlap the hole or touch it; of these only
 * the first can reach out of the hole on the left, only the last on the right.
 */
static void
replace(struct ranges *r, uintptr_t start, uintptr_t end, struct range in)
{
	size_t i = find(r, start), j, k = 0;
	struct range new[4];

	if (i > 0 && r->v[i - 1].end == start)
		i--;
	for (j = i; j < r->n && r->v[j].start <= end; j++)
		;
	if (i < j) {
		struct range left = r->v[i];

		left.end = left.end < start ? left.end : start;
		k = push(new, k, left);
	}
	k = push(new, k, in);
	if (i < j) {
		struct range right = r->v[j - 1];

		right.start = right.start > end ? right.start : end;
		k = push(new, k, right);
	}
	splice(r, i, j, new, k);
}

void
ranges_add(struct ranges *r, uintptr_t start, uintptr_t end, unsigned flags)
{
	if (start < end)
		replace(r, start, end, (struct range){start, end, flags});
}

void
ranges_remove(struct ranges *r, uintptr_t start, uintptr_t end)
{
	if (start < end)
		replace(r, start, end, (struct range){start, start, 0});
}

/*
 * Piece by piece: every piece either is a whole range (its number does not
 * grow) or ends at start or end, and there are two of those.
 */
void
ranges_flag(struct ranges *r, uintptr_t start, uintptr_t end, unsigned set,
    unsigned clear)
{
	const struct range *e;

	while (start < end && (e = ranges_at(r, start)) != NULL &&
	       e->start < end) {
		uintptr_t from = e->start > start ? e->start : start;
		uintptr_t to = e->end < end ? e->end : end;
		unsigned flags = (e->flags | set) & ~clear;

		if (flags != e->flags)
			ranges_add(r, from, to, flags);
		start = to;
	}
}

/* A move that overlaps its source is refused by the kernel. */
void
ranges_move(struct ranges *r, uintptr_t old, size_t old_len, uintptr_t new,
    size_t new_len, bool keep)
{
	uintptr_t a = old, old_end = old + old_len;
	unsigned flags = 0;
	bool whole = false; /* the last byte of the old range is in the table */
	const struct range *e;

	if (new != old)
		ranges_remove(r, new, new + new_len);
	while (a < old_end && (e = ranges_at(r, a)) != NULL &&
	       e->start < old_end) {
		uintptr_t from = e->start > a ? e->start : a;
		uintptr_t to = e->end < old_end ? e->end : old_end;

		flags = e->flags;
		whole = to == old_end;
		a = to;
		if (to > old + new_len)
			to = old + new_len;
		if (new != old && from < to)
			ranges_add(r, from - old + new, to - old + new, flags);
	}
	if (new != old && !keep)
		ranges_remove(r, old, old_end);
	else if (new == old && new_len < old_len)
		ranges_remove(r, old + new_len, old_end);
	if (new_len > old_len && whole)
		ranges_add(r, new + old_len, new + new_len, flags);
}

size_t
ranges_pieces(const struct ranges *r, uintptr_t start, uintptr_t end)
{
	size_t i, first = find(r, start);

	for (i = first; i < r->n && r->v[i].start < end; i++)
		;
	return start < end ? i - first : 0;
}

const struct range *
ranges_at(const struct ranges *r, uintptr_t addr)
{
	size_t i = find(r, addr);

	return i < r->n ? &r->v[i] : NULL;
}

bool
ranges_any(const struct ranges *r, uintptr_t start, uintptr_t end)
{
	const struct range *e = ranges_at(r, start);

	return e != NULL && start < end && e->start < end;
}

bool
ranges_all(const struct ranges *r, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		const struct range *e = ranges_at(r, start);

		if (e == NULL || e->start > start)
			return false;
		start = e->end;
	}
	return true;
}

bool
ranges_age(const struct ranges *r, uintptr_t start, uintptr_t end, bool young)
{
	const struct range *e;

	for (;
	     start < end && (e = ranges_at(r, start)) != NULL && e->start < end;
	     start = e->end)
		if (((e->flags & RANGE_YOUNG) != 0) == young)
			return true;
	return false;
}

bool
ranges_check(const struct ranges *r)
{
	uint64_t writable = 0, young = 0;
	size_t i;

	for (i = 0; i < r->n; i++) {
		const struct range *e = &r->v[i];

		if (e->start >= e->end)
			return false;
		if (i > 0 && e[-1].end > e->start)
			return false;
		if (i > 0 && e[-1].end == e->start && e[-1].flags == e->flags)
			return false;
		if (e->flags & RANGE_WRITE)
			writable += e->end - e->start;
		if (e->flags & RANGE_YOUNG)
			young += e->end - e->start;
	}
	return writable == r->writable && young == r->young && r->n <= r->cap &&
	       (r->v == r->own) == (r->cap == RANGES_OWN);
}
