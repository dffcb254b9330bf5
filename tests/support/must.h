/* SPDX-License-Identifier: BSD-2-Clause */
/* must: what a program of the scripts cannot go on without. */
#ifndef USWAP_TEST_MUST_H
#define USWAP_TEST_MUST_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}
#define MUST(e)                                                                \
	do {                                                                   \
		if (!(e))                                                      \
			die("line %d: %s", __LINE__, #e);                      \
	} while (0)

#endif
