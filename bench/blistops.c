/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blistops: prints how many calls of the block allocator a second can hold.
 *
 * A list of 1 Mi blocks is filled with runs of 1 to 32; then, over and over,
 * a run drawn by chance is given back and, when half are free, another taken.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "base/blist.h"

#define BLOCKS  (1u << 20)
#define RUN_MAX 32
#define CALLS   10000000

static struct {
	uint32_t blk;
	uint32_t count;
} runs[BLOCKS];

static uint64_t
draw(void)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (x);
}

/* The run becomes the last; false when there is no room for one. */
static int
take(struct blist *bl, uint32_t *nruns)
{
	uint32_t count = 1;
	uint32_t blk = blist_alloc(bl, &count, 1 + draw() % RUN_MAX);

	if (blk == BLIST_NONE)
		return (0);
	runs[*nruns].blk = blk;
	runs[*nruns].count = count;
	(*nruns)++;
	return (1);
}

static void
give_back(struct blist *bl, uint32_t *nruns)
{
	uint32_t i = (uint32_t)(draw() % *nruns);

	blist_free(bl, runs[i].blk, runs[i].count);
	runs[i] = runs[--*nruns];
}

int
main(void)
{
	struct blist *bl = blist_create(BLOCKS);
	struct timespec begin, end;
	uint32_t nruns = 0;

	if (bl == NULL)
		errx(1, "no memory");
	blist_free(bl, 0, BLOCKS);
	while (take(bl, &nruns))
		;
	while (blist_avail(bl) < BLOCKS / 2)
		give_back(bl, &nruns);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned i = 0; i < CALLS; i++)
		if (blist_avail(bl) > BLOCKS / 2)
			take(bl, &nruns);
		else
			give_back(bl, &nruns);
	clock_gettime(CLOCK_MONOTONIC, &end);
	blist_check(bl);
	printf(
	    "%.0f\n", CALLS / ((double)(end.tv_sec - begin.tv_sec) +
				  (double)(end.tv_nsec - begin.tv_nsec) / 1e9));
	return (0);
}
