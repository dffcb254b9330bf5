/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault: one fault, one resolution.
 */
#ifndef USWAP_FAULT_H
#define USWAP_FAULT_H

#include "daemon/handler.h"
#include "daemon/pagein.h"

/*
 * Answers a fault, or sees to it that it will be: by the completion of a read,
 * or by who has the page now.  WAIT: memory, a buffer or a request is missing.
 * Lock held on entry and return, released meanwhile.
 */
enum answer fault_resolve(struct handler *, const struct pmap_fault *);
/* Whether the page-out thread has it itself: nothing may keep that waiting. */
bool fault_is_own(const struct pager *, const struct pmap_fault *);

#endif
