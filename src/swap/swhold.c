/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One bit for each block of each device.  A device cannot leave while one of its
 * blocks is held, so its place in the block space stays.
 */
#include <errno.h>

#include "base/base.h"
#include "base/mem.h"
#include "swap/swdev.h"
#include "swap/swhold.h"

struct held {
	uint32_t first; /* the device's place ... */
	uint32_t blocks; /* ... and size */
	uint64_t *bits;
};

struct swhold {
	size_t bytes; /* of the mapping, with all bits */
	unsigned n;
	struct held dev[SWDEV_MAX];
};

static size_t
words(uint32_t blocks)
{
	return howmany((size_t)blocks, 64);
}

static struct swhold *
create(const struct swspace *s)
{
	size_t bytes = sizeof(struct swhold);
	struct swhold *h;
	uint64_t *bits;

	for (unsigned i = 0; i < s->ndev; i++)
		bytes += words(s->dev[i]->blocks) * sizeof(*bits);
	h = mem_map(bytes);
	if (h == NULL)
		return NULL;
	h->bytes = bytes;
	bits = (uint64_t *)(h + 1);
	for (h->n = 0; h->n < s->ndev; h->n++) {
		const struct swdev *d = s->dev[h->n];

		h->dev[h->n] = (struct held){d->first, d->blocks, bits};
		bits += words(d->blocks);
	}
	return h;
}

static bool
take_device(struct swdev *d, const struct held *e)
{
	uint32_t at = 0, n;

	for (; swdev_next_owned(d, &at, &n); at += n) {
		if (!swdev_share(d, (swblk_t){d->first + at}, n))
			return false;
		for (uint32_t i = at; i < at + n; i++)
			e->bits[i / 64] |= UINT64_C(1) << i % 64;
		d->held += n;
	}
	return true;
}

int
swhold_take(struct swspace *s, struct swhold **ret)
{
	struct swhold *h = create(s);

	if (h == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < h->n; i++)
		if (!take_device(s->dev[i], &h->dev[i])) {
			swhold_drop(s, h);
			return -EAGAIN;
		}
	*ret = h;
	return 0;
}

/* The next run of bits that are set, from *at on; false if there is none. */
static bool
next_run(const struct held *e, uint32_t *at, uint32_t *n)
{
	uint32_t i = *at;

	while (i < e->blocks && (e->bits[i / 64] >> i % 64 & 1) == 0)
		i = e->bits[i / 64] >> i % 64 == 0 ? (i / 64 + 1) * 64 : i + 1;
	if (i >= e->blocks)
		return false;
	*at = i;
	while (i < e->blocks && (e->bits[i / 64] >> i % 64 & 1) != 0)
		i++;
	*n = i - *at;
	return true;
}

/* The device at that place: it is there as long as something is held. */
static struct swdev *
device_at(const struct swspace *s, uint32_t first)
{
	unsigned i = 0;

	while (s->dev[i]->first != first)
		i++;
	return s->dev[i];
}

void
swhold_drop(struct swspace *s, struct swhold *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		const struct held *e = &h->dev[i];
		uint32_t at = 0, n;

		for (; next_run(e, &at, &n); at += n) {
			device_at(s, e->first)->held -= n;
			swspace_free(s, (swblk_t){e->first + at}, n);
		}
	}
	mem_unmap(h, h->bytes);
}
