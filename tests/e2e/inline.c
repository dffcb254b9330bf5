/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program for --inline that knows nothing of it: it blocks all signals, has a
 * handler of its own for SIGBUS, a locale, and computes in memory that it passes to no
 * system call.  inline MIB; prints what it has seen.
 */
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define THREADS 4

static sigjmp_buf back;
static volatile sig_atomic_t caught;
static uint64_t *numbers;
static size_t count;

static void
on_bus(int sig)
{
	caught++;
	siglongjmp(back, sig);
}

static uint64_t
mixed(uint64_t x)
{
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

/* Each thread every fourth page; with all signals blocked. */
static void *
compute(void *arg)
{
	size_t first = (size_t)(uintptr_t)arg, wrong = 0;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (size_t page = first; page < count / 512; page += THREADS)
		for (size_t i = page * 512; i < (page + 1) * 512; i++)
			numbers[i] = mixed(i);
	for (size_t k = 0; k < count / 512; k++) {
		size_t page = k * 7919 % (count / 512);

		if (page % THREADS == first)
			for (size_t i = page * 512; i < (page + 1) * 512; i++)
				wrong += numbers[i] != mixed(i);
	}
	return (void *)wrong;
}

/* SIGBUS by a file that is too short: is it still the program's? */
static void
short_file(void)
{
	FILE *f = tmpfile();
	volatile char *p =
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);

	if (sigsetjmp(back, 1) == 0)
		(void)*p;
	munmap((void *)p, 4096);
	fclose(f);
}

/* In all of the memory, so that nothing else stays; how many words are wrong. */
static size_t
compute_all(void)
{
	pthread_t t[THREADS];
	size_t wrong = 0;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, compute, (void *)(uintptr_t)i);
	for (int i = 0; i < THREADS; i++) {
		void *n;

		pthread_join(t[i], &n);
		wrong += (size_t)n;
	}
	return wrong;
}

/* Its pager, if it has one, reads a number for which it looks into the locale. */
static void
ask(void)
{
	static const char number[] = "{\"value\":1.5}\n";
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char line[512];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/uswap/%d.sock",
	    getenv("XDG_RUNTIME_DIR"), (int)getpid());
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    (write(fd, number, sizeof(number) - 1) < 0 ||
		read(fd, line, sizeof(line)) <= 0))
		printf("no answer\n");
	close(fd);
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* A quarter of the budget, of which all is out. */
static void
populate(void)
{
	char *p = (char *)(((uintptr_t)numbers + 4095) & ~(uintptr_t)4095);

	for (int advice = MADV_POPULATE_READ; advice <= MADV_POPULATE_WRITE;
	     advice++) {
		madvise(p, count * sizeof(*numbers) / 8, MADV_PAGEOUT);
		if (madvise(p, count * sizeof(*numbers) / 16, advice) != 0)
			printf("populate: %d: %m\n", advice);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction a = {.sa_handler = on_bus}, old;
	size_t wrong = 0;
	sigset_t set;

	count = ((size_t)atoi(argv[argc - 1]) << 20) / sizeof(*numbers);
	sigfillset(&a.sa_mask);
	sigaction(SIGBUS, &a, NULL);
	short_file();
	numbers = malloc(count * sizeof(*numbers));
	wrong += compute_all();
	/* Loaded when the program has more than its budget; none means C. */
	if (setlocale(LC_ALL, "C.UTF-8") == NULL)
		fprintf(stderr, "no locale C.UTF-8\n");
	wrong += compute_all();
	ask();
	populate();
	wrong += compute_all();
	/* The handler of before, and one that is set now. */
	short_file();
	if (signal(SIGBUS, SIG_DFL) != on_bus)
		printf("signal: another handler\n");
	if (signal(SIGBUS, on_bus) != SIG_DFL)
		printf("signal: not the default\n");
	short_file();
	sigaction(SIGBUS, NULL, &old);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	for (size_t i = 0; i < count; i += 512 * 13)
		wrong += numbers[i] != mixed(i);
	printf("%zu wrong, %d caught, %s\n", wrong, (int)caught,
	    old.sa_handler == on_bus ? "mine" : "another's");
	return wrong != 0;
}
