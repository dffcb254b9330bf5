/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * golang: programs written in Go and linked with C, which faults by signals would
 * harm.
 *
 * Their stacks are small, and in their heap, which is managed; a signal's frame and
 * handler would overrun them.  They are known by the note that go build leaves.
 */
#include <link.h>
#include <string.h>

#include "preload/preload.h"

#define NOTE_BUILD_ID 4
static const char owner[] = "Go"; /* padded to 4 bytes in the note */

static bool
has_note(const char *p, const char *end)
{
	ElfW(Nhdr) n;

	for (; end - p >= (ptrdiff_t)sizeof(n);
	     p +=
	     sizeof(n) + ((n.n_namesz + 3) & ~3u) + ((n.n_descsz + 3) & ~3u)) {
		memcpy(&n, p, sizeof(n));
		if (n.n_namesz == 4 && n.n_type == NOTE_BUILD_ID &&
		    end - p >= (ptrdiff_t)sizeof(n) + 4 &&
		    memcmp(p + sizeof(n), owner, sizeof(owner)) == 0)
			return true;
	}
	return false;
}

static bool
is_loaded(const struct dl_phdr_info *program, const ElfW(Phdr) * note)
{
	bool loaded = false;

	for (int i = 0; i < program->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &program->dlpi_phdr[i];

		loaded |=
		    ph->p_type == PT_LOAD && note->p_vaddr >= ph->p_vaddr &&
		    note->p_vaddr + note->p_memsz <= ph->p_vaddr + ph->p_memsz;
	}
	return loaded;
}

/* The first is the program. */
static int
look(struct dl_phdr_info *program, size_t size, void *found)
{
	(void)size;
	for (int i = 0; i < program->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &program->dlpi_phdr[i];
		const char *p = (const char *)program->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_NOTE && is_loaded(program, ph) &&
		    has_note(p, p + ph->p_memsz))
			*(bool *)found = true;
	}
	return 1;
}

bool
is_golang(void)
{
	bool found = false;

	dl_iterate_phdr(look, &found);
	return found;
}
