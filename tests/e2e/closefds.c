/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * closefds MIB: fills MIB MiB, closes every descriptor but 0, 1, 2 as daemons
 * do, then checks, changes and checks again what it has.
 */
#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static void
check(const uint64_t *words, size_t n, uint64_t factor)
{
	for (size_t i = 0; i < n; i++)
		if (words[i] != i * factor)
			errx(1, "word %zu is %#lx", i, (unsigned long)words[i]);
}

int
main(int argc, char **argv)
{
	size_t n;
	uint64_t *words;

	if (argc != 2)
		errx(2, "usage: closefds MIB");
	n = ((size_t)strtoul(argv[1], NULL, 10) << 20) / sizeof(*words);
	words = calloc(n, sizeof(*words));
	if (words == NULL)
		err(1, "calloc");
	for (size_t i = 0; i < n; i++)
		words[i] = i * 3;
	if (syscall(SYS_close_range, 3, ~0U, 0) != 0)
		for (int fd = 3; fd < 4096; fd++)
			(void)close(fd);
	check(words, n, 3);
	for (size_t i = 0; i < n; i++)
		words[i] = i * 5;
	check(words, n, 5);
	free(words);
	return (0);
}
