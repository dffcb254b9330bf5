/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xts: AES-256 in XTS mode (IEEE 1619), by the CPU's own instructions.
 *
 * What disks are encrypted with: a block keeps its length, needs nothing stored
 * beside it, and depends on its place.  It hides contents; whether they are the
 * right ones is for the content tags (pager_tag) to say.
 *
 * No memory is taken, and no time depends on key or data.  Any thread, any
 * number at once.
 */
#ifndef USWAP_XTS_H
#define USWAP_XTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XTS_KEY    64 /* bytes: two of AES-256 */
#define XTS_ROUNDS 15 /* round keys of AES-256 */

struct xts {
	uint8_t enc[XTS_ROUNDS][16] __attribute__((aligned(16)));
	uint8_t dec[XTS_ROUNDS][16] __attribute__((aligned(16)));
	uint8_t tweak[XTS_ROUNDS][16] __attribute__((aligned(16)));
};

/* Whether this CPU can; nothing below may be called otherwise. */
bool xts_supported(void);

void xts_init(struct xts *, const uint8_t key[XTS_KEY]);

/*
 * len bytes, a multiple of 128, of the block with that number; src and dst are
 * equal or do not overlap.
 */
void xts_encrypt(
    const struct xts *, uint64_t block, const void *src, void *dst, size_t len);
void xts_decrypt(
    const struct xts *, uint64_t block, const void *src, void *dst, size_t len);

#endif
