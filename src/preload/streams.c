/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * streams: stdio, where only faults of user mode are answered: see syscalls.c.
 *
 * stdio makes its system calls where nobody sees them: its streams get buffers
 * that are not managed, and large blocks go by way of one.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* They may be macros, too. */
#undef fread_unlocked
#undef fwrite_unlocked

#include "preload/again.h"
#include "preload/raw.h"

#define STREAM_BUFFER ((size_t)8192)
#define STREAM_MARK   UINT64_C(0x7573776170627566)

struct stream_head {
	uint64_t mark;
	uint64_t pad[7];
};

static void
buffer_put(struct stream_head *h)
{
	int error = errno;

	raw_munmap(h, STREAM_BUFFER);
	errno = error;
}

/* A stream gets a buffer that is not managed; it goes with the stream. */
static FILE *
adopt(FILE *f, int mode)
{
	struct stream_head *h;

	if (f == NULL)
		return f;
	h = raw_mmap(NULL, STREAM_BUFFER, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h == MAP_FAILED)
		return f;
	h->mark = STREAM_MARK;
	if (NEXT(setvbuf)(
		f, (char *)(h + 1), mode, STREAM_BUFFER - sizeof(*h)) != 0)
		buffer_put(h);
	return f;
}

/* Ours, if the stream still has it; else NULL. */
static struct stream_head *
adopted(FILE *f)
{
	uintptr_t base = (uintptr_t)f->_IO_buf_base;
	struct stream_head *h = (struct stream_head *)base - 1;

	if (base == 0 || (base & (4096 - 1)) != sizeof(*h))
		return NULL;
	return h->mark == STREAM_MARK ? h : NULL;
}

#define STREAM(name, params, args, bring)                                      \
	HOOK FILE *name params                                                 \
	{                                                                      \
		FILE *ret;                                                     \
                                                                               \
		AGAIN(ret, NEXT(name) args, ret == NULL && errno == EFAULT,    \
		    bring)                                                     \
		return adopt(ret, _IOFBF);                                     \
	}
STREAM(fopen, (const char *a, const char *m), (a, m), NAME(a))
STREAM(fopen64, (const char *a, const char *m), (a, m), NAME(a))
STREAM(fdopen, (int d, const char *m), (d, m), 0)
STREAM(popen, (const char *a, const char *m), (a, m),
    NAME(a) | bring_strings(environ))
STREAM(tmpfile, (void), (), 0)
STREAM(tmpfile64, (void), (), 0)

HOOK int
setvbuf(FILE *f, char *p, int mode, size_t n)
{
	struct stream_head *h = adopted(f);
	int ret = 0;

	if (p == NULL || !uswap_preload_holds(p, n))
		ret = NEXT(setvbuf)(f, p, mode, n);
	else
		adopt(f, mode);
	if (h != NULL && adopted(f) != h)
		buffer_put(h);
	return ret;
}

HOOK int
fclose(FILE *f)
{
	struct stream_head *h = adopted(f);
	int ret = NEXT(fclose)(f);

	if (h != NULL)
		buffer_put(h);
	return ret;
}

HOOK int
pclose(FILE *f)
{
	struct stream_head *h = adopted(f);
	int ret = NEXT(pclose)(f);

	if (h != NULL)
		buffer_put(h);
	return ret;
}

/* Blocks of this size and more pass by the stream's buffer. */
#define BLOCK ((size_t)4096)

typedef size_t block_fn(void *, size_t, size_t, FILE *);

static size_t
block(block_fn *fn, void *p, size_t size, size_t n, FILE *f, int out)
{
	size_t len, step, done = 0, some, r;
	char *b;

	if (__builtin_mul_overflow(size, n, &len) || len < BLOCK ||
	    !uswap_preload_holds(p, len))
		return fn(p, size, n, f);
	step = len < BOUNCE ? len : BOUNCE;
	b = bounce_get(step);
	if (b == NULL)
		return 0;
	do {
		some = len - done < step ? len - done : step;
		if (!out)
			memcpy(b, (char *)p + done, some);
		r = fn(b, 1, some, f);
		if (out)
			memcpy((char *)p + done, b, r);
		done += r;
	} while (r == some && done < len);
	bounce_put(b, step, step);
	return done / size;
}

HOOK size_t
fread(void *p, size_t size, size_t n, FILE *f)
{
	return block(NEXT(fread), p, size, n, f, 1);
}

HOOK size_t
fread_unlocked(void *p, size_t size, size_t n, FILE *f)
{
	return block(NEXT(fread_unlocked), p, size, n, f, 1);
}

HOOK size_t
fwrite(const void *p, size_t size, size_t n, FILE *f)
{
	return block((block_fn *)NEXT(fwrite), (void *)p, size, n, f, 0);
}

HOOK size_t
fwrite_unlocked(const void *p, size_t size, size_t n, FILE *f)
{
	return block(
	    (block_fn *)NEXT(fwrite_unlocked), (void *)p, size, n, f, 0);
}

HOOK int
fputs(const char *s, FILE *f)
{
	size_t len = strlen(s);

	return fwrite(s, 1, len, f) == len ? 1 : EOF;
}

static void __attribute__((constructor)) adopt_all(void)
{
	adopt(stdin, _IOFBF);
	adopt(stdout, isatty(1) ? _IOLBF : _IOFBF);
}
