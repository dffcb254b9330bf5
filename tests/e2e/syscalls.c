/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscalls DIRECTORY [NAME|all [read]]: gives system calls memory that has just been
 * paged out, and prints what each of them did with it: the same with uswap and without.
 * Run it in 16M.  NAME: only that one.  read: memory that has come in again since, for
 * somebody who read it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "support/must.h"

#define PAGE    ((size_t)4096)
#define MEM     ((size_t)8 << 20)
#define SIZE    ((size_t)70000) /* of a buffer: neither pages nor a power of two */
#define BALLAST ((size_t)40 << 20)

static char *mem; /* all that the calls are given */
static size_t used;
static bool reads; /* what went out comes in again */
static const char *dir;
static int file; /* of 1 MiB of known bytes */

/* Memory of its own pages, not aligned to any. */
static void *
take(size_t size)
{
	void *p = mem + used + 2000;

	used += (size + 2000 + PAGE) & ~(PAGE - 1);
	MUST(used < MEM);
	return p;
}

static void
fill(void *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *)p)[i] =
		    (unsigned char)(i * 7 + i / 251 + seed);
}

static uint64_t
sum(const void *p, size_t size)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * 1099511628211u;
	return h;
}

/* A copy in memory that leaves with the rest. */
static void *
copy(const void *p, size_t size)
{
	return memcpy(take(size), p, size);
}

static char *
text(const char *fmt, ...)
{
	char s[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s, sizeof(s), fmt, ap);
	va_end(ap);
	return copy(s, strlen(s) + 1);
}

/* So often a page has to be left unchanged until it is taken for one that is only read. */
#define TURNS 17

/* From here on all of it is out, or has only been read. */
static void
out(void)
{
	for (int i = 0; i < (reads ? TURNS : 1); i++) {
		MUST(madvise(mem, MEM, MADV_PAGEOUT) == 0);
		for (size_t at = 0; reads && at < used; at += PAGE)
			(void)*(volatile char *)(mem + at);
	}
}

static const char *name;

/* One line: what a call returned, errno if it failed, and what it brought. */
static void
say(long ret, const void *p, size_t size)
{
	int error = ret < 0 ? errno : 0;

	printf("%s: %ld errno %d, %zu bytes: %016lx\n", name, ret, error, size,
	    size > 0 ? (unsigned long)sum(p, size) : 0);
}

/* ---- bytes of files ------------------------------------------------------ */

static void
t_read(void)
{
	char *p = take(SIZE);

	fill(p, SIZE, 1);
	MUST(lseek(file, 1234, SEEK_SET) == 1234);
	out();
	say(read(file, p, SIZE), p, SIZE);
	out();
	say(pread(file, p, SIZE, (1 << 20) - 5000), p, SIZE);
}

static void
t_write(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);
	char *p = take(SIZE), back[200];

	fill(p, SIZE, 2);
	out();
	say(write(fd, p, SIZE), NULL, 0);
	out();
	say(pwrite(fd, p, SIZE, 100000), NULL, 0);
	MUST(pread(fd, back, sizeof(back), 100000 + 50000) == sizeof(back));
	say(0, back, sizeof(back));
	close(fd);
}

static void
t_vectors(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);
	struct iovec *v = take(4 * sizeof(*v));
	char *p = take(4 * SIZE);

	for (int i = 0; i < 4; i++)
		v[i] = (struct iovec){p + (size_t)i * SIZE, SIZE - (size_t)i};
	fill(p, 4 * SIZE, 3);
	out();
	say(writev(fd, v, 4), NULL, 0);
	out();
	say(pwritev(fd, v, 3, 5000), NULL, 0);
	out();
	say(pwritev2(fd, v, 3, -1, RWF_DSYNC), NULL, 0);
	fill(p, 4 * SIZE, 0);
	out();
	say(preadv(fd, v, 4, 1), p, 4 * SIZE);
	out();
	say(preadv2(fd, v, 2, 10, 0), p, 4 * SIZE);
	MUST(lseek(fd, 0, SEEK_SET) == 0);
	out();
	say(readv(fd, v, 4), p, 4 * SIZE);
	close(fd);
}

static void
t_direct(void)
{
	char *path = text("%s/direct", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	char *p = take(20 * PAGE);

	p = (char *)(((uintptr_t)p + PAGE - 1) & ~(PAGE - 1));
	fill(p, 16 * PAGE, 4);
	out();
	say(pwrite(fd, p, 16 * PAGE, 0), NULL, 0);
	fill(p, 16 * PAGE, 0);
	out();
	say(pread(fd, p, 16 * PAGE, 0), p, 16 * PAGE);
	close(fd);
	unlink(path);
}

static void
t_offsets(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);
	off_t *off = take(sizeof(*off));
	loff_t *a = take(sizeof(*a)), *b = take(sizeof(*b));

	*off = 777;
	out();
	say(sendfile(fd, file, off, 100000), off, sizeof(*off));
	*a = 4096;
	*b = 100;
	out();
	say(copy_file_range(fd, a, fd, b, 3000, 0), b, sizeof(*b));
	close(fd);
}

static void
t_stdio(void)
{
	char *p = take(SIZE), *path = text("%s/stdio", dir), *line = NULL;
	char *mode = text("w+");
	size_t room = 45000;
	FILE *f;

	fill(p, SIZE, 5);
	out();
	f = fopen(path, mode);
	MUST(f != NULL);
	say((long)fwrite(p, 1, SIZE, f), NULL, 0);
	out();
	say(fprintf(f, "%.*s\n", 3000, p + 1), NULL, 0);
	out();
	say(fflush(f), NULL, 0);
	rewind(f);
	fill(p, SIZE, 0);
	out();
	say((long)fread(p, 1, SIZE, f), p, SIZE);
	out();
	say(getline(&line, &room, f), NULL, 0);
	rewind(f);
	out();
	say(fgets(p, 300, f) != NULL, p, 300);
	fclose(f);
	free(line);
	unlink(path);
}

/* ---- names --------------------------------------------------------------- */

