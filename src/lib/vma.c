/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each uswap_manage looks, and so does each mmap of a preloaded program.
 * Reading /proc/self/maps costs 0.1 us and more for every mapping below the
 * range: 0.3 s for a thousand ranges among two thousand mappings, of which all
 * else takes 0.04 s.  Since Linux 6.11 one can ask for the mapping at an
 * address instead, which takes 2 us however many there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "lib/vma.h"

/* Linux 6.11 */
#ifndef PROCMAP_QUERY
#define PROCMAP_QUERY            _IOWR('f', 17, struct procmap_query)
#define PROCMAP_QUERY_VMA_SHARED 0x08 /* the lower bits are those of PROT_ */
struct procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
#endif

/*
 * The names of anonymous memory have 80 characters at most; so a longer name
 * is that of a file, which is known by its inode.
 */
#define NAME_LEN 128
/* Numbers, permissions, and the beginning of the name. */
#define LINE_LEN 160

int
vma_open(void)
{
	/* /proc/self is empty when the first thread has ended before others. */
	return open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
}

/* "[anon:...]" is a name that the program gave, "[...]" one of the kernel's. */
static bool
is_special(const char *name)
{
	return name[0] == '[' && strncmp(name, "[anon:", 6) != 0;
}

/*
 * A MAP_GROWSDOWN mapping: touched below its start it is longer, and nobody is told.
 * No file says it, but mprotect refuses PROT_GROWSDOWN for all others; here it
 * changes nothing.
 */
static bool
grows_down(const struct vma *v)
{
	return syscall(SYS_mprotect, v->start, PAGE_SIZE,
		   v->prot | PROT_GROWSDOWN) == 0;
}

/*
 * Looks at the first mapping that ends above *at, which then moves to its end.
 */
static const char *
judge(const struct vma *v, uintptr_t *at)
{
	if (v->start > *at)
		return "not mapped";
	*at = v->end;
	if (v->shared)
		return "shared memory";
	if (v->file)
		return "a mapping of a file, or of huge pages";
	if (v->special || grows_down(v))
		return "heap, stack, or the kernel's own";
	return NULL;
}

/* ---- by question --------------------------------------------------------- */

/* The mapping that holds `at`: 0, or errno; ENOENT if there is none. */
static int
ask(int fd, uintptr_t at, struct vma *v)
{
	char name[NAME_LEN] = "";
	struct procmap_query q = {.size = sizeof(q),
	    .query_addr = at,
	    .vma_name_size = sizeof(name),
	    .vma_name_addr = (uintptr_t)name};
	int error = ioctl(fd, PROCMAP_QUERY, &q) == 0 ? 0 : errno;

	if (error != 0 && error != ENAMETOOLONG)
		return error;
	*v = (struct vma){.start = (uintptr_t)q.vma_start,
	    .end = (uintptr_t)q.vma_end,
	    .prot = (int)q.vma_flags & (PROT_READ | PROT_WRITE | PROT_EXEC),
	    .shared = (q.vma_flags & PROCMAP_QUERY_VMA_SHARED) != 0,
	    .file = error == ENAMETOOLONG || q.inode != 0,
	    .special = is_special(name)};
	return 0;
}

bool
vma_unfit_asked(int fd, uintptr_t start, uintptr_t end, const char **why)
{
	uintptr_t at = start;
	const char *unfit = NULL;
	struct vma v;

	while (at < end && unfit == NULL) {
		int error = ask(fd, at, &v);

		if (error == ENOENT)
			unfit = "not mapped";
		else if (error != 0)
			return false;
		else
			unfit = judge(&v, &at);
	}
	*why = unfit;
	return true;
}

bool
vma_is_one(int fd, uintptr_t start, uintptr_t end)
{
	struct vma v;
	int error = fd < 0 ? EBADF : ask(fd, start, &v);

	if (error != 0)
		return error != ENOENT;
	return v.start <= start && v.end >= end;
}

/* ---- by reading ---------------------------------------------------------- */

bool
vma_parse(const char *line, struct vma *v)
{
	char *at;

	/* start-end perms offset major:minor inode name */
	v->start = strtoul(line, &at, 16);
	if (at == line || *at != '-')
		return false;
	v->end = strtoul(at + 1, &at, 16);
	if (*at != ' ' || v->end <= v->start || strnlen(at, 6) < 6)
		return false;
	v->prot = (at[1] == 'r' ? PROT_READ : 0) |
		  (at[2] == 'w' ? PROT_WRITE : 0) |
		  (at[3] == 'x' ? PROT_EXEC : 0);
	v->shared = at[4] != 'p';
	at = strchr(at + 6, ' '); /* after the offset */
	at = at == NULL ? NULL : strchr(at + 1, ' ');
	if (at == NULL)
		return false;
	v->file = strtoul(at, &at, 10) != 0;
	v->special = is_special(at + strspn(at, " "));
	return true;
}

/*
 * The kernel gives whole lines, a page of memory or less at a time, but some
 * names are longer than that: of each line the beginning is gathered.
 */
const char *
vma_unfit_read(int fd, uintptr_t start, uintptr_t end)
{
	char buf[4096], line[LINE_LEN];
	const char *p, *nl, *unfit;
	uintptr_t at = start;
	size_t len = 0, some;
	struct vma v;
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) != 0)
		return NULL;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (p = buf; p < buf + n; p = nl + 1) {
			nl = memchr(p, '\n', (size_t)(buf + n - p));
			some = (size_t)((nl != NULL ? nl : buf + n) - p);
			some = US_MIN(some, sizeof(line) - 1 - len);
			memcpy(line + len, p, some);
			len += some;
			if (nl == NULL)
				break;
			line[len] = '\0';
			len = 0;
			if (!vma_parse(line, &v) || v.end <= at)
				continue;
			unfit = judge(&v, &at);
			if (unfit != NULL || at >= end)
				return unfit;
		}
	}
	return n < 0 ? NULL : "not mapped";
}

const char *
vma_unfit(int fd, uintptr_t start, uintptr_t end)
{
	const char *why;

	if (fd < 0)
		return NULL;
	if (vma_unfit_asked(fd, start, end, &why))
		return why;
	return vma_unfit_read(fd, start, end);
}
