/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory DIRECTORY [NAME]: memory calls with rare flags, advice and limits, on
 * memory that has been paged out; prints what each returned and what is there
 * afterwards: the same with uswap and without.  Run it in 16M.  NAME: only that
 * one; "lockall", in 32M, runs only when it is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/must.h"

#define PAGE    ((size_t)4096)
#define M       ((size_t)1 << 20)
#define LEN     (64 * PAGE) /* of an area: large enough to be managed */
#define HOLE    (16 * M)
#define BALLAST (40 * M)
#define RW      (PROT_READ | PROT_WRITE)
#define ANON    (MAP_PRIVATE | MAP_ANONYMOUS)

/* Newer than the oldest headers. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static const char *dir;
static const char *name;
static int file; /* of 1 MiB of known bytes */

/* ---- areas, and what is in them ------------------------------------------ */

static void
fill(char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (char)(i * 7 + i / 251 + seed);
}

/* An area between two holes, filled and paged out. */
static char *
area(size_t len, unsigned seed)
{
	char *p = mmap(NULL, len + 2 * HOLE, PROT_NONE, ANON, -1, 0);

	MUST(p != MAP_FAILED && munmap(p, len + 2 * HOLE) == 0);
	p += HOLE;
	MUST(mmap(p, len, RW, ANON | MAP_FIXED, -1, 0) == p);
	fill(p, len, seed);
	MUST(madvise(p, len, MADV_PAGEOUT) == 0);
	return p;
}

/* What can be read of a range, by the kernel, which does not die of the rest. */
static uint64_t
sum(const char *p, size_t len)
{
	uint64_t h = 14695981039346656037u;
	char buf[PAGE];

	for (size_t at = 0; at < len; at += PAGE) {
		struct iovec to = {buf, PAGE}, from = {(void *)(p + at), PAGE};

		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) !=
		    (ssize_t)PAGE)
			memset(buf, 0xee, PAGE);
		for (size_t i = 0; i < PAGE; i += 8)
			h = (h ^ *(uint64_t *)(buf + i)) * 1099511628211u;
	}
	return h;
}

/* One line: the call, what it returned, what is there. */
static void
say(const char *what, long ret, const char *p, size_t len)
{
	int error = ret == -1 ? errno : 0;

	if (p != NULL && ret >= (long)p && ret < (long)(p + len))
		ret -= (long)p;
	else if (ret > (long)M)
		ret = 1; /* an address elsewhere */
	printf("%s: %s: %ld errno %d: %016lx\n", name, what, ret, error,
	    p == NULL ? 0 : (unsigned long)sum(p, len));
	fflush(stdout);
}

/* In a child, whose limits and rights are its own; it must end well. */
static void
in_child(void (*fn)(char *), char *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	say("child", status, NULL, 0);
	MUST(status == 0);
}

/* ---- mmap ---------------------------------------------------------------- */

/* Over the middle of an area, as it is, and anonymous memory in its place again. */
static void
over(const char *what, int prot, int flags, int fd, off_t off)
{
	char *p = area(LEN, 1), *q = p + 16 * PAGE;

	say(what, (long)mmap(q, 16 * PAGE, prot, flags, fd, off), p, LEN);
	say("and back", (long)mmap(q, 16 * PAGE, RW, ANON | MAP_FIXED, -1, 0),
	    p, LEN);
	fill(q, 16 * PAGE, 2);
	madvise(p, LEN, MADV_PAGEOUT);
	say("and used", 0, p, LEN);
	munmap(p, LEN);
}

