/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control: lines and requests; settings; the control socket of a pager in this
 * process, and what its clients may do to it.  Real programs: e2e/test_ctl.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/ctl.h"
#include "lib/report.h"
#undef PAGE_MASK
#include "support/api.h"

/* ---- lines --------------------------------------------------------------- */

static void
add(struct ctl_in *in, const char *text, size_t len)
{
	size_t room;
	char *to = ctl_in_room(in, &room);

	assert_true(len <= room);
	memcpy(to, text, len);
	in->n += len;
}

static void
test_lines(void **state)
{
	static struct ctl_in in;
	char *line;
	size_t len, room;

	(void)state;
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LESS);
	add(&in, "one\ntw", 6);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LINE);
	assert_string_equal(line, "one");
	assert_int_equal(len, 3);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LESS);
	add(&in, "o\n\nthree\n", 9);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LINE);
	assert_string_equal(line, "two");
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LINE);
	assert_int_equal(len, 0);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LINE);
	assert_string_equal(line, "three");
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LESS);
	/* As long as there is room for, and longer. */
	for (size_t i = 0; i + 1 < CTL_LINE; i++)
		add(&in, "x", 1);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LESS);
	add(&in, "\n", 1);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_LINE);
	assert_int_equal(len, CTL_LINE - 1);
	for (size_t i = 0; i < CTL_LINE; i++)
		add(&in, "x", 1);
	(void)ctl_in_room(&in, &room);
	assert_int_equal(room, 0);
	assert_int_equal(ctl_in_line(&in, &line, &len), CTL_GOT_TOO_LONG);
}

/* ---- requests ------------------------------------------------------------ */

static char arena[CTL_ARENA] __attribute__((aligned(16)));
static struct ctl_request request;
static char why[256];

static int
parse(const char *text)
{
	return ctl_parse(text, strlen(text), arena, &request, why, sizeof(why));
}

static void
refused(const char *text, const char *about)
{
	assert_int_equal(parse(text), -EINVAL);
	if (strstr(why, about) == NULL)
		fail_msg("%.80s: %s", text, why);
}

static void
test_requests(void **state)
{
	char text[CTL_LINE];

	(void)state;
	assert_int_equal(parse("{\"request\": \"info\"}"), 0);
	assert_int_equal(request.verb, CTL_INFO);
	/* What is not known is ignored. */
	assert_int_equal(parse("{\"x\": [{}, null], \"request\":\"off\", "
			       "\"version\":1, \"device\":\"/a \\u00e9\"}"),
	    0);
	assert_int_equal(request.verb, CTL_OFF);
	assert_string_equal(request.text, "/a \xc3\xa9");
	assert_false(request.force);
	assert_int_equal(
	    parse("{\"request\":\"off\",\"device\":\"a\",\"force\":true}"), 0);
	assert_true(request.force);
	assert_int_equal(parse("{\"request\":\"set\",\"key\":\"k\",\"value\":"
			       "9223372036854775807}"),
	    0);
	assert_true(request.value == INT64_MAX);

	refused("", "no request");
	refused("info", "no request");
	refused("{\"request\": \"info\"", "no request");
	refused("{\"request\": \"info\"} {}", "no request");
	refused("{\"request\": \"info\", \"request\": \"info\"}", "duplicate");
	refused("[]", "one of info");
	refused("{\"request\": 1}", "one of info");
	refused("{\"request\": \"INFO\"}", "one of info");
	refused("{\"request\": \"info\", \"version\": 2}", "version 1");
	refused("{\"request\": \"on\"}", "\"spec\"");
	refused("{\"request\": \"on\", \"spec\": \"\"}", "\"spec\"");
	refused("{\"request\": \"off\", \"device\": \"a\\u0000b\"}", "u0000");
	refused("{\"request\": \"set\", \"key\": \"a\"}", "\"value\"");
	refused("{\"request\": \"set\", \"key\": \"a\", \"value\": -1}",
	    "\"value\"");
	refused("{\"request\": \"set\", \"key\": \"a\", \"value\": 1.5}",
	    "\"value\"");

	/* More than its stack, and more than its memory. */
	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	refused(text, "brackets");
	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "1,", 2);
	text[sizeof(text) - 2] = ']';
	refused(text, "too large");
	snprintf(
	    text, sizeof(text), "{\"request\":\"on\",\"spec\":\"%01200d\"}", 0);
	refused(text, "1 to 1199 bytes");
	snprintf(
	    text, sizeof(text), "{\"request\":\"on\",\"spec\":\"%01199d\"}", 0);
	assert_int_equal(parse(text), 0);
}

