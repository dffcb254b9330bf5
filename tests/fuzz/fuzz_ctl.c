/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_ctl: whatever a client of the control socket sends, in whatever pieces,
 * lines and requests are taken apart inside their buffers, and only what keeps
 * its promises is accepted.
 *
 * With clang: -fsanitize=fuzzer,address,undefined.  Without: -DSTANDALONE makes
 * a program that tries N random inputs (its argument) from USWAP_SEED.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "lib/ctl_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long accepted[5], refused;

static void
try_line(const char *line, size_t len)
{
	struct ctl_request *r = malloc(sizeof(*r));
	char *arena = malloc(CTL_ARENA), err[64];
	char *copy = malloc(len + 1);

	if (r == NULL || arena == NULL || copy == NULL)
		abort();
	/* On the heap and of exact size, so that reading on is noticed. */
	memcpy(copy, line, len);
	copy[len] = '\0';
	memset(err, 'x', sizeof(err));
	if (ctl_parse(copy, len, arena, r, err, sizeof(err)) == 0) {
		KASSERT(r->verb >= CTL_INFO && r->verb <= CTL_SET, "verb");
		KASSERT(memchr(r->text, '\0', sizeof(r->text)) != NULL, "text");
		KASSERT((r->text[0] == '\0') ==
			    (r->verb == CTL_INFO || r->verb == CTL_REGIONS),
		    "a text of \"%s\"", r->text);
		KASSERT(r->value <= INT64_MAX, "value");
		accepted[r->verb]++;
	} else {
		KASSERT(err[0] != '\0' && memchr(err, '\0', sizeof(err)),
		    "a refusal without a sentence");
		refused++;
	}
	free(r);
	free(arena);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_in *in = calloc(1, sizeof(*in));
	size_t at = 0, lines = 0, want = 0, len, room;
	enum ctl_got got = CTL_GOT_LESS;
	char *line, *to;

	if (in == NULL)
		return 0;
	while (at < size && got != CTL_GOT_TOO_LONG) {
		/* The pieces are as long as the data says. */
		size_t n = 1 + data[at] * 64u;

		to = ctl_in_room(in, &room);
		KASSERT(
		    room > 0 && to + room == in->buf + sizeof(in->buf), "room");
		n = US_MIN(n, US_MIN(room, size - at));
		memcpy(to, data + at, n);
		in->n += n;
		at += n;
		while ((got = ctl_in_line(in, &line, &len)) == CTL_GOT_LINE) {
			KASSERT(line[len] == '\0' &&
				    memchr(line, '\n', len) == NULL,
			    "line");
			lines++;
			try_line(line, len);
		}
	}
	for (size_t i = 0; i < at; i++)
		want += data[i] == '\n';
	KASSERT(lines == want, "%zu lines of %zu", lines, want);
	free(in);
	return 0;
}

#ifdef STANDALONE
#include "../support/seed.h"

/* Mostly pieces of the grammar: random bytes get no further than the start. */
static size_t
random_input(struct rng *r, char *buf, size_t max)
{
	static const char *const words[] = {"{\"request\": \"info\"}\n",
	    "{\"request\": \"regions\", \"from\": 4096}\n",
	    "{\"request\": \"on\", \"spec\": \"/a,size=1G\"}\n",
	    "{\"request\": \"off\", \"device\": \"/a\", \"force\": true}\n",
	    "{\"request\": \"set\", \"key\": \"a\", \"value\": 7}\n", "{", "}",
	    "[", "]", "\"", "\\", "\\u0000", "\\ud800", ":", ",", "request",
	    "version", "value", "1", "-", "1e999", "0.5",
	    "99999999999999999999", "null", "\n", "\xff", "\xc3\xa9"};
	size_t len = 0, n = rng_below(r, 12);

	while (n-- > 0 && len < max - 10000) {
		const char *w = words[rng_below(r, nitems(words))];

		if (rng_below(r, 16) == 0) {
			size_t run = rng_below(r, 9000);

			memset(buf + len, "[{\" 0a\xff"[rng_below(r, 7)], run);
			len += run;
		} else {
			memcpy(buf + len, w, strlen(w));
			len += strlen(w);
		}
		/* A wrong letter, or one left out. */
		if (len > 0 && rng_below(r, 8) == 0)
			buf[rng_below(r, (uint32_t)len)] =
			    (char)rng_below(r, 256);
		if (len > 0 && rng_below(r, 8) == 0)
			len--;
	}
	return len;
}

int
main(int argc, char **argv)
{
	static char buf[32768];
	struct rng r = {test_seed()};
	long n = argc > 1 ? atol(argv[1]) : 300000;

	while (n-- > 0) {
		size_t len = random_input(&r, buf, sizeof(buf));

		LLVMFuzzerTestOneInput((const uint8_t *)buf, len);
	}
	printf("%lu info, %lu regions, %lu on, %lu off, %lu set, %lu refused\n",
	    accepted[0], accepted[1], accepted[2], accepted[3], accepted[4],
	    refused);
	for (unsigned i = 0; i < nitems(accepted); i++)
		KASSERT(accepted[i] > 0, "verb %u was never accepted", i);
	return 0;
}
#endif
