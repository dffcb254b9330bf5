/* SPDX-License-Identifier: BSD-2-Clause */
#include "pager/ghosts.h"

/*
 * A read that is saved is worth a second chance for so many pages.  The bound is what
 * evidence of a new kind has to outweigh: some fifteen reads.
 */
#define SAVES     16
#define WORTH_MAX 256

bool
ghosts_worth(const struct ghosts *g, bool stream)
{
	return g->worth[stream] > 0;
}

static void
count(struct ghosts *g, bool stream, int32_t n)
{
	int32_t worth = g->worth[stream] + n;

	g->worth[stream] = US_MAX(US_MIN(worth, WORTH_MAX), -WORTH_MAX);
}

/* Bits of ghost.page. */
#define THERE  UINT32_C(2)
#define STREAM UINT32_C(1)

/* Where a page is remembered, and as what; NULL: it is not one of those. */
static struct ghost *
place(struct ghosts *g, uint32_t object, pindex_t i, uint32_t *ret_hash)
{
	uint64_t h =
	    ((uint64_t)object << 32 | i) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	*ret_hash = ((uint32_t)(h >> 32) & ~STREAM) | THERE;
	if ((h & ((UINT64_C(1) << g->one_in) - 1)) != 0)
		return NULL;
	return &g->ghost[h >> g->one_in & (GHOSTS - 1)];
}

void
ghosts_dropped(struct ghosts *g, uint32_t object, pindex_t i, bool stream)
{
	uint32_t hash;
	struct ghost *ghost = place(g, object, i, &hash);

	if (ghost == NULL)
		return;
	*ghost = (struct ghost){hash | (stream ? STREAM : 0), g->clock};
	count(g, stream, -1);
}

void
ghosts_back(struct ghosts *g, uint32_t object, pindex_t i)
{
	uint32_t hash;
	struct ghost *ghost = place(g, object, i, &hash);

	if (ghost == NULL || (ghost->page & ~STREAM) != hash)
		return;
	if (g->clock - ghost->when <= g->distance)
		count(g, ghost->page & STREAM, SAVES + 1);
	ghost->page = 0;
}

void
ghosts_chance(struct ghosts *g, bool stream, bool taken)
{
	count(g, stream, taken ? SAVES : -1);
}

/* Of another distance others are remembered. */
static void
aim(struct ghosts *g, uint32_t distance)
{
	g->distance = distance;
	for (g->one_in = 0; distance >> g->one_in > GHOSTS / 2;)
		g->one_in++;
	for (uint32_t i = 0; i < GHOSTS; i++)
		g->ghost[i].page = 0;
}

void
ghosts_left(struct ghosts *g, uint32_t n, uint32_t distance)
{
	g->clock += n;
	if (distance != g->distance)
		aim(g, distance);
}

void
ghosts_check(const struct ghosts *g)
{
	for (int i = 0; i < 2; i++)
		KASSERT(g->worth[i] <= WORTH_MAX && g->worth[i] >= -WORTH_MAX,
		    "G1: %d", g->worth[i]);
	KASSERT(g->distance >> g->one_in <= GHOSTS / 2, "G2");
}
