/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control: uswap on, off and set: changes a running pager.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/cmd.h"

const char on_usage[] =
    "usage: uswap on PID SPEC\n"
    "\n"
    "Gives the pager of a running process more swap space.  SPEC is as for\n"
    "uswap run --swap: PATH[,size=SIZE][,prio=N][,crypt], or\n"
    "tmp[,size=SIZE][,dir=DIR][,crypt].\n"
    "The process opens it, with its rights.\n"
    "\n"
    "Exit status: 0 done; 1 refused; 2 wrong usage.\n";

const char off_usage[] =
    "usage: uswap off [-f] PID DEVICE\n"
    "\n"
    "Takes swap space from a running process: what it holds moves to other\n"
    "devices, or stays in memory.  DEVICE is as `uswap info PID` shows it.  Ctrl-C\n"
    "interrupts it; the device is in full use again then.\n"
    "\n"
    "Options:\n"
    "  -f            begin even if the other devices have less room, and give up\n"
    "                what cannot be read because the device is away\n"
    "  -h, --help    show this text\n"
    "\n"
    "Exit status: 0 done; 1 refused; 2 wrong usage; 130 interrupted.\n";

const char set_usage[] =
    "usage: uswap set PID [KEY=VALUE]...\n"
    "\n"
    "Changes settings of a running pager, one after the other; without any, shows\n"
    "them.\n"
    "\n"
    "  swap_async_max   writes in flight at once, 1 to 8\n"
    "  free_low         pages; page-out begins when fewer are free\n"
    "  free_high        pages; page-out ends when so many are free\n"
    "  inactive_goal    pages kept inactive while page-out works\n"
    "  read_window      pages that one read of a stream brings at most, 1 to 256\n"
    "  write_cluster    pages that one write takes at most, 1 to 256\n"
    "  prio:DEVICE      its priority, 0 to 32767; DEVICE is as uswap info shows it\n"
    "\n"
    "Exit status: 0 done; 1 refused; 2 wrong usage.\n";

/* ---- answers ------------------------------------------------------------- */

static void __attribute__((noreturn)) no_answer(pid_t pid)
{
	fail(EXIT_REFUSED,
	    "process %d has not answered; it may have ended: see uswap list",
	    (int)pid);
}

/* The answer to what was sent, whatever time it takes; exits if refused. */
static void
must_do(int fd, pid_t pid)
{
	struct json_t *o;
	bool again;

	do
		o = client_receive(fd, -1, NULL, &again);
	while (o == NULL && again);
	if (o == NULL)
		no_answer(pid);
	if (!json_true_at(o, "ok"))
		fail(EXIT_REFUSED, "%s", json_text(o, "text"));
}

/* ---- on ------------------------------------------------------------------ */

int
cmd_on(int argc, char **argv)
{
	pid_t pid;
	int fd;

	if (argc != 3 || argv[1][0] == '-')
		bad_usage("on", argc > 1 ? argv[argc - 1] : NULL);
	fd = client_open(argv[1], &pid);
	if (!client_send(fd, "on", "spec", absolute_spec(argv[2]), NULL, 0))
		no_answer(pid);
	must_do(fd, pid);
	return 0;
}

/* ---- off ----------------------------------------------------------------- */

/* What Ctrl-C shuts down; a second one ends the command. */
static int off_fd = -1;
static volatile sig_atomic_t interrupted;

static void
on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
	(void)shutdown(off_fd, SHUT_WR);
}

