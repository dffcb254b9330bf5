/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_spec: whatever is typed, blkspec_parse and size_parse end, stay inside
 * their buffers, and accept only what keeps their promises.
 *
 * With clang: -fsanitize=fuzzer,address,undefined.  Without: -DSTANDALONE makes
 * a program that tries N random inputs (its argument) from USWAP_SEED.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "block/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blkspec sp;
	char err[64], *text = malloc(size + 1);
	uint64_t bytes;
	int error;

	if (text == NULL)
		return 0;
	/* On the heap and of exact size, so that reading on is noticed. */
	memcpy(text, data, size);
	text[size] = '\0';
	memset(err, 'x', sizeof(err));
	error = blkspec_parse(text, &sp, err, sizeof(err));
	if (error == 0) {
		KASSERT(sp.path[0] != '\0', "no path");
		KASSERT(memchr(sp.path, '\0', sizeof(sp.path)) != NULL, "path");
		KASSERT(strncmp(sp.path, text, strlen(sp.path)) == 0, "path");
		KASSERT(sp.prio >= 0 && sp.prio <= 32767, "prio %d", sp.prio);
		KASSERT(sp.size == 0 || (atop(sp.size) >= BLKDEV_PAGES_MIN &&
					    atop(sp.size) <= BLKDEV_PAGES_MAX),
		    "size %llu", (unsigned long long)sp.size);
		KASSERT(sp.timeout <= 3600 && (sp.nbd || sp.timeout == 0),
		    "timeout %u", sp.timeout);
		KASSERT(!sp.nbd || (strncmp(sp.path, "nbd", 3) == 0 &&
				       strstr(sp.path, "://") != NULL),
		    "nbd");
	} else {
		KASSERT(error < 0, "%d", error);
		KASSERT(err[0] != '\0' && memchr(err, '\0', sizeof(err)),
		    "a refusal without a sentence");
	}
	(void)size_parse(text, &bytes);
	free(text);
	return 0;
}

#ifdef STANDALONE
#include "../support/seed.h"

/* Mostly pieces of the grammar: random bytes alone get no further than PATH. */
static size_t
random_input(struct rng *r, char *buf, size_t max)
{
	static const char *const words[] = {"size=", "prio=", ",", "1", "9",
	    "0", ".", "K", "M", "G", "T", "/", "a", "16G", "32767", "-",
	    "timeout=", "crypt", "nbd://", "nbd+unix://", "nbds+unix:///", "s",
	    "://", "?", "&", "socket=", "socket=/s", "nbd"};
	size_t len = 0, n = rng_below(r, 12);

	while (n-- > 0) {
		const char *w = words[rng_below(r, nitems(words))];

		if (rng_below(r, 16) == 0) {
			size_t run = rng_below(r, 1500);

			memset(buf + len, (int)rng_below(r, 256), run);
			len += run;
		} else {
			memcpy(buf + len, w, strlen(w));
			len += strlen(w);
		}
		if (len > max - 2000)
			break;
	}
	return len;
}

int
main(int argc, char **argv)
{
	static char buf[8192];
	struct rng r = {test_seed()};
	long n = argc > 1 ? atol(argv[1]) : 200000;

	while (n-- > 0) {
		size_t len = random_input(&r, buf, sizeof(buf));

		LLVMFuzzerTestOneInput((const uint8_t *)buf, len);
	}
	return 0;
}
#endif
