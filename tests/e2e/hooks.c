/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks: calls every function that the preload library takes the place of, on
 * memory that is paged, and checks results, errno and contents against what
 * Linux does.  Run it in 32M.  With the argument "fork" it forks before the
 * pager starts, so that the parent's pages are marked as shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define M ((size_t)1 << 20)

#define CHECK(e)                                                               \
	do {                                                                   \
		if (!(e)) {                                                    \
			fprintf(stderr, "hooks.c:%d: %s (errno %d)\n",         \
			    __LINE__, #e, errno);                              \
			exit(1);                                               \
		}                                                              \
	} while (0)
#define REFUSED(e, error)                                                      \
	CHECK((errno = 0, (long)(e) == -1 && errno == (error)))

static char *
anon(size_t len, int flags)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Every page of the range begins with this byte. */
static int
all(const char *p, size_t len, int byte)
{
	size_t i;

	for (i = 0; i < len; i += 4096)
		if (p[i] != byte)
			return 0;
	return 1;
}

static void
child_ends(pid_t pid, int want)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == want);
}

static void
forks(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		_exit(3);
	child_ends(pid, 3);
}

/* malloc's own mmap starts the pager, inside the allocator. */
static char *
grow(void)
{
	char *p;
	sigset_t mask;

	errno = 77;
	p = malloc(64 * M);
	CHECK(p != NULL && errno == 77);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
	CHECK(!sigismember(&mask, SIGUSR1));
	memset(p, 1, 64 * M);
	return p;
}

static void
advice(char *q)
{
	memset(q, 5, 4 * M);
	CHECK(madvise(q, M, MADV_DONTNEED) == 0);
	CHECK(all(q, M, 0) && all(q + M, 3 * M, 5));
	CHECK(madvise(q, M, MADV_HUGEPAGE) == 0);
	CHECK(madvise(q, 4 * M, MADV_WILLNEED) == 0);
	REFUSED(madvise(q + 1, M, MADV_DONTNEED), EINVAL);
	REFUSED(madvise(q, M, -1), EINVAL);
	/* Locks do not nest; locked memory keeps its contents. */
	CHECK(mlock(q + 10, 4096) == 0 && mlock(q, 4096) == 0);
	REFUSED(madvise(q, M, MADV_DONTNEED), EINVAL);
	CHECK(munlock(q, 8192) == 0 && munlock(q, 8192) == 0);
	CHECK(madvise(q, M, MADV_DONTNEED) == 0);
	REFUSED(mlockall(MCL_CURRENT), ENOMEM);
	CHECK(mlock2(q, 4096, 0) == 0 && munlockall() == 0);
}

static void
fixed(char *q)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	int rw = PROT_READ | PROT_WRITE;

	CHECK(mmap(q + 2 * M, M, rw, flags, -1, 0) == q + 2 * M);
	CHECK(all(q + 2 * M, M, 0) && q[2 * M - 4096] == 5);
	q[2 * M] = 9;
	CHECK(mmap(q + 2 * M, 8192, PROT_NONE, flags, -1, 0) == q + 2 * M);
	CHECK(mprotect(q + 2 * M, 4096, rw) == 0 && q[2 * M] == 0);
	REFUSED(mmap(q, 0, rw, flags, -1, 0), EINVAL);
	CHECK(fd >= 0);
	CHECK(mmap(q + 3 * M, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd,
		  0) == q + 3 * M);
	CHECK(q[3 * M + 1] == 'E' && all(q + 3 * M + 4096, M - 4096, 5));
	close(fd);
}

static void
moves(char *q)
{
	char *big = mremap(q, 2 * M, 16 * M, MREMAP_MAYMOVE);
	char *to = anon(4 * M, 0);

	CHECK(big != MAP_FAILED);
	CHECK(all(big, M, 0) && all(big + M, M, 5) && all(big + 2 * M, M, 0));
	CHECK(mremap(big, 16 * M, 2 * M, 0) == big);
	REFUSED(mremap(big, M, M, MREMAP_MAYMOVE | MREMAP_FIXED, big), EINVAL);
	REFUSED(mremap(big, M, M, MREMAP_FIXED, to), EINVAL);
	memset(to, 6, 4 * M);
	CHECK(mremap(big, 2 * M, 2 * M, MREMAP_MAYMOVE | MREMAP_FIXED,
		  to + M) == to + M);
	CHECK(all(to, M, 6) && all(to + 2 * M, M, 5) && all(to + 3 * M, M, 6));
	REFUSED(mremap(big, M, 2 * M, MREMAP_MAYMOVE), EFAULT);
	CHECK(munmap(to, 4 * M) == 0);
	REFUSED(munmap((void *)1, 4096), EINVAL);
}

int
main(int argc, char **argv)
{
	char *small = anon(8 * M, 0), *q, *p;
	pid_t pid;

	(void)argv;
	memset(small, 7, 8 * M);
	if (argc > 1)
		forks();
	CHECK(mlock(small, 4096) == 0 && munlock(small, 4096) == 0);
	p = grow();
	q = anon(4 * M, MAP_POPULATE);
	advice(q);
	fixed(q);
	moves(q);
	CHECK(all(small, 8 * M, 7) && all(p, 64 * M, 1));
	/* Pages are in swap space now. */
	pid = fork();
	if (pid == 0)
		_exit(all(small, 8 * M, 7) && all(p, 64 * M, 1) ? 3 : 9);
	child_ends(pid, 3);
	CHECK(system("exit 0") == 0);
	pid = vfork();
	if (pid == 0)
		_exit(4);
	child_ends(pid, 4);
	CHECK(all(small, 8 * M, 7) && all(p, 64 * M, 1));
	free(p);
	return 5;
}
