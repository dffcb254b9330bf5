/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mark: what says that a file or device is swap space, so that nobody loses a
 * byte by a mistyped path.  It is in page 0, which holds no page of a program:
 * see SWDEV_LABEL.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/opening.h"

/* Our mark, at the start of page 0; the digit is the layout's version. */
static const char own_mark[] = "USWAPSPACE1\n"
			       "Swap space of uswap; its contents are of no "
			       "use after the program that used it.\n";
#define OWN_MARK_LEN 12 /* up to the first newline: what is compared */

/* mkswap's mark, at the end of page 0. */
#define LINUX_MARK     "SWAPSPACE2"
#define LINUX_MARK_LEN 10

/* Reads or writes page 0.  0 or errno; a short transfer is EIO. */
static int
page0(struct opening *o, bool writing)
{
	ssize_t n;

	for (;;) {
		if (writing)
			n = pwrite(o->fd, o->page, PAGE_SIZE, 0);
		else
			n = pread(o->fd, o->page, PAGE_SIZE, 0);
		if (n == (ssize_t)PAGE_SIZE)
			return 0;
		if (n >= 0)
			return EIO;
		if (errno == EINVAL && o->direct)
			opening_buffered(o);
		else if (errno != EINTR)
			return errno;
	}
}

int
mark_check(struct opening *o)
{
	const char *end = o->page + PAGE_SIZE;
	int error = page0(o, false);

	if (error == EIO && S_ISREG(o->st.st_mode) &&
	    o->st.st_size < (off_t)PAGE_SIZE)
		return -EINVAL; /* shorter than any mark */
	if (error != 0)
		return opening_errno(o, error);
	if (memcmp(o->page, own_mark, OWN_MARK_LEN) == 0 ||
	    memcmp(end - LINUX_MARK_LEN, LINUX_MARK, LINUX_MARK_LEN) == 0)
		return 0;
	return -EINVAL;
}

int
mark_write(struct opening *o)
{
	memset(o->page, 0, PAGE_SIZE);
	memcpy(o->page, own_mark, sizeof(own_mark));
	return page0(o, true);
}
