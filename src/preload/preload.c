/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * preload: the state, its lock, the start of the pager.
 *
 * The library is linked with -z initfirst, and the constructor has a priority of
 * its own, so that it runs before every other, jemalloc's in this library too:
 * our fork handler is registered before the allocator's, hence runs after it (see
 * fork_prepare).
 */
#include "preload/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "preload/raw.h"

/* Ready for the hooks before any constructor. */
struct preload preload = {.ranges = RANGES_INIT(preload.ranges),
    .guards = RANGES_INIT(preload.guards)};

_Thread_local bool preload_holds_lock;
static _Atomic int lock_word; /* 0 free, 1 held, 2 held and waited for */

/* Where messages go, and what file that is: see say_init. */
static int say_fd = 2;
static dev_t say_dev;
static ino_t say_ino;

/* ---- messages ------------------------------------------------------------ */

/*
 * Many programs close their stderr before our destructor runs, so a summary
 * that was asked for needs a descriptor of its own, out of the way of those
 * that count upwards.  A program may also close any descriptor and open a file
 * in its place: nothing is written to what is not the file of the start.
 */
void
say_init(void)
{
	struct stat st;
	int fd = -1;

	if (fstat(2, &st) == 0) {
		say_dev = st.st_dev;
		say_ino = st.st_ino;
		if (preload.verbose)
			fd = fcntl(2, F_DUPFD_CLOEXEC, 200);
	}
	if (fd >= 0)
		say_fd = fd;
}

static bool
say_goes_to(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == say_dev &&
	       st.st_ino == say_ino;
}

void
say_text(const char *text, size_t len)
{
	int fd = say_goes_to(say_fd) ? say_fd : 2;

	if (!say_goes_to(fd))
		return;
	while (len > 0) {
		long n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void
say(const char *fmt, ...)
{
	char line[1024] = "uswap: ";
	size_t len = strlen(line), room = sizeof(line) - len - 1;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + len, room, fmt, ap);
	va_end(ap);
	len += (size_t)n < room ? (size_t)n : room - 1;
	line[len++] = '\n';
	say_text(line, len);
}

/* ---- the lock ------------------------------------------------------------ */

/*
 * All signals but the two the C library uses itself: the pager's threads
 * inherit this mask, and setuid(2) waits for every thread to take signal 33.
 */
#define ALL_SIGNALS (~(uint64_t)0 & ~((uint64_t)3 << (32 - 1)))

static long
futex(int op, int value)
{
	return syscall(SYS_futex, &lock_word, op, value, NULL, NULL, 0);
}

void
preload_lock(struct guard *g)
{
	uint64_t all = ALL_SIGNALS;
	int was = 0;

	/* Managed memory may be touched under this lock. */
	if (preload.inline_faults)
		all &= ~((uint64_t)1 << (SIGBUS - 1));
	g->error = errno;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &g->mask, sizeof(all));
	preload_holds_lock = true;
	if (atomic_compare_exchange_strong(&lock_word, &was, 1))
		return;
	while (atomic_exchange(&lock_word, 2) != 0)
		futex(FUTEX_WAIT_PRIVATE, 2);
}

void
preload_unlock(struct guard *g)
{
	struct guard saved = *g; /* may be the static one */

	preload_holds_lock = false;
	if (atomic_exchange(&lock_word, 0) == 2)
		futex(FUTEX_WAKE_PRIVATE, 1);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved.mask, NULL,
	    sizeof(saved.mask));
	errno = saved.error;
}

/* ---- the start of the pager ---------------------------------------------- */

/* Going on without the pager would be going on without the bound. */
static void __attribute__((noreturn)) give_up(const char *what)
{
	say("%s: %s; the program ends here, because going on would pass its "
	    "memory budget",
	    what, uswap_error());
	if (preload.u != NULL)
		uswap_control_end(preload.u);
	raw_exit(125);
}

