/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eight blocks of AES go side by side: an instruction takes four cycles, but a
 * new one can begin in each.  The tweaks of a page are one encrypted number,
 * doubled in GF(2^128) from each 16 bytes to the next.
 *
 * Verified by the vectors of IEEE 1619 and by another implementation's output.
 */
#include "base/base.h"
#include "block/xts.h"

#if defined(__x86_64__)
#include <wmmintrin.h>

#define LANES 8
#define AES   __attribute__((target("aes,sse2")))

bool
xts_supported(void)
{
	return __builtin_cpu_supports("aes");
}

/* ---- keys ---------------------------------------------------------------- */

/* a, a^b, a^b^c, a^b^c^d of the words before, and what the assist made. */
static AES __m128i
mix(__m128i key, __m128i assist)
{
	key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
	key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
	return _mm_xor_si128(key, assist);
}

/*
 * Two round keys from the two before them.  The round constant must be known to
 * the compiler.
 */
#define EVEN(rk, i, rcon)                                                      \
	((rk)[i] = mix((rk)[(i)-2],                                            \
	     _mm_shuffle_epi32(                                                \
		 _mm_aeskeygenassist_si128((rk)[(i)-1], rcon), 0xff)))
#define ODD(rk, i)                                                             \
	((rk)[i] = mix((rk)[(i)-2],                                            \
	     _mm_shuffle_epi32(                                                \
		 _mm_aeskeygenassist_si128((rk)[(i)-1], 0), 0xaa)))

static AES void
expand(__m128i rk[XTS_ROUNDS], const uint8_t key[32])
{
	rk[0] = _mm_loadu_si128((const __m128i *)(const void *)key);
	rk[1] = _mm_loadu_si128((const __m128i *)(const void *)(key + 16));
	EVEN(rk, 2, 0x01);
	ODD(rk, 3);
	EVEN(rk, 4, 0x02);
	ODD(rk, 5);
	EVEN(rk, 6, 0x04);
	ODD(rk, 7);
	EVEN(rk, 8, 0x08);
	ODD(rk, 9);
	EVEN(rk, 10, 0x10);
	ODD(rk, 11);
	EVEN(rk, 12, 0x20);
	ODD(rk, 13);
	EVEN(rk, 14, 0x40);
}

AES void
xts_init(struct xts *x, const uint8_t key[XTS_KEY])
{
	__m128i *enc = (__m128i *)(void *)x->enc;
	__m128i *dec = (__m128i *)(void *)x->dec;

	expand(enc, key);
	expand((__m128i *)(void *)x->tweak, key + XTS_KEY / 2);
	dec[0] = enc[XTS_ROUNDS - 1];
	for (int i = 1; i < XTS_ROUNDS - 1; i++)
		dec[i] = _mm_aesimc_si128(enc[XTS_ROUNDS - 1 - i]);
	dec[XTS_ROUNDS - 1] = enc[0];
}

/* ---- blocks -------------------------------------------------------------- */

static AES __m128i
first_tweak(const struct xts *x, uint64_t block)
{
	const __m128i *rk = (const __m128i *)(const void *)x->tweak;
	__m128i t = _mm_set_epi64x(0, (long long)block);

	t = _mm_xor_si128(t, rk[0]);
	for (int i = 1; i < XTS_ROUNDS - 1; i++)
		t = _mm_aesenc_si128(t, rk[i]);
	return _mm_aesenclast_si128(t, rk[XTS_ROUNDS - 1]);
}

/* Times x: either half doubled, and what each loses put where it belongs. */
static AES __m128i
next_tweak(__m128i t)
{
	__m128i lost = _mm_shuffle_epi32(_mm_srai_epi32(t, 31), 0x13);

	lost = _mm_and_si128(lost, _mm_set_epi32(0, 1, 0, 0x87));
	return _mm_xor_si128(_mm_add_epi64(t, t), lost);
}

/* Not loops, but so many instructions: the arrays are registers then. */
#ifdef __clang__
#define EACH for (int k = 0; k < LANES; k++)
#else
#define EACH _Pragma("GCC unroll 8") for (int k = 0; k < LANES; k++)
#endif

/* The direction is a constant where this is inlined. */
static inline AES __attribute__((always_inline)) void
run(const struct xts *x, uint64_t block, const char *src, char *dst, size_t len,
    bool enc)
{
	const __m128i *rk =
	    (const __m128i *)(const void *)(enc ? x->enc : x->dec);
	__m128i next = first_tweak(x, block), t[LANES], b[LANES];

	KASSERT(len % (LANES * 16) == 0, "%zu bytes", len);
	for (; len > 0;
	     len -= LANES * 16, src += LANES * 16, dst += LANES * 16) {
		EACH
		{
			t[k] = next;
			next = next_tweak(next);
			b[k] = _mm_loadu_si128(
			    (const __m128i *)(const void *)(src + k * 16));
			b[k] = _mm_xor_si128(b[k], _mm_xor_si128(t[k], rk[0]));
		}
		for (int i = 1; i < XTS_ROUNDS - 1; i++)
			EACH b[k] = enc ? _mm_aesenc_si128(b[k], rk[i])
					: _mm_aesdec_si128(b[k], rk[i]);
		EACH
		{
			b[k] =
			    enc ? _mm_aesenclast_si128(b[k], rk[XTS_ROUNDS - 1])
				: _mm_aesdeclast_si128(
				      b[k], rk[XTS_ROUNDS - 1]);
			_mm_storeu_si128((__m128i *)(void *)(dst + k * 16),
			    _mm_xor_si128(b[k], t[k]));
		}
	}
}

AES void
xts_encrypt(
    const struct xts *x, uint64_t block, const void *src, void *dst, size_t len)
{
	run(x, block, src, dst, len, true);
}

AES void
xts_decrypt(
    const struct xts *x, uint64_t block, const void *src, void *dst, size_t len)
{
	run(x, block, src, dst, len, false);
}

#else

bool
xts_supported(void)
{
	return false;
}

void
xts_init(struct xts *x, const uint8_t key[XTS_KEY])
{
	(void)x;
	(void)key;
	KASSERT(false, "not on this CPU");
}

void
xts_encrypt(
    const struct xts *x, uint64_t block, const void *src, void *dst, size_t len)
{
	(void)x, (void)block, (void)src, (void)dst, (void)len;
	KASSERT(false, "not on this CPU");
}

void
xts_decrypt(
    const struct xts *x, uint64_t block, const void *src, void *dst, size_t len)
{
	(void)x, (void)block, (void)src, (void)dst, (void)len;
	KASSERT(false, "not on this CPU");
}

#endif
