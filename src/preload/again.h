/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * again: what the sources of libuswap-syscalls.so share: see syscalls.c.
 */
#ifndef USWAP_PRELOAD_AGAIN_H
#define USWAP_PRELOAD_AGAIN_H

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>

#include "preload/bring.h"

#define HOOK __attribute__((visibility("default")))

/*
 * The next definition of a function: the C library's.  All are looked up in a
 * constructor (within.c), for a handler of a fault must not enter ld.so; what is
 * called before it, by itself.
 */
struct next {
	const char *name;
	void *function;
};
#define NEXT(called)                                                           \
	({                                                                     \
		static struct next next_ __attribute__((                       \
		    section("uswap_next"), used)) = {.name = #called};         \
		if (next_.function == NULL)                                    \
			next_.function = dlsym(RTLD_NEXT, next_.name);         \
		(__typeof__(&(called)))next_.function;                         \
	})

/* So often a page may leave between its touch and the call. */
#define TRIES     100

#define IN(p, n)  uswap_preload_bring((p), (n), 0) /* the kernel reads it */
#define OUT(p, n) uswap_preload_bring((p), (n), 1) /* the kernel writes it */
#define NAME(p)   IN((p), 4096) /* wherever it ends */

/* Sets ret to the call's result; `failed` looks at ret. */
#define AGAIN(ret, call, failed, bring)                                        \
	for (int i_ = 0;                                                       \
	     (ret) = (call), (failed) && i_ < TRIES && (bring) != 0; i_++)     \
		;

/*
 * One row of a table of calls that fail by -1.  The C library's declarations say
 * of some arguments that they are not NULL; nobody here relies on it.
 */
#define DEFINE(type, name, params, args, bring)                                \
	HOOK type name params                                                  \
	{                                                                      \
		type ret;                                                      \
                                                                               \
		AGAIN(                                                         \
		    ret, NEXT(name) args, ret == -1 && errno == EFAULT, bring) \
		return ret;                                                    \
	}

/*
 * Programs built with large files call these, which are the same: off_t has 64 bits.
 * Their declarations name other types, so that the compiler knows nothing of it.  In
 * the source of the other.
 */
#define SAME(name, as) __asm__(".globl " #name "\n.set " #name ", " #as)

/*
 * transfers.c: memory that is not managed, for the time of a call; errno is kept.
 * More than BOUNCE is given, or taken, in several steps.  Of what is no longer than
 * BOUNCE_KEPT one is kept, empty: it costs two calls to the kernel and a fault a page.
 */
#define BOUNCE      ((size_t)1 << 20)
#define BOUNCE_KEPT ((size_t)128 << 10)
char *bounce_get(size_t n); /* NULL: ENOMEM */
void bounce_put(char *p, size_t n, size_t used); /* so much of it */

/* within.c: the code of the library that a function is in; empty: of none. */
struct text {
	uintptr_t start;
	size_t len;
};
struct text text_of(const void *function);
static inline int
text_has(const struct text *t, const void *address)
{
	return (uintptr_t)address - t->start < t->len;
}

/* signals.c: the set without SIGBUS, in *copy; NULL remains that. */
const sigset_t *strip_bus(const sigset_t *set, sigset_t *copy);

/* programs.c: argv or envp, and what it points to. */
int bring_strings(char *const *v);

#endif