static void
t_names(void)
{
	char *a = text("%s/a", dir), *b = text("%s/b", dir), *got = take(PAGE);
	char *value = text("value"), *key = text("user.key");
	struct stat *st = take(sizeof(*st));
	struct statfs *sf = take(sizeof(*sf));
	struct statx *sx = take(sizeof(*sx));
	struct timespec *ts = take(2 * sizeof(*ts));
	int fd;

	out();
	fd = open(a, O_RDWR | O_CREAT, 0600);
	say(fd >= 0, NULL, 0);
	out();
	say(openat(AT_FDCWD, b, O_RDONLY), NULL, 0);
	out();
	say(stat(a, st), &st->st_mode, sizeof(st->st_mode));
	out();
	say(fstat(fd, st), &st->st_size, sizeof(st->st_size));
	out();
	say(lstat(a, st), &st->st_nlink, sizeof(st->st_nlink));
	out();
	say(statx(AT_FDCWD, a, 0, STATX_MODE, sx), &sx->stx_mode,
	    sizeof(sx->stx_mode));
	out();
	say(statfs(a, sf), &sf->f_namelen, sizeof(sf->f_namelen));
	out();
	say(access(a, R_OK) + access(b, R_OK), NULL, 0);
	out();
	say(symlink(a, b), NULL, 0);
	out();
	say(readlink(b, got, PAGE) > 0, NULL, 0);
	out();
	say(unlink(b), NULL, 0);
	out();
	say(rename(a, b), NULL, 0);
	out();
	say(chmod(b, 0640), NULL, 0);
	memset(ts, 0, 2 * sizeof(*ts));
	out();
	say(utimensat(AT_FDCWD, b, ts, 0), NULL, 0);
	out();
	say(setxattr(b, key, value, 5, 0), NULL, 0);
	out();
	say(getxattr(b, key, got, PAGE), NULL, 0);
	out();
	say(unlink(b), NULL, 0);
	out();
	say(mkdir(a, 0700), NULL, 0);
	out();
	say(rmdir(a), NULL, 0);
	out();
	say(getcwd(got, PAGE) != NULL, NULL, 0);
	out();
	say(chdir(text(".")), NULL, 0);
	close(fd);
}

static void
t_directory(void)
{
	char *p = take(32768);
	int fd = open("/proc/self/fdinfo/..", O_RDONLY | O_DIRECTORY);
	struct dirent *e;
	DIR *d;
	long n = 0;

	out();
	say(syscall(SYS_getdents64, fd, p, 32768) > 100, NULL, 0);
	close(fd);
	MUST((d = opendir("/sys/kernel")) != NULL);
	out();
	while ((e = readdir(d)) != NULL)
		n++;
	closedir(d);
	say(n > 3, NULL, 0);
}

/* ---- sockets and pipes --------------------------------------------------- */

/* The other end, which uses memory that is never paged out. */
static int
pair(int type, int *ret_other)
{
	int fd[2], size = 1 << 20;

	MUST(socketpair(AF_UNIX, type, 0, fd) == 0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret_other = fd[1];
	return fd[0];
}

static char far[1 << 18];

static void
t_socket(int type)
{
	int other, fd = pair(type, &other);
	char *p = take(SIZE);
	socklen_t *len = take(sizeof(*len));
	struct sockaddr_un *from = take(sizeof(*from));

	fill(p, SIZE, 6);
	out();
	say(send(fd, p, SIZE, 0), NULL, 0);
	say(recv(other, far, SIZE, MSG_WAITALL), far, SIZE);
	out();
	say(sendto(fd, p, SIZE / 2, 0, NULL, 0), NULL, 0);
	say(recv(other, far, SIZE / 2, MSG_WAITALL), far, SIZE / 2);
	fill(far, SIZE, 7);
	say(send(other, far, SIZE, 0), NULL, 0);
	out();
	say(recv(fd, p, SIZE, MSG_WAITALL), p, SIZE);
	say(send(other, far, SIZE / 3, 0), NULL, 0);
	*len = sizeof(*from);
	out();
	say(recvfrom(fd, p, SIZE, 0, (struct sockaddr *)from, len), p,
	    SIZE / 3);
	say(write(other, far, SIZE), NULL, 0);
	out();
	say(read(fd, p, SIZE), p, SIZE);
	close(fd);
	close(other);
}

static void
t_stream(void)
{
	t_socket(SOCK_STREAM);
}

/* What is lost of a datagram is lost for good. */
static void
t_datagram(void)
{
	t_socket(SOCK_DGRAM);
}

/* Longer than what is kept for it between calls, and longer than what one call takes. */
static void
t_large(void)
{
	int other, fd = pair(SOCK_SEQPACKET, &other);
	size_t packet = 150000, more = (1 << 20) + 5000;
	char *p = take(more);

	MUST(lseek(file, 77, SEEK_SET) == 77);
	out();
	say(read(file, p, 500000), p, 500000);
	say(lseek(file, 0, SEEK_CUR), NULL, 0);
	out();
	say(read(file, p, more), p, (1 << 20) - 500077);
	out();
	say(pread(file, p, more, 3), p, (1 << 20) - 3);
	fill(far, packet, 19);
	say(send(other, far, packet, 0), NULL, 0);
	say(send(other, far, 10, 0), NULL, 0);
	out();
	say(read(fd, p, more), p, packet);
	say(read(fd, p, more), p, 10);
	say(send(other, far, packet, 0), NULL, 0);
	say(send(other, far, 3000, 0), NULL, 0);
	out();
	say(recv(fd, p, 1000, MSG_TRUNC), p, more); /* more is said than came */
	say(recv(fd, p, 5000, MSG_TRUNC | MSG_PEEK), p, more);
	say(recv(fd, p, 2000, 0), p, more);
	close(fd);
	close(other);
}

static int
tcp_pair(int *ret_other)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t len = sizeof(here);
	int ear = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(ear, (struct sockaddr *)&here, sizeof(here)) == 0);
	MUST(listen(ear, 1) == 0);
	MUST(getsockname(ear, (struct sockaddr *)&here, &len) == 0);
	MUST(connect(fd, (struct sockaddr *)&here, sizeof(here)) == 0);
	*ret_other = accept(ear, NULL, NULL);
	MUST(*ret_other >= 0);
	close(ear);
	return fd;
}

/* Of a stream these bytes are dropped: what is in memory stays. */
static void
t_dropped(void)
{
	int other, fd = tcp_pair(&other);
	char *p = take(SIZE);
	struct iovec v = {p, 1000};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	fill(p, SIZE, 21);
	fill(far, SIZE, 22);
	say(send(other, far, SIZE, 0), NULL, 0);
	out();
	say(recv(fd, p, 1000, MSG_TRUNC), p, 2000);
	out();
	say(recvmsg(fd, &m, MSG_TRUNC), p, 2000);
	out();
	say(recv(fd, p, SIZE - 2000, MSG_WAITALL), p, SIZE);
	close(fd);
	close(other);
}

static void *
wait_for_bytes(void *arg)
{
	char **a = arg;

	return (void *)recv(*(int *)a[0], a[1], SIZE, MSG_WAITALL);
}

