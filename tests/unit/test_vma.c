/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vma: what may be managed and what may not, by the lines of the kernel and by
 * its answers.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "lib/vma.h"

#define RW (PROT_READ | PROT_WRITE)

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static int fd;

/* ---- lines --------------------------------------------------------------- */

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		uintptr_t start, end;
		bool shared, file, special;
	} good[] = {
	    {"7f0000000000-7f0000010000 rw-p 00000000 00:00 0 ", 0x7f0000000000,
		0x7f0000010000, false, false, false},
	    {"1000-2000 ---p 00000000 00:00 0", 0x1000, 0x2000, false, false,
		false},
	    {"1000-2000 rw-s 00000000 00:01 1054       /dev/zero (deleted)",
		0x1000, 0x2000, true, true, false},
	    {"00400000-004ef000 r-xp 00001000 fe:00 25313    /usr/bin/a b",
		0x400000, 0x4ef000, false, true, false},
	    {"1000-2000 rw-p 00000000 00:0f 3 /anon_hugepage (deleted)", 0x1000,
		0x2000, false, true, false},
	    {"1000-2000 rw-p 00000000 00:00 0          [heap]", 0x1000, 0x2000,
		false, false, true},
	    {"1000-2000 rw-p 00000000 00:00 0          [stack]", 0x1000, 0x2000,
		false, false, true},
	    {"1000-2000 rw-p 00000000 00:00 0    [anon: glibc: malloc]", 0x1000,
		0x2000, false, false, false},
	    {"1000-2000 rw-p 00000000 00:00 0          [anon", 0x1000, 0x2000,
		false, false, true},
	};
	static const char *const bad[] = {"", "x", "1000", "1000-", "1000-2000",
	    "2000-1000 rw-p 00000000 00:00 0 ", "1000-2000 rw-p",
	    "1000-2000 rw-p 00000000", "1000 2000 rw-p 00000000 00:00 0 "};
	struct vma v;

	(void)state;
	for (unsigned i = 0; i < nitems(good); i++) {
		assert_true(vma_parse(good[i].line, &v));
		assert_int_equal(v.start, good[i].start);
		assert_int_equal(v.end, good[i].end);
		assert_int_equal(v.shared, good[i].shared);
		assert_int_equal(v.file, good[i].file);
		assert_int_equal(v.special, good[i].special);
	}
	for (unsigned i = 0; i < nitems(bad); i++)
		assert_false(vma_parse(bad[i], &v));
}

/* ---- this process -------------------------------------------------------- */

/* Both ways say that it is fit, or unfit because of `about`. */
static void
is(const char *about, const void *p, size_t pages)
{
	uintptr_t start = trunc_page((uintptr_t)p), end = start + ptoa(pages);
	const char *why = vma_unfit_read(fd, start, end), *asked = "?";

	if (about == NULL ? why != NULL
			  : why == NULL || strstr(why, about) == NULL)
		fail_msg("read: %s, not %s", why, about);
	if (vma_unfit_asked(fd, start, end, &asked)) {
		if (about == NULL)
			assert_null(asked);
		else
			assert_string_equal(asked, why);
	}
}