static void
t_flags(void)
{
	over("NORESERVE", RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0);
	over("POPULATE", RW, ANON | MAP_FIXED | MAP_POPULATE, -1, 0);
	over("STACK", RW, ANON | MAP_FIXED | MAP_STACK, -1, 0);
	over("LOCKED", RW, ANON | MAP_FIXED | MAP_LOCKED, -1, 0);
	over("GROWSDOWN", RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	over("HUGETLB", RW, ANON | MAP_FIXED | MAP_HUGETLB, -1, 0);
	over("SHARED", RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	over("file", PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 8192);
	over("file, shared", RW, MAP_SHARED | MAP_FIXED, file, 0);
	over("NOREPLACE", RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	over("both", RW, ANON | MAP_FIXED | MAP_FIXED_NOREPLACE, -1, 0);
	over("file, NOREPLACE", PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE,
	    file, 0);
	over("a hint", RW, ANON, -1, 0);
	over("offset", RW, ANON | MAP_FIXED, -1, 1);
	over("no type", RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	over("no file", RW, MAP_PRIVATE | MAP_FIXED, -1, 0);
	over("strange protection", RW | 0x1000000, ANON | MAP_FIXED, -1, 0);
}

static void
t_holes(void)
{
	char *p = area(LEN, 1);

	/* Half over the area, half over the hole. */
	say("NOREPLACE, half",
	    (long)mmap(p + LEN / 2, LEN, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0),
	    p, 2 * LEN);
	say("FIXED, half",
	    (long)mmap(p + LEN / 2, LEN, RW, ANON | MAP_FIXED, -1, 0), p,
	    2 * LEN);
	say("file, half",
	    (long)mmap(
		p + LEN, LEN, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0),
	    p, 2 * LEN);
	say("a hint beside",
	    (long)mmap(p - 16 * PAGE, 16 * PAGE, RW, ANON, -1, 0),
	    p - 16 * PAGE, 2 * LEN);
	munmap(p - 16 * PAGE, 3 * LEN);
}

/* Grows into the hole below, and not into managed memory. */
static void
t_growsdown(void)
{
	char *p = area(LEN, 1), *q = p + LEN + M + M / 2;

	say("in the hole",
	    (long)mmap(
		q, 16 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0),
	    q - 8 * PAGE, 24 * PAGE);
	for (int i = 0; i < 10; i++)
		say("below", pread(file, q - i * PAGE, 10, 0), q - 8 * PAGE,
		    24 * PAGE);
	/* A call that fails, and whose range has a managed part. */
	MUST(mmap(q + 16 * PAGE, LEN, RW, ANON | MAP_FIXED, -1, 0) ==
	     q + 16 * PAGE);
	memset(q + 16 * PAGE, 1, LEN);
	say("onto itself",
	    (long)mremap(q - 9 * PAGE, 25 * PAGE + LEN, 25 * PAGE + LEN,
		MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE),
	    q - 16 * PAGE, 32 * PAGE);
	for (int i = 10; i < 14; i++)
		say("below", pread(file, q - i * PAGE, 10, 0), q - 16 * PAGE,
		    32 * PAGE);
	munmap(q - 16 * PAGE, 32 * PAGE + LEN);
	q = p + LEN;
	say("beside",
	    (long)mmap(
		q, 16 * PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0),
	    p, LEN);
	say("below", pread(file, q - PAGE, 10, 0), p, LEN);
	munmap(p + LEN - 16 * PAGE, 16 * PAGE);
	say("below again", pread(file, q - PAGE, 10, 0), p, LEN);
	munmap(p, LEN + 16 * PAGE);
}

/* ---- mremap -------------------------------------------------------------- */

static void
t_mremap(void)
{
	char *p = area(LEN, 1), *q = area(LEN, 2), *s;
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;

	s = mmap(NULL, LEN, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fill(s, LEN, 3);
	say("nothing", (long)mremap(p, 0, LEN, MREMAP_MAYMOVE), p, LEN);
	say("nothing, onto", (long)mremap(p, 0, LEN, fixed, q), q, LEN);
	say("shared, once more",
	    (long)mremap(s, 0, LEN / 2, fixed, p + LEN / 4), p, LEN);
	memset(p + LEN / 2, 9, PAGE);
	say("written", memcmp(p + LEN / 4, s, LEN / 2), s, LEN);
	say("anew",
	    (long)mmap(p + LEN / 4, LEN / 4, RW, ANON | MAP_FIXED, -1, 0), p,
	    LEN);
	fill(p, LEN / 2, 4);
	madvise(p, LEN, MADV_PAGEOUT);
	say("not shared", 0, s, LEN);
	say("DONTUNMAP", (long)mremap(q, LEN, LEN, fixed | MREMAP_DONTUNMAP, p),
	    p, LEN);
	say("what stays", 0, q, LEN);
	say("unaligned", (long)mremap(p + 1, LEN, LEN, fixed, q), q, LEN);
	say("unaligned", (long)mremap(p, LEN, LEN, fixed, q + 1), p, LEN);
	say("overlap", (long)mremap(p, LEN, LEN, fixed, p + PAGE), p, LEN);
	say("shrink", (long)mremap(p, LEN, LEN / 2, 0), p, LEN);
	say("grow", (long)mremap(p, LEN / 2, LEN, 0), p, LEN);
	say("across a hole", (long)mremap(p, 2 * LEN, 3 * LEN, fixed, q), p,
	    LEN);
	munmap(p, LEN);
	munmap(q, LEN);
	munmap(s, LEN);
}

/* ---- madvise ------------------------------------------------------------- */

static const struct {
	const char *name;
	int advice;
} advices[] = {{"NORMAL", MADV_NORMAL}, {"RANDOM", MADV_RANDOM},
    {"SEQUENTIAL", MADV_SEQUENTIAL}, {"WILLNEED", MADV_WILLNEED},
    {"DONTNEED", MADV_DONTNEED}, {"REMOVE", MADV_REMOVE},
    {"DONTFORK", MADV_DONTFORK}, {"DOFORK", MADV_DOFORK},
    {"DONTDUMP", MADV_DONTDUMP}, {"DODUMP", MADV_DODUMP},
    {"WIPEONFORK", MADV_WIPEONFORK}, {"KEEPONFORK", MADV_KEEPONFORK},
    {"COLD", MADV_COLD}, {"PAGEOUT", MADV_PAGEOUT},
    {"POPULATE_READ", MADV_POPULATE_READ},
    {"POPULATE_WRITE", MADV_POPULATE_WRITE},
    {"GUARD_INSTALL", MADV_GUARD_INSTALL}, {"GUARD_REMOVE", MADV_GUARD_REMOVE},
    {"unknown", 77}};

/* An area with a file in it, a hole behind that, and an area again. */
static void
t_advice(void)
{
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		char *p = area(4 * LEN, 1);
		int a = advices[i].advice;

		MUST(mmap(p + LEN, LEN, PROT_READ, MAP_PRIVATE | MAP_FIXED,
			 file, 0) == p + LEN);
		MUST(munmap(p + 2 * LEN, LEN) == 0);
		printf("%s: %s\n", name, advices[i].name);
		say("managed", madvise(p, LEN / 2, a), p, 4 * LEN);
		say("unaligned", madvise(p + 1, LEN, a), p, 4 * LEN);
		say("zero length", madvise(p, 0, a), p, 4 * LEN);
		say("partial page", madvise(p, 100, a), p, 4 * LEN);
		say("too long", madvise(p, (size_t)-100, a), p, 4 * LEN);
		say("a hole", madvise(p + 2 * LEN, LEN, a), p, 4 * LEN);
		say("hole to managed", madvise(p + 2 * LEN, LEN + LEN / 2, a),
		    p, 4 * LEN);
		say("with a file", madvise(p, LEN + LEN / 2, a), p, 4 * LEN);
		say("all", madvise(p, 4 * LEN, a), p, 4 * LEN);
		MUST(mprotect(p + 3 * LEN, PAGE, PROT_NONE) == 0);
		say("no access", madvise(p + 3 * LEN, LEN, a), p, 4 * LEN);
		mprotect(p + 3 * LEN, PAGE, RW);
		say("mlock", mlock(p + 3 * LEN, PAGE), p, 4 * LEN);
		say("locked", madvise(p + 3 * LEN, LEN, a), p, 4 * LEN);
		munlock(p + 3 * LEN, PAGE);
		madvise(p, 4 * LEN, MADV_GUARD_REMOVE);
		say("in the end", 0, p, 4 * LEN);
		munmap(p, 4 * LEN);
	}
}

/* Lengths that are no whole pages: what is behind must stay page by page. */
static void
t_guards_of_parts(void)
{
	char *p = area(4 * LEN, 1);

	say("guards", madvise(p + PAGE, 8 * PAGE - 100, MADV_GUARD_INSTALL), p,
	    PAGE);
	say("some removed", madvise(p, 3 * PAGE + 100, MADV_GUARD_REMOVE), p,
	    4 * PAGE);
	say("after", madvise(p, 2 * LEN, MADV_KEEPONFORK), p, 4 * PAGE);
	say("all removed", madvise(p, 2 * LEN, MADV_GUARD_REMOVE), p, 4 * LEN);
	munmap(p, 4 * LEN);
}

/*
 * A stack with guards, which is not managed, next to memory that is: an mremap over
 * both that fails takes none of it in.
 */
static void
t_guarded_stack(void)
{
	char *p = area(2 * LEN, 1), *stack = p + LEN;

	MUST(
	    mmap(stack, LEN, RW, ANON | MAP_FIXED | MAP_STACK, -1, 0) == stack);
	say("guards", madvise(stack, LEN / 2, MADV_GUARD_INSTALL), p, 2 * LEN);
	say("onto itself",
	    (long)mremap(
		p, 2 * LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, p + LEN / 2),
	    p, 2 * LEN);
	MUST(mmap(stack, PAGE, RW, ANON | MAP_FIXED, -1, 0) == stack);
	say("in place of one", 0, p, 2 * LEN);
	say("removed", madvise(stack, LEN, MADV_GUARD_REMOVE), p, 2 * LEN);
	munmap(p, 2 * LEN);
}

static void
t_process_madvise(void)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	char *p = area(LEN, 1), *q = area(LEN, 2);
	struct iovec v[3] = {{p, LEN / 2}, {q, LEN / 2}, {q + 2 * LEN, LEN}};

	MUST(self >= 0);
	say("DONTNEED", process_madvise(self, v, 2, MADV_DONTNEED, 0), p, LEN);
	say("second", 0, q, LEN);
	v[0].iov_base = p + LEN / 2;
	say("a hole", process_madvise(self, v, 3, MADV_DONTNEED, 0), p, LEN);
	say("only a hole", process_madvise(self, v + 2, 1, MADV_DONTNEED, 0), p,
	    LEN);
	say("flags", process_madvise(self, v, 1, MADV_DONTNEED, 1), p, LEN);
	say("unknown", process_madvise(self, v, 1, 77, 0), p, LEN);
	say("none", process_madvise(self, v, 0, MADV_PAGEOUT, 0), p, LEN);
	v[0].iov_len = 0;
	say("no bytes", process_madvise(self, v, 1, 77, 0), p, LEN);
	v[0].iov_len = LEN / 2;
	say("no vector",
	    process_madvise(
		self, (struct iovec *)(q + 2 * LEN), 1, MADV_DONTNEED, 0),
	    p, LEN);
	memcpy(q + LEN - sizeof(*v), v, sizeof(*v));
	say("half of one",
	    process_madvise(self, (struct iovec *)(q + LEN - sizeof(*v)), 2,
		MADV_DONTNEED, 0),
	    p, LEN);
	v[1].iov_len = (size_t)-1;
	say("too long", process_madvise(self, v, 2, MADV_DONTNEED, 0), p, LEN);
	say("no process", process_madvise(file, v, 1, MADV_PAGEOUT, 0), p, LEN);
	close(self);
	munmap(p, LEN);
	munmap(q, LEN);
}

/* ---- fork ---------------------------------------------------------------- */

static char *early[5]; /* advised before there was a pager */
static char *late[6];

static void
advise_forks(char **v)
{
	madvise(v[1], LEN, MADV_DONTFORK);
	madvise(v[2], LEN, MADV_WIPEONFORK);
	madvise(v[3], LEN, MADV_DONTFORK);
	madvise(v[4], LEN / 2, MADV_WIPEONFORK);
	madvise(v[4] + LEN / 2, LEN / 2, MADV_DONTFORK);
}

static char *guarded; /* likewise: two guards, of which one was removed */

static void
make_early(void)
{
	guarded = area(LEN, 7);
	madvise(guarded + 16 * PAGE, 8 * PAGE, MADV_GUARD_INSTALL);
	madvise(guarded + 32 * PAGE, 8 * PAGE, MADV_GUARD_INSTALL);
	madvise(guarded + 32 * PAGE, 8 * PAGE, MADV_GUARD_REMOVE);
	for (unsigned i = 0; i < 5; i++)
		early[i] = area(LEN, i);
	advise_forks(early);
}

static void
look_at_forked(char *unused)
{
	(void)unused;
	for (int i = 0; i < 5; i++)
		say("early", i, early[i], LEN);
	for (int i = 0; i < 6; i++)
		say("late", i, late[i], LEN);
	say("not locked", madvise(late[0], PAGE, MADV_DONTNEED), late[0], LEN);
	say("mapped", (long)mmap(late[1], LEN, RW, ANON | MAP_FIXED, -1, 0),
	    late[1], LEN);
	memset(late[1], 1, LEN);
	memset(late[2], 1, LEN);
	say("written", 0, late[2], LEN);
}

static void
t_fork(void)
{
	for (unsigned i = 0; i < 6; i++)
		late[i] = area(LEN, 10 + i);
	advise_forks(late);
	/* New memory in its place has no advice. */
	madvise(late[5], LEN, MADV_WIPEONFORK);
	MUST(mmap(late[5], LEN, RW, ANON | MAP_FIXED, -1, 0) == late[5]);
	fill(late[5], LEN, 99);
	MUST(mlock(late[0], PAGE) == 0);
	for (int i = 1; i < 5; i++)
		late[i][LEN - PAGE] = 1; /* one page is in memory */
	in_child(look_at_forked, NULL);
	for (int i = 0; i < 5; i++) {
		say("early", i, early[i], LEN);
		say("late", i, late[i], LEN);
	}
	madvise(early[1], LEN, MADV_DOFORK);
	madvise(late[3], LEN, MADV_DOFORK);
	madvise(early[2], LEN, MADV_KEEPONFORK);
	madvise(late[2], LEN, MADV_KEEPONFORK);
	in_child(look_at_forked, NULL);
	for (int i = 0; i < 6; i++)
		munmap(late[i], LEN);
}

static void
t_guards(void)
{
	char *p = area(LEN, 1), *q = area(LEN, 2);

	say("early", madvise(guarded, LEN, MADV_PAGEOUT), guarded, LEN);
	madvise(guarded, LEN, MADV_DONTNEED);
	fill(guarded, 16 * PAGE, 3);
	fill(guarded + 24 * PAGE, LEN - 24 * PAGE, 3);
	say("early, written", madvise(guarded, LEN, MADV_PAGEOUT), guarded,
	    LEN);
	say("install", madvise(p + 16 * PAGE, 8 * PAGE, MADV_GUARD_INSTALL), p,
	    LEN);
	say("zeros", madvise(p, LEN, MADV_DONTNEED), p, LEN);
	/* Written in order: what is filled ahead must not pass the guards. */
	fill(p, 16 * PAGE, 3);
	fill(p + 24 * PAGE, LEN - 24 * PAGE, 3);
	say("written", 0, p, LEN);
	madvise(p, LEN, MADV_PAGEOUT);
	say("paged out", 0, p, LEN);
	say("read", pread(file, p + 15 * PAGE, 2 * PAGE, 0), p, LEN);
	say("NONE", mprotect(p, LEN, PROT_NONE), p, LEN);
	say("and back", mprotect(p, LEN, RW), p, LEN);
	say("remove", madvise(p + 20 * PAGE, LEN / 2, MADV_GUARD_REMOVE), p,
	    LEN);
	fill(p + 20 * PAGE, 20 * PAGE, 4);
	madvise(p, LEN, MADV_PAGEOUT);
	say("paged out", 0, p, LEN);
	say("mapped over",
	    (long)mmap(p + 15 * PAGE, 10 * PAGE, RW, ANON | MAP_FIXED, -1, 0),
	    p, LEN);
	fill(p, LEN, 5);
	madvise(p, LEN, MADV_PAGEOUT);
	say("remove none", madvise(p, LEN, MADV_GUARD_REMOVE), p, LEN);
	say("install", madvise(q, LEN, MADV_GUARD_INSTALL), q, LEN);
	say("unmap", munmap(q, LEN), q, LEN);
	munmap(p, LEN);
}

/* ---- limits -------------------------------------------------------------- */

static void
limit(int what, rlim_t most)
{
	struct rlimit rl;

	MUST(getrlimit(what, &rl) == 0);
	rl.rlim_cur = most < rl.rlim_max ? most : rl.rlim_max;
	MUST(setrlimit(what, &rl) == 0);
}

/* A number of /proc/self/status, in bytes. */
static rlim_t
status(const char *key)
{
	char line[200];
	rlim_t n = 0;
	FILE *f = fopen("/proc/self/status", "r");

	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			n = strtoul(line + strlen(key) + 1, NULL, 10) << 10;
	fclose(f);
	return n;
}

static void
drop_rights(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];

	MUST(syscall(SYS_capget, &head, caps) == 0);
	caps[0].effective &= ~((uint32_t)1 << CAP_IPC_LOCK);
	caps[0].permitted &= ~((uint32_t)1 << CAP_IPC_LOCK);
	MUST(syscall(SYS_capset, &head, caps) == 0);
}

static void
lock_without_rights(char *p)
{
	drop_rights();
	limit(RLIMIT_MEMLOCK, 0);
	say("mlock, limit 0", mlock(p, PAGE), p, LEN);
	say("mlock2, limit 0", mlock2(p, PAGE, MLOCK_ONFAULT), p, LEN);
	say("munlock", munlock(p, PAGE), p, LEN);
	say("mlockall, limit 0", mlockall(MCL_CURRENT), p, LEN);
	say("MCL_FUTURE, limit 0", mlockall(MCL_FUTURE), p, LEN);
	say("MAP_LOCKED, limit 0",
	    (long)mmap(p, PAGE, RW, ANON | MAP_FIXED | MAP_LOCKED, -1, 0), p,
	    LEN);
	limit(RLIMIT_MEMLOCK, 8 * PAGE);
	say("MAP_LOCKED",
	    (long)mmap(p, LEN, RW, ANON | MAP_FIXED | MAP_LOCKED, -1, 0), p,
	    LEN);
	say("mlock more", mlock(p, 9 * PAGE), p, LEN);
	say("mlock", mlock(p, 6 * PAGE), p, LEN);
	say("again", mlock(p, 6 * PAGE), p, LEN);
	say("more", mlock(p + 6 * PAGE, 3 * PAGE), p, LEN);
	say("overlap", mlock(p + 4 * PAGE, 4 * PAGE), p, LEN);
	say("overlap, more", mlock(p + 4 * PAGE, 5 * PAGE), p, LEN);
	say("munlock", munlock(p, LEN), p, LEN);
	say("mlock", mlock(p + 20 * PAGE, 8 * PAGE), p, LEN);
	say("mlock, unaligned", mlock(p + 21 * PAGE + 1, PAGE), p, LEN);
	say("munlockall", munlockall(), p, LEN);
	say("mlockall", mlockall(MCL_CURRENT), p, LEN);
	say("mlock", mlock(p, 8 * PAGE), p, LEN);
	limit(RLIMIT_MEMLOCK, 0);
	say("locked, DONTNEED", madvise(p, PAGE, MADV_DONTNEED), p, LEN);
}

static void
t_locks(void)
{
	char *p = area(LEN, 1);

	say("mlock2 flags", mlock2(p, PAGE, 8), p, LEN);
	say("mlock of nothing", mlock(p, 0), p, LEN);
	say("mlock of a hole", mlock(p, 2 * LEN), p, LEN);
	say("munlock of a hole", munlock(p, 2 * LEN), p, LEN);
	say("mlock, too long", mlock(p, (size_t)-100), p, LEN);
	say("mlockall, none", mlockall(0), p, LEN);
	say("mlockall, ONFAULT", mlockall(MCL_ONFAULT), p, LEN);
	say("mlockall, unknown", mlockall(64), p, LEN);
	say("munlockall", munlockall(), p, LEN);
	in_child(lock_without_rights, p);
	say("after the child", 0, p, LEN);
	munmap(p, LEN);
}

static void
little_space(char *p)
{
	char *q = area(LEN, 2);

	limit(RLIMIT_AS, status("VmSize:") + 4 * M);
	say("much", (long)mmap(NULL, 8 * M, RW, ANON, -1, 0), p, LEN);
	say("much, FIXED", (long)mmap(p, 8 * M, RW, ANON | MAP_FIXED, -1, 0), p,
	    LEN);
	say("little", (long)mmap(NULL, 2 * M, RW, ANON, -1, 0), p, LEN);
	say("grown", (long)mremap(p, LEN, 8 * M, MREMAP_MAYMOVE), p, LEN);
	say("grown onto",
	    (long)mremap(p, LEN, 8 * M, MREMAP_MAYMOVE | MREMAP_FIXED, q), q,
	    LEN);
	/* So much that the pager's tables can grow. */
	limit(RLIMIT_AS, status("VmSize:") + 16 * PAGE);
	say("none", (long)mmap(NULL, M, RW, ANON, -1, 0), p, LEN);
	say("in place", (long)mmap(p, LEN, RW, ANON | MAP_FIXED, -1, 0), p,
	    LEN);
	say("moved",
	    (long)mremap(p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, q), q,
	    LEN);
	say("brk", sbrk((intptr_t)M) == (void *)-1, NULL, 0);
	limit(RLIMIT_AS, RLIM_INFINITY);
	limit(RLIMIT_DATA, status("VmData:") + 4 * M);
	say("data", (long)mmap(NULL, 8 * M, RW, ANON, -1, 0), q, LEN);
	say("no data", mmap(NULL, 8 * M, PROT_READ, ANON, -1, 0) == MAP_FAILED,
	    q, LEN);
	say("brk", sbrk((intptr_t)(8 * M)) == (void *)-1, NULL, 0);
	say("brk", sbrk((intptr_t)M) == (void *)-1, NULL, 0);
}

static void
t_limits(void)
{
	char *p = area(LEN, 1);

	in_child(little_space, p);
	say("after the child", 0, p, LEN);
	munmap(p, LEN);
}

static void
t_brk(void)
{
	char *at = sbrk(0), *p = sbrk((intptr_t)M);

	say("sbrk", p - at, NULL, 0);
	fill(p, M, 5);
	say("filled", 0, p, M);
	say("brk", brk(p + M / 2), p, M / 2);
	say("sbrk", (char *)sbrk(0) - at, NULL, 0);
	say("mapped over", (long)mmap(p, LEN, RW, ANON | MAP_FIXED, -1, 0), p,
	    LEN);
	say("brk", brk(at), NULL, 0);
}

/* ---- protection, residency ----------------------------------------------- */

static void
t_protection(void)
{
	char *p = area(LEN, 1);
	int key;

	say("NONE", mprotect(p + PAGE, LEN / 2, PROT_NONE), p, LEN);
	say("read", pread(file, p + PAGE, PAGE, 0), p, LEN);
	madvise(p, LEN, MADV_PAGEOUT);
	say("back", mprotect(p + PAGE, LEN / 2, RW), p, LEN);
	say("READ", mprotect(p, LEN, PROT_READ), p, LEN);
	say("read", pread(file, p + PAGE, PAGE, 0), p, LEN);
	say("a hole", mprotect(p, 2 * LEN, RW), p, LEN);
	say("unaligned", mprotect(p + 1, PAGE, RW), p, LEN);
	say("nothing", mprotect(p, 0, RW), p, LEN);
	say("strange", mprotect(p, PAGE, 0x1000), p, LEN);
	say("GROWSDOWN", mprotect(p, PAGE, RW | PROT_GROWSDOWN), p, LEN);
	key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	say("pkey_alloc", key < 0 ? -1 : 0, p, LEN);
	say("pkey_mprotect", pkey_mprotect(p, LEN / 2, RW, key), p, LEN);
	say("no such key", pkey_mprotect(p, LEN / 2, RW, 15), p, LEN);
	if (key >= 0)
		say("pkey, anew",
		    (long)mmap(p, LEN, RW, ANON | MAP_FIXED, -1, 0), p, LEN);
	memset(p, 1, LEN);
	say("written", 0, p, LEN);
	munmap(p, LEN);
}

static void
t_mincore(void)
{
	unsigned char vec[128];
	char *p = area(LEN, 1);

	say("managed", mincore(p, LEN, vec), NULL, 0);
	say("a hole", mincore(p, 2 * LEN, vec), NULL, 0);
	say("unaligned", mincore(p + 1, PAGE, vec), NULL, 0);
	say("nothing", mincore(p, 0, vec), NULL, 0);
	say("nowhere", mincore(p, LEN, (unsigned char *)8), NULL, 0);
	MUST(mlock(p, LEN) == 0 && mincore(p, LEN, vec) == 0);
	for (size_t i = 0; i < LEN / PAGE; i++)
		MUST((vec[i] & 1) != 0);
	munmap(p, LEN);
}

/* ---- mlockall, within the budget ----------------------------------------- */

static size_t
resident(const char *p, size_t len)
{
	unsigned char vec[512];
	size_t n = 0;

	MUST(mincore((void *)p, len, vec) == 0);
	for (size_t i = 0; i < len / PAGE; i++)
		n += vec[i] & 1;
	return n * PAGE;
}

static void
press(void)
{
	char *p = mmap(NULL, BALLAST, RW, ANON, -1, 0);

	MUST(p != MAP_FAILED);
	memset(p, 1, BALLAST);
	MUST(munmap(p, BALLAST) == 0);
}

/* Not in comparison: natively there is no budget. */
static void
lock_all(void)
{
	char *p = area(LEN, 1), *q, *r = area(LEN, 2), *none;

	press();
	MUST(resident(p, LEN) == 0);
	MUST(mlock(r, PAGE) == 0);
	q = mmap(NULL, 20 * M, RW, ANON, -1, 0);
	MUST(q != MAP_FAILED);
	errno = 0;
	MUST(mlockall(MCL_CURRENT) == -1 && errno == ENOMEM);
	MUST(madvise(p, LEN, MADV_DONTNEED) == 0);
	fill(p, LEN, 1);
	MUST(munmap(q, 20 * M) == 0);
	MUST(mlockall(MCL_CURRENT) == 0);
	MUST(resident(p, LEN) == LEN && resident(r, LEN) == LEN);
	press();
	MUST(resident(p, LEN) == LEN && resident(r, LEN) == LEN);
	MUST(madvise(p, LEN, MADV_DONTNEED) == -1 && errno == EINVAL);
	MUST(munlockall() == 0);
	press();
	MUST(resident(p, LEN) == 0);
	/* What is mapped, or grows, from now on. */
	MUST(mlockall(MCL_FUTURE) == 0);
	q = mmap(NULL, LEN, RW, ANON, -1, 0);
	MUST(q != MAP_FAILED && resident(q, LEN) == LEN);
	none = mmap(NULL, 64 * M, PROT_NONE, ANON, -1, 0);
	MUST(none != MAP_FAILED);
	MUST(mmap(NULL, 32 * M, RW, ANON, -1, 0) == MAP_FAILED &&
	     errno == ENOMEM);
	q = mremap(q, LEN, 2 * LEN, MREMAP_MAYMOVE);
	MUST(q != MAP_FAILED && resident(q, 2 * LEN) == 2 * LEN);
	MUST(munlockall() == 0);
	press();
	MUST(resident(q, 2 * LEN) == 0);
	/* What had guards can leave again. */
	MUST(madvise(p, LEN, MADV_GUARD_INSTALL) == 0 || errno == EINVAL);
	MUST(madvise(p, LEN, MADV_GUARD_REMOVE) == 0 || errno == EINVAL);
	fill(p, LEN, 1);
	MUST(madvise(p, LEN, MADV_PAGEOUT) == 0 && resident(p, LEN) == 0);
	say("lockall", 0, p, LEN);
}

static void
has_early(char *unused)
{
	char want[LEN];

	(void)unused;
	fill(want, LEN, 1);
	MUST(memcmp(early[1], want, LEN) == 0);
}

static void
lockall(void)
{
	char *large = mmap(NULL, BALLAST, RW, ANON, -1, 0);

	/* There is a pager, but no page has left yet. */
	MUST(large != MAP_FAILED && madvise(early[1], LEN, MADV_DOFORK) == 0);
	in_child(has_early, NULL);
	MUST(munmap(large, BALLAST) == 0);
	lock_all();
}

/* ---- all of them --------------------------------------------------------- */

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
    {"flags", t_flags},
    {"holes", t_holes},
    {"growsdown", t_growsdown},
    {"mremap", t_mremap},
    {"advice", t_advice},
    {"guards", t_guards},
    {"guards of parts", t_guards_of_parts},
    {"guarded stack", t_guarded_stack},
    {"process_madvise", t_process_madvise},
    {"fork", t_fork},
    {"locks", t_locks},
    {"limits", t_limits},
    {"brk", t_brk},
    {"protection", t_protection},
    {"mincore", t_mincore},
};

int
main(int argc, char **argv)
{
	char bytes[PAGE], *ballast;

	MUST(argc > 1);
	dir = argv[1];
	file = open(dir, O_TMPFILE | O_RDWR, 0600);
	for (size_t at = 0; at < M; at += PAGE) {
		fill(bytes, PAGE, (unsigned)(at >> 12));
		MUST(write(file, bytes, PAGE) == (ssize_t)PAGE);
	}
	make_early();
	if (argc > 2 && strcmp(argv[2], "lockall") == 0) {
		name = argv[2];
		lockall();
		return 0;
	}
	ballast = mmap(NULL, BALLAST, RW, ANON, -1, 0);
	MUST(ballast != MAP_FAILED);
	memset(ballast, 1, BALLAST);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc > 2 && strcmp(argv[2], tests[i].name) != 0)
			continue;
		name = tests[i].name;
		tests[i].fn();
	}
	for (size_t i = 0; i < BALLAST; i += PAGE)
		MUST(ballast[i] == 1);
	return 0;
}
