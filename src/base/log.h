/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log: what uswap says to people.  One line per call, formatted on the stack
 * and written with one write(2): no stream, no allocation, callable with any
 * lock held.
 */
#ifndef USWAP_LOG_H
#define USWAP_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_NOTE, LOG_DEBUG };

/* Where lines go (a descriptor valid in the calling threads) and how many. */
void log_setup(int fd, enum log_level upto);
/* Writes "uswap: <message>\n" when level <= upto. */
void log_msg(enum log_level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * strf(buf, size, fmt, ...): snprintf that returns buf, for messages.
 * size_text(buf, bytes): "256M", "3.0G", as people write sizes; buf holds 16.
 * size_parse: "64K", "2G", "1.5T", plain bytes; 0 or -EINVAL / -ERANGE.
 */
char *strf(char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
char *size_text(char buf[16], uint64_t bytes);
int size_parse(const char *text, uint64_t *ret_bytes);

#endif
