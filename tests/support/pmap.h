/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmap: what the tests of the userfaultfd pmap share.  The pmap in use is
 * `pm`; cmocka is included before this.
 */
#ifndef USWAP_TEST_PMAP_H
#define USWAP_TEST_PMAP_H

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "page/pmap.h"
#include "support/pattern.h"

#define FRAMES 1024

static struct pmap *pm;

/* The ways in which pages go in and out: each test is run in all of them. */
static const struct way {
	const char *name;
	unsigned without;
} ways[] = {
    {"as the kernel has it", 0},
    {"without MOVE", PMAP_NO_MOVE},
    {"without process_vm_readv", PMAP_NO_VM_READ},
    {"without the pagemap", PMAP_NO_PAGEMAP},
    {"as of old",
	PMAP_NO_MOVE | PMAP_NO_POISON | PMAP_NO_PAGEMAP | PMAP_NO_VECTOR},
};

static inline void
way_begin(const struct way *w)
{
	char err[256];
	int error = pmap_open_uffd(FRAMES, w->without, &pm, err, sizeof(err));

	if (error == -EPERM || error == -ENOSYS) {
		printf("skipped: %s\n", err);
		exit(77);
	}
	if (error != 0) {
		printf("%s: %s\n", w->name, err);
		exit(1);
	}
	printf("%s: pages are removed by %s\n", w->name, pm->how);
	fflush(stdout);
}

static inline bool
moves(void)
{
	return strcmp(pm->how, "move") == 0;
}

static inline char *
frame(uint32_t i)
{
	return pm->frames + ptoa(i);
}

/* n pages of a program's, not managed. */
static inline char *
plain(uint32_t n)
{
	char *p = mmap(NULL, ptoa(n), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static inline char *
region(uint32_t n)
{
	char *p = plain(n);

	assert_int_equal(pmap_manage(pm, (uintptr_t)p, n), 0);
	return p;
}

static inline void
region_end(char *p, uint32_t n)
{
	assert_int_equal(pmap_unmanage(pm, (uintptr_t)p, n), 0);
	assert_int_equal(munmap(p, ptoa(n)), 0);
}

/* How many of n pages from p on are there; asked at once and one by one. */
static inline uint32_t
resident(const char *p, uint32_t n)
{
	uint8_t all[FRAMES], one;
	uint32_t count = 0;
	int hole, error;

	hole = pmap_resident(pm, (uintptr_t)p, n, all);
	assert_true(hole == 0 || hole == -ENOENT);
	for (uint32_t i = 0; i < n; i++) {
		one = 7;
		error = pmap_resident(pm, (uintptr_t)p + ptoa(i), 1, &one);
		if (hole != 0 && error == -ENOENT)
			continue;
		assert_int_equal(error, 0);
		assert_true(one <= 1 && (hole != 0 || one == all[i]));
		count += one;
	}
	return count;
}

/* Waits for the next fault; false if there is none within a second. */
static inline bool
fault_waits(struct pmap_fault *f)
{
	struct pollfd pfd = {.fd = pm->fd, .events = POLLIN};

	while (pmap_next_faults(pm, f, 1) != 1)
		if (poll(&pfd, 1, 1000) == 0)
			return false;
	return true;
}

static inline bool
no_fault(void)
{
	struct pmap_fault f[PMAP_FAULTS_MAX];

	return pmap_next_faults(pm, f, PMAP_FAULTS_MAX) == 0;
}

/* Gives n adjacent frames back. */
static inline void
discard(char *first, uint32_t n)
{
	const struct iovec run = {first, ptoa(n)};

	pmap_discard(pm, &run, 1);
}

#endif
