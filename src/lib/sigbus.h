/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sigbus: inline delivery, from the signal to the pager.
 */
#ifndef USWAP_SIGBUS_H
#define USWAP_SIGBUS_H

#include "lib/ctx.h"

/*
 * Begins and ends the answering of a context's faults in the threads that have
 * them.  In a thread of the program's; nothing is managed.  0, or -errno with a
 * sentence in err: -ENOSYS, -ENOMEM, -EAGAIN there are too many.
 */
int sigbus_begin(struct uswap *, char *err, size_t errlen);
void sigbus_end(struct uswap *);

/*
 * While the program forks.  On the clerk: when this returns no other thread than tid
 * answers a fault of the context's, nor will before sigbus_go_on; the pager grants
 * all memory (pager_still).
 */
void sigbus_still(struct uswap *, pid_t tid);
void sigbus_go_on(struct uswap *);
/*
 * In the child, its only thread: before its pager begins, and when it has.  0, or
 * -errno with a sentence.
 */
void sigbus_forked(struct uswap *);
int sigbus_begin_again(struct uswap *, char *err, size_t errlen);

/* Answers a fault at va that did not happen, as if it had. */
void sigbus_touch(struct uswap *, uintptr_t va, bool write);

#endif
