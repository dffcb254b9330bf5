/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swapfile: finds, makes, checks, locks and fills the file behind a device.
 *
 * The rule is that nobody loses a byte by a mistyped path.  What existed
 * before is written to only if it is empty or says that it is swap space; what
 * is made here is marked, so that the next run may use it again; what fails
 * half-way is put back as it was.  The checks are made on the open, locked
 * descriptor, never on the path alone, which may change its meaning.
 *
 * Runs inside programs: no allocation, no stdio, no locale.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "block/engine_uring.h"

/* Our mark, at the start of page 0; the digit is the layout's version. */
static const char own_mark[] = "USWAPSPACE1\n"
			       "Swap space of uswap; its contents are of no "
			       "use after the program that used it.\n";
#define OWN_MARK_LEN 12 /* up to the first newline: what is compared */

/* mkswap's mark, at the end of page 0. */
#define LINUX_MARK     "SWAPSPACE2"
#define LINUX_MARK_LEN 10

#define ZEROS_LEN      ((size_t)1 << 20)

/* One attempt to open something; lives on the stack of the two entries. */
struct opening {
	const struct blkspec *spec;
	const char *path; /* for messages, and what is unlinked */
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

#define FAIL(o, error, ...) (strf((o)->err, (o)->errlen, __VA_ARGS__), -(error))

/* A system call has failed in a way that needs no words of its own. */
static int
fail_errno(struct opening *o, int error)
{
	const char *what = strerrordesc_np(error);

	switch (error) {
	case EBUSY:
	case ETXTBSY:
	case EWOULDBLOCK:
		return FAIL(o, EBUSY,
		    "%s: Device already in use; end its user or choose another",
		    o->path);
	case EACCES:
	case EPERM:
		return FAIL(o, error,
		    "%s: permission denied; choose a place you may write to",
		    o->path);
	case ENOENT:
	case ENOTDIR:
		return FAIL(o, error,
		    "%s: there is no such directory; create it first", o->path);
	case EFBIG:
		return FAIL(o, error,
		    "%s: larger than a file may be here; use a smaller size= "
		    "or raise ulimit -f",
		    o->path);
	default:
		return FAIL(o, error, "%s: %s; choose another place", o->path,
		    what != NULL ? what : "unknown error");
	}
}

/* ---- page 0 ------------------------------------------------------------- */

/*
 * Some file systems refuse O_DIRECT when it is set, some when it is used; on
 * those the page cache is good enough.
 */
static void
no_direct(struct opening *o)
{
	o->direct = false;
	(void)fcntl(o->fd, F_SETFL, 0);
	log_msg(LOG_NOTE,
	    "%s: direct I/O is refused here, the page cache is used", o->path);
}

/* Also clears the O_NONBLOCK of the open. */
static void
set_direct(struct opening *o)
{
	o->direct = true;
	if (fcntl(o->fd, F_SETFL, O_DIRECT) < 0)
		no_direct(o);
}

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
			no_direct(o);
		else if (errno != EINTR)
			return errno;
	}
}

/* Whether page 0 carries a mark: 0, -EINVAL without a sentence, or -errno. */
static int
check_mark(struct opening *o)
{
	const char *end = o->page + PAGE_SIZE;
	int error = page0(o, false);

	if (error == EIO && S_ISREG(o->st.st_mode) &&
	    o->st.st_size < (off_t)PAGE_SIZE)
		return -EINVAL; /* shorter than any mark */
	if (error != 0)
		return fail_errno(o, error);
	if (memcmp(o->page, own_mark, OWN_MARK_LEN) == 0 ||
	    memcmp(end - LINUX_MARK_LEN, LINUX_MARK, LINUX_MARK_LEN) == 0)
		return 0;
	return -EINVAL;
}

/* ---- space -------------------------------------------------------------- */

static int
fail_space(struct opening *o, uint64_t need, uint64_t avail)
{
	char a[16], b[16];

	return FAIL(o, ENOSPC,
	    "%s: no space: %s more needed, %s free; use a smaller size= or "
	    "another file system",
	    o->path, size_text(a, need), size_text(b, avail));
}

/* Free bytes for this user; UINT64_MAX where the file system cannot say. */
static uint64_t
space_free(struct opening *o, bool *memory)
{
	struct statfs fs;

	*memory = false;
	if (fstatfs(o->fd, &fs) < 0)
		return UINT64_MAX;
	*memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
	if (fs.f_blocks == 0)
		return UINT64_MAX;
	return (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) *
	       (uint64_t)fs.f_bsize;
}

/*
 * For file systems without fallocate.  From page 2: the label is not used for
 * pages, and a mark there is to stay.
 */
static int
write_zeros(struct opening *o)
{
	char *zeros = mem_map(ZEROS_LEN);
	uint64_t off = 2 * PAGE_SIZE;
	int error = 0;
	ssize_t n;

	if (zeros == NULL)
		return ENOMEM;
	log_msg(LOG_NOTE, "%s: no fallocate here, writing zeros", o->path);
	while (off < o->size && error == 0) {
		n = pwrite(
		    o->fd, zeros, US_MIN(ZEROS_LEN, o->size - off), (off_t)off);
		if (n > 0)
			off += (uint64_t)n;
		else if (n == 0 || errno != EINTR)
			error = n == 0 ? EIO : errno;
	}
	mem_unmap(zeros, ZEROS_LEN);
	return error;
}