/*
 * Another process of the tree has the named file: this one takes an unlinked
 * file of the same size beside it, encrypted if that one is.
 */
static int
swapon_beside(const char *spec)
{
	size_t path_len = strcspn(spec, ",");
	const char *size = strstr(spec + path_len, ",size=");
	const char *crypt =
	    strstr(spec + path_len, ",crypt") != NULL ? ",crypt" : "";
	char path[PATH_MAX], text[PATH_MAX + 64], number[32];
	struct stat st;
	char *slash;

	if (path_len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, spec, path_len);
	path[path_len] = '\0';
	if (strncmp(path, "nbd", 3) == 0 && strstr(path, "://") != NULL)
		st = (struct stat){.st_mode = S_IFBLK}; /* as good as one */
	else if (stat(path, &st) != 0)
		return -errno;
	snprintf(
	    number, sizeof(number), "%llu", (unsigned long long)st.st_size);
	if (size != NULL)
		snprintf(number, sizeof(number), "%.*s",
		    (int)strcspn(size + 6, ","), size + 6);
	slash = strrchr(path, '/');
	if (slash != NULL)
		slash[slash == path] = '\0';
	if (S_ISREG(st.st_mode))
		snprintf(text, sizeof(text), "tmp,size=%s,dir=%s%s", number,
		    slash != NULL ? path : ".", crypt);
	else /* a device: nothing can be put beside it */
		snprintf(text, sizeof(text), "tmp%s%s%s",
		    size != NULL ? ",size=" : "", size != NULL ? number : "",
		    crypt);
	if (preload.verbose)
		say("%.*s is in use by another process: using %s",
		    (int)path_len, spec, text);
	return uswap_swapon(preload.u, text);
}

static void
add_swap(void)
{
	const char *s = preload.swap;
	char spec[PATH_MAX + 64];

	while (*s != '\0') {
		size_t len = strcspn(s, "\n");
		int error;

		if (len >= sizeof(spec))
			len = sizeof(spec) - 1;
		memcpy(spec, s, len);
		spec[len] = '\0';
		error = uswap_swapon(preload.u, spec);
		if (error == -EBUSY && strcmp(spec, "tmp") != 0 &&
		    strncmp(spec, "tmp,", 4) != 0)
			error = swapon_beside(spec);
		if (error != 0)
			give_up("cannot use the swap space");
		s += len + (s[len] == '\n');
	}
}

/*
 * Takes over what was mapped so far: at the start all, later what is young.  A range
 * can be stale, when the program changed the mapping by a bare system call, or have a
 * userfaultfd of the program's: then it is not ours to manage.  There are never
 * more ranges than before: no room is needed.
 */
static int
manage_all(bool young)
{
	const struct range *e;
	uintptr_t a;

	for (a = 0; (e = ranges_at(&preload.ranges, a)) != NULL;) {
		struct range r = *e;
		int error;

		a = r.end;
		if (young && (r.flags & RANGE_YOUNG) == 0)
			continue;
		error =
		    uswap_manage(preload.u, (void *)r.start, r.end - r.start);
		if (error == -EINVAL || error == -EEXIST || error == -EBUSY) {
			if (preload.verbose)
				say("left alone: %s", uswap_error());
			ranges_remove(&preload.ranges, r.start, r.end);
		} else if (error != 0) {
			return error;
		} else {
			/* From now on the table says so: see advise_fork. */
			if (r.flags & RANGE_DONTFORK)
				(void)raw_madvise((void *)r.start,
				    r.end - r.start, MADV_DOFORK);
			ranges_flag(
			    &preload.ranges, r.start, r.end, 0, RANGE_YOUNG);
		}
	}
	return 0;
}

int
preload_settle(void)
{
	int error = preload.ranges.young == 0 ? 0 : manage_all(true);

	if (error != 0 && preload.verbose)
		say("cannot manage small mappings: %s", uswap_error());
	return error;
}

