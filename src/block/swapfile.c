/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swapfile: finds, makes, locks and checks the file or device of a spec.
 *
 * The rule is that nobody loses a byte by a mistyped path.  What existed
 * before is written to only if it is empty or says that it is swap space; what
 * is made here is marked, so that the next run may use it again; what fails
 * half-way is put back as it was.  The checks are made on the open, locked
 * descriptor, never on the path alone, which may change its meaning.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block/opening.h"

/*
 * The kernel takes a ring down behind the back of a process that ends, and the ring
 * holds its files: what was in use a moment ago is free a moment later.
 */
#define TRIES_USED  60
#define TRY_USED_US 5000

static bool
is_free_soon(int error, unsigned *tries)
{
	if ((error != EBUSY && error != EWOULDBLOCK) || ++*tries == TRIES_USED)
		return false;
	(void)usleep(TRY_USED_US);
	return true;
}

static int
create_file(struct opening *o)
{
	int error = opening_size(o, 0);

	if (error != 0)
		return error;
	o->fd = open(o->path,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
	    0600);
	if (o->fd < 0)
		return opening_errno(o, errno);
	o->created = true;
	return fchmod(o->fd, 0600) < 0 ? opening_errno(o, errno) : 0;
}

static int
open_existing(struct opening *o, mode_t mode)
{
	int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	unsigned tries = 0;

	if (S_ISLNK(mode))
		return OPENING_FAIL(o, ELOOP,
		    "%s: is a symbolic link; name what it points to", o->path);
	if (S_ISDIR(mode))
		return OPENING_FAIL(o, EINVAL,
		    "%s: is a directory; name a file in it, as in "
		    "%s/swap,size=4G",
		    o->path, o->path);
	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return OPENING_FAIL(o, EINVAL,
		    "%s: neither a file nor a block device; name one of these",
		    o->path);
	/* On a block device: not mounted, not swapped to, not another's. */
	if (S_ISBLK(mode))
		flags |= O_EXCL;
	do
		o->fd = open(o->path, flags);
	while (o->fd < 0 && is_free_soon(errno, &tries));
	return o->fd < 0 ? opening_errno(o, errno) : 0;
}

/*
 * Locks what was opened and looks at it under the lock.  Between open and
 * lock another uswap may have taken the file, even one that we created (then
 * it is the other's), or, failing, have removed it.
 */
static int
lock_file(struct opening *o, mode_t mode)
{
	unsigned tries = 0;

	while (flock(o->fd, LOCK_EX | LOCK_NB) < 0) {
		if (is_free_soon(errno, &tries))
			continue;
		if (errno == EWOULDBLOCK)
			o->created = false;
		return opening_errno(o, errno);
	}
	if (fstat(o->fd, &o->st) < 0)
		return opening_errno(o, errno);
	if ((o->st.st_mode & S_IFMT) == (mode & S_IFMT) && o->st.st_nlink > 0)
		return 0;
	o->created = false;
	return OPENING_FAIL(o, EBUSY,
	    "%s: changed while it was being opened; try again", o->path);
}

/* A regular file, new or old, locked: the checks, the mark, the space. */
static int
prepare_file(struct opening *o)
{
	int error;

	if (o->st.st_uid != geteuid())
		return OPENING_FAIL(o, EACCES,
		    "%s: belongs to user %u, not to you; use a file of your "
		    "own",
		    o->path, (unsigned)o->st.st_uid);
	if (o->st.st_size > 0) {
		error = mark_check(o);
		if (error == -EINVAL)
			return OPENING_FAIL(o, EINVAL,
			    "%s: has contents that are not swap space; remove "
			    "the file or name another",
			    o->path);
		if (error != 0)
			return error;
	}
	error = opening_size(o, (uint64_t)o->st.st_size);
	if (error != 0)
		return error;
	error = allocate_file(o);
	if (error != 0)
		return error;
	/* Other users could read the program's memory. */
	if ((o->st.st_mode & 077) != 0) {
		if (fchmod(o->fd, 0600) < 0)
			return opening_errno(o, errno);
		log_msg(LOG_NOTE, "%s: mode set to 0600", o->path);
	}
	return 0;
}

static int
prepare_device(struct opening *o)
{
	uint64_t have;
	char a[16], b[16];
	int error;

	if (ioctl(o->fd, BLKGETSIZE64, &have) < 0)
		return opening_errno(o, errno);
	error = mark_check(o);
	if (error == -EINVAL)
		return OPENING_FAIL(o, EINVAL,
		    "%s: not marked as swap space; if nothing on it is "
		    "needed, run: mkswap %s",
		    o->path, o->path);
	if (error != 0)
		return error;
	if (o->spec->size > have)
		return OPENING_FAIL(o, EINVAL,
		    "%s: has %s, not %s; use a smaller size= or none", o->path,
		    size_text(a, have), size_text(b, o->spec->size));
	return opening_size(o, have);
}

static int
prepare(struct opening *o)
{
	struct stat st;
	bool create;
	int error;

	create = lstat(o->path, &st) < 0;
	if (create && errno != ENOENT)
		return opening_errno(o, errno);
	if (create)
		st.st_mode = S_IFREG;
	error = create ? create_file(o) : open_existing(o, st.st_mode);
	if (error == 0)
		error = lock_file(o, st.st_mode);
	if (error != 0)
		return error;
	opening_direct(o);
	return S_ISBLK(o->st.st_mode) ? prepare_device(o) : prepare_file(o);
}

int
blkdev_open_file(
    const struct blkspec *spec, struct blkdev **ret, char *err, size_t errlen)
{
	struct opening o;
	int error = opening_init(&o, spec, err, errlen);

	return error != 0 ? error : opening_done(&o, prepare(&o), ret);
}
