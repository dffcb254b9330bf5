/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_swapoff: devices that leave while the program uses what is on them, and
 * what is said about devices.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "support/api.h"

#define PAGES 12000 /* 47 MiB, of which 16 fit into memory */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- what is said about devices ------------------------------------------ */

static struct uswap_device devs[USWAP_DEVICES_MAX];

static unsigned
devices(void)
{
	unsigned n = USWAP_DEVICES_MAX;

	works(uswap_devices(u, devs, &n, sizeof(devs[0])));
	return n;
}

/* The device of that file; NULL when it is not in use. */
static struct uswap_device *
device(const char *name)
{
	unsigned n = devices();

	for (unsigned i = 0; i < n; i++)
		if (strcmp(devs[i].name, path(name)) == 0)
			return &devs[i];
	return NULL;
}

static void
test_devices(void **state)
{
	struct uswap_device one;
	unsigned n = 1;
	char *p;

	(void)state;
	opens("swap,size=1M,prio=2");
	assert_int_equal(devices(), 1);
	works(uswap_swapon(u, path("b,size=2M,prio=7")));
	assert_int_equal(devices(), 2);
	assert_string_equal(devs[0].name, path("b"));
	assert_int_equal(devs[0].prio, 7);
	assert_int_equal(devs[0].blocks, 512);
	assert_string_equal(devs[1].name, path("swap"));
	p = region(100, 1);
	page_out(p, 0, 100);
	assert_int_equal(device("b")->used, 100);
	assert_int_equal(device("b")->write_pages, 100);
	assert_true(device("b")->writes >= 1 && device("b")->reads == 0);
	assert_int_equal(device("swap")->used + device("swap")->writes, 0);
	/* Room for one: the first, and how many there are. */
	memset(&one, 0xff, sizeof(one));
	works(uswap_devices(u, &one, &n, offsetof(struct uswap_device, used)));
	assert_int_equal(n, 2);
	assert_int_equal(one.prio, 7);
	assert_int_equal(one.used, UINT64_MAX);
	/* Another order. */
	works(uswap_set_priority(u, path("swap"), 9));
	fails(uswap_set_priority(u, path("none"), 1), ENOENT, "no swap device");
	fails(uswap_set_priority(u, path("swap"), -1), EINVAL, "priority");
	fails(uswap_set_priority(u, path("swap"), 32768), EINVAL, "priority");
	assert_int_equal(devices(), 2);
	assert_string_equal(devs[0].name, path("swap"));
	assert_int_equal(devs[0].prio, 9);
	write_pages(p, 0, 50, 2);
	page_out(p, 0, 50);
	assert_int_equal(device("swap")->used, 50);
	assert_int_equal(device("b")->used, 50);
	check_pages(p, 0, 50, 2);
	check_pages(p, 50, 100, 1);
	unmap(p, 100);
	closes();
	unlink(path("b"));
}

/* ---- taking one away ----------------------------------------------------- */

static void
test_moves(void **state)
{
	struct uswap_stats st;
	char *p;

	(void)state;
	opens("swap,size=64M,prio=5");
	p = region(PAGES, 1);
	works(uswap_swapon(u, path("b,size=64M")));
	assert_true(device("swap")->used > PAGES - BUDGET);
	assert_int_equal(device("b")->used, 0);
	works(uswap_swapoff(u, path("swap"), 0));
	assert_int_equal(devices(), 1);
	assert_true(device("b")->used > PAGES - BUDGET - 100);
	st = stats();
	assert_true(st.pages_moved > PAGES - 2 * BUDGET);
	assert_int_equal(st.swap_total, 64 * MIB - 2 * PAGE);
	check_pages(p, 0, PAGES, 1);
	write_pages(p, 0, PAGES, 2);
	/* And back, on the file that is still there. */
	works(uswap_swapon(u, path("swap")));
	works(uswap_swapoff(u, path("b"), 0));
	check_pages(p, 0, PAGES, 2);
	assert_int_equal(stats().read_errors, 0);
	unmap(p, PAGES);
	/* The last one may go as well when nothing is on it. */
	works(uswap_swapoff(u, path("swap"), 0));
	assert_int_equal(devices(), 0);
	assert_int_equal(stats().swap_total, 0);
	closes();
	unlink(path("b"));
}

static void
test_reserved(void **state)
{
	char *p;

	(void)state;
	opens("swap,size=4M");
	p = region(1000, 0);
	works(uswap_reserve(u, p, 900 * PAGE));
	write_pages(p, 0, 100, 1);
	assert_int_equal(stats().swap_used, 900 * PAGE);
	works(uswap_swapon(u, path("b,size=4M")));
	works(uswap_swapoff(u, path("swap"), 0));
	assert_int_equal(device("b")->used, 900);
	assert_int_equal(device("b")->writes, 0);
	for (uint32_t i = 0; i < 900; i++)
		assert_true(flags(p, i) & USWAP_SWAPPED);
	page_out(p, 0, 100);
	check_pages(p, 0, 100, 1);
	check_pages(p, 100, 900, 0);
	unmap(p, 1000);
	closes();
	unlink(path("b"));
}

