/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report: the statistics as text.  Like snprintf: the functions return the
 * length they need.
 */
#ifndef USWAP_REPORT_H
#define USWAP_REPORT_H

#include <stddef.h>

#include "uswap.h"

int report_json(const struct uswap_stats *, char *buf, size_t size);
int report_text(const struct uswap_stats *, char *buf, size_t size);
/* One line on stderr: what is in force. */
void report_start(const struct uswap *);

#endif
