/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter_crypt: what is on a device is encrypted, with a key that nobody has.
 *
 * The key is drawn when the device is opened and ends with it: however the
 * program ends, what it leaves behind can be read by nobody.  So nothing has to
 * be wiped, and a device need not be trusted to forget.
 *
 * It stands between the guard and the engine, whatever that is.  A write is
 * encrypted into a *slot* on its way to the engine, by its queue's owner and not
 * under the pager's lock, since the program may go on using the page that is
 * written.  A read is decrypted where it arrived.  For want of a slot a write is
 * held by its queue.
 *
 * That what comes back is what went out is not verified here: a changed block is
 * decrypted into noise, an older one into what it was, and the content tag fits
 * neither.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "block/engine.h"
#include "block/xts.h"

/*
 * Writes of one device on their way: what a disk needs, at 1 MiB of memory
 * each, as far as they are used.
 */
#define SLOTS 4

struct slot {
	struct iovec whole; /* what the engine sees */
	struct iovec *iov; /* what the request had */
	int niov;
};

struct crypt {
	struct xts xts; /* constant, like mem */
	char *mem; /* SLOTS clusters */
	struct slot slot[SLOTS]; /* who has taken it */
	_Atomic uint32_t free; /* slots, a bit each */
};

static int
draw_key(uint8_t key[XTS_KEY])
{
	size_t got = 0;
	ssize_t n;

	for (; got < XTS_KEY; got += (size_t)n) {
		n = getrandom(key + got, XTS_KEY - got, 0);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -errno;
	}
	return 0;
}

/*
 * Not into a core dump, nor into a forked child, nor, if it may be locked, into
 * the kernel's swap.
 */
static void
keep_secret(const struct crypt *c)
{
	size_t len = round_page(sizeof(*c));

	(void)syscall(SYS_madvise, c, len, (long)MADV_DONTDUMP);
	(void)syscall(SYS_madvise, c, len, (long)MADV_WIPEONFORK);
	(void)syscall(SYS_mlock, c, len);
}

void
crypt_share(struct crypt *c, bool share)
{
	size_t len = round_page(sizeof(*c));

	(void)syscall(SYS_madvise, c, len,
	    (long)(share ? MADV_KEEPONFORK : MADV_WIPEONFORK));
	if (!share) /* of a child's */
		(void)syscall(SYS_mlock, c, len);
}

int
blkdev_encrypt(struct blkdev *dev, char *err, size_t errlen)
{
	uint8_t key[XTS_KEY];
	struct crypt *c;
	int error;

	c = mem_map(round_page(sizeof(*c)));
	if (c == NULL || (c->mem = mem_map(SLOTS * ptoa(CLUSTER_MAX))) == NULL)
		error = -ENOMEM;
	else
		error = draw_key(key);
	if (error == 0) {
		keep_secret(c);
		xts_init(&c->xts, key);
		explicit_bzero(key, sizeof(key));
		atomic_store(&c->free, (1u << SLOTS) - 1);
		dev->crypt = c;
		return 0;
	}
	strf(err, errlen, "%s: crypt: no key: %s; leave it out", dev->name,
	    strerrordesc_np(-error));
	if (c != NULL && c->mem != NULL)
		mem_unmap(c->mem, SLOTS * ptoa(CLUSTER_MAX));
	if (c != NULL)
		mem_unmap(c, round_page(sizeof(*c)));
	return error;
}

void
crypt_destroy(struct crypt *c)
{
	mem_unmap(c->mem, SLOTS * ptoa(CLUSTER_MAX));
	explicit_bzero(c, sizeof(*c));
	mem_unmap(c, round_page(sizeof(*c)));
}

/* The number of a free slot, which is the caller's now; or -1. */
static int
slot_take(struct crypt *c)
{
	uint32_t was = atomic_load(&c->free);

	while (was != 0)
		if (atomic_compare_exchange_weak(
			&c->free, &was, was & (was - 1)))
			return __builtin_ctz(was);
	return -1;
}

bool
crypt_seal(struct blkreq *req)
{
	struct crypt *c = req->dev->crypt;
	int k = slot_take(c);
	struct slot *s;
	char *mem;

	if (k < 0)
		return false;
	s = &c->slot[k];
	mem = c->mem + (size_t)k * ptoa(CLUSTER_MAX);
	engine_copy_out(mem, req->iov, req->niov, ptoa(req->npages));
	for (uint32_t i = 0; i < req->npages; i++)
		xts_encrypt(&c->xts, req->blk.v + i, mem + ptoa(i),
		    mem + ptoa(i), PAGE_SIZE);
	*s = (struct slot){{mem, ptoa(req->npages)}, req->iov, req->niov};
	req->iov = &s->whole;
	req->niov = 1;
	return true;
}

static void
unseal(struct crypt *c, struct blkreq *req)
{
	size_t k =
	    (size_t)((char *)req->iov->iov_base - c->mem) / ptoa(CLUSTER_MAX);

	req->niov = c->slot[k].niov;
	req->iov = c->slot[k].iov;
	(void)atomic_fetch_or(&c->free, 1u << k);
}

void
crypt_done(struct blkreq *req, int error)
{
	struct crypt *c = req->dev->crypt;
	uint64_t block = req->blk.v;

	if (req->op == BLK_WRITE) {
		unseal(c, req);
		return;
	}
	for (int i = 0; i < req->niov && error == 0; i++) {
		char *at = req->iov[i].iov_base;

		for (size_t n = req->iov[i].iov_len; n > 0; n -= PAGE_SIZE) {
			xts_decrypt(&c->xts, block++, at, at, PAGE_SIZE);
			at += PAGE_SIZE;
		}
	}
}