/* Refuses what cannot succeed before anything is changed. */
static int
check_space(struct opening *o, uint64_t *need)
{
	uint64_t have = (uint64_t)o->st.st_blocks * 512, avail;
	struct rlimit rl;
	bool memory;

	*need = o->size > have ? o->size - have : 0;
	avail = space_free(o, &memory);
	if (memory)
		log_msg(LOG_NOTE,
		    "%s: is kept in memory (tmpfs): swapping there saves none",
		    o->path);
	if (*need > avail)
		return fail_space(o, *need, avail);
	/* Beyond this limit the kernel would send SIGXFSZ. */
	if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && o->size > rl.rlim_cur &&
	    o->size > (uint64_t)o->st.st_size)
		return fail_errno(o, EFBIG);
	return 0;
}

static int
write_mark(struct opening *o)
{
	memset(o->page, 0, PAGE_SIZE);
	memcpy(o->page, own_mark, sizeof(own_mark));
	return page0(o, true);
}

/*
 * Gives every page its blocks now: a hole would be a write that fails for
 * lack of space when the program is short of memory already.  fallocate also
 * finds a file that the kernel itself swaps to (ETXTBSY).
 *
 * The mark comes first, so that a run which is killed here leaves a file that
 * the next one can use.
 */
static int
allocate(struct opening *o)
{
	uint64_t need;
	bool memory;
	int error = check_space(o, &need);

	if (error != 0)
		return error;
	o->touched = true;
	if (o->st.st_size == 0)
		error = write_mark(o);
	if (error == 0) {
		do
			error = fallocate(o->fd, 0, 0, (off_t)o->size);
		while (error < 0 && errno == EINTR);
		if (error < 0)
			error = errno;
	}
	if (error == EOPNOTSUPP || error == ENOSYS)
		error = need > 0 ? write_zeros(o) : 0;
	if (error == ENOSPC || error == EDQUOT)
		return fail_space(o, need, space_free(o, &memory));
	return error != 0 ? fail_errno(o, error) : 0;
}

/* ---- finding and making the file ---------------------------------------- */

/*
 * The size in use, in whole pages: what was asked for, or else `have`, which
 * may be more than a device can number.
 */
static int
set_size(struct opening *o, uint64_t have)
{
	uint64_t want = o->spec->size != 0 ? o->spec->size : have;
	char text[16];

	if (have == 0 && want == 0)
		return FAIL(o, EINVAL,
		    "%s: a new file needs a size; write %s,size=4G", o->path,
		    o->path);
	if (want < ptoa(BLKDEV_PAGES_MIN))
		return FAIL(o, EINVAL,
		    "%s: %s is too small for swap space; use size= with 64K "
		    "or more",
		    o->path, size_text(text, want));
	o->size = ptoa(US_MIN(atop(want), BLKDEV_PAGES_MAX));
	return 0;
}

static int
create_file(struct opening *o)
{
	int error = set_size(o, 0);

	if (error != 0)
		return error;
	o->fd = open(o->path,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
	    0600);
	if (o->fd < 0)
		return fail_errno(o, errno);
	o->created = true;
	return fchmod(o->fd, 0600) < 0 ? fail_errno(o, errno) : 0;
}

static int
open_existing(struct opening *o, mode_t mode)
{
	int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (S_ISLNK(mode))
		return FAIL(o, ELOOP,
		    "%s: is a symbolic link; name what it points to", o->path);
	if (S_ISDIR(mode))
		return FAIL(o, EINVAL,
		    "%s: is a directory; name a file in it, as in "
		    "%s/swap,size=4G",
		    o->path, o->path);
	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return FAIL(o, EINVAL,
		    "%s: neither a file nor a block device; name one of these",
		    o->path);
	/* On a block device: not mounted, not swapped to, not another's. */
	if (S_ISBLK(mode))
		flags |= O_EXCL;
	o->fd = open(o->path, flags);
	return o->fd < 0 ? fail_errno(o, errno) : 0;
}

/*
 * Locks what was opened and looks at it under the lock.  Between open and
 * lock another uswap may have taken the file, even one that we created (then
 * it is the other's), or, failing, have removed it.
 */
