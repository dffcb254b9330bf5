/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines MIB MEAN SEED: prints MIB MiB of random lines to sort, MEAN bytes long
 * on average, always the same ones for the same arguments.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

/* splitmix64 */
static uint64_t
next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31);
}

int
main(int argc, char **argv)
{
	static const char digits[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	static char line[1 << 16];
	uint64_t left, mean;

	if (argc != 4)
		errx(2, "usage: lines MIB MEAN SEED");
	left = strtoull(argv[1], NULL, 10) << 20;
	mean = strtoull(argv[2], NULL, 10);
	state = strtoull(argv[3], NULL, 10);
	if (mean < 16 || mean > sizeof(line) / 2)
		errx(2, "MEAN must be from 16 to %zu", sizeof(line) / 2);
	while (left > 0) {
		/* From half the mean to one and a half, with the newline. */
		size_t len = mean / 2 + next() % mean + 1;

		if (len > left)
			len = left;
		/* Ten digits of six bits from each number. */
		for (size_t i = 0; i < len; i += 10) {
			uint64_t bits = next();

			for (size_t j = i; j < i + 10 && j < len; j++) {
				line[j] = digits[bits & 63];
				bits >>= 6;
			}
		}
		line[len - 1] = '\n';
		if (fwrite(line, 1, len, stdout) != len)
			err(1, "write");
		left -= len;
	}
	if (fflush(stdout) != 0)
		err(1, "write");
	return (0);
}
