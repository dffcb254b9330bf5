/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xts: AES-256 in XTS mode (IEEE 1619).  Nettle's AES is used here only.
 *
 * What disks are encrypted with: a block keeps its length, needs nothing stored
 * beside it, and depends on its place.  It hides contents; whether they are the
 * right ones is for the content tags (pager_tag) to say.
 *
 * No memory is taken.  Any thread, any number at once.
 */
#ifndef USWAP_XTS_H
#define USWAP_XTS_H

#include <nettle/aes.h>
#include <stddef.h>
#include <stdint.h>

#define XTS_KEY 64 /* bytes: two of AES-256 */

struct xts {
	struct aes256_ctx enc, dec, tweak;
};

void xts_init(struct xts *, const uint8_t key[XTS_KEY]);

/*
 * len bytes, a multiple of 512, of the block with that number; src and dst are
 * equal or do not overlap.
 */
void xts_encrypt(
    const struct xts *, uint64_t block, const void *src, void *dst, size_t len);
void xts_decrypt(
    const struct xts *, uint64_t block, const void *src, void *dst, size_t len);

#endif
