/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread's descriptor is fetched through a pidfd of the thread.  Linux before
 * 6.9 has pidfds of whole processes only, whose files are those of the first
 * thread: not the pager's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/herefd.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif
#ifndef KCMP_FILE
#define KCMP_FILE 0
#endif

/*
 * Duplicates get numbers from here on, where few programs have any: what they
 * open next has the lowest free one.
 */
#define HERE_MIN 900

void
herefd_init(struct herefd *h, int fd)
{
	herefd_moved(h, fd);
	atomic_init(&h->here, -1);
}

void
herefd_moved(struct herefd *h, int fd)
{
	h->fd = fd;
	h->owner = (pid_t)syscall(SYS_gettid);
}

static void
shut(int fd)
{
	(void)syscall(SYS_close, fd);
}

/* The program's limit may be lower than the numbers we like. */
static int
move_up(int fd)
{
	long up = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HERE_MIN);

	if (up < 0)
		return fd;
	shut(fd);
	return (int)up;
}

int
herefd_again(struct herefd *h)
{
	long pidfd, fd;
	int error;

	pidfd = syscall(SYS_pidfd_open, h->owner, PIDFD_THREAD);
	if (pidfd < 0)
		return -errno;
	fd = syscall(SYS_pidfd_getfd, pidfd, h->fd, 0);
	error = errno;
	shut((int)pidfd);
	return fd < 0 ? -error : move_up((int)fd);
}

int
herefd_get(struct herefd *h)
{
	int here = atomic_load(&h->here), none = -1;

	if (here >= 0)
		return here;
	here = herefd_again(h);
	if (here < 0 || atomic_compare_exchange_strong(&h->here, &none, here))
		return here;
	shut(here); /* another thread was faster */
	return none;
}

void
herefd_keep(struct herefd *h, int number, int fresh, bool better)
{
	/* What has its number now is the program's. */
	if (!better ||
	    !atomic_compare_exchange_strong(&h->here, &number, fresh))
		shut(fresh);
}

bool
herefd_is(const struct herefd *h, int number)
{
	long me = syscall(SYS_gettid);

	return syscall(SYS_kcmp, me, h->owner, KCMP_FILE, number, h->fd) == 0;
}

void
herefd_close(struct herefd *h)
{
	int here = atomic_exchange(&h->here, -1);

	if (here >= 0 && herefd_is(h, here))
		shut(here);
}

/*
 * File tables are the process's, and so is the list of what was left in one.  An
 * entry is known by its file: the pager's own descriptor is closed by then.
 */
enum { UNUSED = -1, CHANGING = -2 };
static struct left {
	_Atomic int here; /* + 1, so that 0 is UNUSED */
	dev_t dev;
	ino_t ino;
} left[HEREFD_LEFT];
static _Atomic bool any_left;

void
herefd_leave(struct herefd *h)
{
	int here = atomic_exchange(&h->here, -1);
	struct stat st;

	if (here < 0 || fstat(h->fd, &st) != 0)
		return;
	for (size_t i = 0; i < nitems(left); i++) {
		int unused = UNUSED + 1;

		if (!atomic_compare_exchange_strong(
			&left[i].here, &unused, CHANGING + 1))
			continue;
		left[i].dev = st.st_dev;
		left[i].ino = st.st_ino;
		atomic_store(&left[i].here, here + 1);
		atomic_store(&any_left, true);
		return;
	}
}

void
herefd_sweep(void)
{
	if (!atomic_load_explicit(&any_left, memory_order_relaxed) ||
	    !atomic_exchange(&any_left, false))
		return;
	for (size_t i = 0; i < nitems(left); i++) {
		int here = atomic_load(&left[i].here) - 1;
		struct stat st;

		if (here < 0)
			continue;
		if (fstat(here, &st) == 0 && st.st_dev == left[i].dev &&
		    st.st_ino == left[i].ino)
			shut(here);
		atomic_store(&left[i].here, UNUSED + 1);
	}
}
