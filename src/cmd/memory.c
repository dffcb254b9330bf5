/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory: sizes as people write them, and how much memory there is.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/cmd.h"

#define RAM_MIN ((uint64_t)16 << 20)

bool
parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGTP";
	const char *unit;
	double value;
	char *end;
	int shift = 0;

	/* strtod also reads signs, hexadecimal, "inf". */
	if (!isdigit((unsigned char)*text) ||
	    text[strspn(text, "0123456789.")] == 'x')
		return false;
	value = strtod(text, &end);
	if (*end != '\0' &&
	    (unit = strchr(units, toupper((unsigned char)*end))) != NULL) {
		shift = 10 * (int)(unit - units + 1);
		end++;
		/* "2GiB" and "2GB" are also what people write. */
		if (strcasecmp(end, "ib") == 0 || strcasecmp(end, "b") == 0)
			end += strlen(end);
	}
	value *= (double)((uint64_t)1 << shift);
	/* What does not fit is no size of anything. */
	if (*end != '\0' || value >= (double)((uint64_t)1 << 63))
		return false;
	*ret_bytes = (uint64_t)value;
	return true;
}

/* Two digits below ten units, whole units above, as the pager's own report. */
char *
show_size(char text[16], uint64_t bytes)
{
	static const char units[] = "BKMGTP";
	double size = (double)bytes;
	size_t u = 0;

	while (size >= 1023.5 && units[u + 1] != '\0') {
		size /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(text, 16, "%u", (unsigned)bytes);
	else
		snprintf(
		    text, 16, "%.*f%c", size < 9.95 ? 1 : 0, size, units[u]);
	return text;
}

static bool
read_number(const char *path, uint64_t *ret)
{
	unsigned long long n;
	FILE *f = fopen(path, "re");
	bool ok;

	if (f == NULL)
		return false;
	ok = fscanf(f, "%llu", &n) == 1; /* "max" is none */
	fclose(f);
	if (ok)
		*ret = n;
	return ok;
}

static uint64_t
mem_available(void)
{
	unsigned long long kb = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %llu", &kb) == 1)
			break;
	fclose(f);
	return (uint64_t)kb << 10;
}

/* Takes the lesser of *bytes and the number in the file, if there is one. */
static void
bound(uint64_t *bytes, const char *path)
{
	uint64_t limit;

	if (read_number(path, &limit) && limit < *bytes)
		*bytes = limit;
}

/*
 * The limit of a control group and of each that it is in, up to the root.  What
 * is a directory here may have another name inside a container: not there.
 */
static void
bound_by_group(
    uint64_t *bytes, const char *mount, char *group, const char *file)
{
	char path[1200];
	char *slash;

	while ((slash = strrchr(group, '/')) != NULL) {
		snprintf(path, sizeof(path), "%s%s/%s", mount, group, file);
		bound(bytes, path);
		*slash = '\0';
	}
	/* What a container sees is its own, and lies at the root. */
	snprintf(path, sizeof(path), "%s/%s", mount, file);
	bound(bytes, path);
}

/* Version 2 ("0::/path") and version 1 ("5:memory:/path"). */
static void
bound_by_cgroup(uint64_t *bytes)
{
	char line[1024];
	FILE *f = fopen("/proc/self/cgroup", "re");

	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *group = strchr(line, '/');

		line[strcspn(line, "\n")] = '\0';
		if (group == NULL)
			continue;
		if (strncmp(line, "0::", 3) == 0)
			bound_by_group(
			    bytes, "/sys/fs/cgroup", group, "memory.max");
		else if (strstr(line, ":memory:") != NULL)
			bound_by_group(bytes, "/sys/fs/cgroup/memory", group,
			    "memory.limit_in_bytes");
	}
	fclose(f);
}

uint64_t
default_ram(void)
{
	uint64_t bytes = mem_available();

	bound_by_cgroup(&bytes);
	bytes = bytes / 2 & ~(uint64_t)4095;
	return bytes > RAM_MIN ? bytes : RAM_MIN;
}
