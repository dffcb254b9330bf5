/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_errors: every error that include/uswap.h names, with a sentence, and
 * with nothing changed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "page/pmap.h"
#include "support/api.h"
#include "support/forbid.h"
#include "support/things.h"

#define RW (PROT_READ | PROT_WRITE)

/* ---- opening ------------------------------------------------------------- */

static void
test_open(void **state)
{
	uswap_t *const untouched = (uswap_t *)&u, *ret = untouched;
	struct uswap_options opt = USWAP_OPTIONS_INIT;

	(void)state;
	opt.flags = 1u << 30;
	fails(uswap_open(&opt, &ret), EINVAL, "flags");
	opt.flags = 0;
	opt.handlers = 17;
	fails(uswap_open(&opt, &ret), EINVAL, "17 handlers");
	opt.handlers = 0;
	opt.ram = RAM - PAGE;
	fails(uswap_open(&opt, &ret), EINVAL, "16M");
	opt.ram = ((uint64_t)2 << 40) + PAGE;
	fails(uswap_open(&opt, &ret), EINVAL, "2T");
	assert_ptr_equal(ret, untouched);
}

/* Runs fn in a child; it returns 0 when all was as expected. */
static void
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Whether it fails so, in a child, where cmocka cannot be told. */
static bool
refused(int ret, int error, const char *about)
{
	if (ret == -error && strstr(uswap_error(), about) != NULL)
		return true;
	fprintf(
	    stderr, "%d, not %d (%s): %s\n", ret, -error, about, uswap_error());
	return false;
}

static int
not_permitted(void)
{
	uswap_t *v = NULL;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		return 1;
	if (uswap_probe() == 0) /* it is, to everybody */
		return 0;
	return !refused(uswap_probe(), EPERM, "sysctl") ||
	       !refused(uswap_open(NULL, &v), EPERM, "sysctl") || v != NULL;
}

static int
no_uring(void)
{
	uswap_t *v = NULL;

	if (forbid(SYS_io_uring_setup, ENOSYS) != 0)
		return 1;
	return !refused(uswap_open(NULL, &v), ENOSYS, "io_uring") || v != NULL;
}

static int
forbidden_uring(void)
{
	uswap_t *v = NULL;

	if (forbid(SYS_io_uring_setup, EPERM) != 0)
		return 1;
	return !refused(uswap_open(NULL, &v), EPERM, "io_uring") || v != NULL;
}

static int
no_threads(void)
{
	uswap_t *v = NULL;

	if (forbid(SYS_clone3, EAGAIN) != 0 || forbid(SYS_clone, EAGAIN) != 0)
		return 1;
	return !refused(uswap_open(NULL, &v), EAGAIN, "thread") || v != NULL;
}

static int
no_memory(void)
{
	struct rlimit rl = {(rlim_t)64 << 20, (rlim_t)64 << 20};
	uswap_t *v = NULL;

	if (setrlimit(RLIMIT_AS, &rl) != 0)
		return 1;
	return !refused(uswap_open(NULL, &v), ENOMEM, "") || v != NULL;
}

static void
test_open_refused(void **state)
{
	(void)state;
	if (getuid() == 0)
		in_child(not_permitted);
	in_child(no_uring);
	in_child(forbidden_uring);
	in_child(no_threads);
	if (!SANITIZED) /* they need what they reserved */
		in_child(no_memory);
}

/* ---- swap space ---------------------------------------------------------- */

