/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uffd_open: by which door, and with which features.
 *
 * There are two doors.  The system call wants CAP_SYS_PTRACE or
 * vm.unprivileged_userfaultfd=1, and container run-times block it; the device
 * wants nothing but permission to open it.
 *
 * The call has a third form, UFFD_USER_MODE_ONLY, that anybody may use.  It
 * does not report faults taken inside the kernel: read(2) into a page that is
 * out would fail with EFAULT instead of waiting, which a program that knows
 * nothing of us cannot understand.  So it is used for inline delivery only, which
 * reports none of those either.
 *
 * UFFDIO_API both asks and decides, and works once per descriptor: one is
 * opened to ask and closed, a second one to keep.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/herefd.h"
#include "base/log.h"
#include "page/pmap.h"
#include "page/uffd.h"

#define UFFD_DEVICE "/dev/userfaultfd"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* Linux 5.11 */
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static int
open_by_device(void)
{
	int dev, fd;

	dev = open(UFFD_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;
	fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = -errno;
	close(dev);
	return fd;
}

static int
open_by_any(bool inline_)
{
	int fd, devfd;

	if (inline_) {
		fd = (int)syscall(SYS_userfaultfd,
		    O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
		if (fd >= 0)
			return fd;
	}

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return fd;
	fd = -errno;
	/* Out of descriptors or memory: the other door leads there too. */
	if (fd != -EPERM && fd != -EACCES && fd != -ENOSYS)
		return fd;
	devfd = open_by_device();
	if (devfd >= 0)
		return devfd;
	/* A device that exists proves the kernel has it, whoever said no. */
	if (devfd == -EACCES || devfd == -EPERM)
		return -EPERM;
	return fd == -EACCES ? -EPERM : fd;
}

/* Agrees on *features (0 is fine); sets it to what the kernel has. */
static int
agree(int fd, uint64_t *features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = *features};

	if (ioctl(fd, UFFDIO_API, &api) != 0)
		return -errno;
	*features = api.features;
	return 0;
}

static int
say(int error, char *err, size_t errlen)
{
	if (error == -EPERM)
		strf(err, errlen,
		    "userfaultfd is not permitted: as root, run "
		    "\"sysctl vm.unprivileged_userfaultfd=1\" or "
		    "\"chmod 666 " UFFD_DEVICE "\"");
	else if (error == -ENOSYS)
		strf(err, errlen,
		    "this kernel has no userfaultfd: it takes Linux 5.7 or "
		    "later built with CONFIG_USERFAULTFD (in a container, "
		    "pass " UFFD_DEVICE " into it)");
	else if (error == -ENOTSUP)
		strf(err, errlen,
		    "this kernel's userfaultfd cannot write-protect: it takes "
		    "Linux 5.7 or later");
	else
		strf(err, errlen, "cannot open userfaultfd: errno %d%s", -error,
		    error == -EMFILE ? "; raise ulimit -n" : "");
	return error == -ENOTSUP ? -ENOSYS : error;
}

int
uffd_open(bool inline_, uint64_t *ret_features, char *err, size_t errlen)
{
	const uint64_t must =
	    UFFD_FEATURE_PAGEFAULT_FLAG_WP |
	    (inline_ ? UFFD_FEATURE_SIGBUS : UFFD_FEATURE_THREAD_ID);
	const uint64_t may = UFFD_FEATURE_MOVE | UFFD_FEATURE_POISON;
	uint64_t has = 0, want;
	int fd, error;

	fd = open_by_any(inline_);
	if (fd < 0)
		return say(fd, err, errlen);
	error = agree(fd, &has);
	close(fd);
	if (error == 0 && (has & must) != must)
		error = -ENOTSUP;
	if (error != 0)
		return say(error, err, errlen);

	fd = open_by_any(inline_);
	if (fd < 0)
		return say(fd, err, errlen);
	want = has & (must | may);
	error = agree(fd, &want);
	if (error != 0) {
		close(fd);
		return say(error, err, errlen);
	}
	*ret_features = has & may;
	return fd;
}

int
pmap_probe_uffd(bool inline_, char *err, size_t errlen)
{
	uint64_t features;
	int fd = uffd_open(inline_, &features, err, errlen);

	struct herefd h;
	int error = 0;

	if (fd < 0)
		return fd;
	if (inline_) {
		herefd_init(&h, fd);
		error = herefd_again(&h);
		if (error >= 0)
			close(error);
		else
			strf(err, errlen, "%s", PMAP_NO_HERE);
	}
	close(fd);
	return error < 0 ? -ENOSYS : 0;
}
