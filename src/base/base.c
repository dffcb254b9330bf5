/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base: the end of a process whose programmer was wrong.
 *
 * The failing thread may hold any lock and may be the one that answers page
 * faults, so nothing here takes a lock, allocates, or uses a stream: the line
 * is made on the stack and leaves with one write(2).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"

#define LINE_MAX_BYTES 512

void
kassert_failed(
    const char *file, int line, const char *expr, const char *fmt, ...)
{
	char buf[LINE_MAX_BYTES];
	size_t len;
	va_list ap;
	int n;

	n = snprintf(buf, sizeof(buf) - 1,
	    "uswap: %s:%d: (%s) is false: ", file, line, expr);
	len = n < 0 ? 0 : US_MIN((size_t)n, sizeof(buf) - 2);
	va_start(ap, fmt);
	n = vsnprintf(buf + len, sizeof(buf) - 1 - len, fmt, ap);
	va_end(ap);
	len += n < 0 ? 0 : US_MIN((size_t)n, sizeof(buf) - 2 - len);
	buf[len++] = '\n';
	/* Nobody is left to tell if this fails. */
	if (write(STDERR_FILENO, buf, len) < 0)
		abort();
	abort();
}