/* While one call waits others are made, which must not use its memory. */
static void
t_meanwhile(void)
{
	int other, fd = pair(SOCK_STREAM, &other);
	char *p = take(SIZE), *q = take(SIZE), *arg[] = {(char *)&fd, p};
	pthread_t t;
	void *r;

	MUST(pthread_create(&t, NULL, wait_for_bytes, arg) == 0);
	usleep(20000);
	for (int i = 0; i < 3; i++) {
		out();
		say(pread(file, q, SIZE, i * 1000), q, SIZE);
	}
	fill(far, SIZE, 20);
	say(send(other, far, SIZE, 0), NULL, 0);
	MUST(pthread_join(t, &r) == 0);
	say((long)r, p, SIZE);
	out();
	say(pread(file, q, SIZE, 0), q, SIZE);
	close(fd);
	close(other);
}

static void
t_messages(void)
{
	int other, fd = pair(SOCK_SEQPACKET, &other);
	struct mmsghdr *m = take(4 * sizeof(*m));
	struct iovec *v = take(4 * sizeof(*v));
	char *p = take(SIZE), *control = take(256);
	struct cmsghdr *c;

	for (size_t i = 0; i < 4; i++) {
		v[i] = (struct iovec){p + i * 16000, 16000};
		memset(&m[i], 0, sizeof(m[i]));
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	m[0].msg_hdr.msg_control = control;
	m[0].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(int));
	c = CMSG_FIRSTHDR(&m[0].msg_hdr);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(int));
	fill(p, SIZE, 8);
	out();
	say(sendmsg(fd, &m[0].msg_hdr, 0), NULL, 0);
	out();
	say(sendmmsg(fd, m + 1, 3, 0), &m[2].msg_len, sizeof(m[2].msg_len));
	fill(p, SIZE, 0);
	out();
	say(recvmsg(other, &m[0].msg_hdr, 0), p, 16000);
	say(m[0].msg_hdr.msg_controllen >= CMSG_LEN(sizeof(int)), NULL, 0);
	out();
	say(recvmmsg(other, m + 1, 3, 0, NULL), p, SIZE);
	close(fd);
	close(other);
}

static void
t_pipe(void)
{
	char *p = take(SIZE);
	struct iovec *v = take(sizeof(*v));
	int *fd = take(2 * sizeof(*fd)), to[2];

	out();
	say(pipe(fd), NULL, 0);
	MUST(fcntl(fd[1], F_SETPIPE_SZ, 1 << 20) > 0 && pipe(to) == 0 &&
	     fcntl(to[1], F_SETPIPE_SZ, 1 << 20) > 0);
	fill(p, SIZE, 9);
	out();
	say(write(fd[1], p, SIZE), NULL, 0);
	fill(p, SIZE, 0);
	out();
	say(read(fd[0], p, SIZE), p, SIZE);
	*v = (struct iovec){p, SIZE};
	out();
	say(vmsplice(fd[1], v, 1, 0), NULL, 0);
	say(tee(fd[0], to[1], SIZE, 0) > 0, NULL, 0);
	say(splice(fd[0], NULL, to[1], NULL, PAGE, 0), NULL, 0);
	close(to[1]);
	close(fd[1]);
	say(read(fd[0], far, SIZE) > 0, NULL, 0);
	say(read(to[0], far, SIZE) > 0, far, 1000);
	close(fd[0]);
	close(to[0]);
}

static void
t_addresses(void)
{
	struct sockaddr_un *a = take(sizeof(*a));
	socklen_t *len = take(sizeof(*len));
	int *value = take(sizeof(*value)), fd, client;

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path, sizeof(a->sun_path), "%s/s", dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	*value = 1;
	out();
	say(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, sizeof(*value)),
	    NULL, 0);
	*len = sizeof(*value);
	out();
	say(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, len), value, 4);
	out();
	say(bind(fd, (struct sockaddr *)a, sizeof(*a)), NULL, 0);
	MUST(listen(fd, 1) == 0);
	out();
	say(connect(client, (struct sockaddr *)a, sizeof(*a)), NULL, 0);
	*len = sizeof(*a);
	out();
	say(accept(fd, (struct sockaddr *)a, len) >= 0, len, sizeof(*len));
	*len = sizeof(*a);
	out();
	say(getsockname(fd, (struct sockaddr *)a, len), len, sizeof(*len));
	unlink(a->sun_path);
}

/* ---- waiting ------------------------------------------------------------- */

static void
t_waiting(void)
{
	int other, fd = pair(SOCK_STREAM, &other), ep = epoll_create1(0);
	struct epoll_event *e = take(4 * sizeof(*e));
	struct pollfd *pf = take(2 * sizeof(*pf));
	fd_set *set = take(sizeof(*set));
	struct timeval *tv = take(sizeof(*tv));
	struct timespec *ts = take(sizeof(*ts));
	int *n = take(sizeof(*n));

	MUST(write(other, "x", 1) == 1);
	*e = (struct epoll_event){.events = EPOLLIN, .data.u64 = 77};
	out();
	say(epoll_ctl(ep, EPOLL_CTL_ADD, fd, e), NULL, 0);
	out();
	say(epoll_wait(ep, e, 4, 1000), &e->data.u64, 8);
	*pf = (struct pollfd){fd, POLLIN, 0};
	out();
	say(poll(pf, 1, 1000), &pf->revents, 2);
	FD_ZERO(set);
	FD_SET(fd, set);
	*tv = (struct timeval){1, 0};
	out();
	say(select(fd + 1, set, NULL, NULL, tv), set, 8);
	*ts = (struct timespec){0, 1000};
	pf->fd = other;
	out();
	say(ppoll(pf, 1, ts, NULL), &pf->revents, 2);
	out();
	say(nanosleep(ts, ts), NULL, 0);
	out();
	say(clock_nanosleep(CLOCK_MONOTONIC, 0, ts, NULL), NULL, 0);
	out();
	say(ioctl(fd, FIONREAD, n), n, sizeof(*n));
	close(ep);
	close(fd);
	close(other);
}

static void
t_events(void)
{
	struct itimerspec *it = take(sizeof(*it));
	struct signalfd_siginfo *si = take(sizeof(*si));
	sigset_t *set = take(sizeof(*set));
	char *path = text("%s", dir), *got = take(PAGE);
	uint64_t *count = take(sizeof(*count));
	int fd = timerfd_create(CLOCK_MONOTONIC, 0), sig, in;

	*it = (struct itimerspec){.it_value = {0, 1000000}};
	out();
	say(timerfd_settime(fd, 0, it, NULL), NULL, 0);
	out();
	say(read(fd, count, sizeof(*count)), count, sizeof(*count));
	close(fd);
	sigemptyset(set);
	sigaddset(set, SIGUSR2);
	out();
	say(sigprocmask(SIG_BLOCK, set, NULL), NULL, 0);
	out();
	sig = signalfd(-1, set, 0);
	raise(SIGUSR2);
	out();
	say(read(sig, si, sizeof(*si)), &si->ssi_signo, sizeof(si->ssi_signo));
	close(sig);
	in = inotify_init();
	out();
	say(inotify_add_watch(in, path, IN_CREATE), NULL, 0);
	close(open(text("%s/new", dir), O_CREAT | O_WRONLY, 0600));
	out();
	say(read(in, got, PAGE), NULL, 0);
	close(in);
	unlink(text("%s/new", dir));
}

