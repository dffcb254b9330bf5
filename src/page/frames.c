/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "page/frames.h"
#include "page/page.h"

/*
 * One touch for each page, now.  Without permission to lock it the kernel might
 * swap it if it has swap; slow, but not wrong.  Not the C library's calls: those
 * may be the preloaded ones, which ask us.  A forked child does without: a buffer
 * that is shared would be copied when a device is to fill it.
 */
static int
make_in(struct frames *f)
{
	f->in_base = mem_map(ptoa(f->n_in));
	f->in = blist_create(f->n_in);
	if (f->in_base == NULL || f->in == NULL)
		return -ENOMEM;
	(void)syscall(SYS_madvise, f->in_base, ptoa(f->n_in), MADV_HUGEPAGE);
	memset(f->in_base, 0, ptoa(f->n_in));
	(void)syscall(SYS_mlock, f->in_base, ptoa(f->n_in));
	(void)syscall(SYS_madvise, f->in_base, ptoa(f->n_in), MADV_DONTFORK);
	blist_free(f->in, 0, f->n_in);
	return 0;
}

int
frames_init(struct frames *f, char *out_base, uint32_t n_out, uint32_t n_in)
{
	*f =
	    (struct frames){.out_base = out_base, .n_out = n_out, .n_in = n_in};
	f->out = blist_create(n_out);
	if (f->out == NULL || make_in(f) != 0) {
		frames_destroy(f);
		return -ENOMEM;
	}
	blist_free(f->out, 0, n_out);
	return 0;
}

int
frames_forked(struct frames *f, uint32_t n_in)
{
	KASSERT(blist_avail(f->in) == f->n_in, "buffers are in use");
	blist_destroy(f->in);
	f->n_in = n_in;
	return make_in(f);
}

void
frames_destroy(struct frames *f)
{
	if (f->in_base != NULL)
		mem_unmap(f->in_base, ptoa(f->n_in));
	blist_destroy(f->out);
	blist_destroy(f->in);
	*f = (struct frames){0};
}

uint32_t
frames_alloc_out(struct frames *f, uint32_t *n)
{
	uint32_t got = 1, frame = blist_alloc(f->out, &got, *n);

	if (frame == BLIST_NONE)
		return FRAME_NONE;
	*n = got;
	return frame;
}

/*
 * Read buffers are few, and a demand for one page should not cut a run of 256
 * in two: the largest run wanted is asked for first.
 */
uint32_t
frames_alloc_in(struct frames *f, uint32_t *n)
{
	for (uint32_t want = *n; want > 0; want /= 2) {
		uint32_t got = want, frame = blist_alloc(f->in, &got, *n);

		if (frame != BLIST_NONE) {
			*n = got;
			return f->n_out + frame;
		}
	}
	return FRAME_NONE;
}

void
frames_free(struct frames *f, uint32_t frame, uint32_t n)
{
	if (frame_is_in(f, frame))
		blist_free(f->in, frame - f->n_out, n);
	else
		blist_free(f->out, frame, n);
}
