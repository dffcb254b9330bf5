/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info: uswap info [-k | -m | -g | -h] [--json] [--regions] [PID]: swap space,
 * memory and counters of a running pager, or its regions; the table is that of
 * BSD's swapinfo(8).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/cmd.h"

const char info_usage[] =
    "usage: uswap info [-k | -m | -g | -h] [--json] [--regions] [PID]\n"
    "\n"
    "Shows the swap space, the memory and the counters of the pager of a process,\n"
    "or of all processes that have one.\n"
    "\n"
    "Options:\n"
    "  -k, -m, -g    sizes in KiB (default), MiB, GiB\n"
    "  -h            sizes with a unit that suits them\n"
    "  --json        all that there is, one JSON object a line\n"
    "  --regions     the managed regions instead: where their pages are\n"
    "  --help        show this text\n";

struct view {
	char unit; /* k, m, g, h */
	bool json;
	bool regions;
	int width; /* of the names of devices */
	unsigned n; /* how many were shown */
};

/* A size, as wide as its column. */
static void
print_size(const struct view *v, uint64_t bytes)
{
	char text[16];
	unsigned shift = v->unit == 'k' ? 10 : v->unit == 'm' ? 20 : 30;

	if (v->unit == 'h')
		printf(" %10s", show_size(text, bytes));
	else
		printf(" %10llu", (unsigned long long)(bytes >> shift));
}

static void
print_device(
    const struct view *v, const char *name, uint64_t size, uint64_t used)
{
	/* What is bad does not count; there may be more in use than is left. */
	uint64_t avail = size > used ? size - used : 0;

	printf("%-*s", v->width, name);
	print_size(v, size);
	print_size(v, used);
	print_size(v, avail);
	printf(
	    " %7.0f%%\n", size > 0 ? 100.0 * (double)used / (double)size : 0);
}

/* The name, and how long it is. */
static int
name_of(const struct json_t *device, char *name, size_t size)
{
	return snprintf(name, size, "%s%s%s", json_text(device, "device"),
	    json_true_at(device, "away") ? " (away)" : "",
	    json_true_at(device, "inherited") ? " (the parent's)"
	    : json_true_at(device, "closing") ? " (closing)"
					      : "");
}

static void
print_devices(struct view *v, const struct json_t *o)
{
	const struct json_t *d;
	char name[1100];
	const char *unit = v->unit == 'k'   ? "1K-blocks"
			   : v->unit == 'm' ? "1M-blocks"
			   : v->unit == 'g' ? "1G-blocks"
					    : "Size";

	v->width = 16;
	for (size_t i = 0; (d = json_item(o, "devices", i)) != NULL; i++) {
		int len = name_of(d, name, sizeof(name));

		v->width = len > v->width ? len : v->width;
	}
	printf("%-*s %10s %10s %10s %8s\n", v->width, "Device", unit, "Used",
	    "Avail", "Capacity");
	for (size_t i = 0; (d = json_item(o, "devices", i)) != NULL; i++) {
		(void)name_of(d, name, sizeof(name));
		print_device(
		    v, name, json_number(d, "size"), json_number(d, "used"));
	}
	print_device(v, "Total", json_number(o, "stats.swap_total"),
	    json_number(o, "stats.swap_used"));
}

static void
print_memory(const struct json_t *o)
{
	static const char *const rows[][2] = {
	    {"budget", "ram_budget"},
	    {"in use", "ram_used"},
	    {"at most so far", "ram_peak"},
	    {"managed", "managed"},
	    {"bookkeeping", "metadata"},
	};
	char path[40], size[16];

	printf("Memory\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "stats.%s", rows[i][1]);
		printf("  %-22s %10s\n", rows[i][0],
		    show_size(size, json_number(o, path)));
	}
}

/* Whatever the pager counts: a newer one may count more. */
static void
print_group(const struct json_t *o, const char *title, const char *path,
    const char *but[])
{
	const char *name;
	uint64_t value;

	printf("%s\n", title);
	for (size_t i = 0; (name = json_member(o, path, i, &value)) != NULL;
	     i++) {
		const char **b = but;

		while (*b != NULL && strcmp(*b, name) != 0)
			b++;
		if (*b == NULL)
			printf("  %-22s %10llu\n", name,
			    (unsigned long long)value);
	}
}

