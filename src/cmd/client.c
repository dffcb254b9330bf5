/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets lie in directories that belong to one user each and are closed to
 * others.  Root looks into those of all users; whatever such a user has put
 * there, it speaks only to the process that has the pid of the name.
 *
 * A name at which nobody listens is that of a process that has ended, or has
 * become another program: sockets listen before they get their name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/cmd.h"

#define DIRS_MAX 64
/* The longest answer. */
#define LINE_MAX_BYTES ((size_t)1 << 20)
/* How long a pager may take to answer what it can answer at once. */
#define ANSWER_MS 5000

/* ---- JSON ---------------------------------------------------------------- */

static const json_t *
at(const json_t *o, const char *path)
{
	char key[64];
	size_t len;

	for (; o != NULL && *path != '\0'; path += len + (path[len] == '.')) {
		len = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		o = json_object_get(o, key);
	}
	return o;
}

uint64_t
json_number(const json_t *o, const char *path)
{
	return (uint64_t)json_integer_value(at(o, path));
}

const char *
json_text(const json_t *o, const char *path)
{
	const char *text = json_string_value(at(o, path));

	return text != NULL ? text : "";
}

bool
json_true_at(const json_t *o, const char *path)
{
	return json_is_true(at(o, path));
}

const json_t *
json_item(const json_t *o, const char *path, size_t i)
{
	return json_array_get(at(o, path), i);
}

const char *
json_member(const json_t *o, const char *path, size_t i, uint64_t *ret)
{
	json_t *members = (json_t *)at(o, path);
	void *iter = json_object_iter(members);

	while (iter != NULL && i-- > 0)
		iter = json_object_iter_next(members, iter);
	if (iter == NULL)
		return NULL;
	*ret = (uint64_t)json_integer_value(json_object_iter_value(iter));
	return json_object_iter_key(iter);
}

void
json_print_text(const char *text)
{
	json_t *s = json_string_nocheck(text);
	char *quoted = json_dumps(s, JSON_ENCODE_ANY);

	/* Not UTF-8. */
	fputs(quoted != NULL ? quoted : "\"?\"", stdout);
	free(quoted);
	json_decref(s);
}

/* ---- directories --------------------------------------------------------- */

struct dirs {
	unsigned n;
	struct dir {
		char path[108];
		uid_t owner;
		dev_t dev;
		ino_t ino;
	} dir[DIRS_MAX];
};

/* Adds it if it is the directory of one user who may be asked. */
static void
add_dir(struct dirs *dirs, const char *path)
{
	struct dir *d = &dirs->dir[dirs->n];
	struct stat st;

	if (dirs->n == DIRS_MAX || strlen(path) + 16 > sizeof(d->path) ||
	    lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) ||
	    (st.st_mode & 077) != 0 ||
	    (st.st_uid != geteuid() && geteuid() != 0))
		return;
	for (unsigned i = 0; i < dirs->n; i++)
		if (dirs->dir[i].dev == st.st_dev &&
		    dirs->dir[i].ino == st.st_ino)
			return;
	snprintf(d->path, sizeof(d->path), "%s", path);
	d->owner = st.st_uid;
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	dirs->n++;
}

static void
find_dirs(struct dirs *dirs)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char path[128];
	size_t i;
	glob_t g;

	dirs->n = 0;
	if (run != NULL && run[0] == '/') {
		snprintf(path, sizeof(path), "%s/uswap", run);
		add_dir(dirs, path);
	}
	snprintf(path, sizeof(path), "/run/user/%u/uswap", geteuid());
	add_dir(dirs, path);
	snprintf(path, sizeof(path), "/tmp/uswap-%u", geteuid());
	add_dir(dirs, path);
	if (geteuid() != 0)
		return;
	if (glob("/run/user/*/uswap", 0, NULL, &g) == 0) {
		for (i = 0; i < g.gl_pathc; i++)
			add_dir(dirs, g.gl_pathv[i]);
		globfree(&g);
	}
	if (glob("/tmp/uswap-*", 0, NULL, &g) == 0) {
		for (i = 0; i < g.gl_pathc; i++)
			add_dir(dirs, g.gl_pathv[i]);
		globfree(&g);
	}
}

/* ---- connecting ---------------------------------------------------------- */

/* Whether it is the process that the name says, and of the user of the place. */
static bool
is_peer(int fd, const struct dir *d, pid_t pid)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.pid == pid && (peer.uid == d->owner || peer.uid == 0);
}

/* A descriptor, or -errno; -ECONNREFUSED: a name without a process. */
static int
connect_in(const struct dir *d, pid_t pid)
{
	const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, error;

	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%d.sock",
		d->path, (int)pid) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
		error = -errno;
	else
		error = is_peer(fd, d, pid) ? 0 : -EPERM;
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

int
client_try(pid_t pid, char *err, size_t errlen)
{
	struct dirs dirs;
	int fd, error = -ENOENT;

	find_dirs(&dirs);
	for (unsigned i = 0; i < dirs.n; i++) {
		fd = connect_in(&dirs.dir[i], pid);
		if (fd >= 0)
			return fd;
		if (fd != -ENOENT && fd != -ECONNREFUSED)
			error = fd;
	}
	if (error == -EAGAIN)
		snprintf(err, errlen, "process %d does not answer", (int)pid);
	else if (error != -ENOENT)
		snprintf(err, errlen, "cannot connect to process %d: %s",
		    (int)pid, strerror(-error));
	else if (kill(pid, 0) != 0 && errno == ESRCH)
		snprintf(err, errlen, "there is no process %d", (int)pid);
	else
		snprintf(err, errlen,
		    "process %d has no pager that you may control: it has not "
		    "passed its budget so far, or is not run by uswap; see: "
		    "uswap list",
		    (int)pid);
	return -1;
}