/* What a call says of before is lost if it is made again. */
static void
t_before(void)
{
	struct itimerspec *it = take(sizeof(*it));
	struct itimerval *iv = take(sizeof(*iv));
	sigset_t *set = take(sizeof(*set)), *old = take(sizeof(*old));
	stack_t *stack = take(sizeof(*stack));
	int *error = take(sizeof(*error)), s[2], fd;
	socklen_t *len = take(sizeof(*len));
	struct itimerspec t = {.it_interval = {1000, 0}, .it_value = {2000, 0}};
	struct itimerval v = {.it_interval = {1000, 0}, .it_value = {2000, 0}};
	static char first[65536], second[65536];
	stack_t mine = {.ss_sp = first, .ss_size = sizeof(first)};

	sigemptyset(old);
	sigemptyset(set);
	sigaddset(set, SIGUSR1);
	out();
	say(sigprocmask(SIG_BLOCK, set, old), NULL, 0);
	say(sigismember(old, SIGUSR1), NULL, 0);
	sigemptyset(set);
	sigaddset(set, SIGUSR2);
	out();
	say(pthread_sigmask(SIG_BLOCK, set, old), NULL, 0);
	say(sigismember(old, SIGUSR1) * 2 + sigismember(old, SIGUSR2), NULL, 0);
	out();
	say(sigprocmask(SIG_UNBLOCK, set, NULL), NULL, 0);
	sigaddset(set, SIGUSR1);
	out();
	say(sigprocmask(SIG_UNBLOCK, set, old), NULL, 0);
	say(sigismember(old, SIGUSR1) * 2 + sigismember(old, SIGUSR2), NULL, 0);

	MUST(sigaltstack(&mine, NULL) == 0);
	mine.ss_sp = second;
	out();
	say(sigaltstack(&mine, stack), NULL, 0);
	say(stack->ss_sp == first, NULL, 0);
	mine.ss_flags = SS_DISABLE;
	MUST(sigaltstack(&mine, NULL) == 0);

	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	MUST(timerfd_settime(fd, 0, &t, NULL) == 0);
	t.it_interval.tv_sec = 500;
	out();
	say(timerfd_settime(fd, 0, &t, it), &it->it_interval,
	    sizeof(it->it_interval));
	close(fd);
	MUST(setitimer(ITIMER_VIRTUAL, &v, NULL) == 0);
	memset(&v, 0, sizeof(v));
	out();
	say(setitimer(ITIMER_VIRTUAL, &v, iv), &iv->it_interval,
	    sizeof(iv->it_interval));

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	MUST(write(s[0], "unread", 6) == 6);
	close(s[1]);
	(void)send(s[0], "x", 1, MSG_NOSIGNAL);
	(void)recv(s[0], first, 1, 0);
	*error = -1;
	*len = sizeof(*error);
	out();
	say(getsockopt(s[0], SOL_SOCKET, SO_ERROR, error, len), error,
	    sizeof(*error));
	say(*len, NULL, 0);
	out();
	*len = sizeof(*error);
	say(getsockopt(s[0], SOL_SOCKET, SO_TYPE, error, len), error,
	    sizeof(*error));
	say(getsockopt(s[0], SOL_SOCKET, SO_TYPE, NULL, len), NULL, 0);
	close(s[0]);
	/* Refused: the error is there to be told once. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(fd,
	    (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr = {htonl(INADDR_LOOPBACK)}},
	    sizeof(struct sockaddr_in));
	(void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 1000);
	*len = sizeof(*error);
	out();
	say(getsockopt(fd, SOL_SOCKET, SO_ERROR, error, len), error,
	    sizeof(*error));
	out();
	say(getsockopt(fd, SOL_SOCKET, SO_ERROR, error, len), error,
	    sizeof(*error));
	close(fd);
}

/* The program may only read it, and what is in it is given all the same. */
static void
t_readonly(void)
{
	char *p = take(8 * PAGE), *q = take(SIZE);
	char *start = (char *)(((uintptr_t)p + PAGE) & ~(PAGE - 1));
	int pipes[2];

	memset(p, 0, 8 * PAGE);
	fill(start, 4 * PAGE, 5);
	snprintf(start + 3 * PAGE, PAGE, "%s/readonly", dir);
	MUST(mprotect(start, 4 * PAGE, PROT_READ) == 0);
	MUST(pipe(pipes) == 0);
	out();
	say(write(pipes[1], start, 3 * PAGE), NULL, 0);
	say(read(pipes[0], q, SIZE), q, 3 * PAGE);
	out();
	say(mkdir(start + 3 * PAGE, 0700), NULL, 0);
	out();
	say(rmdir(start + 3 * PAGE), NULL, 0);
	say(read(pipes[0], start, 0), NULL, 0);
	MUST(mprotect(start, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
	close(pipes[0]);
	close(pipes[1]);
	out();
	say(write(-1, start, 0), NULL, 0);
}

/* ---- threads ------------------------------------------------------------- */

#define SENT ((size_t)3 << 20)

static size_t drunk;
static uint64_t drunk_sum;

static void *
drink(void *arg)
{
	static char all[2 * SENT];
	size_t n = 0;
	ssize_t r;

	while (n < 2 * SENT &&
	       (r = recv(*(int *)arg, all + n, 2 * SENT - n, 0)) > 0)
		n += (size_t)r;
	drunk = n;
	drunk_sum = sum(all, n);
	return NULL;
}

/* A stream takes all of it, although its middle is out. */
static void
t_sends(void)
{
	char *p = take(SENT);
	struct iovec *v = take(2 * sizeof(*v));
	struct msghdr *m = take(sizeof(*m));
	pthread_t t;
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	MUST(pthread_create(&t, NULL, drink, &s[1]) == 0);
	fill(p, SENT, 9);
	out();
	for (size_t i = 0; i < SENT / 2; i += PAGE)
		(void)*(volatile char *)(p + i);
	say(send(s[0], p, SENT, 0), NULL, 0);
	memset(m, 0, sizeof(*m));
	v[0] = (struct iovec){p, 1000};
	v[1] = (struct iovec){p + 1000, SENT / 4 - 1000};
	m->msg_iov = v;
	m->msg_iovlen = 2;
	out();
	for (size_t i = 0; i < SENT / 2; i += PAGE)
		(void)*(volatile char *)(p + i);
	say(sendmsg(s[0], m, 0), NULL, 0);
	shutdown(s[0], SHUT_WR);
	pthread_join(t, NULL);
	say((long)drunk, &drunk_sum, sizeof(drunk_sum));
	close(s[0]);
	close(s[1]);
}

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	sem_t sem;
	int turn;
	char apart[PAGE]; /* the word has a page of its own */
	uint32_t word;
};

static void *
play(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&s->mutex);
		while (s->turn % 2 == 0)
			pthread_cond_wait(&s->cond, &s->mutex);
		s->turn++;
		pthread_cond_signal(&s->cond);
		pthread_mutex_unlock(&s->mutex);
		out();
	}
	sem_wait(&s->sem);
	__atomic_store_n(&s->word, 2, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &s->word, FUTEX_WAKE, 1, NULL, NULL, 0);
	return NULL;
}