static void
print_info(struct view *v, pid_t pid, const struct json_t *o)
{
	/* These have been shown, with a unit. */
	static const char *sizes[] = {"ram_budget", "ram_used", "ram_peak",
	    "managed", "metadata", "swap_total", "swap_used", NULL};
	static const char *none[] = {NULL};
	char program[512];

	program_of(pid, program, sizeof(program));
	printf("%s%d: %s\n", v->n > 0 ? "\n" : "", (int)pid, program);
	print_devices(v, o);
	print_memory(o);
	print_group(o, "Counters", "stats", sizes);
	print_group(o, "Settings", "settings", none);
}

/* A number of pages or blocks, as a size. */
static void
print_pages(const struct view *v, const struct json_t *r, const char *name)
{
	print_size(v, json_number(r, name) * 4096);
}

static void
print_regions(const struct view *v, const struct json_t *o)
{
	const struct json_t *r;

	for (size_t i = 0; (r = json_item(o, "regions", i)) != NULL; i++) {
		printf("%#16llx", (unsigned long long)json_number(r, "addr"));
		print_size(v, json_number(r, "length"));
		print_pages(v, r, "resident");
		print_pages(v, r, "swapped");
		print_pages(v, r, "blocks");
		print_pages(v, r, "shared");
		printf("  %s\n", json_text(r, "name"));
	}
}

/* As many answers as it takes.  False if one has not come. */
static bool
show_regions(struct view *v, pid_t pid, int fd)
{
	const char *line;
	char program[512];
	uint64_t next = 0;
	struct json_t *o;

	program_of(pid, program, sizeof(program));
	if (!v->json)
		printf("%s%d: %s\n%16s %10s %10s %10s %10s %10s  %s\n",
		    v->n > 0 ? "\n" : "", (int)pid, program, "Region", "Size",
		    "Resident", "Swapped", "Blocks", "Shared", "Name");
	do {
		o = client_regions(fd, next, &line);
		if (o == NULL)
			return false;
		if (v->json)
			puts(line);
		else if (!json_true_at(o, "ok"))
			fail(EXIT_REFUSED, "%s", json_text(o, "text"));
		else
			print_regions(v, o);
		next = json_number(o, "next");
	} while (next != 0);
	v->n++;
	return true;
}

/* False if it has not answered. */
static bool
show(struct view *v, pid_t pid, int fd)
{
	const char *line;
	struct json_t *o;
	bool ok;

	if (v->regions) {
		ok = show_regions(v, pid, fd);
		close(fd);
		return ok;
	}
	o = client_info(fd, &line);
	close(fd);
	if (o == NULL)
		return false;
	if (v->json)
		puts(line);
	else if (!json_true_at(o, "ok"))
		fail(EXIT_REFUSED, "%s", json_text(o, "text"));
	else
		print_info(v, pid, o);
	v->n++;
	return true;
}

static void
show_one(pid_t pid, void *arg)
{
	char err[256];
	int fd = client_try(pid, err, sizeof(err));

	if (fd >= 0 && !show(arg, pid, fd))
		fprintf(
		    stderr, "uswap: process %d does not answer\n", (int)pid);
}

int
cmd_info(int argc, char **argv)
{
	struct view v = {.unit = 'k'};
	pid_t pid;
	int i, fd;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strlen(argv[i]) == 2 && strchr("kmgh", argv[i][1]) != NULL)
			v.unit = argv[i][1];
		else if (strcmp(argv[i], "--json") == 0)
			v.json = true;
		else if (strcmp(argv[i], "--regions") == 0)
			v.regions = true;
		else
			bad_usage("info", argv[i]);
	}
	if (i + 1 < argc)
		bad_usage("info", argv[i + 1]);
	if (i == argc) {
		client_each(show_one, &v);
		return finish_output();
	}
	fd = client_open(argv[i], &pid);
	if (!show(&v, pid, fd))
		fail(EXIT_REFUSED, "process %d does not answer", (int)pid);
	return finish_output();
}
