/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * allocate: gives each page of a swap file its blocks.  A hole would be a
 * write that fails for lack of space when the program is short of memory
 * already.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "block/opening.h"

#define ZEROS_LEN ((size_t)1 << 20)

static int
fail_space(struct opening *o, uint64_t need, uint64_t avail)
{
	char a[16], b[16];

	return OPENING_FAIL(o, ENOSPC,
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
		return opening_errno(o, EFBIG);
	return 0;
}

/*
 * fallocate also finds a file that the kernel itself swaps to (ETXTBSY).
 *
 * The mark comes first, so that a run which is killed here leaves a file that
 * the next one can use.
 */
int
allocate_file(struct opening *o)
{
	uint64_t need;
	bool memory;
	int error = check_space(o, &need);

	if (error != 0)
		return error;
	o->touched = true;
	if (o->st.st_size == 0)
		error = mark_write(o);
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
	return error != 0 ? opening_errno(o, error) : 0;
}
