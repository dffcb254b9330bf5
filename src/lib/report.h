/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report: the statistics as text.  Like snprintf: the functions return the
 * length they need.
 */
#ifndef USWAP_REPORT_H
#define USWAP_REPORT_H

#include <stddef.h>

#include "uswap.h"

/* Where the next piece of text goes, and how long it all is. */
struct out {
	char *buf;
	size_t size;
	size_t len; /* may pass size: the rest was left out */
};

void put(struct out *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* As a JSON string.  What is not UTF-8 is taken for Latin-1. */
void put_string(struct out *, const char *text);
/* As a JSON object. */
void put_stats(struct out *, const struct uswap_stats *);

int report_json(const struct uswap_stats *, char *buf, size_t size);
int report_text(const struct uswap_stats *, char *buf, size_t size);
/* One line on stderr: what is in force. */
void report_start(const struct uswap *);

#endif
