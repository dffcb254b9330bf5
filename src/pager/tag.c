/* SPDX-License-Identifier: BSD-2-Clause */
#define XXH_INLINE_ALL
#include <string.h>
#include <xxhash.h>

#include "pager/tag.h"

/*
 * 64 bits of XXH3: a page that comes back different, or that was changed in
 * memory, passes for the one remembered once in 2^64.  The tag is kept in
 * memory under the page's object and index, so a block that holds another
 * page's contents, or an older version of this one's, does not match either.
 *
 * In streams it is a good part of the work, and a third of that where the CPU has
 * registers of 256 bits.
 */
uint64_t
pager_tag(const void *page)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return tag_avx2(page);
#endif
	return XXH3_64bits(page, PAGE_SIZE);
}

/* memcmp with itself, one word on: as fast as memcmp, and it stops early. */
bool
pager_page_is_zero(const void *page)
{
	const uint64_t *w = page;

	return w[0] == 0 && memcmp(w, w + 1, PAGE_SIZE - sizeof(*w)) == 0;
}
