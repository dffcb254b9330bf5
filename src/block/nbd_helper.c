/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_helper: finds and starts the process that speaks NBD, and hears whether it
 * has a connection.
 *
 * The program around us must not notice.  fork(2) would run its handlers and
 * copy its memory; posix_spawn(3) would leave a child whose end is a SIGCHLD
 * and a result of the program's wait(2).  So a first child, which shares our
 * memory and sends no signal, starts a second one, which becomes uswap-nbd,
 * and ends: the second one is an orphan and the first is seen by __WCLONE only.
 *
 * Both run on stacks of their own while we are suspended (CLONE_VFORK), and
 * change nothing but descriptors, which are copies, and *launch.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "block/engine_nbd.h"
#include "block/nbd_wire.h"

#ifndef USWAP_NBD_DIR
#define USWAP_NBD_DIR "/usr/local/lib/uswap"
#endif

#ifndef USWAP_LIBDIR
#define USWAP_LIBDIR "lib"
#endif
#ifndef USWAP_NBD
#define USWAP_NBD 0
#endif

#define HELPER "uswap-nbd"
#define STACK  (64 * 1024)
/* So much later than promised, the first word does not come any more. */
#define HELLO_GRACE 30
/* So long it may take to end; its transfers are not waited for. */
#define END_MS      2000
#define PATH_BYTES  4096
#define ABOVE_FIXED 16 /* out of the way of the numbers of nbd_wire.h */

/*
 * The thread sanitizer takes clone for a fork, and what its child does to the
 * memory it shares for the end of our locks.
 */
#ifdef __SANITIZE_THREAD__
int __clone(int (*)(void *), void *, int, void *, ...);
#define clone            __clone
#define NOT_INSTRUMENTED __attribute__((no_sanitize_thread))
#else
#define NOT_INSTRUMENTED
#endif

struct launch {
	const char *path;
	char *const *argv;
	char *const *envp;
	int sock, mem, lock;
	char *stack; /* of two children */
	int error;
};

/* ---- where it is --------------------------------------------------------- */

/* If the line of /proc/self/maps is about `addr`: the path in it. */
static const char *
maps_line(const char *line, uintptr_t addr)
{
	char *end;
	uintptr_t from = strtoul(line, &end, 16), to;

	if (*end != '-')
		return NULL;
	to = strtoul(end + 1, &end, 16);
	return addr >= from && addr < to ? strchr(line, '/') : NULL;
}

/*
 * The directory of the file that this code was loaded from: of the library, or
 * of a command it is part of.  dladdr(3) would wait for the dynamic linker's
 * lock, which the program's thread may hold that waits for us.
 */