static void
test_strings(void **state)
{
	char buf[128];
	struct out o = {buf, sizeof(buf), 0};

	(void)state;
	put_string(&o, "a\"\\\n\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 "
		       "\xff\xc3(\xed\xa0\x80");
	assert_string_equal(buf,
	    "\"a\\\"\\\\\\u000a\\u007f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 "
	    "\\u00ff\\u00c3(\\u00ed\\u00a0\\u0080\"");
	assert_int_equal(o.len, strlen(buf));
}

/* ---- settings ------------------------------------------------------------ */

static uint64_t
get(const char *name)
{
	uint64_t value = 12345678;

	works(uswap_get(u, name, &value));
	return value;
}

static void
test_settings(void **state)
{
	static const char *const capped[] = {"read_window", "write_cluster"};
	struct uswap_stats st;
	char *p;

	(void)state;
	opens("swap,size=64M");
	fails(uswap_set(u, "nothing", 1), ENOENT, "no setting nothing");
	assert_int_equal(get("swap_async_max"), 8);
	works(uswap_set(u, "swap_async_max", 1));
	fails(uswap_set(u, "swap_async_max", 0), ERANGE, "1 to 8");
	fails(uswap_set(u, "swap_async_max", 9), ERANGE, "1 to 8");
	fails(uswap_set(u, "swap_async_max", UINT64_MAX), ERANGE, "1 to 8");
	assert_int_equal(get("swap_async_max"), 1);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(get(capped[i]), 256);
		fails(uswap_set(u, capped[i], 0), ERANGE, "1 to 256");
		fails(uswap_set(u, capped[i], 257), ERANGE, "1 to 256");
		works(uswap_set(u, capped[i], 1));
		assert_int_equal(get(capped[i]), 1);
	}
	/* Low stays below high, whichever is changed. */
	assert_int_equal(get("free_low"), 64);
	assert_int_equal(get("free_high"), 128);
	fails(uswap_set(u, "free_low", 128), ERANGE, "16 to 127");
	fails(uswap_set(u, "free_low", 15), ERANGE, "16 to 127");
	fails(uswap_set(u, "free_high", 64), ERANGE, "65 to 960");
	fails(uswap_set(u, "free_high", 961), ERANGE, "65 to 960");
	works(uswap_set(u, "free_high", 960));
	works(uswap_set(u, "free_low", 959));
	fails(uswap_set(u, "inactive_goal", 1921), ERANGE, "0 to 1920");
	works(uswap_set(u, "inactive_goal", 0));

	/* With all of them at one end, and then at the other. */
	p = region(2 * BUDGET, 1);
	check_pages(p, 0, 2 * BUDGET, 1);
	st = stats();
	assert_true(st.swap_writes >= BUDGET);
	assert_int_equal(st.swap_writes, st.v_swappgsout);
	assert_int_equal(st.swap_reads, st.pages_in);
	works(uswap_set(u, "free_low", 16));
	works(uswap_set(u, "free_high", 17));
	works(uswap_set(u, "inactive_goal", 1920));
	works(uswap_set(u, "swap_async_max", 8));
	works(uswap_set(u, "read_window", 256));
	works(uswap_set(u, "write_cluster", 256));
	write_pages(p, 0, 2 * BUDGET, 2);
	check_pages(p, 0, 2 * BUDGET, 2);
	assert_true(stats().pages_in - st.pages_in >
		    stats().swap_reads - st.swap_reads);
	assert_true(stats().pages_out - st.pages_out >
		    stats().swap_writes - st.swap_writes);
	/* FreeBSD's counters. */
	assert_int_equal(stats().v_swapin, stats().swap_reads);
	assert_int_equal(stats().v_swapout, stats().swap_writes);
	assert_true(stats().v_swappgsout >= stats().pages_out);
	unmap(p, 2 * BUDGET);
	closes();
}

