/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs inside programs, like what calls it: no allocation, no stdio, no locale.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "block/engine_uring.h"
#include "block/opening.h"

int
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
	return o->page == NULL ? opening_errno(o, ENOMEM) : 0;
}

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

int
opening_done(struct opening *o, int error, struct blkdev **ret)
{
	if (error == 0) {
		error = uringdev_create(
		    o->fd, o->path, (uint32_t)atop(o->size), ret);
		if (error != 0)
			error = opening_errno(o, -error);
	}
	if (error != 0)
		undo(o);
	mem_unmap(o->page, PAGE_SIZE);
	return error;
}

/* ---- sentences ----------------------------------------------------------- */

int
opening_errno(struct opening *o, int error)
{
	const char *what = strerrordesc_np(error);

	switch (error) {
	case EBUSY:
	case ETXTBSY:
	case EWOULDBLOCK:
		return OPENING_FAIL(o, EBUSY,
		    "%s: Device already in use; end its user or choose another",
		    o->path);
	case EACCES:
	case EPERM:
		return OPENING_FAIL(o, error,
		    "%s: permission denied; choose a place you may write to",
		    o->path);
	case ENOENT:
	case ENOTDIR:
		return OPENING_FAIL(o, error,
		    "%s: there is no such directory; create it first", o->path);
	case EFBIG:
		return OPENING_FAIL(o, error,
		    "%s: larger than a file may be here; use a smaller size= "
		    "or raise ulimit -f",
		    o->path);
	default:
		return OPENING_FAIL(o, error, "%s: %s; choose another place",
		    o->path, what != NULL ? what : "unknown error");
	}
}

/* ---- size and kind of I/O ------------------------------------------------ */

int
opening_size(struct opening *o, uint64_t have)
{
	uint64_t want = o->spec->size != 0 ? o->spec->size : have;
	char text[16], most[16];

	if (have == 0 && want == 0)
		return OPENING_FAIL(o, EINVAL,
		    "%s: a new file needs a size; write %s,size=4G", o->path,
		    o->path);
	if (want < ptoa(BLKDEV_PAGES_MIN))
		return OPENING_FAIL(o, EINVAL,
		    "%s: %s is too small for swap space; use size= with 64K "
		    "or more",
		    o->path, size_text(text, want));
	o->size = ptoa(US_MIN(atop(want), BLKDEV_PAGES_MAX));
	if (atop(want) > BLKDEV_PAGES_MAX)
		log_msg(LOG_NOTE,
		    "%s: %s of %s are used, no device can be larger", o->path,
		    size_text(most, o->size), size_text(text, want));
	return 0;
}

/*
 * Some file systems refuse O_DIRECT when it is set, some when it is used; on
 * those the page cache is good enough.
 */
void
opening_buffered(struct opening *o)
{
	o->direct = false;
	(void)fcntl(o->fd, F_SETFL, 0);
	log_msg(LOG_NOTE,
	    "%s: direct I/O is refused here, the page cache is used", o->path);
}

void
opening_direct(struct opening *o)
{
	o->direct = true;
	if (fcntl(o->fd, F_SETFL, O_DIRECT) < 0)
		opening_buffered(o);
}
