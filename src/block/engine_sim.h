/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_sim: a disk made of memory, time and chance.
 *
 * One seed decides the latency and order of completions and which requests
 * fail.  Everything runs in the calling thread: a request completes in
 * blkq_poll once the simulated clock has passed its due time; blkq_wait
 * advances that clock to the next completion.
 */
#ifndef USWAP_ENGINE_SIM_H
#define USWAP_ENGINE_SIM_H

#include "base/clock.h"
#include "block/block.h"

/* A clock that moves only when told. */
struct simclock {
	struct clock clock;
	uint64_t now_ns;
	/* Somebody waits for what others have in flight: they go on.  Or NULL. */
	void (*others)(struct simclock *);
};
void simclock_init(struct simclock *);

struct simdisk_params {
	uint32_t pages;
	uint64_t seed;
	uint64_t latency_min_ns, latency_max_ns; /* per request, uniform */
	/* One request in N fails with EIO / is silently not written / is
	 * written up to a random page and then reported as failed; 0 never. */
	uint32_t read_error_in, write_error_in;
	uint32_t lost_write_in, torn_write_in;
	/* The n-th request from now fails (1 = the next), 0 = none. */
	uint64_t fail_read_nth, fail_write_nth;
};

int blkdev_open_sim(
    const struct simdisk_params *, struct simclock *, struct blkdev **ret);
int blkq_create_sim(unsigned depth, struct simclock *, struct blkq **ret);

/* Changes the chances from now on; pages, seed and contents stay. */
void simdisk_set(struct blkdev *, const struct simdisk_params *);
/* The stored page, for a test to look at or to damage. */
void *simdisk_page(struct blkdev *, devblk_t);
/* From now on every request fails with ENXIO, as if the cable were cut. */
void simdisk_unplug(struct blkdev *);
/* The same until it is back, and known: see blkdev_gone. */
void simdisk_away(struct blkdev *, bool away);

#endif