static char *
map(size_t pages, int flags, int file)
{
	char *p = mmap(NULL, ptoa(pages), RW, flags, file, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void
test_fit(void **state)
{
	char *p = map(100, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	is(NULL, p, 100);
	is(NULL, p + ptoa(3), 1);
	is(NULL, p + ptoa(99), 1);
	/* Several mappings side by side. */
	assert_int_equal(mprotect(p + ptoa(10), ptoa(5), PROT_NONE), 0);
	assert_int_equal(mprotect(p + ptoa(20), ptoa(5), PROT_READ), 0);
	assert_int_equal(madvise(p + ptoa(30), ptoa(5), MADV_DONTDUMP), 0);
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p + ptoa(40), ptoa(5),
	    "a name of somebody's");
	is(NULL, p, 100);
	is(NULL, p + ptoa(12), 30);
	assert_int_equal(munmap(p + ptoa(50), ptoa(1)), 0);
	is("not mapped", p, 100);
	is("not mapped", p + ptoa(50), 1);
	is("not mapped", p + ptoa(49), 2);
	is("not mapped", p + ptoa(50), 2);
	is(NULL, p, 50);
	is(NULL, p + ptoa(51), 49);
	munmap(p, ptoa(100));
	is("not mapped", (void *)PAGE_SIZE, 1);
	is("not mapped", (void *)(UINTPTR_MAX - 2 * PAGE_SIZE + 1), 1);
}

static void
test_unfit(void **state)
{
	char *p, path[64] = "/var/tmp/uswap-test-XXXXXX";
	int file = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(file, (off_t)ptoa(10)), 0);
	is("shared", map(2, MAP_SHARED | MAP_ANONYMOUS, -1), 2);
	is("shared", map(2, MAP_SHARED, file), 2);
	is("file", map(2, MAP_PRIVATE, file), 2);
	close(file);
	file = mkstemp(path);
	assert_true(file >= 0);
	unlink(path);
	assert_int_equal(ftruncate(file, (off_t)ptoa(10)), 0);
	is("file", map(2, MAP_PRIVATE, file), 2);
	/* A piece of something else in the middle. */
	p = map(9, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	assert_ptr_equal(
	    mmap(p + ptoa(4), PAGE_SIZE, RW, MAP_PRIVATE | MAP_FIXED, file, 0),
	    p + ptoa(4));
	is("file", p, 9);
	is(NULL, p, 4);
	is(NULL, p + ptoa(5), 4);
	close(file);
	assert_ptr_not_equal(sbrk((intptr_t)ptoa(4)), (void *)-1);
	is("heap", (char *)sbrk(0) - ptoa(2), 1);
	is("stack", (void *)getauxval(AT_RANDOM), 1);
	p = map(5, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1);
	is("stack", p, 2);
	/* Its protection is as it was. */
	assert_int_equal(mprotect(p, ptoa(5), PROT_READ), 0);
	is("stack", p + ptoa(2), 1);
	assert_int_equal(pipe((int *)(void *)(p + ptoa(2))), -1);
	if (getauxval(AT_SYSINFO_EHDR) != 0)
		is("kernel", (void *)getauxval(AT_SYSINFO_EHDR), 1);
	p = mmap(NULL, (size_t)2 << 20, RW,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	if (p != MAP_FAILED)
		is("huge", p, 1);
}

/* A name that is longer than what is read at once, and has newlines in it. */
static void
test_long_name(void **state)
{
	char dir[64] = "/var/tmp/uswap-test-XXXXXX", name[256], back[8];
	char *p;
	int file, depth, at;

	(void)state;
	memset(name, '\n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_non_null(mkdtemp(dir));
	at = open(dir, O_DIRECTORY | O_RDONLY);
	for (depth = 0; depth < 14; depth++) {
		int next;

		assert_int_equal(mkdirat(at, name, 0700), 0);
		next = openat(at, name, O_DIRECTORY | O_RDONLY);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	file = openat(at, "f", O_RDWR | O_CREAT, 0600);
	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, (off_t)ptoa(1)), 0);
	p = map(1, MAP_PRIVATE, file);
	is("file", p, 1);
	munmap(p, PAGE_SIZE);
	/* The lines after it are understood, too. */
	p = map(3, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	assert_ptr_equal(
	    mmap(p, PAGE_SIZE, RW, MAP_PRIVATE | MAP_FIXED, file, 0), p);
	is("file", p, 3);
	is(NULL, p + ptoa(1), 2);
	munmap(p, ptoa(3));
	close(file);
	unlinkat(at, "f", 0);
	strcpy(back, "..");
	while (depth-- > 0) {
		int up = openat(at, back, O_DIRECTORY | O_RDONLY);

		close(at);
		at = up;
		assert_int_equal(unlinkat(at, name, AT_REMOVEDIR), 0);
	}
	close(at);
	rmdir(dir);
}

/* Every mapping that there is: both ways agree. */
static void
test_agree(void **state)
{
	FILE *f = fopen("/proc/self/maps", "r");
	static struct vma all[4096];
	const char *asked;
	char line[4096];
	unsigned n = 0;

	(void)state;
	assert_non_null(f);
	while (n < nitems(all) && fgets(line, sizeof(line), f) != NULL)
		if (vma_parse(line, &all[n]))
			n++;
	fclose(f);
	assert_true(n > 10);
	for (unsigned i = 0; i + 1 < n; i++) {
		const char *why = vma_unfit_read(fd, all[i].start, all[i].end);

		if (!vma_unfit_asked(fd, all[i].start, all[i].end, &asked))
			skip();
		if (why == NULL || asked == NULL)
			assert_ptr_equal(why, asked);
		else
			assert_string_equal(why, asked);
	}
	assert_null(vma_unfit(-1, all[0].start, all[0].end));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_fit),
	    cmocka_unit_test(test_unfit),
	    cmocka_unit_test(test_long_name),
	    cmocka_unit_test(test_agree),
	};

	fd = vma_open();
	if (fd < 0) {
		printf("skipped: no /proc/self/maps\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
