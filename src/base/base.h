/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base: the words every room uses: page size, index types, assertions.
 *
 * Two kinds of wrong.  A programmer's error fails a KASSERT, in release
 * builds too, and ends the process.  An operating error (a disk, a full
 * device, a refusing kernel) is never asserted: it is returned as -errno and
 * travels up until somebody can keep the data safe.
 */
#ifndef USWAP_BASE_H
#define USWAP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#ifndef PAGE_SIZE
#define PAGE_SIZE ((size_t)1 << PAGE_SHIFT)
#endif
#define PAGE_MASK (PAGE_SIZE - 1)

/* Bytes to pages (rounding down) and back. */
#define atop(bytes)   ((uint64_t)(bytes) >> PAGE_SHIFT)
#define ptoa(pages)   ((uint64_t)(pages) << PAGE_SHIFT)
#define trunc_page(x) ((x) & ~(uintptr_t)PAGE_MASK)
#define round_page(x) (((x) + PAGE_MASK) & ~(uintptr_t)PAGE_MASK)

#define US_MIN(a, b)  ((a) < (b) ? (a) : (b))
#define US_MAX(a, b)  ((a) > (b) ? (a) : (b))
#define nitems(x)     (sizeof(x) / sizeof((x)[0]))
#define howmany(x, y) (((x) + ((y)-1)) / (y))

/*
 * Limits, each with its reason.
 *
 * A page index in an object and a swap block are 32 bits wide: 16 TiB of
 * each, at half the metadata of 64 bits.  The largest value is a sentinel.
 */
typedef uint32_t pindex_t;
#define PINDEX_MAX UINT32_C(0xfffffff0)

/* The largest single transfer: 1 MiB, where such disks are at their best. */
#define CLUSTER_MAX 256

/*
 * KASSERT(expression, format, ...): a programmer's error.  Prints the place
 * and the reason to file descriptor 2 without allocating, then aborts.
 */
#define KASSERT(e, ...)                                                        \
	do {                                                                   \
		if (__builtin_expect(!(e), 0))                                 \
			kassert_failed(__FILE__, __LINE__, #e, __VA_ARGS__);   \
	} while (0)

void kassert_failed(const char *file, int line, const char *expr,
    const char *fmt, ...) __attribute__((noreturn, format(printf, 4, 5)));

#endif
