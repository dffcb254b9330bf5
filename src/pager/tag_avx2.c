/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled for CPUs that have AVX2 (meson.build), which the header looks at.  Nothing else
 * may be in here.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pager/tag.h"

uint64_t
tag_avx2(const void *page)
{
	return XXH3_64bits(page, PAGE_SIZE);
}
