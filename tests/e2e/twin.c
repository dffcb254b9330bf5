/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twin SECONDS SEQUENCES: random memory calls on two ranges: one by the C
 * library's functions, which uswap may have taken the place of, its twin by
 * bare system calls, which nobody sees.  After each call both must have had the
 * same result and look the same in /proc/self/maps; contents are the same all
 * the time.  Ends after so many sequences, or seconds if that is earlier.
 *
 * Linux alone is the reference: without uswap both sides are the kernel's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/seed.h"

#define PAGE  ((size_t)4096)
#define PAGES 192 /* of each side */
#define SPACE ((size_t)1 << 30) /* kept free around them */
#define CALLS 40 /* of a sequence */

/* Newer than the oldest headers. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

/* The sides: where nothing else is, far below where the kernel looks first. */
static char *const base[2] = {(char *)0x100000000000, (char *)0x140000000000};

static struct rng rng;
static uint64_t current; /* rng's state when the sequence began */
static char history[CALLS + 1][160]; /* of this sequence, to be printed */
static int ncalls;
static bool apart; /* the sides are not alike any more, and need not be */
static bool guarded; /* pages may have guards: what may be read, may not be */
static int self; /* this process */
static int file; /* PAGES pages of random bytes */

/* ---- failing ------------------------------------------------------------- */

static void __attribute__((noreturn, format(printf, 1, 2)))
differ(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "the sequence of seed %" PRIu64 ":\n", current);
	for (int i = 0; i < ncalls; i++)
		fprintf(stderr, "%3d %s\n", i, history[i]);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(1);
}

static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(history[ncalls++], sizeof(history[0]), fmt, ap);
	va_end(ap);
}

/* ---- the calls, on either side ------------------------------------------- */

/* What a call returned: an offset in the side, -errno, or ELSEWHERE. */
#define ELSEWHERE (-100000L)
static char *elsewhere[2];

static long
result(int side, long ret)
{
	char *p = (char *)ret;

	if (ret == -1)
		return -errno;
	if (p >= base[side] && p < base[side] + SPACE)
		return p - base[side];
	if (p < (char *)4096)
		return ret;
	elsewhere[side] = p;
	return ELSEWHERE;
}

static long
x_mmap(int side, size_t at, size_t len, int prot, int flags, int fd, off_t off)
{
	char *p = base[side] + at;

	return result(
	    side, side == 0 ? (long)mmap(p, len, prot, flags, fd, off)
			    : syscall(SYS_mmap, p, len, prot, flags, fd, off));
}

static long
x_munmap(int side, char *p, size_t len)
{
	return result(
	    side, side == 0 ? munmap(p, len) : syscall(SYS_munmap, p, len));
}

static long
x_mprotect(int side, size_t at, size_t len, int prot, int key)
{
	char *p = base[side] + at;

	if (side == 1)
		return result(side, syscall(SYS_pkey_mprotect, p, len, prot,
					key == 0 ? -1 : key));
	return result(side, key == 0 ? mprotect(p, len, prot)
				     : pkey_mprotect(p, len, prot, key));
}

static long
x_mremap(int side, size_t at, size_t len, size_t to_len, int flags, size_t to)
{
	char *p = base[side] + at, *q = base[side] + to;

	return result(
	    side, side == 0 ? (long)mremap(p, len, to_len, flags, q)
			    : syscall(SYS_mremap, p, len, to_len, flags, q));
}

static long
x_madvise(int side, size_t at, size_t len, int advice)
{
	char *p = base[side] + at;

	return result(side, side == 0 ? madvise(p, len, advice)
				      : syscall(SYS_madvise, p, len, advice));
}

static long
x_process_madvise(int side, size_t at, size_t len, int advice)
{
	struct iovec v = {base[side] + at, len};

	return result(side,
	    side == 0 ? process_madvise(self, &v, 1, advice, 0)
		      : syscall(SYS_process_madvise, self, &v, 1L, advice, 0L));
}

