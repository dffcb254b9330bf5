/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config: what people and programs ask for, turned into what can be opened.
 */
#ifndef USWAP_CONFIG_H
#define USWAP_CONFIG_H

#include "block/block.h"

/*
 * Opens the swap device a spec names (see uswap_swapon).  ram_pages: for the
 * size of a "tmp" file without one.  0 or -errno with a sentence in err.
 */
int config_open_spec(const char *spec, uint64_t ram_pages, struct blkdev **ret,
    int *ret_prio, char *err, size_t errlen);
/*
 * The same for a mere look whether it can be had: a file is opened, created
 * if need be, and closed; for "tmp" only the free space is compared.
 */
int config_check_spec(
    const char *spec, uint64_t ram_pages, char *err, size_t errlen);

/*
 * The directory of the file that a spec names, or of that of a "tmp"; "" if it
 * names no file.
 */
void config_swap_dir(const char *spec, char *dir, size_t len);

/* Half of the memory that is available now, in bytes. */
uint64_t config_default_ram(void);

/* Fault handlers for the CPUs the caller may use, 1 to HANDLERS_MAX. */
unsigned config_default_handlers(void);

#endif
