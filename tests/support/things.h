/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * things: what a process has, to see that nothing is left behind.
 */
#ifndef SUPPORT_THINGS_H
#define SUPPORT_THINGS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* How many entries a directory has; false: it cannot be read. */
static inline bool
count_entries(const char *name, unsigned *n)
{
	DIR *d = opendir(name);
	struct dirent *e;

	if (d == NULL)
		return false;
	while ((e = readdir(d)) != NULL)
		*n += e->d_name[0] != '.';
	closedir(d);
	return true;
}

/* Pages of address space that this process has now; 0: it cannot be read. */
static inline unsigned long
address_space(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (f == NULL || fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages;
}

/* One that the kernel makes for a ring, and ends when it likes. */
static inline bool
is_worker(const char *tid)
{
	char name[300], comm[32] = "";
	FILE *f;

	snprintf(name, sizeof(name), "/proc/self/task/%s/comm", tid);
	f = fopen(name, "r");
	if (f != NULL) {
		(void)!fgets(comm, sizeof(comm), f);
		fclose(f);
	}
	return strncmp(comm, "iou-", 4) == 0;
}

/*
 * Threads, and descriptors in the file table of each.  False: one of them could
 * not be looked at, as when it ends just now.
 */
static inline bool
count_things(unsigned *threads, unsigned *descriptors)
{
	DIR *d = opendir("/proc/self/task");
	char name[300];
	struct dirent *e;
	bool all = d != NULL;

	*threads = *descriptors = 0;
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || is_worker(e->d_name))
			continue;
		++*threads;
		snprintf(
		    name, sizeof(name), "/proc/self/task/%s/fd", e->d_name);
		all &= count_entries(name, descriptors);
	}
	if (d != NULL)
		closedir(d);
	return all;
}

#endif