static void
test_refused(void **state)
{
	struct uswap_device was;
	char *p;

	(void)state;
	opens("swap,size=64M,prio=5");
	fails(uswap_swapoff(u, path("none"), 0), ENOENT, "no swap device");
	fails(uswap_swapoff(u, path("swap"), 2), EINVAL, "flags");
	fails(uswap_swapoff_stop(u, path("swap")), ENOENT, "no swap device");
	p = region(PAGES, 1);
	works(uswap_swapon(u, path("b,size=1M")));
	was = *device("swap");
	/* Before it begins: nothing is read, nothing is moved. */
	fails(uswap_swapoff(u, path("swap"), 0), ENOMEM, "stays in use");
	assert_int_equal(device("swap")->reads, was.reads);
	assert_int_equal(device("swap")->flags, 0);
	assert_int_equal(device("b")->used, 0);
	/* Forced: as far as it goes. */
	fails(uswap_swapoff(u, path("swap"), USWAP_FORCE), ENOMEM,
	    "stays in use");
	assert_int_equal(device("swap")->flags, 0);
	assert_true(device("b")->used >= 250);
	check_pages(p, 0, PAGES, 1);
	write_pages(p, 0, PAGES, 2);
	check_pages(p, 0, PAGES, 2);
	/* Forced, and there is enough after all: it is in memory. */
	unmap(p, PAGES);
	p = region(1000, 3);
	page_out(p, 0, 1000);
	assert_true(device("swap")->used > 500);
	check_pages(p, 0, 1000, 3);
	fails(uswap_swapoff(u, path("swap"), 0), ENOMEM, "stays in use");
	works(uswap_swapoff(u, path("swap"), USWAP_FORCE));
	assert_int_equal(devices(), 1);
	check_pages(p, 0, 1000, 3);
	unmap(p, 1000);
	closes();
	unlink(path("b"));
}

/* ---- two threads --------------------------------------------------------- */

static struct {
	char name[256];
	_Atomic bool over;
	int ret;
	char said[256];
} job;

static void *
take_away(void *arg)
{
	(void)arg;
	job.ret = uswap_swapoff(u, job.name, 0);
	snprintf(job.said, sizeof(job.said), "%s", uswap_error());
	atomic_store(&job.over, true);
	return NULL;
}

static pthread_t
job_begin(const char *name)
{
	pthread_t t;

	snprintf(job.name, sizeof(job.name), "%s", path(name));
	atomic_store(&job.over, false);
	assert_int_equal(pthread_create(&t, NULL, take_away, NULL), 0);
	return t;
}

/*
 * Calls go on while it does, and it is interrupted in the middle, if it is not
 * too fast for that.
 */
static void
test_interrupt(void **state)
{
	unsigned stopped = 0, calls = 0;
	uint64_t total;
	char *p;

	(void)state;
	opens("swap,size=64M,prio=5");
	p = region(PAGES, 1);
	works(uswap_swapon(u, path("b,size=64M")));
	total = stats().swap_total;
	for (int tries = 0; tries < 50 && stopped < 3; tries++) {
		pthread_t t = job_begin("swap");
		int error = -ENOENT;

		while (!atomic_load(&job.over) && error != 0) {
			error = uswap_swapoff_stop(u, path("swap"));
			calls++;
		}
		pthread_join(t, NULL);
		if (job.ret == 0) {
			works(uswap_swapon(u, path("swap,prio=5")));
			write_pages(p, 0, PAGES, 1);
			continue;
		}
		assert_int_equal(job.ret, -EINTR);
		assert_non_null(strstr(job.said, "interrupted"));
		assert_int_equal(device("swap")->flags, 0);
		assert_int_equal(stats().swap_total, total);
		stopped++;
	}
	assert_true(stopped > 0 && calls > 0);
	check_pages(p, 0, PAGES, 1);
	works(uswap_swapoff(u, path("swap"), 0));
	check_pages(p, 0, PAGES, 1);
	unmap(p, PAGES);
	closes();
	unlink(path("b"));
}

/* A second one waits its turn; the same one twice is refused. */
static void
test_two(void **state)
{
	unsigned closing = 0;
	pthread_t t;
	char *p;
	int error;

	(void)state;
	opens("swap,size=64M,prio=5");
	p = region(PAGES, 1);
	works(uswap_swapon(u, path("b,size=64M,prio=4")));
	works(uswap_swapon(u, path("c,size=64M,prio=3")));
	t = job_begin("swap");
	while (!atomic_load(&job.over) && closing == 0) {
		struct uswap_device *d = device("swap");

		closing += d != NULL && (d->flags & USWAP_DEVICE_CLOSING) != 0;
	}
	error = uswap_swapoff(u, path("swap"), 0);
	assert_true(error == -EBUSY || error == -ENOENT);
	works(uswap_swapoff(u, path("b"), 0));
	pthread_join(t, NULL);
	assert_int_equal(job.ret, 0);
	assert_int_equal(devices(), 1);
	check_pages(p, 0, PAGES, 1);
	unmap(p, PAGES);
	closes();
	unlink(path("b"));
	unlink(path("c"));
}

