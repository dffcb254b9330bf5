/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opening: one attempt to open a file or block device for swapping.
 *
 * It carries what the attempt knows and what it has changed so far, so that
 * whoever fails can leave things as they were.  Lives on the stack of
 * swapfile.c or tempfile.c, which with what they call are its only users.
 *
 * Errors are -errno, with a sentence in err that names the path, says what
 * happened and, after a semicolon, what to do.
 */
#ifndef USWAP_OPENING_H
#define USWAP_OPENING_H

#include <sys/stat.h>

#include "base/log.h"
#include "block/block.h"

struct opening {
	const struct blkspec *spec;
	const char *path; /* what an error is about, and what is unlinked */
	char *err;
	size_t errlen;
	char *page; /* one page for the mark */
	struct stat st; /* of the open descriptor, before we changed it */
	uint64_t size; /* bytes to be used, whole pages */
	int fd;
	bool created; /* the name is ours to remove */
	bool touched; /* beyond st.st_size it is ours to cut */
	bool direct; /* O_DIRECT is on */
};

/* 0 or -ENOMEM; after 0, opening_done must follow. */
int opening_init(
    struct opening *, const struct blkspec *, char *err, size_t errlen);
/*
 * Ends the attempt.  error 0: the open file becomes a device.  Otherwise, or
 * if that fails: it is closed, and as it was before.  Returns the error.
 */
int opening_done(struct opening *, int error, struct blkdev **ret);

/* Writes the sentence and returns -error. */
#define OPENING_FAIL(o, error, ...)                                            \
	(strf((o)->err, (o)->errlen, __VA_ARGS__), -(error))
/* The same for a system call that failed with errno value `error`. */
int opening_errno(struct opening *, int error);

/*
 * Sets o->size: what the spec asks for, or else `have` bytes, in whole pages
 * and no more than a device can number.  0 or -EINVAL.
 */
int opening_size(struct opening *, uint64_t have);

/* Turns direct I/O on if it can be had; also clears the O_NONBLOCK of open. */
void opening_direct(struct opening *);
/* Turns it off, and says so. */
void opening_buffered(struct opening *);

/* ---- mark.c -------------------------------------------------------------- */

/*
 * Whether page 0 says that this is swap space, ours or mkswap's: 0; -EINVAL
 * without a sentence when it does not; -errno when it cannot be read.
 */
int mark_check(struct opening *);
/* Writes our mark to page 0.  0 or errno (positive, no sentence). */
int mark_write(struct opening *);

/* ---- allocate.c ---------------------------------------------------------- */

/*
 * Gives every page of the file its blocks now, and the mark if it was empty.
 * Refuses what cannot succeed before anything is changed.
 */
int allocate_file(struct opening *);

#endif