static void
put_file(const char *name, const char *text)
{
	int fd = open(path(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Both calls refuse a spec alike. */
static void
no_swap(const char *spec, int error, const char *about)
{
	fails(uswap_swapon(u, spec), error, about);
	fails(uswap_swapon_check(spec), error, about);
}

static void
test_swapon(void **state)
{
	char text[2000] = "";
	uswap_t *other;
	uint64_t total;

	(void)state;
	opens("swap,size=1M");
	total = stats().swap_total;
	no_swap("", EINVAL, "path");
	no_swap(path("x,size=lots"), EINVAL, "lots");
	no_swap(path("x,size=4K"), EINVAL, "4K");
	no_swap(path("x,prio=40000,size=1M"), EINVAL, "40000");
	no_swap(path("x,colour=red"), EINVAL, "colour");
	no_swap(path("x"), EINVAL, "size");
	no_swap(path(""), EINVAL, "directory");
	no_swap("/dev/null", EINVAL, "/dev/null");
	no_swap("tmp,size=nothing", EINVAL, "nothing");
	memset(text, 'x', sizeof(text) - 1);
	no_swap(text, EINVAL, "");
	put_file("letter", "Dear Sir or Madam, this is no swap space.\n");
	no_swap(path("letter"), EINVAL, "letter");
	no_swap(path("letter,size=1M"), EINVAL, "letter");
	no_swap(path("swap"), EBUSY, "swap");
	no_swap(path("nowhere/x,size=1M"), ENOENT, "nowhere");
	assert_int_equal(symlink("swap", path("link")), 0);
	no_swap(path("link,size=1M"), ELOOP, "symbolic");
	unlink(path("link"));
	no_swap(path("x,size=15T"), ENOSPC, "");
	no_swap("tmp,size=15T", ENOSPC, "");
	no_swap("tmp,size=1M,dir=/nowhere/at/all", ENOENT, "/nowhere");
	/* Nothing was made, changed or added by all that. */
	assert_int_equal(access(path("x"), F_OK), -1);
	assert_int_equal(stats().swap_total, total);
	works(uswap_open(NULL, &other));
	fails(uswap_swapon(other, path("swap")), EBUSY, "swap");
	works(uswap_close(other));
	/* The check leaves the file that it made, and a file can be used. */
	works(uswap_swapon_check(path("checked,size=1M")));
	assert_int_equal(access(path("checked"), F_OK), 0);
	works(uswap_swapon(u, path("checked")));
	works(uswap_swapon_check("tmp"));
	works(uswap_swapon(u, "tmp,size=1M"));
	assert_true(stats().swap_total > total + MIB);
	closes();
}

/* ---- ranges -------------------------------------------------------------- */

/* The calls that take a range and nothing else of note. */
static int
advise(uswap_t *v, void *p, size_t len)
{
	return uswap_advise(v, p, len, USWAP_DONTNEED);
}

static int
willneed(uswap_t *v, void *p, size_t len)
{
	return uswap_advise(v, p, len, USWAP_WILLNEED);
}

static int
residency(uswap_t *v, void *p, size_t len)
{
	static unsigned char vec[64];

	return uswap_residency(v, p, len, vec);
}

static int
is_managed(uswap_t *v, void *p, size_t len)
{
	return uswap_is_managed(v, p, len);
}

static int
remap(uswap_t *v, void *p, size_t len)
{
	void *ret;

	return uswap_remap(v, p, len, PAGE, 0, NULL, &ret);
}

static void
test_ranges(void **state)
{
	static int (*const call[])(uswap_t *, void *, size_t) = {uswap_manage,
	    uswap_forget, uswap_unmap, uswap_wire, uswap_unwire, uswap_reserve,
	    uswap_pageout, advise, willneed, residency, is_managed, remap};
	void *ret = &ret;
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(10, 1);
	for (size_t i = 0; i < sizeof(call) / sizeof(call[0]); i++) {
		fails(call[i](u, p, 0), EINVAL, "length");
		fails(call[i](u, p, SIZE_MAX), EINVAL, "length");
		fails(call[i](u, p, (size_t)1 << 57), EINVAL, "length");
		fails(call[i](u, p + 1, PAGE), EINVAL, "start of a page");
	}
	fails(uswap_map(u, 0, &ret), EINVAL, "length");
	fails(uswap_map(u, (size_t)1 << 57, &ret), EINVAL, "length");
	fails(uswap_advise(u, p, PAGE, (enum uswap_advice)7), EINVAL, "7");
	assert_ptr_equal(ret, &ret);
	check_pages(p, 0, 10, 1);
	unmap(p, 10);
	closes();
}

/* Some of it is not managed. */
static void
test_not_managed(void **state)
{
	unsigned char vec[10];
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(10, 1);
	works(uswap_forget(u, p + 5 * PAGE, PAGE));
	fails(uswap_wire(u, p, 10 * PAGE), ENOMEM, "managed");
	assert_int_equal(stats().pages_wired, 0);
	fails(uswap_reserve(u, p, 10 * PAGE), ENOMEM, "managed");
	assert_int_equal(stats().swap_used, 0);
	fails(uswap_residency(u, p, 10 * PAGE, vec), ENOMEM, "managed");
	/* These do what can be done. */
	works(uswap_unwire(u, p, 10 * PAGE));
	works(uswap_pageout(u, p, 10 * PAGE));
	assert_int_equal(stats().swap_used, 9 * PAGE);
	check_pages(p, 0, 10, 1);
	unmap(p, 10);
	closes();
}

/* There is room left for what other threads, and sanitizers, ask for meanwhile. */
static void
test_map(void **state)
{
	rlim_t pages;
	struct rlimit old, none;
	void *ret = &ret;
	int got;

	(void)state;
	opens(NULL);
	pages = address_space();
	assert_true(pages > 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	none = (struct rlimit){pages * PAGE + ((rlim_t)1 << 34), old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	got = uswap_map(u, (size_t)1 << 40, &ret);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	fails(got, ENOMEM, "address space");
	assert_ptr_equal(ret, &ret);
	closes();
}

/*
 * What cannot be managed is refused, and holds what it held.  The page of the stack
 * may begin where the address sanitizer permits nobody to read.
 */
__attribute__((no_sanitize("address"))) static void
no_manage(char *p, size_t pages, int error, const char *about)
{
	char first = p[0];

	fails(uswap_manage(u, p, pages * PAGE), error, about);
	assert_int_equal(uswap_is_managed(u, p, pages * PAGE), 0);
	assert_int_equal(p[0], first);
	assert_int_equal(stats().managed, 0);
}

static void
test_manage(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char *p, *q, err[256];
	struct pmap *foreign;

	(void)state;
	opens("swap,size=64M");
	assert_int_equal(ftruncate(fd, (off_t)(4 * PAGE)), 0);
	p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	no_manage(p, 4, EINVAL, "shared");
	munmap(p, 4 * PAGE);
	p = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
	no_manage(p, 4, EINVAL, "file");
	munmap(p, 4 * PAGE);
	p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	no_manage(p, 4, EINVAL, "shared");
	munmap(p, 4 * PAGE);
	close(fd);
	p = (char *)((uintptr_t)getauxval(AT_RANDOM) & ~(PAGE - 1));
	no_manage(p, 1, EINVAL, "stack");
	p = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	write_pages(p, 0, 8, 1);
	munmap(p + 4 * PAGE, PAGE);
	no_manage(p, 8, EINVAL, "not mapped");
	fails(uswap_manage(u, p + 4 * PAGE, PAGE), EINVAL, "not mapped");
	check_pages(p, 0, 4, 1);
	check_pages(p, 5, 8, 1);
	/* Somebody else's userfaultfd. */
	assert_int_equal(pmap_open_uffd(1, 0, &foreign, err, sizeof(err)), 0);
	assert_int_equal(pmap_manage(foreign, (uintptr_t)p, 2), 0);
	no_manage(p, 4, EBUSY, "");
	pmap_close(foreign);
	/* Twice. */
	works(uswap_manage(u, p + PAGE, 2 * PAGE));
	q = p + PAGE;
	fails(uswap_manage(u, q, PAGE), EEXIST, "is managed");
	fails(uswap_manage(u, p, 2 * PAGE), EEXIST, "is managed");
	fails(uswap_manage(u, q + PAGE, 2 * PAGE), EEXIST, "is managed");
	assert_int_equal(stats().managed, 2 * PAGE);
	page_out(q, 0, 2);
	check_pages(p, 0, 4, 1);
	unmap(p, 8);
	closes();
}

/* ---- closing, and sentences ---------------------------------------------- */

static void
test_close(void **state)
{
	char *p;

	(void)state;
	opens("swap,size=64M");
	p = region(10, 1);
	fails(uswap_close(u), EBUSY, "1 region ");
	works(uswap_forget(u, p + 5 * PAGE, PAGE));
	fails(uswap_close(u), EBUSY, "2 regions ");
	/* It goes on as if nothing had been asked. */
	page_out(p, 0, 5);
	check_pages(p, 0, 10, 1);
	unmap(p, 10);
	closes();
}

static void *
fails_too(void *arg)
{
	char *said = arg;

	(void)uswap_map(u, 0, NULL);
	snprintf(said, 512, "%s", uswap_error());
	return NULL;
}

/* Each thread has its own sentence. */
static void
test_error(void **state)
{
	char mine[512], others[512] = "";
	pthread_t t;

	(void)state;
	opens("swap,size=1M");
	fails(uswap_swapon(u, path("x,size=lots")), EINVAL, "lots");
	snprintf(mine, sizeof(mine), "%s", uswap_error());
	pthread_create(&t, NULL, fails_too, others);
	pthread_join(t, NULL);
	assert_string_equal(uswap_error(), mine);
	assert_non_null(strstr(others, "length"));
	closes();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_open),
	    cmocka_unit_test(test_open_refused),
	    cmocka_unit_test(test_swapon),
	    cmocka_unit_test(test_ranges),
	    cmocka_unit_test(test_not_managed),
	    cmocka_unit_test(test_map),
	    cmocka_unit_test(test_manage),
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_error),
	};
	int failed;

	api_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return api_end(failed);
}