int
client_open(const char *pid_text, pid_t *ret_pid)
{
	char err[256], *end;
	long pid = strtol(pid_text, &end, 10);
	int fd;

	if (*pid_text < '0' || *pid_text > '9' || *end != '\0' || pid <= 0 ||
	    pid > INT32_MAX)
		fail(EXIT_USAGE, "%s is not the number of a process", pid_text);
	fd = client_try((pid_t)pid, err, sizeof(err));
	if (fd < 0)
		fail(EXIT_REFUSED, "%s", err);
	if (ret_pid != NULL)
		*ret_pid = (pid_t)pid;
	return fd;
}

/* ---- all pagers ---------------------------------------------------------- */

/* The pid of "123.sock"; 0 if it is something else. */
static pid_t
pid_of_name(const char *name)
{
	char *end;
	long pid = strtol(name, &end, 10);

	return *name >= '1' && *name <= '9' && strcmp(end, ".sock") == 0 &&
		       pid <= INT32_MAX
		   ? (pid_t)pid
		   : 0;
}

/* Nobody listens there.  Unless it was replaced at this very moment. */
static void
remove_stale(int dirfd, const char *name, const struct stat *seen)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode) && st.st_ino == seen->st_ino)
		(void)unlinkat(dirfd, name, 0);
}

/* Sorted by pid; returns how many.  Directories were checked to be one user's. */
static size_t
pids_in(const struct dir *d, pid_t *pid, size_t max)
{
	int fd = open(d->path, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;
	size_t n = 0;

	while (dir != NULL && n < max && (e = readdir(dir)) != NULL) {
		int sock;

		pid[n] = pid_of_name(e->d_name);
		if (pid[n] == 0 ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		sock = connect_in(d, pid[n]);
		if (sock == -ECONNREFUSED)
			remove_stale(fd, e->d_name, &st);
		if (sock >= 0 || sock == -EAGAIN)
			n++;
		if (sock >= 0)
			close(sock);
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

static int
by_pid(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void
client_each(void (*fn)(pid_t pid, void *arg), void *arg)
{
	static pid_t pid[4096];
	size_t n = 0, max = sizeof(pid) / sizeof(pid[0]);
	struct dirs dirs;

	find_dirs(&dirs);
	for (unsigned i = 0; i < dirs.n; i++)
		n += pids_in(&dirs.dir[i], pid + n, max - n);
	qsort(pid, n, sizeof(pid[0]), by_pid);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || pid[i] != pid[i - 1])
			fn(pid[i], arg);
}

/* ---- requests ------------------------------------------------------------ */

bool
client_send(int fd, const char *verb, const char *key, const char *text,
    const char *number_key, uint64_t number)
{
	json_t *o = json_pack("{s:s}", "request", verb);
	char *line;
	size_t len;
	bool ok;

	if (key != NULL && json_object_set_new(o, key, json_string(text)) != 0)
		fail(EXIT_REFUSED, "%s: the name is not UTF-8", text);
	if (number_key != NULL && strcmp(number_key, "force") == 0)
		json_object_set_new(o, number_key, json_boolean(number != 0));
	else if (number_key != NULL)
		json_object_set_new(
		    o, number_key, json_integer((json_int_t)number));
	line = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (line == NULL)
		fail(EXIT_USWAP, "out of memory");
	len = strlen(line);
	line[len++] = '\n'; /* in the place of the NUL */
	ok = send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len;
	free(line);
	return ok;
}

/* One line at a time: there is never a second one behind the answer. */
json_t *
client_receive(int fd, int timeout_ms, const char **ret_line, bool *ret_again)
{
	static char line[LINE_MAX_BYTES];
	static size_t n, taken;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char *end;
	ssize_t got;

	*ret_again = false;
	memmove(line, line + taken, n - taken);
	n -= taken;
	taken = 0;
	while ((end = memchr(line, '\n', n)) == NULL) {
		int ready = n < sizeof(line) ? poll(&p, 1, timeout_ms) : 0;

		*ret_again = ready < 0 && errno == EINTR;
		got = ready > 0 ? recv(fd, line + n, sizeof(line) - n, 0) : 0;
		if (got <= 0) {
			if (!*ret_again)
				n = 0;
			return NULL;
		}
		n += (size_t)got;
	}
	*end = '\0';
	taken = (size_t)(end - line) + 1;
	if (ret_line != NULL)
		*ret_line = line;
	return json_loads(line, 0, NULL);
}

json_t *
client_info(int fd, const char **ret_line)
{
	bool again;

	if (!client_send(fd, "info", NULL, NULL, NULL, 0))
		return NULL;
	return client_receive(fd, ANSWER_MS, ret_line, &again);
}

json_t *
client_regions(int fd, uint64_t from, const char **ret_line)
{
	bool again;

	if (!client_send(fd, "regions", NULL, NULL, "from", from))
		return NULL;
	return client_receive(fd, ANSWER_MS, ret_line, &again);
}
