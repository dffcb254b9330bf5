/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log: lines for people, and sizes as people write them.
 *
 * No lock: a line goes out with one write(2), which the kernel keeps whole for
 * pipes (up to PIPE_BUF) and for files opened for appending.  What is lost is
 * lost; a pager does not stop because its log is full.
 *
 * Sizes are computed in integers: the fault handler's threads should not
 * disturb floating point state, a locale's decimal comma must not change what
 * a size means, and 64 bits do not fit a double.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"

#define LINE_BYTES 512 /* longer lines are cut; stacks are small */

static const char units[] = "KMGTP";

static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_upto = LOG_NOTE;

void
log_setup(int fd, enum log_level upto)
{
	atomic_store(&log_fd, fd);
	atomic_store(&log_upto, (int)upto);
}

void
log_msg(enum log_level level, const char *fmt, ...)
{
	static const char prefix[] = "uswap: ";
	char buf[LINE_BYTES];
	size_t len = sizeof(prefix) - 1, i;
	int n, saved = errno;
	va_list ap;

	if ((int)level > atomic_load(&log_upto))
		return;
	memcpy(buf, prefix, len);
	va_start(ap, fmt);
	n = vsnprintf(buf + len, sizeof(buf) - 1 - len, fmt, ap);
	va_end(ap);
	len += n < 0 ? 0 : US_MIN((size_t)n, sizeof(buf) - 2 - len);
	/* A message is one line, whatever is in the file names it quotes. */
	for (i = 0; i < len; i++) {
		if ((unsigned char)buf[i] < ' ')
			buf[i] = '?';
	}
	buf[len++] = '\n';
	while (write(atomic_load(&log_fd), buf, len) < 0 && errno == EINTR)
		;
	errno = saved;
}

char *
strf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return buf;
}

/*
 * Two significant digits below ten units ("3.0G"), whole units above
 * ("256M"), rounded to the nearest; what rounds up to 1024 of a unit is shown
 * as one of the next.
 */
char *
size_text(char buf[16], uint64_t bytes)
{
	uint64_t whole, tenths, frac;
	unsigned shift, u;

	if (bytes < 1024)
		return strf(buf, 16, "%u", (unsigned)bytes);
	for (u = 0;; u++) {
		shift = 10 * (u + 1);
		frac = bytes & ((UINT64_C(1) << shift) - 1);
		tenths = (bytes >> shift) * 10 +
			 ((frac * 10 + (UINT64_C(1) << (shift - 1))) >> shift);
		if (tenths < 100)
			return strf(buf, 16, "%u.%u%c", (unsigned)tenths / 10,
			    (unsigned)tenths % 10, units[u]);
		whole = (bytes >> shift) + (frac >> (shift - 1));
		if (whole < 1024 || units[u + 1] == '\0')
			return strf(buf, 16, "%llu%c",
			    (unsigned long long)whole, units[u]);
	}
}

/* Reads a unit and what may follow it: -1 when it is not one. */
static int
parse_unit(const char *s)
{
	const char *u;

	if (*s == '\0')
		return 0;
	u = strchr(units, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	if (u == NULL)
		return -1;
	s++;
	if (strcmp(s, "") != 0 && strcmp(s, "B") != 0 && strcmp(s, "iB") != 0)
		return -1;
	return 10 * (int)(u - units + 1);
}

int
size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole = 0, frac = 0, scale = 1;
	const char *s = text;
	bool over = false;
	int shift;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		over |= __builtin_mul_overflow(whole, UINT64_C(10), &whole);
		over |=
		    __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole);
	}
	if (*s == '.') {
		if (*++s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++) {
			/* 18 digits are finer than a byte of a petabyte. */
			if (scale < UINT64_C(1000000000000000000)) {
				frac = frac * 10 + (uint64_t)(*s - '0');
				scale *= 10;
			}
		}
	}
	shift = parse_unit(s);
	if (shift < 0 || (shift == 0 && scale > 1))
		return -EINVAL; /* no such unit, or parts of a byte */
	if (over || whole > UINT64_MAX >> shift)
		return -ERANGE;
	frac = (uint64_t)(((unsigned __int128)frac << shift) / scale);
	*ret_bytes = (whole << shift) + frac; /* frac < one unit: no carry */
	return 0;
}
