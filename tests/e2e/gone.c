/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gone MIB: fills memory, waits for a line, and looks at all of it: a page has
 * what was written, or is SIGBUS.  Then again, after another line, what was not
 * lost, changed.  Exit code 1: a page was wrong.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

static sigjmp_buf away;
static volatile size_t good, lost, wrong;

static void
on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(away, 1);
}

static int
byte(size_t page, int round)
{
	return ((int)((page + (size_t)round * 7) % 255) + 1);
}

static void
await_line(const char *said)
{
	int c;

	puts(said);
	fflush(stdout);
	while ((c = getchar()) != '\n' && c != EOF)
		continue;
}

/* Of each page its first and its last byte, then all of it anew. */
static void
look(unsigned char *p, size_t pages, int round)
{
	volatile size_t i; /* kept over the jump */

	good = lost = wrong = 0;
	for (i = pages; i-- > 0;) {
		unsigned char *at = p + i * PAGE;

		if (sigsetjmp(away, 1) != 0)
			lost++;
		else if (at[0] == byte(i, round) && at[PAGE - 1] == at[0])
			good++;
		else
			wrong++;
	}
	printf("good %zu lost %zu wrong %zu\n", good, lost, wrong);
	for (i = 0; i < pages; i++)
		if (sigsetjmp(away, 1) == 0)
			memset(p + i * PAGE, byte(i, round + 1), PAGE);
}

int
main(int argc, char **argv)
{
	size_t n = (size_t)atoi(argc > 1 ? argv[1] : "96") << 20;
	size_t before, all = n / PAGE;
	unsigned char *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return (2);
	signal(SIGBUS, on_sigbus);
	for (size_t i = 0; i < all; i++)
		memset(p + i * PAGE, byte(i, 0), PAGE);
	await_line("filled");
	look(p, all, 0);
	if (wrong != 0 || good + lost != all)
		return (1);
	before = good;
	await_line("seen");
	look(p, all, 1);
	return (wrong != 0 || good != before || good + lost != all);
}
