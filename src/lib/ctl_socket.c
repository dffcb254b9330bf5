/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the control socket is, and that nobody else can put something there.
 *
 * The directory is ours and closed to others, and its parent is either the
 * user's own or /tmp, whose sticky bit keeps others from exchanging what is
 * ours.  So a path through it is as good as a descriptor of it, and what is in
 * it has been put there by this user or by root.
 *
 * A socket that has its name is listening, or its process has ended: it is
 * bound and listens under another name first.  So a refused connection tells
 * that a name is stale.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/ctl.h"

/* Connections that wait to be accepted. */
#define BACKLOG 16

/* ---- the directory ------------------------------------------------------- */

/* A directory of this user's, and not a link to one. */
static int
own_dir(const char *path, bool closed)
{
	int fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
	int error = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		error = -errno;
	else if (st.st_uid != geteuid() || (closed && (st.st_mode & 077) != 0))
		error = -EPERM;
	close(fd);
	return error;
}

/* The run-time directory; false if there is no such place. */
static bool
candidate(unsigned i, char *dir, size_t len)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char parent[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned uid = geteuid();

	switch (i) {
	case 0:
		if (run == NULL || run[0] != '/' || strlen(run) + 7 > len)
			return false;
		strf(parent, sizeof(parent), "%s", run);
		break;
	case 1:
		strf(parent, sizeof(parent), "/run/user/%u", uid);
		break;
	default:
		strf(dir, len, "/tmp/uswap-%u", uid);
		return true;
	}
	strf(dir, len, "%s/uswap", parent);
	return own_dir(parent, false) == 0;
}

/* The mode is set apart from making it, for the program's umask. */
static int
make_dir(const char *dir)
{
	if (mkdir(dir, 0700) == 0)
		(void)chmod(dir, 0700);
	else if (errno != EEXIST)
		return -errno;
	return own_dir(dir, true);
}

/* ---- the socket ---------------------------------------------------------- */

/* A socket, and its address to be; -1 if there is no descriptor. */
static int
socket_for(const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	strf(sun->sun_path, sizeof(sun->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Whether somebody listens there. */
static bool
is_alive(const char *path)
{
	struct sockaddr_un sun;
	int fd = socket_for(path, &sun);
	bool alive;

	if (fd < 0)
		return true; /* as far as we know */
	alive = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ||
		errno != ECONNREFUSED;
	close(fd);
	return alive;
}

static int
listen_as(const char *path)
{
	struct sockaddr_un sun;
	int fd = socket_for(path, &sun);
	int error;

	if (fd < 0)
		return -errno;
	(void)unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    chmod(path, 0600) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	(void)unlink(path);
	close(fd);
	return error;
}

/*
 * Gives it its name, unless another pager of this process has it.  One of a
 * process that has ended, or was another program before, is replaced.
 */
static int
give_name(const char *tmp, const char *path)
{
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST && is_alive(path))
		return -EEXIST;
	return rename(tmp, path) == 0 ? 0 : -errno;
}

static int
listen_in(const char *dir, char *path, size_t len)
{
	char tmp[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd, error, pid = getpid();

	error = make_dir(dir);
	if (error != 0)
		return error;
	strf(path, len, "%s/%d.sock", dir, pid);
	strf(tmp, sizeof(tmp), "%s/%d.new", dir, pid);
	fd = listen_as(tmp);
	if (fd < 0)
		return fd;
	error = give_name(tmp, path);
	if (error == 0)
		return fd;
	(void)unlink(tmp);
	close(fd);
	return error;
}

int
ctl_listen(char *path, size_t len, char *err, size_t errlen)
{
	int fd = -ENOENT;
	char dir[92]; /* with a name behind it, an address */

	for (unsigned i = 0; i < 3; i++) {
		if (!candidate(i, dir, sizeof(dir)))
			continue;
		fd = listen_in(dir, path, len);
		if (fd >= 0 || fd == -EEXIST)
			break;
	}
	if (fd == -EEXIST)
		strf(err, errlen, "this process has one already");
	else if (fd < 0)
		strf(err, errlen, "%s: %s", dir, strerrordesc_np(-fd));
	return fd;
}

bool
ctl_peer_ok(int fd, uid_t uid)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == uid || peer.uid == 0);
}

/* In the directory of our own, where a child of ours has its name, too. */
bool
ctl_remove_stale(const struct ctl *ctl, pid_t pid)
{
	char path[sizeof(ctl->path)];
	size_t dir = (size_t)(strrchr(ctl->path, '/') - ctl->path);

	strf(path, sizeof(path), "%.*s/%d.sock", (int)dir, ctl->path, (int)pid);
	if (access(path, F_OK) != 0)
		return true;
	if (is_alive(path))
		return false;
	(void)unlink(path);
	return true;
}
