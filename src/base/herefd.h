/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * herefd: a descriptor of the pager's file table, for threads of the program's.
 *
 * The pager's threads have a file table of their own.  With inline delivery the
 * program's threads need two kinds of its descriptors, the userfaultfd and those
 * of devices: they get a duplicate of each in their own table, under a high
 * number, when they first need it.
 *
 * The program may close that duplicate, or put another file in its place, at any
 * time.  So nothing that is done with one may harm what else it could be, and a
 * failure counts only when it was repeated with a fresh one (herefd_again).
 *
 * Any thread; async-signal-safe; nothing allocates.  It takes Linux 6.9.
 */
#ifndef USWAP_HEREFD_H
#define USWAP_HEREFD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct herefd {
	int fd; /* in the table of its owner ... */
	pid_t owner; /* ... a thread; both constant */
	_Atomic int here; /* in the program's, -1: none so far */
};

/* fd is in the table of the calling thread, which outlives the herefd. */
void herefd_init(struct herefd *, int fd);
/*
 * In a forked child: the same open file is now fd in the calling thread's table.
 * The duplicate, if there is one, was inherited, and is as good as it was.
 */
void herefd_moved(struct herefd *, int fd);
/* Its number in the calling thread's table, or -errno. */
int herefd_get(struct herefd *);
/* Whether number, from herefd_get, still means that file.  False: not known. */
bool herefd_is(const struct herefd *, int number);
/*
 * number, from herefd_get, was refused.  Returns a fresh duplicate or -errno; the
 * caller tries again with it and says to herefd_keep whether that went better:
 * then it is used from now on, else it is closed.
 */
int herefd_again(struct herefd *);
void herefd_keep(struct herefd *, int number, int fresh, bool better);
/*
 * Closes the duplicate, if it is still one of the same file.  In a thread of the
 * program's; nobody uses it any more.
 */
void herefd_close(struct herefd *);
/*
 * The same where the calling thread cannot do it, being one of the pager's: its
 * fd is still open, and some thread of the program's calls herefd_sweep later.
 * Of more than HEREFD_LEFT in between, some stay open.
 */
#define HEREFD_LEFT 32
void herefd_leave(struct herefd *);
void herefd_sweep(void);

#endif