int
preload_settle_range(uintptr_t start, uintptr_t end)
{
	if (!ranges_age(&preload.ranges, start, end, true))
		return 0;
	return preload_settle();
}

static void
start(void)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;

	opt.ram = preload.ram;
	opt.when_full = preload.when_full;
	opt.flags |= USWAP_CONTROL;
	if (preload.verbose)
		opt.flags |= USWAP_VERBOSE;
	if (preload.inline_faults)
		opt.flags |= USWAP_FAULT_INLINE;
	if (!say_goes_to(2)) /* it may be a file with the program's data */
		opt.flags |= USWAP_QUIET;
	alloc_pager_begin();
	if (uswap_open(&opt, &preload.u) != 0)
		give_up("cannot start the pager");
	add_swap();
	alloc_pager_end();
	if (manage_all(false) != 0)
		give_up("cannot manage the program's memory");
	preload.state = ACTIVE;
}

bool
preload_would_start(size_t more)
{
	return preload.state == TRACKING && preload.ram != 0 &&
	       preload.ranges.writable + more > preload.ram;
}

void
preload_start_now(void)
{
	if (preload.state == TRACKING && preload.ram != 0 &&
	    raw_getpid() == preload.home)
		start();
}

/*
 * A vfork child must not start it: its threads would be the child's, and end
 * with it.  The parent will, at its next mapping.
 */
void
preload_grown(void)
{
	if (preload_would_start(0) && raw_getpid() == preload.home)
		start();
}

/* ---- the constructor ----------------------------------------------------- */

/*
 * A setting from the environment, NULL when it is not there; a copy, as programs
 * that change their title write it over the environment.
 */
static const char *
setting(const char *name)
{
	const char *text = getenv(name);
	size_t size;
	char *copy;

	if (text == NULL)
		return NULL;
	size = strlen(text) + 1;
	copy = raw_mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED) {
		say("out of memory");
		raw_exit(125);
	}
	return memcpy(copy, text, size);
}

static void __attribute__((constructor(101)))
preload_init(int argc, char **argv, char **envp)
{
	const char *ram, *v;
	struct timespec now;

	/* The C library's own constructor, which sets it, runs later. */
	if (environ == NULL)
		environ = envp;
	preload.home = raw_getpid();
	fork_init();
	ram = getenv("USWAP_RAM");
	preload.ram = ram != NULL ? strtoull(ram, NULL, 10) : 0;
	if (preload.ram == 0) {
		preload.state = OFF; /* preloaded by somebody else */
		ranges_clear(&preload.ranges);
		return;
	}
	preload.swap = setting("USWAP_SWAP");
	if (preload.swap == NULL)
		preload.swap = "tmp";
	preload.stats = setting("USWAP_STATS");
	v = getenv("USWAP_WHEN_FULL"); /* the command has checked it */
	if (v != NULL && strcmp(v, "stop") == 0)
		preload.when_full = USWAP_FULL_STOP;
	else if (v != NULL && strcmp(v, "kill") == 0)
		preload.when_full = USWAP_FULL_KILL;
	v = getenv("USWAP_INLINE");
	preload.inline_faults = v != NULL && *v == '1';
	sigbus_init();
	v = getenv("USWAP_VERBOSE");
	preload.verbose = v != NULL && *v == '1';
	v = getenv("USWAP_TOP");
	preload.top = v != NULL && atoi(v) == preload.home;
	if (argc > 0)
		strncpy(preload.program, argv[0], sizeof(preload.program) - 1);
	clock_gettime(CLOCK_MONOTONIC, &now);
	preload.started_ns =
	    (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	say_init();
	exit_init();
	if (preload.inline_faults && is_golang()) {
		say("%s is written in Go, whose stacks are too small for "
		    "--inline; run it without",
		    preload.program);
		raw_exit(125);
	}
	if (alloc_is_foreign()) {
		struct guard g;

		preload_lock(&g);
		start();
		preload_unlock(&g);
	}
}
