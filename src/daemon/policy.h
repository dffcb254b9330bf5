/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy: how much, how many, how far; arithmetic without state.
 */
#ifndef USWAP_POLICY_H
#define USWAP_POLICY_H

#include "base/base.h"

struct pager_params;

/* The least budget that is worth a pager, 16 MiB, and the largest. */
#define RAM_PAGES_MIN 4096
/* The least that a forked child has, and leaves its parent: 4 MiB. */
#define SHARE_PAGES_MIN 1024
#define RAM_PAGES_MAX   (UINT32_C(1) << 29)

/* Divides a budget of ram_pages: fills in what pager_params names. */
void policy_divide(uint32_t ram_pages, struct pager_params *);
/*
 * What a process with a budget of ram_pages gives to a child that it forks, so
 * that the two have no more than the one had; 0: it has too little for two.
 */
uint32_t policy_share(uint32_t ram_pages);
/*
 * How many pages a fault may bring of the `want` that its stream suggests: at
 * least 1, and never more than half of what is free.
 */
uint32_t policy_window(uint32_t want, int64_t free_pages);

#endif
