/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sort: ascending order in place, without memory.  (The C library's qsort
 * may allocate.)
 */
#ifndef USWAP_SORT_H
#define USWAP_SORT_H

#include <stdint.h>

void sort_u32(uint32_t *, uint32_t n);

/* By key; the value goes along. */
struct keyed {
	uint64_t key;
	uint32_t value;
};
void sort_keyed(struct keyed *, uint32_t n);

#endif
