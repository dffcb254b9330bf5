/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frames: where pages lie in memory while they are out of the program.
 *
 * Two kinds, in one numbering:
 *	out	address space of the pmap; pages that leave the program bring
 *		their memory along, and it is given back when they are gone
 *	in	read buffers, which always hold memory, and cost budget always
 *
 * Runs matter: adjacent frames are filled, written, copied and given back by
 * one system call.  Out frames are address space only, so there are twice as
 * many as pages could ever use, to keep runs long.
 *
 * Context: the pager's lock, except frame_addr.
 */
#ifndef USWAP_FRAMES_H
#define USWAP_FRAMES_H

#include "base/base.h"
#include "base/blist.h"

struct frames {
	char *out_base; /* belongs to the pmap */
	char *in_base; /* belongs to us */
	uint32_t n_out; /* frames [0, n_out) are out frames ... */
	uint32_t n_in; /* ... [n_out, n_out + n_in) are in frames */
	struct blist *out;
	struct blist *in;
};

/* 0 or -ENOMEM.  The in frames are touched, and locked if permitted. */
int frames_init(struct frames *, char *out_base, uint32_t n_out, uint32_t n_in);
void frames_destroy(struct frames *);
/*
 * In a forked child, which has not got the in frames, that are free: n_in of its
 * own.  0 or -ENOMEM.
 */
int frames_forked(struct frames *, uint32_t n_in);

/*
 * A run of at least 1 and at most *n frames; sets *n.  FRAME_NONE when there
 * is none.
 */
uint32_t frames_alloc_out(struct frames *, uint32_t *n);
uint32_t frames_alloc_in(struct frames *, uint32_t *n);
/* Out frames must hold no memory any more: pmap_discard first. */
void frames_free(struct frames *, uint32_t frame, uint32_t n);

static inline bool
frame_is_in(const struct frames *f, uint32_t frame)
{
	return frame >= f->n_out;
}
static inline char *
frame_addr(const struct frames *f, uint32_t frame)
{
	return frame >= f->n_out ? f->in_base + ptoa(frame - f->n_out)
				 : f->out_base + ptoa(frame);
}

#endif
