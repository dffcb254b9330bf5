/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * within: memory that the C library allocates for itself, where only faults of user
 * mode are answered: see syscalls.c.
 *
 * The C library reads files behind everybody's back, as /etc/localtime and
 * /etc/passwd, into blocks that it has just allocated and not touched: a page of
 * such a block that is out, or never was in, would be an error, and the time UTC.
 * So what it allocates is touched before it gets it.
 *
 * Before the constructor malloc is calloc, which is of the allocator that free is of,
 * and needs no look-up.
 */
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/again.h"

/* What can be a buffer. */
#define BUFFER_MIN ((size_t)1 << 10)
#define BUFFER_MAX ((size_t)64 << 10)

/* Constant after the constructor. */
static struct text libc_text;
static void *(*next_malloc)(size_t);

HOOK void *
malloc(size_t size)
{
	void *p;

	if (__builtin_expect(next_malloc == NULL, 0))
		return calloc(1, size);
	p = next_malloc(size);
	if (size >= BUFFER_MIN && size <= BUFFER_MAX &&
	    text_has(&libc_text, __builtin_return_address(0)))
		(void)OUT(p, size);
	return p;
}

/* ---- whose code ---------------------------------------------------------- */

struct search {
	uintptr_t in_it;
	struct text found;
};

static int
look(struct dl_phdr_info *lib, size_t size, void *arg)
{
	struct search *s = arg;

	(void)size;
	for (int i = 0; i < lib->dlpi_phnum; i++) {
		uintptr_t start = lib->dlpi_addr + lib->dlpi_phdr[i].p_vaddr;
		size_t len = lib->dlpi_phdr[i].p_memsz;

		if (lib->dlpi_phdr[i].p_type != PT_LOAD ||
		    s->in_it - start >= len)
			continue;
		s->found = (struct text){start, len};
		return 1;
	}
	return 0;
}

struct text
text_of(const void *function)
{
	struct search s = {.in_it = (uintptr_t)function};

	dl_iterate_phdr(look, &s);
	return s.found;
}

/* The linker's names for the section. */
extern struct next __start_uswap_next[], __stop_uswap_next[];

static void __attribute__((constructor)) find_all(void)
{
	for (struct next *n = __start_uswap_next; n < __stop_uswap_next; n++)
		n->function = dlsym(RTLD_NEXT, n->name);
	libc_text = text_of((const void *)NEXT(getpagesize));
	next_malloc = NEXT(malloc);
}
