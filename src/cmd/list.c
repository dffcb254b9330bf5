/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list: uswap list [--json]: the processes that have a pager.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/cmd.h"

const char list_usage[] =
    "usage: uswap list [--json]\n"
    "\n"
    "Lists the processes that have a pager: a process run by `uswap run` that has\n"
    "passed its budget, and programs that use the library and ask for it.  Root\n"
    "sees those of all users.\n"
    "\n"
    "Options:\n"
    "  --json        one JSON array, with one object for each process\n"
    "  -h, --help    show this text\n";

struct list {
	bool json;
	unsigned n;
};

void
program_of(pid_t pid, char *text, size_t size)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	/* The words are separated by NULs; anything may be in them. */
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = i + 1 < n ? ' ' : '\0';
		else if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
}

static void
print_json(pid_t pid, const char *program, const struct json_t *o)
{
	static const char *const keys[] = {
	    "ram_used", "ram_budget", "swap_used", "swap_total"};
	char path[32];

	printf("{\"pid\": %d, \"program\": ", (int)pid);
	json_print_text(program);
	for (size_t i = 0; o != NULL && i < sizeof(keys) / sizeof(keys[0]);
	     i++) {
		snprintf(path, sizeof(path), "stats.%s", keys[i]);
		printf(", \"%s\": %llu", keys[i],
		    (unsigned long long)json_number(o, path));
	}
	printf("%s}", o == NULL ? ", \"error\": \"it does not answer\"" : "");
}

static void
print_row(pid_t pid, const char *program, const struct json_t *o)
{
	char a[16], b[16], c[16], d[16];

	if (o == NULL)
		printf("%8d %8s %8s %8s %8s  %s (does not answer)\n", (int)pid,
		    "-", "-", "-", "-", program);
	else
		printf("%8d %8s %8s %8s %8s  %s\n", (int)pid,
		    show_size(a, json_number(o, "stats.ram_used")),
		    show_size(b, json_number(o, "stats.ram_budget")),
		    show_size(c, json_number(o, "stats.swap_used")),
		    show_size(d, json_number(o, "stats.swap_total")), program);
}

static void
list_one(pid_t pid, void *arg)
{
	struct list *l = arg;
	struct json_t *o = NULL;
	char err[256], program[512];
	int fd = client_try(pid, err, sizeof(err));

	program_of(pid, program, sizeof(program));
	if (fd >= 0) {
		o = client_info(fd, NULL);
		close(fd);
	}
	if (program[0] == '\0' && o == NULL)
		return; /* it has ended meanwhile */
	if (l->json) {
		fputs(l->n > 0 ? ",\n " : "[", stdout);
		print_json(pid, program, o);
	} else {
		if (l->n == 0)
			printf("%8s %8s %8s %8s %8s  %s\n", "PID", "RAM",
			    "BUDGET", "SWAP", "TOTAL", "PROGRAM");
		print_row(pid, program, o);
	}
	l->n++;
}

int
cmd_list(int argc, char **argv)
{
	struct list l = {0};

	if (argc > 1 && strcmp(argv[1], "--json") == 0)
		l.json = true;
	else if (argc > 1)
		bad_usage("list", argv[1]);
	if (argc > 2)
		bad_usage("list", argv[2]);
	client_each(list_one, &l);
	if (l.json)
		puts(l.n > 0 ? "]" : "[]");
	return finish_output();
}
