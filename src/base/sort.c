/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell sort: what is sorted here are some hundred entries, often nearly in
 * order, where it makes one cheap pass.
 */
#include "base/base.h"
#include "base/sort.h"

static const uint32_t gaps[] = {301, 132, 57, 23, 10, 4, 1};

void
sort_u32(uint32_t *a, uint32_t n)
{
	for (unsigned g = 0; g < nitems(gaps); g++) {
		uint32_t gap = gaps[g];

		for (uint32_t i = gap; i < n; i++) {
			uint32_t x = a[i], j = i;

			for (; j >= gap && a[j - gap] > x; j -= gap)
				a[j] = a[j - gap];
			a[j] = x;
		}
	}
}

void
sort_keyed(struct keyed *a, uint32_t n)
{
	for (unsigned g = 0; g < nitems(gaps); g++) {
		uint32_t gap = gaps[g];

		for (uint32_t i = gap; i < n; i++) {
			struct keyed x = a[i];
			uint32_t j = i;

			for (; j >= gap && a[j - gap].key > x.key; j -= gap)
				a[j] = a[j - gap];
			a[j] = x;
		}
	}
}