enum lock { LOCK, LOCK2, LOCK_ONFAULT, UNLOCK };

static long
x_mlock(int side, size_t at, size_t len, enum lock how)
{
	int flags = how == LOCK_ONFAULT ? MLOCK_ONFAULT : 0;
	char *p = base[side] + at;

	if (side == 1)
		return result(side, how == UNLOCK ? syscall(SYS_munlock, p, len)
				    : how == LOCK
					? syscall(SYS_mlock, p, len)
					: syscall(SYS_mlock2, p, len, flags));
	return result(side, how == UNLOCK ? munlock(p, len)
			    : how == LOCK ? mlock(p, len)
					  : mlock2(p, len, (unsigned)flags));
}

/* ---- what is there ------------------------------------------------------- */

struct piece {
	size_t start, end; /* offsets in the side */
	char perms[5];
	int file;
};

struct shape {
	struct piece v[2 * PAGES];
	int n;
};

/* Neighbours that differ only in what a program does not see are one. */
static void
add_piece(struct shape *s, const struct piece *p)
{
	struct piece *last = &s->v[s->n - 1];

	if (s->n > 0 && last->end == p->start && last->file == p->file &&
	    strcmp(last->perms, p->perms) == 0)
		last->end = p->end;
	else
		s->v[s->n++] = *p;
}

static char maps_text[1 << 20];