static void
own_dir(char *dir)
{
	char buf[PATH_BYTES + 256], *nl;
	int fd = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
	const char *path = NULL;
	size_t have = 0;
	ssize_t n;

	dir[0] = '\0';
	if (fd < 0)
		return;
	while (path == NULL &&
	       (n = read(fd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		have += (size_t)n;
		buf[have] = '\0';
		while (path == NULL && (nl = strchr(buf, '\n')) != NULL) {
			*nl = '\0';
			path = maps_line(buf, (uintptr_t)own_dir);
			if (path != NULL)
				strf(dir, PATH_BYTES, "%s", path);
			have -= (size_t)(nl + 1 - buf);
			memmove(buf, nl + 1, have + 1);
		}
	}
	close(fd);
	if (strrchr(dir, '/') != NULL)
		strrchr(dir, '/')[1] = '\0';
}

/* Beside the library or command, where a test is built, unpacked, or installed. */
static bool
find_helper(char *path)
{
	static const char *const places[] = {
	    "", "uswap/", "../", "../" USWAP_LIBDIR "/uswap/"};
	char dir[PATH_BYTES];

	own_dir(dir);
	for (size_t i = 0; dir[0] != '\0' && i < nitems(places); i++) {
		strf(path, PATH_BYTES, "%s%s" HELPER, dir, places[i]);
		if (access(path, X_OK) == 0)
			return true;
	}
	strf(path, PATH_BYTES, USWAP_NBD_DIR "/" HELPER);
	return access(path, X_OK) == 0;
}

/* ---- the two children ---------------------------------------------------- */

/*
 * Nothing of the program's is left open, stderr neither: who waits for the end
 * of its output is not to wait for us.
 */
static int NOT_INSTRUMENTED
become_helper(void *arg)
{
	struct launch *l = arg;
	int sock = fcntl(l->sock, F_DUPFD, ABOVE_FIXED);
	int mem = fcntl(l->mem, F_DUPFD, ABOVE_FIXED);
	int lock = fcntl(l->lock, F_DUPFD, ABOVE_FIXED);
	int null = open("/dev/null", O_RDWR);

	setsid();
	if (sock >= 0 && mem >= 0 && lock >= 0 && null >= 0 &&
	    dup2(null, 0) >= 0 && dup2(0, 1) >= 0 && dup2(0, 2) >= 0 &&
	    dup2(sock, NBDW_SOCK_FD) >= 0 && dup2(mem, NBDW_MEM_FD) >= 0 &&
	    dup2(lock, NBDW_LOCK_FD) >= 0 &&
	    syscall(SYS_close_range, NBDW_LOCK_FD + 1, ~0u, 0) == 0)
		execve(l->path, l->argv, l->envp);
	l->error = errno;
	/* Not the C library's, which the preload library takes the place of. */
	syscall(SYS_exit_group, 127);
	__builtin_unreachable();
}

static int NOT_INSTRUMENTED
first_child(void *arg)
{
	struct launch *l = arg;

	if (clone(become_helper, l->stack + 2 * STACK, CLONE_VM | CLONE_VFORK,
		l) < 0)
		l->error = errno;
	return 0;
}

static int
launch(struct launch *l)
{
	sigset_t all, old;
	int pid;

	l->stack = mem_map(2 * STACK);
	if (l->stack == NULL)
		return ENOMEM;
	/* A handler of the program's would run in our memory, twice. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(first_child, l->stack + STACK, CLONE_VM | CLONE_VFORK, l);
	if (pid < 0)
		l->error = errno;
	else
		while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
			continue;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	mem_unmap(l->stack, 2 * STACK);
	return l->error;
}

/* The environment is not the program's: its LD_PRELOAD is us. */
static int
launch_helper(struct launch *l, const char *uri, const char *home,
    unsigned timeout, char *err, size_t errlen)
{
	char path[PATH_BYTES], seconds[16], home_is[PATH_BYTES], uri_copy[1024];
	char name[] = HELPER;
	char *argv[] = {name, uri_copy, seconds, NULL};
	char *envp[] = {home[0] != '\0' ? home_is : NULL, NULL};
	int error;

	if (!USWAP_NBD || !find_helper(path)) {
		strf(err, errlen,
		    USWAP_NBD ? "%s: cannot find the program " HELPER
				"; install uswap again"
			      : "%s: this uswap was built without NBD; install "
				"libnbd (Debian: libnbd-dev) and build it "
				"again",
		    uri);
		return -ENOENT;
	}
	strf(uri_copy, sizeof(uri_copy), "%s", uri);
	strf(seconds, sizeof(seconds), "%u", timeout);
	strf(home_is, sizeof(home_is), "HOME=%s", home);
	l->path = path;
	l->argv = argv;
	l->envp = envp;
	error = launch(l);
	if (error != 0)
		strf(err, errlen,
		    "%s: cannot start %s: %s; is the program forbidden to run "
		    "others?",
		    uri, path, strerrordesc_np(error));
	return -error;
}

/* ---- the process and what is shared with it ------------------------------ */

/*
 * Memory that another process can map: 0 or errno.  A forked child of the
 * program's has no use for it.
 */
static int
shared_memory(char **ret, int *ret_fd)
{
	struct rlimit rl;
	int error = 0, fd;

	/* Beyond this limit the kernel would send SIGXFSZ. */
	if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur < NBDW_MEM_BYTES)
		return EFBIG;
	fd = (int)syscall(SYS_memfd_create, "uswap-nbd", MFD_CLOEXEC);
	if (fd < 0)
		return errno;
	if (ftruncate(fd, (off_t)NBDW_MEM_BYTES) != 0)
		error = errno;
	else if ((*ret = mem_map_shared(fd, NBDW_MEM_BYTES)) == NULL)
		error = ENOMEM;
	if (error != 0) {
		close(fd);
		return error;
	}
	(void)syscall(SYS_madvise, *ret, NBDW_MEM_BYTES, MADV_DONTFORK);
	*ret_fd = fd;
	return 0;
}

/* The process speaks first.  It watches its own time; this is for a stuck one. */
static int
hear_hello(const char *uri, unsigned timeout, struct nbd_process *np, char *err,
    size_t errlen)
{
	struct pollfd pfd = {.fd = np->sock, .events = POLLIN};
	struct nbdw m;
	int n, ms = (int)(timeout + HELLO_GRACE) * 1000;

	do
		n = poll(&pfd, 1, ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return NBD_FAIL(ETIMEDOUT,
		    "%s: no answer; is the server there, and its name known?",
		    uri);
	if (recv(np->sock, &m, sizeof(m), MSG_DONTWAIT) < (ssize_t)NBDW_SHORT)
		return NBD_FAIL(EIO,
		    "%s: its process uswap-nbd ended at once; run it by hand "
		    "to see why",
		    uri);
	if (m.kind == NBDW_HELLO) {
		np->size = m.offset;
		np->request_max = m.len;
		np->multi = m.slot != 0;
		return 0;
	}
	m.text[sizeof(m.text) - 1] = '\0';
	return NBD_FAIL(m.error > 0 ? m.error : EIO, "%s: %s", uri, m.text);
}

/*
 * A socket's abstract name, with a hash of the URI in it: the kernel takes it back
 * however we end.
 */
int
nbd_lock(const char *uri, char *err, size_t errlen)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return NBD_FAIL(errno, "%s: no socket: %s; raise ulimit -n",
		    uri, strerrordesc_np(errno));
	for (const char *p = uri; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	strf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "uswap-nbd-%016jx",
	    (uintmax_t)hash);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	error = errno == EADDRINUSE ? EBUSY : errno;
	close(fd);
	return NBD_FAIL(error,
	    "%s: already in use on this machine; end its user or choose "
	    "another export",
	    uri);
}

int
nbd_process_start(const char *uri, const char *home, unsigned timeout, int lock,
    struct nbd_process *np, char *err, size_t errlen)
{
	int pair[2], mem_fd = -1, error = shared_memory(&np->mem, &mem_fd);
	struct launch l = {.lock = lock};

	np->lock = -1;
	if (error != 0)
		return NBD_FAIL(error,
		    "%s: no shared memory of 4M: %s; raise ulimit -f, -n or -v",
		    uri, strerrordesc_np(error));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		error = errno;
		close(mem_fd);
		mem_unmap(np->mem, NBDW_MEM_BYTES);
		return NBD_FAIL(error, "%s: no socket: %s; raise ulimit -n",
		    uri, strerrordesc_np(error));
	}
	np->sock = pair[0];
	l.sock = pair[1];
	l.mem = mem_fd;
	error = launch_helper(&l, uri, home, timeout, err, errlen);
	close(pair[1]);
	close(mem_fd);
	if (error == 0)
		error = hear_hello(uri, timeout, np, err, errlen);
	if (error != 0)
		nbd_process_end(np);
	else
		np->lock = lock;
	return error;
}

/* Until the process has ended, the export is in use. */
void
nbd_process_end(struct nbd_process *np)
{
	struct pollfd pfd = {.fd = np->sock}; /* wakes up for its end only */

	(void)shutdown(np->sock, SHUT_WR);
	while (poll(&pfd, 1, END_MS) < 0 && errno == EINTR)
		continue;
	close(np->sock);
	if (np->lock >= 0)
		close(np->lock);
	mem_unmap(np->mem, NBDW_MEM_BYTES);
}