/* ---- several at once ----------------------------------------------------- */

/* Files without a name: each has one that it can be asked for by. */
static void
test_tmp(void **state)
{
	char *p;

	(void)state;
	opens(NULL);
	works(uswap_swapon(u, "tmp,size=8M"));
	works(uswap_swapon(u, "tmp,size=8M,prio=1"));
	works(uswap_swapon(u, "tmp,size=8M"));
	assert_int_equal(devices(), 3);
	assert_string_equal(devs[0].name, "tmp2");
	assert_string_equal(devs[1].name, "tmp");
	assert_string_equal(devs[2].name, "tmp3");
	p = region(1000, 1);
	page_out(p, 0, 1000);
	works(uswap_swapoff(u, "tmp2", 0));
	fails(uswap_swapoff(u, "tmp2", 0), ENOENT, "no swap device");
	/* The place is free again, the others keep theirs. */
	works(uswap_swapon(u, "tmp,size=8M"));
	assert_int_equal(devices(), 3);
	assert_string_equal(devs[2].name, "tmp2");
	works(uswap_swapoff(u, "tmp", 0));
	works(uswap_swapoff(u, "tmp3", 0));
	check_pages(p, 0, 1000, 1);
	unmap(p, 1000);
	closes();
}

/* ---- encrypted ----------------------------------------------------------- */

#define SECRET "what nobody is to know, in the program's memory only: "

/* How often it is in a file. */
static unsigned
found_in(const char *name)
{
	static char text[16 * MIB];
	FILE *f = fopen(path(name), "r");
	unsigned found = 0;
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	for (char *at = text; (at = memmem(at, n - (size_t)(at - text), SECRET,
				   strlen(SECRET))) != NULL;
	     at++)
		found++;
	return found;
}

static void
test_crypt(void **state)
{
	const uint32_t n = 1000;
	char *p;

	(void)state;
	opens(NULL);
	assert_int_equal(uswap_swapon(u, path("swap,size=8M,crypt")), 0);
	assert_int_equal(device("swap")->flags, USWAP_DEVICE_CRYPT);
	p = region(n, 1);
	for (uint32_t i = 0; i < n; i++)
		snprintf(p + i * PAGE, PAGE, SECRET "%u", i);
	page_out(p, 0, n);
	assert_int_equal(device("swap")->used, n);
	assert_int_equal(found_in("swap"), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(atoi(p + i * PAGE + strlen(SECRET)), i);
	/* On one that is not, it can be found; and then on neither. */
	works(uswap_swapon(u, path("b,size=8M")));
	assert_int_equal(device("b")->flags, 0);
	page_out(p, 0, n);
	works(uswap_swapoff(u, path("swap"), 0));
	assert_int_equal(found_in("b"), n);
	assert_int_equal(found_in("swap"), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(atoi(p + i * PAGE + strlen(SECRET)), i);
	unmap(p, n);
	closes();
	unlink(path("b"));
}

/* ---- speed --------------------------------------------------------------- */

/*
 * With USWAP_SPEED, and then only this: how long it takes to move so many MiB,
 * for the record.  The disk itself is measured by whoever compares.
 */
static void
test_speed(void **state)
{
	const char *text = getenv("USWAP_SPEED");
	size_t mib = text == NULL ? 0 : (size_t)atoi(text), n = mib * 256;
	char spec[64];
	double t;
	char *p;

	(void)state;
	if (n == 0)
		skip();
	snprintf(spec, sizeof(spec), "swap,size=%zuM", mib + 64);
	opens(spec);
	p = region((uint32_t)n, 1);
	works(uswap_pageout(u, p, n * PAGE));
	snprintf(spec, sizeof(spec), "b,size=%zuM", mib + 64);
	works(uswap_swapon(u, path(spec)));
	t = now();
	works(uswap_swapoff(u, path("swap"), 0));
	t = now() - t;
	printf("%zu MiB in %.2f s: %.0f MiB/s read, and as much written\n", mib,
	    t, (double)mib / t);
	check_pages(p, 0, (uint32_t)n, 1);
	unmap(p, (uint32_t)n);
	closes();
	unlink(path("b"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_devices),
	    cmocka_unit_test(test_moves),
	    cmocka_unit_test(test_reserved),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_interrupt),
	    cmocka_unit_test(test_two),
	    cmocka_unit_test(test_tmp),
	    cmocka_unit_test(test_crypt),
	    cmocka_unit_test(test_speed),
	};

	api_begin();
	if (getenv("USWAP_SPEED") != NULL)
		cmocka_set_test_filter("test_speed");
	return api_end(api_run(tests));
}
