/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc: between jemalloc, which is linked into this library, and the program.
 *
 * The C library's allocator takes memory in a way nobody can see; jemalloc calls
 * mmap(), which is ours.  Three of its symbols have other names here: see
 * tools/allocator.sh.
 *
 * Why is calloc ours?  The pager is started inside an mmap() that the allocator
 * has made with its locks held.  pthread_create then calls calloc for the new
 * thread's table of thread-local storage, and would wait for those locks for
 * ever.  So calloc serves the pager's threads from a static area while they are
 * created, and is jemalloc's for everybody else.
 *
 * Whose call is it?  A flag of the starting thread's is not enough: the pager's
 * first thread creates the others.  A thread inherits its creator's name; the
 * starting thread is called "uswap" for the moment and the pager's threads are
 * called "uswap..." for ever, so the name tells.  Other threads of the program
 * go to the allocator as always.
 *
 * What if such memory is freed?  The tables are freed when their thread ends;
 * the pager's threads end with the process.  They are replaced when a thread
 * first touches dynamic thread-local storage after a dlopen; the pager is built
 * with the initial-exec model and never asks.
 *
 * An executable that defines calloc itself precedes us, and pthread_create will
 * enter its allocator.  There the pager is started in the constructor, where no
 * allocator's lock can be held: such programs pay for a pager at once.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload/preload.h"

/*
 * One table is about 16 bytes for each loaded library; the pager makes a
 * thread for each CPU.  Untouched, it costs nothing.
 */
#define BUMP_SIZE ((size_t)1 << 20)

/* The least that jemalloc maps with huge pages: see jemalloc_madvise. */
#define HUGE_MIN ((size_t)8 << 20)

/* jemalloc's own, and what it calls instead of madvise and pthread_mutex_lock. */
void *jemalloc_calloc(size_t, size_t) __attribute__((visibility("hidden")));
int jemalloc_mutex_lock(pthread_mutex_t *)
    __attribute__((visibility("hidden")));
int jemalloc_madvise(void *, size_t, int) __attribute__((visibility("hidden")));

static _Atomic bool starting;
static char old_name[16];
static _Atomic size_t bump_used;
static char bump[BUMP_SIZE] __attribute__((aligned(16)));

static void *
bump_alloc(size_t n, size_t size)
{
	size_t bytes, at;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > BUMP_SIZE)
		return NULL;
	bytes = (bytes + 15) & ~(size_t)15;
	at = atomic_fetch_add(&bump_used, bytes);
	return at + bytes <= BUMP_SIZE ? bump + at : NULL;
}

static bool
pager_thread(void)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	return strncmp(name, "uswap", 5) == 0;
}

static void *calloc_hook(size_t, size_t) __attribute__((used));
static void *
calloc_hook(size_t n, size_t size)
{
	if (__builtin_expect(
		atomic_load_explicit(&starting, memory_order_relaxed), 0) &&
	    pager_thread())
		return bump_alloc(n, size);
	return jemalloc_calloc(n, size);
}

HOOK void *calloc(size_t, size_t) __attribute__((alias("calloc_hook")));

/*
 * jemalloc's locks are in managed memory.  With --inline nobody may wait for such in
 * the kernel, where a page that leaves just then is the end of the process (see
 * waits.c): it has spun already, and now looks every now and then.
 */
int
jemalloc_mutex_lock(pthread_mutex_t *m)
{
	const struct timespec pause = {.tv_nsec = 20000};
	int error, saved = errno;

	if (!preload.inline_faults)
		return pthread_mutex_lock(m);
	while ((error = pthread_mutex_trylock(m)) == EBUSY)
		syscall(SYS_nanosleep, &pause, NULL);
	errno = saved;
	return error;
}

/*
 * jemalloc looks here for its settings; the program's own MALLOC_CONF, if set,
 * comes after and prevails.  While memory is plenty jemalloc has to be as fast
 * as the C library's allocator, which grows large blocks by mremap() where
 * jemalloc copies them into fresh memory: huge pages make that memory cheap,
 * and large blocks that were freed are used again instead of given back.  Once
 * there is a pager, memory it manages has no huge pages.
 */
HOOK const char *malloc_conf;
const char *malloc_conf = "thp:always,oversize_threshold:0";

/*
 * A process that holds little is not to pay for huge pages: three of them make
 * its start 0.6 ms longer.  jemalloc maps in ever larger steps; those of 8 MiB
 * come when it holds about 40.
 */
int
jemalloc_madvise(void *addr, size_t len, int advice)
{
	if (advice == MADV_HUGEPAGE && len < HUGE_MIN)
		return 0;
	return madvise(addr, len, advice);
}

bool
alloc_is_foreign(void)
{
	return dlsym(RTLD_DEFAULT, "calloc") != (void *)calloc_hook;
}

void
alloc_pager_begin(void)
{
	prctl(PR_GET_NAME, old_name);
	prctl(PR_SET_NAME, "uswap");
	atomic_store(&starting, true);
}

void
alloc_pager_end(void)
{
	atomic_store(&starting, false);
	prctl(PR_SET_NAME, old_name);
}
