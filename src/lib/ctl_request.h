/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl_request: what a client of the control socket sends: lines, and what they
 * ask for.  It comes from outside: anything may be in it.
 */
#ifndef USWAP_CTL_REQUEST_H
#define USWAP_CTL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line: a spec of 1200 bytes, each written as an escape. */
#define CTL_LINE ((size_t)8 << 10)
/* What the parser may use for one line. */
#define CTL_ARENA ((size_t)64 << 10)

/* Bytes as they come, and how many of the first have been taken as a line. */
struct ctl_in {
	size_t n;
	size_t taken;
	char buf[CTL_LINE];
};

/* Where the next bytes go, and how many fit. */
char *ctl_in_room(struct ctl_in *, size_t *ret_room);
enum ctl_got { CTL_GOT_LINE, CTL_GOT_LESS, CTL_GOT_TOO_LONG };
/* The next line, NUL-terminated, valid until the next call of either. */
enum ctl_got ctl_in_line(struct ctl_in *, char **ret_line, size_t *ret_len);

enum ctl_verb { CTL_INFO, CTL_REGIONS, CTL_ON, CTL_OFF, CTL_SET };

struct ctl_request {
	enum ctl_verb verb;
	char text[1200]; /* the spec, the device, the key */
	uint64_t value; /* set; regions: from which address on */
	bool force; /* off */
};

/*
 * Parses a line of len bytes, of which the one behind is NUL.  arena: CTL_ARENA
 * bytes for the time of the call.  0, or -EINVAL and a sentence.  Takes nothing
 * from the C library's allocator.
 */
int ctl_parse(const char *line, size_t len, void *arena,
    struct ctl_request *ret, char *err, size_t errlen);

#endif