static void
look(struct shape *shape)
{
	int fd = (int)syscall(SYS_open, "/proc/self/maps", 0);
	char *line = maps_text;
	size_t len = 0;
	long n;

	while ((n = read(fd, maps_text + len, sizeof(maps_text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	maps_text[len] = '\0';
	shape[0].n = shape[1].n = 0;
	for (; *line != '\0'; line = strchr(line, '\n') + 1) {
		size_t start, end;
		unsigned long inode;
		struct piece p;

		if (sscanf(line, "%zx-%zx %4s %*s %*s %lu", &start, &end,
			p.perms, &inode) != 4)
			differ("maps: %.80s", line);
		p.file = inode != 0;
		for (int side = 0; side < 2; side++) {
			p.start = start - (size_t)base[side];
			p.end = end - (size_t)base[side];
			if (p.start < SPACE)
				add_piece(&shape[side], &p);
		}
	}
}

static void
print_shape(const struct shape *s)
{
	for (int i = 0; i < s->n; i++)
		fprintf(stderr, "  %zu-%zu %s%s\n", s->v[i].start / PAGE,
		    s->v[i].end / PAGE, s->v[i].perms,
		    s->v[i].file ? " file" : "");
}

static struct shape now[2];

static void
same_shape(void)
{
	look(now);
	if (now[0].n != now[1].n ||
	    memcmp(now[0].v, now[1].v,
		(size_t)now[0].n * sizeof(now[0].v[0])) != 0) {
		print_shape(&now[0]);
		fprintf(stderr, "the twin:\n");
		print_shape(&now[1]);
		differ("the mappings differ");
	}
}

/* Whether a page can be read, which the kernel is asked where guards may be. */
static bool
can_read(int side, size_t at)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {base[side] + at, 1};

	return !guarded || syscall(SYS_process_vm_readv, getpid(), &to, 1L,
			       &from, 1L, 0L) == 1;
}

static bool
both_read(size_t at)
{
	bool one = can_read(0, at);

	if (one != can_read(1, at))
		differ("page %zu can%s be read", at / PAGE, one ? "" : "not");
	return one;
}

/* Pages that can be read are the same on both sides. */
static void
same_contents(void)
{
	for (int i = 0; i < now[0].n; i++) {
		const struct piece *p = &now[0].v[i];

		for (size_t at = p->start; p->perms[0] == 'r' && at < p->end;
		     at += PAGE)
			if (both_read(at) &&
			    memcmp(base[0] + at, base[1] + at, PAGE) != 0)
				differ("page %zu differs: %#lx, not %#lx",
				    at / PAGE, *(long *)(base[0] + at),
				    *(long *)(base[1] + at));
	}
}

/* ---- one call, on both sides --------------------------------------------- */

static void
same(long a, long b)
{
	size_t len = strlen(history[ncalls - 1]);

	snprintf(
	    history[ncalls - 1] + len, sizeof(history[0]) - len, " = %ld", a);
	if (a != b)
		differ("the twin's result is %ld", b);
}

/* A range: mostly inside the side, now and then nonsense. */
static void
range(size_t *at, size_t *len)
{
	*at = rng_below(&rng, PAGES) * PAGE;
	*len = (1 + rng_below(&rng, rng_below(&rng, 3) ? 24 : PAGES)) * PAGE;
	if (*at + *len > PAGES * PAGE)
		*len = PAGES * PAGE - *at;
	if (rng_below(&rng, 16) == 0)
		*len -= rng_below(&rng, PAGE);
	if (rng_below(&rng, 64) == 0)
		*at += 1 + rng_below(&rng, PAGE - 1);
	if (rng_below(&rng, 64) == 0)
		*len = 0;
}

static int
some_prot(void)
{
	static const int prots[] = {PROT_NONE, PROT_READ,
	    PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	    PROT_READ | PROT_WRITE};

	return prots[rng_below(&rng, 5)];
}

/* What landed elsewhere must hold the same, and goes. */
static void
compare_elsewhere(size_t len)
{
	char buf[2][PAGE];

	for (size_t at = 0; at < len; at += PAGE) {
		long n[2];

		for (int s = 0; s < 2; s++) {
			struct iovec to = {buf[s], PAGE};
			struct iovec from = {elsewhere[s] + at, PAGE};

			n[s] = syscall(SYS_process_vm_readv, getpid(), &to, 1L,
			    &from, 1L, 0L);
		}
		if (n[0] != n[1] ||
		    (n[0] > 0 && memcmp(buf[0], buf[1], PAGE) != 0))
			differ("page %zu differs where it moved", at / PAGE);
	}
	for (int s = 0; s < 2; s++)
		x_munmap(s, elsewhere[s], len);
}

static void
call_mmap(void)
{
	static const int kinds[] = {0, MAP_NORESERVE, MAP_POPULATE, MAP_STACK,
	    MAP_LOCKED, MAP_GROWSDOWN, 0, 0};
	static const int places[] = {MAP_FIXED, MAP_FIXED, MAP_FIXED, MAP_FIXED,
	    MAP_FIXED_NOREPLACE, MAP_FIXED | MAP_FIXED_NOREPLACE, 0};
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | kinds[rng_below(&rng, 8)];
	int prot = some_prot(), fd = -1;
	size_t at, len;
	off_t off = 0;
	long ret, twin;

	range(&at, &len);
	switch (rng_below(&rng, 12)) {
	case 0: /* it could grow beyond the end of anonymous memory */
		flags = MAP_SHARED;
		prot &= ~PROT_WRITE;
		fd = file;
		break;
	case 1:
		flags = MAP_PRIVATE;
		fd = file;
		off = (off_t)at & ~4095;
		break;
	case 2: /* fails, and must leave what is there */
		flags = rng_below(&rng, 2) ? MAP_PRIVATE : MAP_ANONYMOUS;
		break;
	case 3:
		off = 1;
		break;
	}
	flags |= places[rng_below(&rng, 7)];
	note("mmap %zu+%zu prot %d flags %#x fd %d off %ld", at, len, prot,
	    flags, fd, (long)off);
	ret = x_mmap(0, at, len, prot, flags, fd, off);
	twin = x_mmap(1, at, len, prot, flags, fd, off);
	same(ret, twin);
	if (ret == ELSEWHERE)
		compare_elsewhere((len + PAGE - 1) & ~(PAGE - 1));
}

static void
call_munmap(void)
{
	size_t at, len;

	range(&at, &len);
	if (len > 32 * PAGE)
		len = 32 * PAGE;
	note("munmap %zu+%zu", at, len);
	same(x_munmap(0, base[0] + at, len), x_munmap(1, base[1] + at, len));
}

static void
call_mprotect(void)
{
	size_t at, len;
	int prot = some_prot(), key = rng_below(&rng, 4) == 0 ? -1 : 0;

	range(&at, &len);
	note("mprotect %zu+%zu prot %d key %d", at, len, prot, key);
	same(x_mprotect(0, at, len, prot, key),
	    x_mprotect(1, at, len, prot, key));
}

static void
unlock_all(void)
{
	for (int s = 0; s < 2; s++)
		for (int i = 0; i < now[s].n; i++)
			x_mlock(s, now[s].v[i].start,
			    now[s].v[i].end - now[s].v[i].start, UNLOCK);
}

/* Whether a range of a side is in one mapping. */
static bool
is_one(int side, size_t at, size_t len)
{
	char *p = base[side] + at;
	size_t start, end;

	for (char *line = maps_text; *line != '\0';
	     line = strchr(line, '\n') + 1)
		if (sscanf(line, "%zx-%zx", &start, &end) == 2 &&
		    start <= (size_t)p && (size_t)p + len <= end)
			return true;
	return false;
}

/*
 * What is several mappings differs: mlock does not divide managed memory, the
 * kernel joins what has moved only as long as it is untouched, and from 6.17 on
 * it moves several mappings at once that are not managed.  Of that the effects
 * are not compared: the sequence ends.
 */
static void
call_mremap(void)
{
	static const int kinds[] = {0, MREMAP_MAYMOVE,
	    MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
	    MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
	    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_FIXED};
	int flags = kinds[rng_below(&rng, 8)];
	size_t at, len, to, to_len;
	long ret, twin;

	range(&at, &len);
	range(&to, &to_len);
	if (rng_below(&rng, 2))
		to_len = len;
	if (to + to_len > PAGES * PAGE)
		to = PAGES * PAGE - ((to_len + PAGE - 1) & ~(PAGE - 1));
	note("mremap %zu+%zu to %zu+%zu flags %d", at, len, to, to_len, flags);
	ret = x_mremap(0, at, len, to_len, flags, to);
	twin = x_mremap(1, at, len, to_len, flags, to);
	if (ret != twin && (ret == -EFAULT || twin == -EFAULT) &&
	    (!is_one(0, at, len) || !is_one(1, at, len))) {
		apart = true;
		if (ret == ELSEWHERE)
			x_munmap(0, elsewhere[0], to_len);
		return;
	}
	same(ret, twin);
	if (ret != -1 && (flags & MREMAP_DONTUNMAP))
		unlock_all(); /* Linux unlocks more than what has moved */
	if (ret == ELSEWHERE)
		compare_elsewhere((to_len + PAGE - 1) & ~(PAGE - 1));
}

static const struct {
	const char *name;
	int advice;
	bool optional; /* a kernel may have it not: only effects are compared */
} advices[] = {
    {"DONTNEED", MADV_DONTNEED, false},
    {"DONTNEED", MADV_DONTNEED, false},
    {"FREE", MADV_FREE, false},
    {"NORMAL", MADV_NORMAL, false},
    {"RANDOM", MADV_RANDOM, false},
    {"SEQUENTIAL", MADV_SEQUENTIAL, false},
    {"WILLNEED", MADV_WILLNEED, false},
    {"REMOVE", MADV_REMOVE, false},
    {"HUGEPAGE", MADV_HUGEPAGE, true},
    {"NOHUGEPAGE", MADV_NOHUGEPAGE, true},
    {"MERGEABLE", MADV_MERGEABLE, true},
    {"UNMERGEABLE", MADV_UNMERGEABLE, true},
    {"DONTDUMP", MADV_DONTDUMP, false},
    {"DODUMP", MADV_DODUMP, false},
    {"WIPEONFORK", MADV_WIPEONFORK, false},
    {"KEEPONFORK", MADV_KEEPONFORK, false},
    {"COLD", MADV_COLD, false},
    {"PAGEOUT", MADV_PAGEOUT, false},
    {"PAGEOUT", MADV_PAGEOUT, false},
    {"PAGEOUT", MADV_PAGEOUT, false},
    {"POPULATE_READ", MADV_POPULATE_READ, false},
    {"POPULATE_WRITE", MADV_POPULATE_WRITE, false},
    {"DONTNEED_LOCKED", MADV_DONTNEED_LOCKED, false},
    {"COLLAPSE", MADV_COLLAPSE, true},
    {"DONTFORK", MADV_DONTFORK, false},
    {"DOFORK", MADV_DOFORK, false},
    {"GUARD_INSTALL", MADV_GUARD_INSTALL, false},
    {"GUARD_REMOVE", MADV_GUARD_REMOVE, false},
    {"unknown", 77, false},
};

/*
 * After FREE a page holds what it held, or zeros, as it pleases the kernel:
 * DONTNEED decides.
 */
static void
call_madvise(void)
{
	size_t i = rng_below(&rng, sizeof(advices) / sizeof(advices[0])), at,
	       len;
	int advice = advices[i].advice;
	bool process = rng_below(&rng, 4) == 0;
	long ret[2];

	range(&at, &len);
	note("%smadvise %zu+%zu %s", process ? "process_" : "", at, len,
	    advices[i].name);
	guarded |= advice == MADV_GUARD_INSTALL;
	for (int s = 0; s < 2; s++)
		ret[s] = process ? x_process_madvise(s, at, len, advice)
				 : x_madvise(s, at, len, advice);
	if (!advices[i].optional)
		same(ret[0], ret[1]);
	if (advice == MADV_FREE)
		for (int s = 0; s < 2; s++)
			x_madvise(s, at, len, MADV_DONTNEED);
}

static bool
has_none(size_t at, size_t len)
{
	for (int i = 0; i < now[0].n; i++)
		if (now[0].v[i].perms[0] != 'r' &&
		    now[0].v[i].start < at + len && at < now[0].v[i].end)
			return true;
	return false;
}

/*
 * The kernel calls it a failure to lock what cannot be read, but locks it.  How
 * much of a range is locked when a call fails is nobody's business: all is
 * unlocked then.
 */
static void
call_mlock(void)
{
	static const char *const names[] = {
	    "mlock", "mlock2", "mlock2 ONFAULT", "munlock"};
	enum lock how = (enum lock)rng_below(&rng, 4);
	size_t at, len;
	long ret, twin;

	range(&at, &len);
	note("%s %zu+%zu", names[how], at, len);
	ret = x_mlock(0, at, len, how);
	twin = x_mlock(1, at, len, how);
	if (how == UNLOCK || (!has_none(at, len) && !guarded))
		same(ret, twin);
	if (twin != 0 || ret != twin)
		unlock_all();
}

/* Which pages are in memory may differ, what can be asked may not. */
static void
call_mincore(void)
{
	unsigned char vec[PAGES];
	size_t at, len;

	range(&at, &len);
	note("mincore, msync %zu+%zu", at, len);
	same(result(0, mincore(base[0] + at, len, vec)),
	    result(1, mincore(base[1] + at, len, vec)));
	same(result(0, msync(base[0] + at, len, MS_ASYNC)),
	    result(1, msync(base[1] + at, len, MS_ASYNC)));
}

/* The kernel reads from the range, or writes to it. */
static void
call_io(void)
{
	int write = (int)rng_below(&rng, 2);
	off_t off = (off_t)rng_below(&rng, PAGES * PAGE);
	size_t at, len;
	long ret[2];

	range(&at, &len);
	note("%s %zu+%zu", write ? "pwrite" : "pread", at, len);
	for (int s = 0; s < 2; s++)
		ret[s] = write ? pwrite(file, base[s] + at, len, off)
			       : pread(file, base[s] + at, len, off);
	same(ret[0], ret[1]);
}

/* The program writes, on every few pages that it may write to. */
static void
touch(void)
{
	size_t at, len;

	range(&at, &len);
	note("touch %zu+%zu", at, len);
	for (int i = 0; i < now[0].n; i++) {
		const struct piece *p = &now[0].v[i];

		for (size_t a = p->start; p->perms[1] == 'w' && a < p->end;
		     a += PAGE) {
			uint64_t word = rng_next(&rng);

			if (a < at || a >= at + len || word % 4 == 0 ||
			    !both_read(a))
				continue;
			for (int s = 0; s < 2; s++) {
				memset(base[s] + a, (int)word, PAGE);
				*(uint64_t *)(base[s] + a) = word;
			}
		}
	}
}

static void
sequence(void)
{
	static void (*const calls[])(void) = {call_mmap, call_munmap,
	    call_mprotect, call_mremap, call_mremap, call_madvise, call_madvise,
	    call_madvise, call_mlock, call_mincore, call_io, touch, touch,
	    touch};

	ncalls = 0;
	note("mmap all");
	for (int s = 0; s < 2; s++)
		if (x_mmap(s, 0, PAGES * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != 0)
			differ("cannot begin");
	same_shape();
	apart = guarded = false;
	while (ncalls < CALLS) {
		calls[rng_below(&rng, sizeof(calls) / sizeof(calls[0]))]();
		if (apart)
			goto out;
		same_shape();
		if (rng_below(&rng, 4) == 0)
			same_contents();
	}
	/* What could not be read so far, too. */
	for (int s = 0; s < 2; s++)
		for (int i = 0; i < now[s].n; i++)
			x_mprotect(s, now[s].v[i].start,
			    now[s].v[i].end - now[s].v[i].start, PROT_READ, 0);
	same_shape();
	same_contents();
out:
	unlock_all();
	for (int s = 0; s < 2; s++) {
		if (x_munmap(s, base[s], SPACE) != 0)
			differ("cannot end");
	}
}

/* ---- what makes memory scarce -------------------------------------------- */

#define BALLAST ((size_t)24 << 20)
static _Atomic bool stop;

/*
 * Small mappings come and go: now and then there are so many that all of them,
 * those of the sequence, too, are managed together.
 */
#define SMALLS 100

static void
press_small(struct rng *r)
{
	static uint64_t *small[SMALLS];
	static size_t size[SMALLS];
	size_t i = rng_below(r, SMALLS);

	if (small[i] != NULL) {
		if (small[i][0] != i || small[i][size[i] / 8 - 1] != ~i)
			differ("a small mapping has changed");
		munmap(small[i], size[i]);
	}
	size[i] = (1 + rng_below(r, 15)) * PAGE;
	small[i] = mmap(NULL, size[i], PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (small[i] == MAP_FAILED || small[i][0] != 0)
		differ("no small mapping of zeros");
	small[i][0] = i;
	small[i][size[i] / 8 - 1] = ~i;
}

static void *
press(void *arg)
{
	uint64_t *words = arg;
	struct rng r = {1};

	while (!atomic_load(&stop)) {
		size_t i = rng_below(&r, BALLAST / PAGE) * PAGE / 8;

		if (words[i] != 0 && words[i] != i)
			differ("the ballast has changed");
		words[i] = i;
		if (rng_below(&r, 64) != 0)
			continue;
		press_small(&r);
		usleep(100);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	long n = argc > 2 ? atol(argv[2]) : 1000, done;
	pthread_t thread;
	void *ballast;

	rng.s = test_seed();
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	file = (int)syscall(SYS_memfd_create, "twin", 0);
	if (file < 0 || ftruncate(file, 256 * PAGES * PAGE) != 0)
		differ("no file");
	for (uint64_t i = 0; i < 2 * PAGES * PAGE; i += 8)
		if (pwrite(file, &i, 8, (off_t)i) != 8)
			differ("no data");
	ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pthread_create(&thread, NULL, press, ballast) != 0)
		differ("no thread");
	for (done = 0; done < n && time(NULL) < end; done++) {
		current = rng.s;
		sequence();
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("%ld sequences of %d calls\n", done, CALLS);
	return 0;
}
