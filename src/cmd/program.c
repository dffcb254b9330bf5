/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program: finds the program and whether a library can be preloaded into it.
 *
 * ld.so ignores LD_PRELOAD in a set-user-ID program and takes no part in a
 * static one: such a program would run without a budget and nobody would know.
 * So it is refused here, by name.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cmd/cmd.h"

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#error "uswap is not ported to this machine"
#endif

/* How many interpreters of interpreters the kernel follows. */
#define SCRIPT_DEPTH 4

/* ---- where it is --------------------------------------------------------- */

static bool
is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Exits unless the path is a file that may be executed. */
static void
check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		fail(errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND
							 : EXIT_CANNOT,
		    "cannot run %s: %s; check its name", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		fail(EXIT_CANNOT,
		    "cannot run %s: it is a directory; name a program in it",
		    path);
	if (access(path, X_OK) != 0)
		fail(EXIT_CANNOT,
		    "cannot run %s: %s; if it is a program: chmod +x %s", path,
		    strerror(errno), path);
}

/* As execvp(3): the first that may be executed, else the first that is. */
static const char *
search_path(const char *name)
{
	const char *dirs = getenv("PATH"), *denied = NULL;
	size_t len;
	char *path;

	if (dirs == NULL)
		dirs = "/bin:/usr/bin";
	for (;; dirs += len + 1) {
		len = strcspn(dirs, ":");
		/* An empty element is the current directory. */
		if (asprintf(&path, "%.*s%s%s", (int)len, dirs,
			len > 0 ? "/" : "./", name) < 0)
			fail(EXIT_USWAP, "out of memory");
		if (is_file(path) && access(path, X_OK) == 0)
			return path;
		if (is_file(path) && denied == NULL)
			denied = path;
		else
			free(path);
		if (dirs[len] == '\0')
			break;
	}
	if (denied == NULL)
		fail(EXIT_NOT_FOUND,
		    "cannot find the program %s in PATH; check its name", name);
	return denied;
}

/* ---- what it is ---------------------------------------------------------- */

/*
 * What makes the kernel set AT_SECURE: an effective id that is not the real
 * one, or capabilities, which mean nothing to root.  Neither counts where the
 * mount or the process has switched it off.
 */
static void
check_privileges(const char *path, int fd)
{
	struct statvfs vfs;
	const char *what = NULL;
	struct stat st;

	if (fstat(fd, &st) != 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	    (fstatvfs(fd, &vfs) == 0 && (vfs.f_flag & ST_NOSUID)))
		return;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		what = "is a set-user-ID program";
	else if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) &&
		 st.st_gid != getgid())
		what = "is a set-group-ID program";
	else if (getuid() != 0 &&
		 fgetxattr(fd, "security.capability", NULL, 0) > 0)
		what = "has file capabilities";
	if (what != NULL)
		fail(EXIT_USWAP,
		    "cannot preload into %s: it %s, for which libraries are "
		    "not preloaded; run it without uswap",
		    path, what);
}

/* Reads the interpreter's name; "" when there is none (a static program). */
static void
read_interpreter(int fd, const Elf64_Ehdr *eh, char *name, size_t size)
{
	Elf64_Phdr ph;
	int i;

	name[0] = '\0';
	for (i = 0; i < eh->e_phnum; i++) {
		ssize_t n;

		if (pread(fd, &ph, sizeof(ph),
			(off_t)(eh->e_phoff + (size_t)i * sizeof(ph))) !=
		    (ssize_t)sizeof(ph))
			return;
		if (ph.p_type != PT_INTERP)
			continue;
		if (ph.p_filesz < size)
			size = ph.p_filesz + 1;
		n = pread(fd, name, size - 1, (off_t)ph.p_offset);
		name[n > 0 ? n : 0] = '\0';
		return;
	}
}

static void
check_elf(const char *path, int fd, const Elf64_Ehdr *eh)
{
	char interp[PATH_MAX];

	/* e_machine lies at the same place in both classes. */
	if (eh->e_machine != OUR_MACHINE &&
	    !(OUR_MACHINE == EM_X86_64 && eh->e_machine == EM_386))
		fail(EXIT_CANNOT,
		    "cannot run %s: it is built for another kind of processor "
		    "(ELF machine %d); use a build of it for this one",
		    path, eh->e_machine);
	if (eh->e_ident[EI_CLASS] != ELFCLASS64)
		fail(EXIT_USWAP,
		    "cannot preload into %s: it is a 32-bit program; uswap is "
		    "for 64-bit programs",
		    path);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		fail(EXIT_CANNOT,
		    "cannot run %s: it is a library or an object file; name a program",
		    path);
	read_interpreter(fd, eh, interp, sizeof(interp));
	if (interp[0] == '\0')
		fail(EXIT_USWAP,
		    "cannot preload into %s: it is statically linked; use a "
		    "dynamically linked build of it",
		    path);
	if (strstr(interp, "/ld-musl") != NULL)
		fail(EXIT_USWAP,
		    "cannot preload into %s: it uses the C library musl; use a "
		    "build of it for glibc",
		    path);
	check_privileges(path, fd);
}

/* "#! /usr/bin/env -S x": the first word, in place; NULL when there is none. */
static char *
script_interpreter(char *line)
{
	char *s = line + 2;

	s[strcspn(s, "\n")] = '\0';
	s += strspn(s, " \t");
	s[strcspn(s, " \t")] = '\0';
	return *s != '\0' ? s : NULL;
}

/*
 * Follows a script to the program that will run it.  What is neither a script
 * nor ELF is given to the shell, as execvp(3) does, or to whatever the kernel
 * has been taught.
 */
static void
check_program(const char *path, int depth)
{
	union {
		Elf64_Ehdr eh;
		char text[PATH_MAX];
	} head;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	char *next;

	if (fd < 0) /* executable but not readable: nothing can be checked */
		return;
	memset(&head, 0, sizeof(head));
	n = read(fd, &head, sizeof(head) - 1);
	if (n >= (ssize_t)sizeof(head.eh) &&
	    memcmp(head.eh.e_ident, ELFMAG, SELFMAG) == 0) {
		check_elf(path, fd, &head.eh);
	} else if (n > 2 && head.text[0] == '#' && head.text[1] == '!') {
		next = script_interpreter(head.text);
		if (next == NULL || depth == SCRIPT_DEPTH)
			fail(EXIT_CANNOT,
			    "cannot run %s: its first line names no program "
			    "that could run it; correct it",
			    path);
		if (!is_file(next))
			fail(EXIT_CANNOT,
			    "cannot run %s: its first line names %s, which is "
			    "not there; install that or correct it",
			    path, next);
		check_executable(next);
		check_program(next, depth + 1);
	}
	close(fd);
}

const char *
program_find(const char *name)
{
	const char *path = name;

	if (*name == '\0')
		fail(EXIT_NOT_FOUND,
		    "the name of the program is empty; see: uswap run --help");
	if (strchr(name, '/') == NULL)
		path = search_path(name);
	check_executable(path);
	check_program(path, 0);
	return path;
}
