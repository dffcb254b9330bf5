/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tempfile: a swap file without a name, which is gone when it is closed,
 * however the program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "block/opening.h"

/* Where O_TMPFILE is unknown, the file has a name for a moment. */
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
	error = opening_size(&o, 0);
	if (error == 0) {
		o.path = dir; /* what an error is about */
		o.fd = open_nameless(dir);
		if (o.fd < 0 || fchmod(o.fd, 0600) < 0 ||
		    fstat(o.fd, &o.st) < 0)
			error = opening_errno(&o, errno);
	}
	if (error == 0) {
		opening_direct(&o);
		error = allocate_file(&o);
	}
	o.path = spec->path;
	return opening_done(&o, error, ret);
}
