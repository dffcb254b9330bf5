/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exit: what is said and written when a process ends.
 *
 * Three ways lead out: exit(3) runs our destructor, quick_exit(3) the handler
 * registered here, and _exit(2), which shells use, is hooked.  Whichever comes
 * first reports, once.  A vfork child calls _exit in its parent's memory: it is
 * known by its pid and reports nothing.
 *
 * The pager is not stopped: other destructors may still touch its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "preload/preload.h"
#include "preload/raw.h"

static _Atomic bool reported;

void
exit_forked(void)
{
	atomic_store(&reported, false);
}

static uint64_t
peak_rss(void)
{
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) != 0)
		return 0;
	return (uint64_t)ru.ru_maxrss << 10;
}

static uint64_t
wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec -
	       preload.started_ns;
}

/* ---- the file ------------------------------------------------------------ */

/* text as the inside of a JSON string. */
static void
json_escape(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; *text != '\0' && n + 7 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			out[n++] = '\\';
		if (c < ' ')
			n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
		else
			out[n++] = *text;
	}
	out[n] = '\0';
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		long n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * Our keys, then the members of the pager's object, if there was one: body is
 * that object, "{...}".
 */
static int
write_json(int fd, const char *body)
{
	char name[6 * sizeof(preload.program) + 8], head[sizeof(name) + 256];
	int n;

	json_escape(preload.program, name, sizeof(name));
	n = snprintf(head, sizeof(head),
	    "{\"pid\": %d, \"program\": \"%s\", \"pager\": %s, "
	    "\"peak_rss\": %llu, \"wall_ns\": %llu",
	    preload.home, name, preload.u != NULL ? "true" : "false",
	    (unsigned long long)peak_rss(), (unsigned long long)wall_ns());
	if (write_all(fd, head, (size_t)n) != 0)
		return -1;
	if (body != NULL) {
		body += strspn(body, " \t\n");
		body += *body == '{';
		body += strspn(body, " \t\n");
	}
	if (body == NULL || *body == '}' || *body == '\0')
		return write_all(fd, "}\n", 2);
	if (write_all(fd, ",\n", 2) != 0 ||
	    write_all(fd, body, strlen(body)) != 0)
		return -1;
	return body[strlen(body) - 1] == '\n' ? 0 : write_all(fd, "\n", 1);
}

/* The top process writes FILE; another that had a pager, FILE.<pid>. */
static void
write_stats(const char *body)
{
	char path[4096 + 16];
	int fd, n;

	if (preload.top)
		n = snprintf(path, sizeof(path), "%s", preload.stats);
	else
		n = snprintf(
		    path, sizeof(path), "%s.%d", preload.stats, preload.home);
	if (n >= (int)sizeof(path))
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || write_json(fd, body) != 0)
		say("cannot write the statistics to %s: %m", path);
	if (fd >= 0)
		close(fd);
}

/* ---- the summary --------------------------------------------------------- */

static void
summary(void)
{
	unsigned long long rss = peak_rss() >> 20, ms = wall_ns() / 1000000;
	unsigned long long ram = preload.ram >> 20;

	if (preload.u != NULL)
		say("%s (pid %d): peak RSS %lluM, %llu.%03llu s",
		    preload.program, preload.home, rss, ms / 1000, ms % 1000);
	else
		say("%s stayed below its budget of %lluM: no pager was started "
		    "(peak RSS %lluM)",
		    preload.program, ram, rss);
}

/* The pager's own report, in memory from the kernel; NULL without a pager. */
static char *
pager_report(int json)
{
	int len =
	    preload.u != NULL ? uswap_report(preload.u, json, NULL, 0) : -1;
	/* Numbers may grow longer between the two calls. */
	size_t size = (size_t)len + 1024;
	char *text;

	if (len < 0)
		return NULL;
	text = raw_mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (text == MAP_FAILED)
		return NULL;
	uswap_report(preload.u, json, text, size);
	return text;
}

/*
 * OFF with a context is the child of a fork, whose context is dead: it was the
 * parent's story, and is told there.
 */
static void
report(void)
{
	bool pager = preload.state == ACTIVE;
	char *text;

	if (preload.ram == 0 || raw_getpid() != preload.home ||
	    (!pager && !preload.top) || atomic_exchange(&reported, true))
		return;
	if (preload.verbose) {
		summary();
		text = pager_report(0);
		if (text != NULL)
			say_text(text, strlen(text));
	}
	if (preload.stats != NULL && *preload.stats != '\0')
		write_stats(pager_report(1));
	if (pager)
		uswap_control_end(preload.u);
}

/* ---- the ways out -------------------------------------------------------- */

static void __attribute__((destructor)) at_exit(void)
{
	report();
}

void
exit_init(void)
{
	at_quick_exit(report);
}

HOOK void __attribute__((noreturn)) _exit(int status)
{
	report();
	raw_exit(status);
}

HOOK void __attribute__((noreturn)) _Exit(int status)
{
	report();
	raw_exit(status);
}
