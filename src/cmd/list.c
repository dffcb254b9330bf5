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
    "passed its budget, and programs that use the library and ask for it; those\n"
    "that one has forked are below it.  Root sees those of all users.\n"
    "\n"
    "Options:\n"
    "  --json        one JSON array, with one object for each process\n"
    "  -h, --help    show this text\n";

/* A process; what it does not answer is 0. */
struct process {
	pid_t pid, parent; /* 0: it is no fork of another with a pager */
	bool answers;
	bool shown;
	char program[512];
	uint64_t ram_used, ram_budget, swap_used, swap_total;
};

struct list {
	struct process *p;
	size_t n;
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
print_json(const struct process *p)
{
	printf("{\"pid\": %d, \"parent\": %d, \"program\": ", (int)p->pid,
	    (int)p->parent);
	json_print_text(p->program);
	if (p->answers)
		printf(", \"ram_used\": %ju, \"ram_budget\": %ju, "
		       "\"swap_used\": %ju, \"swap_total\": %ju}",
		    (uintmax_t)p->ram_used, (uintmax_t)p->ram_budget,
		    (uintmax_t)p->swap_used, (uintmax_t)p->swap_total);
	else
		printf(", \"error\": \"it does not answer\"}");
}

static void
print_row(const struct process *p, int depth)
{
	char a[16], b[16], c[16], d[16];

	if (!p->answers)
		printf("%8d %8s %8s %8s %8s  %*s%s (does not answer)\n",
		    (int)p->pid, "-", "-", "-", "-", 2 * depth, "", p->program);
	else
		printf("%8d %8s %8s %8s %8s  %*s%s\n", (int)p->pid,
		    show_size(a, p->ram_used), show_size(b, p->ram_budget),
		    show_size(c, p->swap_used), show_size(d, p->swap_total),
		    2 * depth, "", p->program);
}

static void
list_one(pid_t pid, void *arg)
{
	struct process p = {.pid = pid};
	struct list *l = arg;
	struct json_t *o = NULL;
	char err[256];
	int fd = client_try(pid, err, sizeof(err));

	program_of(pid, p.program, sizeof(p.program));
	if (fd >= 0) {
		o = client_info(fd, NULL);
		close(fd);
	}
	if (p.program[0] == '\0' && o == NULL)
		return; /* it has ended meanwhile */
	p.answers = o != NULL;
	if (o != NULL) {
		p.parent = (pid_t)json_number(o, "parent");
		p.ram_used = json_number(o, "stats.ram_used");
		p.ram_budget = json_number(o, "stats.ram_budget");
		p.swap_used = json_number(o, "stats.swap_used");
		p.swap_total = json_number(o, "stats.swap_total");
	}
	l->p = reallocarray(l->p, l->n + 1, sizeof(*l->p));
	if (l->p == NULL)
		fail(EXIT_USWAP, "out of memory");
	l->p[l->n++] = p;
}

static bool
is_listed(const struct list *l, pid_t pid)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->p[i].pid == pid)
			return true;
	return false;
}

/* Those whose parent is `of`, each with its children behind it. */
static void
print_below(struct list *l, pid_t of, int depth)
{
	for (size_t i = 0; i < l->n; i++) {
		struct process *p = &l->p[i];
		bool below =
		    depth > 0 ? p->parent == of : !is_listed(l, p->parent);

		if (p->shown || !below)
			continue;
		p->shown = true; /* whatever they say, nobody is shown twice */
		print_row(p, depth);
		print_below(l, p->pid, depth + 1);
	}
}

int
cmd_list(int argc, char **argv)
{
	struct list l = {0};
	bool json = false;

	if (argc > 1 && strcmp(argv[1], "--json") == 0)
		json = true;
	else if (argc > 1)
		bad_usage("list", argv[1]);
	if (argc > 2)
		bad_usage("list", argv[2]);
	client_each(list_one, &l);
	if (json) {
		for (size_t i = 0; i < l.n; i++) {
			fputs(i > 0 ? ",\n " : "[", stdout);
			print_json(&l.p[i]);
		}
		puts(l.n > 0 ? "]" : "[]");
		return finish_output();
	}
	if (l.n > 0)
		printf("%8s %8s %8s %8s %8s  %s\n", "PID", "RAM", "BUDGET",
		    "SWAP", "TOTAL", "PROGRAM");
	print_below(&l, 0, 0);
	return finish_output();
}