/* ---- the socket ---------------------------------------------------------- */

static char sock[256];

static void
opens_control(void)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;

	opt.ram = RAM;
	opt.flags = api_flags | USWAP_CONTROL;
	(void)unlink(path("swap"));
	works(uswap_open(&opt, &u));
	works(uswap_swapon(u, path("swap,size=64M")));
	snprintf(sock, sizeof(sock), "%s/uswap/%d.sock", dir, (int)getpid());
}

static int
connected(void)
{
	const struct timeval patience = {.tv_sec = 20};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(sun.sun_path, sock);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next line; NULL at the end. */
static const char *
hear(int fd)
{
	static char line[65536];
	size_t n = 0;

	while (n + 1 < sizeof(line) && recv(fd, line + n, 1, 0) == 1)
		if (line[n++] == '\n') {
			line[n] = '\0';
			return line;
		}
	return NULL;
}

static void
hears(int fd, const char *about)
{
	const char *line = hear(fd);

	if (line == NULL || strstr(line, about) == NULL)
		fail_msg("not \"%s\": %s", about, line != NULL ? line : "end");
}

#define INFO "{\"request\":\"info\"}\n"

static void
test_socket(void **state)
{
	struct stat st;
	int fd, fd2;

	(void)state;
	opens_control();
	assert_int_equal(stat(sock, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = connected();
	say(fd, INFO);
	hears(fd, "\"ok\": true, \"pid\": ");
	/* Several at once, and in pieces. */
	say(fd, INFO "nonsense\n" INFO "{\"request\":");
	hears(fd, "\"stats\": {\"ram_budget\": 16777216,");
	hears(fd, "\"ok\": false, \"error\": \"EINVAL\", \"text\": ");
	hears(fd, "\"settings\": {\"swap_async_max\": 8, ");
	say(fd, "\"set\",\"key\":\"swap_async_max\",\"value\":3}\n");
	hears(fd, "{\"version\": 1, \"ok\": true}");
	assert_int_equal(get("swap_async_max"), 3);
	say(fd, "{\"request\":\"set\",\"key\":\"free_low\",\"value\":3}\n");
	hears(fd, "\"ERANGE\"");
	/* More swap space, and that once only. */
	fd2 = connected();
	say(fd2, "{\"request\":\"on\",\"spec\":\"");
	say(fd2, path("swap2,size=1M,prio=3\"}\n"));
	hears(fd2, "\"ok\": true");
	say(fd, INFO);
	hears(fd, "swap2\", \"priority\": 3, \"closing\": false");
	say(fd, "{\"request\":\"off\",\"device\":\"/nonexistent\"}\n");
	hears(fd, "\"ENOENT\"");
	say(fd, "{\"request\":\"off\",\"device\":\"");
	say(fd, path("swap2\"}\n"));
	hears(fd, "\"ok\": true");
	close(fd);
	/* The end, with somebody connected. */
	works(uswap_close(u));
	assert_int_equal(stat(sock, &st), -1);
	assert_null(hear(fd2));
	close(fd2);
}

/* One socket in a process, and a child of fork leaves it. */
static void
test_one(void **state)
{
	struct uswap_options opt = USWAP_OPTIONS_INIT;
	uswap_t *second;
	struct stat st;
	char want[32];
	int fd, status;
	pid_t pid;

	(void)state;
	snprintf(want, sizeof(want), "\"parent\": %d", (int)getpid());
	opens_control();
	opt.ram = RAM;
	opt.flags = USWAP_CONTROL;
	works(uswap_open(&opt, &second));
	fd = connected();
	say(fd, INFO);
	hears(fd, "\"swap_total\": 67");
	works(uswap_close(second));
	say(fd, INFO);
	hears(fd, "\"swap_total\": 67");
	works(uswap_fork_begin(u));
	pid = fork();
	if (pid == 0 && THREAD_SANITIZED)
		_exit(0);
	uswap_fork_end(u, pid == 0);
	if (pid == 0) {
		/* It has one of its own. */
		snprintf(strrchr(sock, '/'), 32, "/%d.sock", (int)getpid());
		if (stat(sock, &st) != 0)
			_exit(1);
		fd = connected();
		say(fd, INFO);
		hears(fd, want);
		_exit(uswap_close(u) != 0 || stat(sock, &st) == 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	say(fd, INFO);
	hears(fd, "\"ok\": true");
	/* The name goes before the pager does. */
	uswap_control_end(u);
	assert_int_equal(stat(sock, &st), -1);
	say(fd, INFO);
	hears(fd, "\"ok\": true");
	close(fd);
	works(uswap_close(u));
}

/* Directories that are not ours alone are not used. */
static void
test_places(void **state)
{
	char link[128], made[128];
	struct stat st;

	(void)state;
	snprintf(made, sizeof(made), "%s/uswap", dir);
	snprintf(link, sizeof(link), "%s/elsewhere", dir);
	assert_int_equal(rename(made, link), 0);
	assert_int_equal(symlink("elsewhere", made), 0);
	opens_control();
	assert_int_equal(stat(sock, &st), -1);
	works(uswap_close(u));
	assert_int_equal(unlink(made), 0);
	assert_int_equal(rename(link, made), 0);
	assert_int_equal(chmod(made, 0770), 0);
	opens_control();
	assert_int_equal(stat(sock, &st), -1);
	works(uswap_close(u));
	/* Whatever the umask, and over what was left behind. */
	assert_int_equal(rmdir(made), 0);
	umask(0777);
	opens_control();
	umask(022);
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	uswap_control_end(u);
	works(uswap_close(u));
	assert_int_equal(mknod(sock, S_IFSOCK | 0600, 0), 0);
	opens_control();
	close(connected());
	works(uswap_close(u));
	assert_int_equal(stat(sock, &st), -1);
}

/* ---- bad clients --------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Whether the other end has been closed. */
static bool
is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* Silent ones: the next one who asks gets the place of the oldest. */
static void
test_crowd(void **state)
{
	int fd[3 * CTL_CLIENTS], asker;
	unsigned closed = 0;

	(void)state;
	opens_control();
	for (size_t i = 0; i < 3 * CTL_CLIENTS; i++)
		fd[i] = connected();
	asker = connected();
	say(asker, INFO);
	hears(asker, "\"ok\": true");
	for (size_t i = 0; i < 3 * CTL_CLIENTS; i++)
		closed += is_closed(fd[i]);
	assert_int_equal(closed, 2 * CTL_CLIENTS + 1);
	/* Half a request and silence. */
	say(fd[3 * CTL_CLIENTS - 1], "{\"request\"");
	for (size_t i = 0; i < 3 * CTL_CLIENTS; i++) {
		for (int tries = 0; !is_closed(fd[i]); tries++) {
			assert_true(tries < 3 * CTL_PATIENCE_MS / 100);
			usleep(100000);
		}
		close(fd[i]);
	}
	close(asker);
	works(uswap_close(u));
}

/* A line without end is read no further; requests come at a bounded pace. */
static void
test_flood(void **state)
{
	static char garbage[1 << 20];
	int fd;
	double t;

	(void)state;
	opens_control();
	fd = connected();
	memset(garbage, 'x', sizeof(garbage));
	for (int i = 0; i < 100; i++)
		if (send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL) < 0)
			break;
	hears(fd, "\"EMSGSIZE\"");
	/* What it has not read is thrown away with the connection. */
	assert_null(hear(fd));
	close(fd);
	fd = connected();
	t = seconds();
	for (int i = 0; i < 100; i++) {
		say(fd, INFO);
		hears(fd, "\"ok\": true");
	}
	assert_true(seconds() - t > 99 * CTL_PACE_MS / 1e3);
	/* One that asks, and never reads. */
	for (int i = 0; i < 2000; i++)
		if (send(fd, INFO, strlen(INFO), MSG_NOSIGNAL | MSG_DONTWAIT) <
		    0)
			break;
	close(fd);
	fd = connected();
	say(fd, INFO);
	hears(fd, "\"ok\": true");
	close(fd);
	works(uswap_close(u));
}

/* The first answer of a new client; the worker is idle after it. */
static void
until_idle(void)
{
	const char *line;

	for (int tries = 0;; tries++) {
		int fd = connected();

		say(fd, "{\"request\":\"off\",\"device\":\"/nowhere\"}\n");
		line = hear(fd);
		close(fd);
		if (line != NULL && strstr(line, "ENOENT") != NULL)
			return;
		assert_true(tries < 1000);
		usleep(10000);
	}
}

/* Of the device swap2; it is added again if it has gone. */
static int
starts_off(void)
{
	struct uswap_device d[USWAP_DEVICES_MAX];
	unsigned n = USWAP_DEVICES_MAX;
	int fd = connected();

	works(uswap_devices(u, d, &n, sizeof(d[0])));
	if (n == 1)
		works(uswap_swapon(u, path("swap2,size=64M,prio=5")));
	else
		assert_int_equal(d[0].flags | d[1].flags, 0);
	say(fd, "{\"request\":\"off\",\"device\":\"");
	say(fd, path("swap2\"}\n"));
	return fd;
}

/* An `off` whose client goes away is given up, at close too. */
static void
test_off_abandoned(void **state)
{
	bool interrupted = false;
	char *p;
	int fd;

	(void)state;
	opens_control();
	works(uswap_swapon(u, path("swap2,size=64M,prio=5")));
	p = region(3 * BUDGET, 1);
	for (int i = 0; i < 50 && !interrupted; i++) {
		const char *line;

		/* By closing one half, which hears what came of it. */
		fd = starts_off();
		shutdown(fd, SHUT_WR);
		line = hear(fd);
		assert_non_null(line);
		interrupted = strstr(line, "EINTR") != NULL;
		if (!interrupted && strstr(line, "\"ok\": true") == NULL)
			fail_msg("%s", line);
		close(fd);
		check_pages(p, 0, 3 * BUDGET, 1);
		write_pages(p, 0, 3 * BUDGET, 1); /* on swap2 again */
	}
	assert_true(interrupted);
	/* By going without a word. */
	close(starts_off());
	until_idle();
	check_pages(p, 0, 3 * BUDGET, 1);
	unmap(p, 3 * BUDGET);
	fd = starts_off();
	works(uswap_close(u));
	close(fd);
	unlink(path("swap2"));
}

int
main(void)
{
	const struct CMUnitTest first[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_strings),
	};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_settings),
	    cmocka_unit_test(test_socket),
	    cmocka_unit_test(test_one),
	    cmocka_unit_test(test_places),
	    cmocka_unit_test(test_crowd),
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_off_abandoned),
	};
	int failed = cmocka_run_group_tests(first, NULL, NULL);

	api_begin();
	/* The thread sanitizer knows one file table only: other numbers. */
	while (open("/dev/null", O_RDONLY) < 100)
		continue;
	/* Not the user's own; nor /tmp, where others run. */
	setenv("XDG_RUNTIME_DIR", dir, 1);
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	return api_end(failed);
}
