/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tag: what is remembered of a page that went out, and whether it need go at all.
 *
 * Context: any; no lock, no memory but the page.  Pages are aligned to PAGE_SIZE.
 */
#ifndef USWAP_TAG_H
#define USWAP_TAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* The content tag. */
uint64_t pager_tag(const void *page);
/* The same, on x86-64, by a CPU that has AVX2. */
uint64_t tag_avx2(const void *page);

bool pager_page_is_zero(const void *page);

#endif
