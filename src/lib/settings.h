/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings: uswap_set and uswap_get, and the names they know.
 */
#ifndef USWAP_SETTINGS_H
#define USWAP_SETTINGS_H

/* The name of setting i; NULL when there are no more. */
const char *setting_name(unsigned i);

#endif