static void
t_futex(void)
{
	struct shared *s = take(sizeof(*s));
	struct timespec *ts = take(sizeof(*ts));
	pthread_t t;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->cond, NULL);
	sem_init(&s->sem, 1, 0);
	MUST(pthread_create(&t, NULL, play, s) == 0);
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&s->mutex);
		while (s->turn % 2 == 1)
			pthread_cond_wait(&s->cond, &s->mutex);
		s->turn++;
		pthread_cond_signal(&s->cond);
		pthread_mutex_unlock(&s->mutex);
	}
	out();
	sem_post(&s->sem);
	while (__atomic_load_n(&s->word, __ATOMIC_SEQ_CST) != 2) {
		*ts = (struct timespec){0, 1000000};
		out();
		syscall(SYS_futex, &s->word, FUTEX_WAIT, 0, ts, NULL, 0);
	}
	pthread_join(t, NULL);
	say(s->turn, NULL, 0);
	out();
	say(syscall(SYS_futex, &s->word, FUTEX_WAIT, 0, NULL, NULL, 0), NULL,
	    0);
	*ts = (struct timespec){0, 1000000};
	out();
	say(syscall(SYS_futex, &s->word, FUTEX_WAIT, 2, ts, NULL, 0), NULL, 0);
	out();
	say(syscall(SYS_futex, &s->word, FUTEX_CMP_REQUEUE, 1, 1, &s->turn, 2),
	    NULL, 0);
}

static volatile bool evicted_enough;

static void *
evict(void *arg)
{
	while (!evicted_enough)
		out();
	return arg;
}

static void *
take_turns(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&s->mutex);
		s->turn++;
		pthread_cond_signal(&s->cond);
		pthread_cond_wait(&s->cond, &s->mutex);
		pthread_mutex_unlock(&s->mutex);
		sem_wait(&s->sem);
		sem_post(&s->sem);
	}
	__atomic_add_fetch(&s->word, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* What threads wait for leaves at any moment. */
static void
t_locks(void)
{
	struct shared *s = take(sizeof(*s));
	pthread_t t[4], out_of_it;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->cond, NULL);
	sem_init(&s->sem, 0, 1);
	evicted_enough = false;
	MUST(pthread_create(&out_of_it, NULL, evict, NULL) == 0);
	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&t[i], NULL, take_turns, s) == 0);
	while (__atomic_load_n(&s->word, __ATOMIC_SEQ_CST) < 4) {
		pthread_mutex_lock(&s->mutex);
		pthread_cond_broadcast(&s->cond);
		pthread_mutex_unlock(&s->mutex);
		usleep(100);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	evicted_enough = true;
	pthread_join(out_of_it, NULL);
	say(s->turn, NULL, 0);
}

/* Deeper than what is there. */
static long
dig(int depth)
{
	volatile char here[1000];

	memset((char *)here, depth, sizeof(here));
	return depth == 0 ? 0 : dig(depth - 1) + here[500];
}

static void *
on_stack(void *arg)
{
	char here[PAGE];
	long n = 0;

	(void)arg;
	for (int i = 0; i < 5; i++) {
		fill(here, PAGE, (unsigned)i);
		out();
		n += pread(file, here, PAGE, i) + dig(40);
	}
	return (void *)n;
}

static void
t_stack(void)
{
	size_t size = (size_t)256 << 10;
	char *p = take(size + PAGE);
	pthread_attr_t attr;
	pthread_t t;
	void *ret;

	p = (char *)(((uintptr_t)p + PAGE - 1) & ~(PAGE - 1));
	pthread_attr_init(&attr);
	MUST(pthread_attr_setstack(&attr, p, size) == 0);
	out();
	MUST(pthread_create(&t, &attr, on_stack, NULL) == 0);
	MUST(pthread_join(t, &ret) == 0);
	say((long)ret, NULL, 0);
}

/* ---- signals ------------------------------------------------------------- */

static volatile long handled;
static char *volatile in_handler; /* touched there */

static void
handler(int sig)
{
	handled += sig + dig(10);
	if (in_handler != NULL)
		in_handler[SIZE / 2]++;
	out();
}

static void
t_altstack(void)
{
	stack_t *ss = take(sizeof(*ss));
	struct sigaction *sa = take(sizeof(*sa));
	char *p = take((size_t)64 << 10);

	*ss = (stack_t){.ss_sp = p, .ss_size = (size_t)64 << 10};
	memset(sa, 0, sizeof(*sa));
	sa->sa_handler = handler;
	sa->sa_flags = SA_ONSTACK;
	out();
	say(sigaltstack(ss, NULL), NULL, 0);
	out();
	say(sigaction(SIGUSR1, sa, NULL), NULL, 0);
	for (int i = 0; i < 5; i++) {
		out();
		raise(SIGUSR1);
	}
	say(handled, NULL, 0);
	/* The same memory again, after it was let go of. */
	ss->ss_flags = SS_DISABLE;
	MUST(sigaltstack(ss, NULL) == 0);
	madvise(mem, MEM, MADV_DONTNEED);
	*ss = (stack_t){.ss_sp = p, .ss_size = (size_t)64 << 10};
	MUST(sigaltstack(ss, NULL) == 0);
	out();
	raise(SIGUSR1);
	say(handled, NULL, 0);
	ss->ss_flags = SS_DISABLE;
	MUST(sigaltstack(ss, NULL) == 0);
}