static int
lock_file(struct opening *o, mode_t mode)
{
	if (flock(o->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			o->created = false;
		return fail_errno(o, errno);
	}
	if (fstat(o->fd, &o->st) < 0)
		return fail_errno(o, errno);
	if ((o->st.st_mode & S_IFMT) == (mode & S_IFMT) && o->st.st_nlink > 0)
		return 0;
	o->created = false;
	return FAIL(o, EBUSY,
	    "%s: changed while it was being opened; try again", o->path);
}

/* A regular file, new or old, locked: the checks, the mark, the space. */
static int
prepare_file(struct opening *o)
{
	int error;

	if (o->st.st_uid != geteuid())
		return FAIL(o, EACCES,
		    "%s: belongs to user %u, not to you; use a file of your "
		    "own",
		    o->path, (unsigned)o->st.st_uid);
	if (o->st.st_size > 0) {
		error = check_mark(o);
		if (error == -EINVAL)
			return FAIL(o, EINVAL,
			    "%s: has contents that are not swap space; remove "
			    "the file or name another",
			    o->path);
		if (error != 0)
			return error;
	}
	error = set_size(o, (uint64_t)o->st.st_size);
	if (error != 0)
		return error;
	error = allocate(o);
	if (error != 0)
		return error;
	/* Other users could read the program's memory. */
	if ((o->st.st_mode & 077) != 0) {
		if (fchmod(o->fd, 0600) < 0)
			return fail_errno(o, errno);
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
		return fail_errno(o, errno);
	error = check_mark(o);
	if (error == -EINVAL)
		return FAIL(o, EINVAL,
		    "%s: not marked as swap space; if nothing on it is "
		    "needed, run: mkswap %s",
		    o->path, o->path);
	if (error != 0)
		return error;
	if (o->spec->size > have)
		return FAIL(o, EINVAL,
		    "%s: has %s, not %s; use a smaller size= or none", o->path,
		    size_text(a, have), size_text(b, o->spec->size));
	return set_size(o, have);
}

static int
prepare(struct opening *o)
{
	struct stat st;
	bool create;
	int error;

	create = lstat(o->path, &st) < 0;
	if (create && errno != ENOENT)
		return fail_errno(o, errno);
	if (create)
		st.st_mode = S_IFREG;
	error = create ? create_file(o) : open_existing(o, st.st_mode);
	if (error == 0)
		error = lock_file(o, st.st_mode);
	if (error != 0)
		return error;
	set_direct(o);
	return S_ISBLK(o->st.st_mode) ? prepare_device(o) : prepare_file(o);
}

/* ---- the two entries ---------------------------------------------------- */

/* Leaves behind what was there before. */
static void
undo(struct opening *o)
{
	if (o->created)
		(void)unlink(o->path);
	else if (o->touched && (uint64_t)o->st.st_size < o->size)
		(void)!ftruncate(o->fd, o->st.st_size);
	if (o->fd >= 0)
		close(o->fd);
}

static int
finish(struct opening *o, int error, struct blkdev **ret)
{
	if (error == 0) {
		error = uringdev_create(
		    o->fd, o->path, (uint32_t)atop(o->size), ret);
		if (error != 0)
			error = fail_errno(o, -error);
	}
	if (error != 0)
		undo(o);
	mem_unmap(o->page, PAGE_SIZE);
	return error;
}

static int
opening_init(
    struct opening *o, const struct blkspec *spec, char *err, size_t errlen)
{
	memset(o, 0, sizeof(*o));
	o->spec = spec;
	o->path = spec->path;
	o->err = err;
	o->errlen = errlen;
	o->fd = -1;
	o->page = mem_map(PAGE_SIZE);
	return o->page == NULL ? fail_errno(o, ENOMEM) : 0;
}

int
blkdev_open_file(
    const struct blkspec *spec, struct blkdev **ret, char *err, size_t errlen)
{
	struct opening o;
	int error = opening_init(&o, spec, err, errlen);

	return error != 0 ? error : finish(&o, prepare(&o), ret);
}

/* A file without a name; where O_TMPFILE is unknown, it has one for a moment.
 */
static int
open_nameless(const char *dir)
{
	char path[PATH_MAX];
	uint64_t r;
	int fd, tries;

	if (strlen(dir) > sizeof(path) - 32) {
		errno = ENAMETOOLONG;
		return -1;
	}

	fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 ||
	    (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	for (tries = 0; fd < 0 && tries < 8; tries++) {
		if (getrandom(&r, sizeof(r), 0) != sizeof(r))
			return -1;
		strf(path, sizeof(path), "%s/.uswap-%016llx", dir,
		    (unsigned long long)r);
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			return -1;
	}
	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

int
blkdev_open_temp(const struct blkspec *spec, const char *dir,
    struct blkdev **ret, char *err, size_t errlen)
{
	struct opening o;
	int error = opening_init(&o, spec, err, errlen);

	if (error != 0)
		return error;
	if (dir == NULL)
		dir = secure_getenv("TMPDIR");
	if (dir == NULL || *dir == '\0')
		dir = "/var/tmp";
	error = set_size(&o, 0);
	if (error == 0) {
		o.path = dir; /* what an error is about */
		o.fd = open_nameless(dir);
		if (o.fd < 0 || fchmod(o.fd, 0600) < 0 ||
		    fstat(o.fd, &o.st) < 0)
			error = fail_errno(&o, errno);
	}
	if (error == 0) {
		set_direct(&o);
		error = allocate(&o);
	}
	o.path = spec->path;
	return finish(&o, error, ret);
}