static void
catch_interrupt(int fd)
{
	struct sigaction sa = {
	    .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

	off_fd = fd;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* As info names it; a path may be written as seen from here. */
static const char *
device_name(int fd, pid_t pid, const char *given)
{
	struct json_t *o = client_info(fd, NULL);
	const char *real = realpath(given, NULL), *name;
	const struct json_t *d;

	if (o == NULL)
		no_answer(pid);
	for (size_t i = 0; (d = json_item(o, "devices", i)) != NULL; i++) {
		name = json_text(d, "device");
		if (strcmp(name, given) == 0 ||
		    (real != NULL && strcmp(name, real) == 0))
			return name;
	}
	return absolute_spec(given);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One line on a terminal, written over and over. */
static void
show_progress(const char *device, uint64_t left)
{
	static double began;
	static uint64_t first;
	double rate, now = seconds();

	if (!isatty(STDERR_FILENO))
		return;
	if (began == 0) {
		began = now;
		first = left;
	}
	rate = now > began ? (double)(first - left) / (now - began) : 0;
	fprintf(stderr, "\r%s: %" PRIu64 " pages left", device, left);
	if (first > left)
		fprintf(stderr, ", %.0f pages/s, %.0f s to go", rate,
		    (double)left / rate);
	fputs("\033[K", stderr);
}

/* The line of progress goes. */
static void
end_progress(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static int
off_result(const struct json_t *o, const char *device)
{
	end_progress();
	if (json_true_at(o, "ok"))
		return 0;
	if (interrupted && strcmp(json_text(o, "error"), "EINTR") == 0)
		fail(EXIT_INTERRUPTED, "interrupted: %s is back in full use",
		    device);
	fail(EXIT_REFUSED, "%s", json_text(o, "text"));
}

static int
off(int fd, pid_t pid, const char *device, bool force)
{
	struct json_t *o;
	bool again;

	catch_interrupt(fd);
	if (!client_send(fd, "off", "device", device, "force", force))
		no_answer(pid);
	for (;;) {
		o = client_receive(fd, -1, NULL, &again);
		if (o == NULL && again)
			continue;
		if (o == NULL)
			no_answer(pid);
		if (!json_true_at(o, "progress"))
			return off_result(o, device);
		show_progress(device, json_number(o, "pages_left"));
	}
}

int
cmd_off(int argc, char **argv)
{
	bool force = argc > 1 && strcmp(argv[1], "-f") == 0;
	char **args = argv + 1 + force;
	pid_t pid;
	int fd;

	if (argc - force != 3 || args[0][0] == '-')
		bad_usage("off", argc > 1 ? argv[argc - 1] : NULL);
	fd = client_open(args[0], &pid);
	return off(fd, pid, device_name(fd, pid, args[1]), force);
}

/* ---- set ----------------------------------------------------------------- */

/* KEY=VALUE; the key is cut off in place. */
static uint64_t
take_value(char *word)
{
	char *value = strrchr(word, '='),
	     *end = value; /* a path may have one */
	unsigned long long n = 0;

	if (value != NULL) {
		*value++ = '\0';
		errno = 0;
		n = strtoull(value, &end, 10);
	}
	if (value == NULL || *value < '0' || *value > '9' || *end != '\0' ||
	    errno != 0 || n > INT64_MAX)
		fail(EXIT_USAGE,
		    "%s: write it as KEY=NUMBER; see: uswap set --help", word);
	return n;
}

static int
show_settings(int fd, pid_t pid)
{
	struct json_t *o = client_info(fd, NULL);
	const char *name;
	uint64_t value;

	if (o == NULL)
		no_answer(pid);
	for (size_t i = 0;
	     (name = json_member(o, "settings", i, &value)) != NULL; i++)
		printf("%s=%" PRIu64 "\n", name, value);
	return finish_output();
}

/* The name that the pager knows: only of a device it may be another. */
static const char *
setting_name(int fd, pid_t pid, const char *key)
{
	char *name;

	if (strncmp(key, "prio:", 5) != 0)
		return key;
	if (asprintf(&name, "prio:%s", device_name(fd, pid, key + 5)) < 0)
		fail(EXIT_USWAP, "out of memory");
	return name;
}

int
cmd_set(int argc, char **argv)
{
	uint64_t value[64];
	pid_t pid;
	int fd;

	if (argc < 2 || argc > 64 || argv[1][0] == '-')
		bad_usage("set", argc > 1 ? argv[1] : NULL);
	/* All are looked at before the first is changed. */
	for (int i = 2; i < argc; i++)
		value[i] = take_value(argv[i]);
	fd = client_open(argv[1], &pid);
	if (argc == 2)
		return show_settings(fd, pid);
	for (int i = 2; i < argc; i++) {
		const char *key = setting_name(fd, pid, argv[i]);

		if (!client_send(fd, "set", "key", key, "value", value[i]))
			no_answer(pid);
		must_do(fd, pid);
	}
	return 0;
}