/* A handler that runs while a call's own mask blocks everything else. */
static void
t_masks(void)
{
	struct sigaction sa = {.sa_handler = handler};
	sigset_t *all = take(sizeof(*all)), usr, old;
	struct timespec *ts = take(sizeof(*ts));
	struct epoll_event *e = take(sizeof(*e));
	int ep = epoll_create1(0);

	*ts = (struct timespec){5, 0};
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	MUST(sigaction(SIGUSR1, &sa, NULL) == 0);
	MUST(sigprocmask(SIG_BLOCK, &usr, &old) == 0);
	for (int i = 0; i < 4; i++) {
		char *p = take(SIZE);

		in_handler = p;
		fill(p, SIZE, (unsigned)i);
		sigfillset(all);
		sigdelset(all, SIGUSR1);
		raise(SIGUSR1);
		out();
		say(i == 0   ? sigsuspend(all)
		    : i == 1 ? ppoll(NULL, 0, ts, all)
		    : i == 2 ? pselect(0, NULL, NULL, NULL, ts, all)
			     : epoll_pwait(ep, e, 1, 5000, all),
		    p, SIZE);
	}
	in_handler = NULL;
	MUST(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	close(ep);
}

/* ---- numbers ------------------------------------------------------------- */

static void
t_numbers(void)
{
	struct utsname *u = take(sizeof(*u));
	struct rusage *ru = take(sizeof(*ru));
	struct rlimit *rl = take(sizeof(*rl));
	struct timespec *ts = take(sizeof(*ts));
	cpu_set_t *cpus = take(sizeof(*cpus));
	char *p = take(SIZE), *title = take(16);
	gid_t *groups = take(64 * sizeof(*groups));
	static const char zeros[SIZE];

	out();
	say(uname(u), u->sysname, sizeof(u->sysname));
	out();
	say(getrusage(RUSAGE_SELF, ru), NULL, 0);
	out();
	say(getrlimit(RLIMIT_CORE, rl), NULL, 0);
	out();
	say(clock_gettime(CLOCK_REALTIME, ts), NULL, 0);
	out();
	say(syscall(SYS_clock_gettime, CLOCK_REALTIME, ts), NULL, 0);
	out();
	say(sched_getaffinity(0, sizeof(*cpus), cpus), NULL, 0);
	memset(p, 0, SIZE);
	out();
	say(getrandom(p, SIZE, 0), NULL, 0);
	say(memcmp(p + SIZE / 2, zeros, SIZE / 4) != 0, NULL, 0);
	out();
	say(prctl(PR_GET_NAME, title), NULL, 0);
	out();
	say(getgroups(64, groups) >= 0, NULL, 0);
}

static void
t_ipc(void)
{
	struct {
		long type;
		char data[3000];
	} *m = take(sizeof(*m));
	struct sembuf *op = take(sizeof(*op));
	int q = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 1, 0600);

	m->type = 5;
	fill(m->data, sizeof(m->data), 10);
	out();
	say(msgsnd(q, m, sizeof(m->data), 0), NULL, 0);
	fill(m->data, sizeof(m->data), 0);
	out();
	say(msgrcv(q, m, sizeof(m->data), 5, 0), m->data, sizeof(m->data));
	*op = (struct sembuf){0, 1, 0};
	out();
	say(semop(s, op, 1), NULL, 0);
	msgctl(q, IPC_RMID, NULL);
	semctl(s, 0, IPC_RMID);
}

#define TOLD(call)                                                             \
	do {                                                                   \
		out();                                                         \
		say((call), NULL, 0);                                          \
	} while (0)

/* What only tells, or is only told. */
static void
t_answers(void)
{
	struct timespec *ts = take(sizeof(*ts));
	struct timeval *tv = take(sizeof(*tv));
	struct itimerval *iv = take(sizeof(*iv));
	struct itimerspec *is = take(sizeof(*is));
	struct sysinfo *si = take(sizeof(*si));
	struct sched_param *sp = take(sizeof(*sp));
	struct statvfs *vfs = take(sizeof(*vfs));
	struct msqid_ds *mq = take(sizeof(*mq));
	struct shmid_ds *shm = take(sizeof(*shm));
	struct sembuf *op = take(sizeof(*op));
	struct rlimit *rl = take(sizeof(*rl));
	struct utimbuf *ut = take(sizeof(*ut));
	uid_t *id = take(3 * sizeof(*id));
	sigset_t *set = take(sizeof(*set));
	unsigned char *vec = take(MEM / PAGE);
	cpu_set_t *cpus = take(sizeof(*cpus));
	char *path = text("%s/answers", dir), *key = text("user.k"),
	     *value = text("value"), *list = take(3000),
	     *node = text("%s/node", dir);
	int fd = open(path, O_CREAT | O_RDWR, 0600), q, s, m, timer;
	timer_t id_of;
	struct sigevent none = {.sigev_notify = SIGEV_NONE};

	MUST(fd >= 0 && (q = msgget(IPC_PRIVATE, 0600)) >= 0 &&
	     (s = semget(IPC_PRIVATE, 1, 0600)) >= 0 &&
	     (m = shmget(IPC_PRIVATE, PAGE, 0600)) >= 0 &&
	     (timer = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 &&
	     timer_create(CLOCK_MONOTONIC, &none, &id_of) == 0);
	TOLD(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, ts));
	TOLD(clock_getres(CLOCK_THREAD_CPUTIME_ID, ts));
	TOLD(gettimeofday(tv, NULL));
	TOLD(getitimer(ITIMER_PROF, iv));
	TOLD(timerfd_gettime(timer, is));
	TOLD(timer_gettime(id_of, is));
	TOLD(sysinfo(si));
	TOLD(getresuid(id, id + 1, id + 2));
	TOLD(getresgid(id, id + 1, id + 2));
	TOLD(sched_getparam(0, sp));
	TOLD(sched_setparam(0, sp));
	TOLD(sched_setscheduler(0, SCHED_OTHER, sp));
	TOLD(sched_rr_get_interval(0, ts));
	MUST(sched_getaffinity(0, sizeof(*cpus), cpus) == 0);
	TOLD(sched_setaffinity(0, sizeof(*cpus), cpus));
	TOLD(sigpending(set));
	TOLD(mincore(mem, MEM, vec));
	TOLD(close(memfd_create(value, 0)));
	TOLD(getdents64(open(dir, O_RDONLY | O_DIRECTORY), list, 3000) > 0);
	*op = (struct sembuf){0, 1, 0};
	*ts = (struct timespec){5, 0};
	TOLD(semtimedop(s, op, 1, ts));
	TOLD(msgctl(q, IPC_STAT, mq));
	TOLD(shmctl(m, IPC_STAT, shm));
	TOLD(prlimit(0, RLIMIT_CORE, NULL, rl));
	TOLD(prlimit(0, RLIMIT_CORE, rl, NULL));
	TOLD(statvfs(path, vfs));
	*ut = (struct utimbuf){1000, 1000};
	TOLD(utime(path, ut));
	TOLD(mknod(node, S_IFREG | 0600, 0));
	TOLD(unlink(node));
	TOLD(setxattr(path, key, value, 5, 0));
	TOLD(lsetxattr(path, key, value, 5, 0));
	TOLD(fsetxattr(fd, key, value, 5, 0));
	TOLD(lgetxattr(path, key, list, 3000));
	TOLD(fgetxattr(fd, key, list, 3000));
	TOLD(listxattr(path, list, 3000));
	TOLD(llistxattr(path, list, 3000));
	TOLD(flistxattr(fd, list, 3000));
	TOLD(removexattr(path, key));
	TOLD(lremovexattr(path, key));
	TOLD(fremovexattr(fd, key));
	TOLD(unlink(path));
	close(fd);
	close(timer);
	timer_delete(id_of);
	msgctl(q, IPC_RMID, NULL);
	semctl(s, 0, IPC_RMID);
	shmctl(m, IPC_RMID, NULL);
}

static void
nothing(int sig)
{
	(void)sig;
}

/* What is told once, or done by then. */
static void
t_once(void)
{
	struct timespec *ts = take(2 * sizeof(*ts));
	struct timeval *tv = take(sizeof(*tv));
	struct itimerspec *is = take(2 * sizeof(*is));
	struct itimerval often = {{0, 50000}, {0, 50000}}, never = {0};
	sigset_t *set = take(sizeof(*set));
	siginfo_t *info = take(sizeof(*info));
	eventfd_t *value = take(sizeof(*value));
	loff_t *off = take(sizeof(*off));
	char *p = take(SIZE);
	unsigned *prio = take(sizeof(*prio));
	struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 5000};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	char queue[64];
	int fd = eventfd(5, 0), to[2];
	timer_t id;
	mqd_t mq;

	snprintf(queue, sizeof(queue), "/uswap-test-%d", getpid());
	mq = mq_open(queue, O_CREAT | O_RDWR, 0600, &attr);
	MUST(mq != (mqd_t)-1 && pipe(to) == 0 &&
	     timer_create(CLOCK_MONOTONIC, &none, &id) == 0);
	mq_unlink(queue);
	TOLD(eventfd_read(fd, value));
	say((long)*value, NULL, 0);

	sigemptyset(set);
	sigaddset(set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, set, NULL) == 0);
	kill(getpid(), SIGUSR1);
	TOLD(sigwaitinfo(set, info));
	say(info->si_signo, NULL, 0);
	kill(getpid(), SIGUSR1);
	*ts = (struct timespec){5, 0};
	TOLD(sigtimedwait(set, info, ts));
	kill(getpid(), SIGUSR1);
	TOLD(sigwait(set, (int *)value));
	say(*(int *)value, NULL, 0);

	signal(SIGALRM, nothing);
	ts[0] = (struct timespec){100, 0};
	setitimer(ITIMER_REAL, &often, NULL);
	TOLD(nanosleep(ts, ts + 1));
	say(ts[1].tv_sec, NULL, 0);
	TOLD(clock_nanosleep(CLOCK_MONOTONIC, 0, ts, ts + 1));
	say(ts[1].tv_sec, NULL, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	*tv = (struct timeval){0, 20000};
	TOLD(select(0, NULL, NULL, NULL, tv));
	say(tv->tv_usec, NULL, 0);

	*is = (struct itimerspec){.it_value = {1000, 0}};
	TOLD(timer_settime(id, 0, is, is + 1));
	say(is[1].it_value.tv_sec, NULL, 0);
	TOLD(timer_settime(id, 0, is, is + 1));
	say(is[1].it_value.tv_sec, NULL, 0);

	*off = 5000;
	TOLD(splice(file, off, to[1], NULL, 3000, 0));
	say(*off, NULL, 0);
	MUST(read(to[0], p, 3000) == 3000);
	say(0, p, 3000);

	fill(p, 5000, 13);
	TOLD(mq_send(mq, p, 5000, 3));
	TOLD(mq_receive(mq, p, 5000, prio));
	say(*prio, p, 5000);
	*ts = (struct timespec){5, 0};
	TOLD(mq_timedsend(mq, p, 6, 4, ts));
	out();
	say(mq_timedreceive(mq, p, 5000, prio, ts), p, 6);
	mq_close(mq);
	timer_delete(id);
	close(fd);
	close(to[0]);
	close(to[1]);
}

/* Half a second, and not two halves, as if it were made again. */
#define PATIENT(call)                                                          \
	do {                                                                   \
		struct timespec a_, b_;                                        \
                                                                               \
		out();                                                         \
		clock_gettime(CLOCK_MONOTONIC, &a_);                           \
		say((call), NULL, 0);                                          \
		clock_gettime(CLOCK_MONOTONIC, &b_);                           \
		say((b_.tv_sec - a_.tv_sec) * 1000 +                           \
			    (b_.tv_nsec - a_.tv_nsec) / 1000000 <              \
			900,                                                   \
		    NULL, 0);                                                  \
	} while (0)

/* Calls that write to what they have read when their time is over. */
static void
t_patience(void)
{
	struct pollfd *p = take(100 * sizeof(*p));
	fd_set *r = take(sizeof(*r));
	struct timespec *ts = take(sizeof(*ts));
	struct timeval *tv = take(sizeof(*tv));
	struct tms *t = take(sizeof(*t));
	int fd[2];

	MUST(pipe(fd) == 0);
	for (int i = 0; i < 100; i++)
		p[i] = (struct pollfd){fd[0], POLLIN, 7};
	FD_ZERO(r);
	FD_SET(fd[0], r);
	*ts = (struct timespec){0, 500000000};
	*tv = (struct timeval){0, 500000};
	PATIENT(poll(p, 10, 500));
	say(p[9].revents, NULL, 0);
	p[9].revents = p[99].revents = 7;
	PATIENT(ppoll(p, 100, ts, NULL));
	say(p[99].revents, NULL, 0);
	PATIENT(pselect(fd[0] + 1, r, NULL, NULL, ts, NULL));
	say(FD_ISSET(fd[0], r), NULL, 0);
	FD_SET(fd[0], r);
	PATIENT(select(fd[0] + 1, r, NULL, NULL, tv));
	say(FD_ISSET(fd[0], r), NULL, 0);
	t->tms_utime = t->tms_stime = -1;
	out();
	say(times(t) > 0, NULL, 0);
	say(t->tms_utime >= 0 && t->tms_stime >= 0, NULL, 0);
	close(fd[0]);
	close(fd[1]);
}

/* A stream has no room for all of the messages: one is cut, and that is said. */
static void
t_cut(void)
{
	int other, n = 0, fd = pair(SOCK_STREAM, &other), room = 45000;
	struct mmsghdr *m = take(8 * sizeof(*m));
	struct iovec *v = take(8 * sizeof(*v));
	char *p = take(SIZE);
	size_t got = 0;
	ssize_t r;
	uint64_t h = 0;

	for (size_t i = 0; i < 8; i++) {
		v[i] = (struct iovec){p + i * 1000, SIZE - i * 1000};
		memset(&m[i], 0, sizeof(m[i]));
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	fill(p, SIZE, 14);
	out();
	n = sendmmsg(fd, m, 8, MSG_DONTWAIT);
	say(n, NULL, 0);
	for (int i = 0; i < n; i++)
		say(m[i].msg_len, NULL, 0);
	close(fd);
	while ((r = read(other, far, SIZE)) > 0) {
		got += (size_t)r;
		h = h * 31 + sum(far, (size_t)r);
	}
	say((long)got, &h, sizeof(h));
	close(other);
}

/* ---- other processes ----------------------------------------------------- */

static void
t_spawn(void)
{
	char **argv = take(4 * sizeof(*argv)), **envp = take(2 * sizeof(*envp));
	char *path = text("/bin/sh");
	int *status = take(sizeof(*status));
	pid_t pid;

	argv[0] = text("sh");
	argv[1] = text("-c");
	argv[2] = text("exit $CODE");
	argv[3] = NULL;
	envp[0] = text("CODE=9");
	envp[1] = NULL;
	out();
	MUST(posix_spawn(&pid, path, NULL, NULL, argv, envp) == 0);
	out();
	MUST(waitpid(pid, status, 0) == pid);
	say(WEXITSTATUS(*status), NULL, 0);
	argv[2] = text("exit 7");
	out();
	pid = vfork();
	if (pid == 0) {
		execv(path, argv);
		_exit(1);
	}
	MUST(pid > 0);
	out();
	MUST(wait4(pid, status, 0, NULL) == pid);
	say(WEXITSTATUS(*status), NULL, 0);
	out();
	pid = vfork();
	if (pid == 0) {
		execl(path, argv[0], argv[1], argv[2], NULL);
		_exit(1);
	}
	MUST(pid > 0 && waitpid(pid, status, 0) == pid);
	say(WEXITSTATUS(*status), NULL, 0);
	out();
	say(system(argv[2]), NULL, 0);
}

/* Files that the C library reads by itself, into memory that it has of malloc. */
static void
t_within(void)
{
	time_t epoch = 0;
	char *blocks[300];
	struct tm tm;

	/* What it gets is memory that has been used, and is out. */
	for (int i = 0; i < 300; i++)
		blocks[i] = memset(malloc(PAGE), 1, PAGE);
	setenv("TZ", "Asia/Tokyo", 1);
	for (int i = 0; i < 300; i++)
		MUST(madvise((void *)((uintptr_t)blocks[i] & ~(PAGE - 1)), PAGE,
			 MADV_PAGEOUT) == 0);
	for (int i = 0; i < 300; i++)
		free(blocks[i]);
	tzset();
	localtime_r(&epoch, &tm);
	say(tm.tm_hour, NULL, 0);
}

/* Made before there is a pager; looks at this process when told. */
static int helper;
static pid_t helper_pid;
struct question {
	bool write;
	char *p;
};

static uint64_t
look_from_outside(bool write, pid_t pid, char *p)
{
	struct iovec to = {far, SIZE}, from = {p, SIZE};

	if (write)
		fill(far, SIZE, 12);
	MUST((write ? process_vm_writev(pid, &to, 1, &from, 1, 0)
		    : process_vm_readv(pid, &to, 1, &from, 1, 0)) ==
	     (ssize_t)SIZE);
	return sum(far, SIZE);
}

static void
serve(int fd)
{
	struct question ask;
	uint64_t answer;

	while (read(fd, &ask, sizeof(ask)) == sizeof(ask)) {
		answer = look_from_outside(ask.write, getppid(), ask.p);
		MUST(write(fd, &answer, sizeof(answer)) == sizeof(answer));
	}
	_exit(0);
}

static void
start_helper(void)
{
	int fd[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	helper_pid = fork();
	MUST(helper_pid >= 0);
	if (helper_pid == 0) {
		close(fd[0]);
		serve(fd[1]);
	}
	close(fd[1]);
	helper = fd[0];
	prctl(PR_SET_PTRACER, helper_pid, 0, 0, 0);
}

static void
t_outside(void)
{
	char *p = take(SIZE);
	uint64_t answer;

	for (int write = 0; write < 2; write++) {
		struct question ask = {write, p};

		fill(p, SIZE, 11);
		out();
		MUST(send(helper, &ask, sizeof(ask), 0) == sizeof(ask));
		MUST(read(helper, &answer, sizeof(answer)) == sizeof(answer));
		say(write, &answer, sizeof(answer));
	}
	say(0, p, SIZE);
}

/* ---- all of them --------------------------------------------------------- */

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
    {"read", t_read},
    {"write", t_write},
    {"vectors", t_vectors},
    {"direct", t_direct},
    {"offsets", t_offsets},
    {"stdio", t_stdio},
    {"names", t_names},
    {"directory", t_directory},
    {"stream", t_stream},
    {"datagram", t_datagram},
    {"large", t_large},
    {"dropped", t_dropped},
    {"meanwhile", t_meanwhile},
    {"messages", t_messages},
    {"pipe", t_pipe},
    {"addresses", t_addresses},
    {"waiting", t_waiting},
    {"events", t_events},
    {"before", t_before},
    {"readonly", t_readonly},
    {"sends", t_sends},
    {"futex", t_futex},
    {"locks", t_locks},
    {"stack", t_stack},
    {"altstack", t_altstack},
    {"masks", t_masks},
    {"numbers", t_numbers},
    {"ipc", t_ipc},
    {"answers", t_answers},
    {"once", t_once},
    {"patience", t_patience},
    {"cut", t_cut},
    {"spawn", t_spawn},
    {"within", t_within},
    {"outside", t_outside},
};

int
main(int argc, char **argv)
{
	char *ballast;

	MUST(argc > 1);
	dir = argv[1];
	reads = argc > 3;
	start_helper();
	file = open(dir, O_TMPFILE | O_RDWR, 0600);
	for (size_t at = 0; at < (size_t)1 << 20; at += sizeof(far)) {
		fill(far, sizeof(far), (unsigned)at >> 10);
		MUST(write(file, far, sizeof(far)) == (ssize_t)sizeof(far));
	}
	mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ballast = malloc(BALLAST);
	MUST(mem != MAP_FAILED && ballast != NULL);
	memset(ballast, 1, BALLAST);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc > 2 && strcmp(argv[2], "all") != 0 &&
		    strcmp(argv[2], tests[i].name) != 0)
			continue;
		name = tests[i].name;
		used = 0;
		tests[i].fn();
		fflush(stdout);
	}
	free(ballast);
	return 0;
}
