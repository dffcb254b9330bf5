/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * swapfile: what is opened, what is refused with which sentence, and that a
 * refusal leaves everything as it was.
 *
 * Some checks need root (other users, small file systems, loop devices); what
 * could not be tried is counted at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "block/block.h"
#include "block/opening.h"

#include "../support/seed.h"

#define MIB ((uint64_t)1 << 20)

static char dir[64] = "/var/tmp/uswap-test-XXXXXX";
static char err[512];
static unsigned skipped;

static void
not_here(const char *what)
{
	printf("skipped: %s\n", what);
	skipped++;
}

static struct blkspec
spec(const char *name, uint64_t size)
{
	struct blkspec sp = {.size = size};

	if (name[0] == '/')
		strf(sp.path, sizeof(sp.path), "%s", name);
	else
		strf(sp.path, sizeof(sp.path), "%s/%s", dir, name);
	return sp;
}

static struct blkdev *
opens(const char *name, uint64_t size, uint64_t expect)
{
	struct blkspec sp = spec(name, size);
	struct blkdev *dev = NULL;

	strf(err, sizeof(err), "%s", "");
	if (blkdev_open_file(&sp, &dev, err, sizeof(err)) != 0)
		fail_msg("%s refused: %s", sp.path, err);
	assert_int_equal(ptoa(blkdev_pages(dev)), expect);
	assert_string_equal(blkdev_name(dev), sp.path);
	return dev;
}

/* Refused with this error; the sentence names the path and says `about`. */
static void
refuses(const char *name, uint64_t size, int error, const char *about)
{
	struct blkspec sp = spec(name, size);
	struct blkdev *dev = NULL;
	int ret;

	strf(err, sizeof(err), "%s", "");
	ret = blkdev_open_file(&sp, &dev, err, sizeof(err));
	if (ret != -error)
		fail_msg("%s: %d, expected %d: %s", sp.path, ret, -error, err);
	if (strstr(err, sp.path) == NULL || strstr(err, about) == NULL ||
	    strstr(err, "; ") == NULL)
		fail_msg("\"%s\" is not about \"%s\"", err, about);
}

static struct stat
stat_of(const char *name)
{
	struct blkspec sp = spec(name, 0);
	struct stat st;

	if (lstat(sp.path, &st) < 0)
		memset(&st, 0, sizeof(st));
	return st;
}

static bool
exists(const char *name)
{
	return stat_of(name).st_mode != 0;
}

/* A file of this size with bytes at a place. */
static void
make(const char *name, uint64_t size, const char *bytes, uint64_t at)
{
	struct blkspec sp = spec(name, 0);
	int fd = open(sp.path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (bytes != NULL)
		assert_int_equal(
		    pwrite(fd, bytes, strlen(bytes), (off_t)at), strlen(bytes));
	close(fd);
}

static void
get(const char *name, uint64_t at, char *buf, size_t len)
{
	struct blkspec sp = spec(name, 0);
	int fd = open(sp.path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, buf, len, (off_t)at), len);
	close(fd);
}

static void
drop(const char *name)
{
	struct blkspec sp = spec(name, 0);

	assert_int_equal(unlink(sp.path), 0);
}

/* Writes and reads back the last page through a queue. */
static void
works(struct blkdev *dev)
{
	static char page[2][4096] __attribute__((aligned(4096)));
	struct iovec iov[2] = {{page[0], 4096}, {page[1], 4096}};
	struct blkreq w = {.op = BLK_WRITE,
	    .dev = dev,
	    .npages = 1,
	    .iov = &iov[0],
	    .niov = 1};
	struct blkreq r = {
	    .op = BLK_READ, .dev = dev, .npages = 1, .iov = &iov[1], .niov = 1};
	struct blkreq *req[2] = {&w, &r};
	struct blkq *q;
	int i;

	memset(page[0], 0x5a, 4096);
	memset(page[1], 0, 4096);
	w.blk.v = r.blk.v = blkdev_pages(dev) - 1;
	assert_int_equal(blkq_create_uring(2, -1, &q), 0);
	for (i = 0; i < 2; i++) {
		blkq_submit(q, req[i]);
		while (blkq_poll(q) == NULL)
			blkq_wait(q, -1);
		assert_int_equal(req[i]->error, 0);
	}
	assert_memory_equal(page[0], page[1], 4096);
	blkq_destroy(q);
}

/* ---- files that are opened ---------------------------------------------- */

static void
test_created(void **state)
{
	struct blkdev *dev;
	struct stat st;
	char mark[12], second[4096], zero[4096] = {0};
	mode_t mask;

	(void)state;
	mask = umask(0777);
	dev = opens("new", 8 * MIB + 123, 8 * MIB);
	umask(mask);
	st = stat_of("new");
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, 8 * MIB);
	assert_true((uint64_t)st.st_blocks * 512 >= 8 * MIB);
	works(dev);
	get("new", 0, mark, 12);
	assert_memory_equal(mark, "USWAPSPACE1\n", 12);
	get("new", 4096, second, 4096);
	assert_memory_equal(second, zero, 4096);
	blkdev_close(dev);

	/* Again: as it is, a part of it, and grown. */
	blkdev_close(opens("new", 0, 8 * MIB));
	blkdev_close(opens("new", 1 * MIB, 1 * MIB));
	assert_int_equal(stat_of("new").st_size, 8 * MIB);
	dev = opens("new", 12 * MIB, 12 * MIB);
	works(dev);
	st = stat_of("new");
	assert_int_equal(st.st_size, 12 * MIB);
	assert_true((uint64_t)st.st_blocks * 512 >= 12 * MIB);
	blkdev_close(dev);
	drop("new");
}

static void
test_marked(void **state)
{
	struct blkdev *dev;
	char mark[10];

	(void)state;
	/* mkswap's, sparse: its holes are filled, its mark stays. */
	make("linux", 4 * MIB, "SWAPSPACE2", 4096 - 10);
	dev = opens("linux", 0, 4 * MIB);
	assert_true((uint64_t)stat_of("linux").st_blocks * 512 >= 4 * MIB);
	works(dev);
	blkdev_close(dev);
	get("linux", 4096 - 10, mark, 10);
	assert_memory_equal(mark, "SWAPSPACE2", 10);
	drop("linux");

	/* Empty: marked by us. */
	make("empty", 0, NULL, 0);
	blkdev_close(opens("empty", MIB, MIB));
	blkdev_close(opens("empty", 0, MIB));

	/* Readable by others: no longer. */
	assert_int_equal(chmod(spec("empty", 0).path, 0644), 0);
	blkdev_close(opens("empty", 0, MIB));
	assert_int_equal(stat_of("empty").st_mode, S_IFREG | 0600);

	/* The smallest. */
	drop("empty");
	blkdev_close(opens("empty", 65536, 65536));
	drop("empty");
}

static void
test_temp(void **state)
{
	struct blkspec sp = {.path = "temp", .size = 2 * MIB};
	struct blkspec none = {.path = "temp"};
	struct blkdev *dev;

	(void)state;
	assert_int_equal(blkdev_open_temp(&sp, dir, &dev, err, sizeof(err)), 0);
	assert_int_equal(blkdev_pages(dev), atop(2 * MIB));
	assert_string_equal(blkdev_name(dev), "temp");
	works(dev);
	blkdev_close(dev);

	setenv("TMPDIR", dir, 1);
	assert_int_equal(
	    blkdev_open_temp(&sp, NULL, &dev, err, sizeof(err)), 0);
	blkdev_close(dev);
	setenv("TMPDIR", "/nonexistent", 1);
	assert_int_equal(
	    blkdev_open_temp(&sp, NULL, &dev, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent"));
	unsetenv("TMPDIR");
	assert_int_equal(
	    blkdev_open_temp(&none, dir, &dev, err, sizeof(err)), -EINVAL);
	sp.size = ptoa(BLKDEV_PAGES_MAX);
	assert_int_equal(
	    blkdev_open_temp(&sp, dir, &dev, err, sizeof(err)), -ENOSPC);
	/* Nothing was left lying about. */
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
}

/* ---- refusals ----------------------------------------------------------- */

static void
test_kinds(void **state)
{
	(void)state;
	make("target", MIB, "USWAPSPACE1\n", 0);
	assert_int_equal(
	    symlink(spec("target", 0).path, spec("link", 0).path), 0);
	refuses("link", 0, ELOOP, "symbolic link");
	drop("target");
	refuses("link", MIB, ELOOP, "symbolic link");
	assert_false(exists("target")); /* not made through the link */
	drop("link");

	refuses(dir, MIB, EINVAL, "directory");
	assert_int_equal(mkfifo(spec("fifo", 0).path, 0600), 0);
	refuses("fifo", MIB, EINVAL, "neither a file nor");
	drop("fifo");
	refuses("/dev/null", MIB, EINVAL, "neither a file nor");
	refuses("no/such", MIB, ENOENT, "create it first");
	refuses("/proc/uswap", MIB, ENOENT, "");
}

/* Content that is not swap stays, byte for byte. */
static void
test_foreign(void **state)
{
	static const struct {
		uint64_t size;
		const char *bytes;
		uint64_t at;
	} files[] = {
	    {1, "x", 0},
	    {10, "USWAPSPACE", 0},
	    {12, "USWAPSPACE1\n", 0},
	    {MIB, "precious", 0},
	    {MIB, NULL, 0},
	    {MIB, "USWAPSPACE2\n", 0},
	    {MIB, "USWAPSPACE1\n", 1},
	    {MIB, "SWAPSPACE2", 4096 - 11},
	    {MIB, "SWAPSPACE2", 8192 - 10},
	    {MIB, "SWAP-SPACE", 4096 - 10},
	    {MIB, "SWAPSPACE3", 4096 - 10},
	};
	char before[8192], after[8192];
	size_t i, n;

	(void)state;
	for (i = 0; i < nitems(files); i++) {
		make("foreign", files[i].size, files[i].bytes, files[i].at);
		assert_int_equal(chmod(spec("foreign", 0).path, 0644), 0);
		n = US_MIN(files[i].size, sizeof(before));
		get("foreign", 0, before, n);
		refuses("foreign", 2 * MIB, EINVAL, "not swap space");
		get("foreign", 0, after, n);
		assert_memory_equal(before, after, n);
		assert_int_equal(stat_of("foreign").st_size, files[i].size);
		assert_int_equal(stat_of("foreign").st_mode, S_IFREG | 0644);
		drop("foreign");
	}
}

static void
test_sizes(void **state)
{
	struct rlimit old, rl;

	(void)state;
	refuses("none", 0, EINVAL, "needs a size");
	assert_false(exists("none"));
	refuses("none", 4096, EINVAL, "too small");
	assert_false(exists("none"));
	make("small", 32768, "USWAPSPACE1\n", 0);
	refuses("small", 0, EINVAL, "too small");
	drop("small");
	make("empty", 0, NULL, 0);
	refuses("empty", 0, EINVAL, "needs a size");
	assert_int_equal(stat_of("empty").st_size, 0);

	/* No file system here has 15 TiB. */
	refuses("huge", ptoa(BLKDEV_PAGES_MAX), ENOSPC, "free");
	assert_false(exists("huge"));
	refuses("empty", ptoa(BLKDEV_PAGES_MAX), ENOSPC, "free");
	assert_int_equal(stat_of("empty").st_size, 0);
	assert_int_equal(stat_of("empty").st_blocks, 0);
	drop("empty");

	/* ulimit -f: a sentence, not a SIGXFSZ. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	rl = old;
	rl.rlim_cur = 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
	refuses("limit", MIB, EFBIG, "ulimit -f");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_false(exists("limit"));
}

/* More than a device can number: what can be used is, and it is said. */
static void
test_larger(void **state)
{
	struct blkspec sp = {.size = 0};
	struct opening o = {.spec = &sp, .path = "large"};
	char said[256] = "";
	int fd = memfd_create("log", MFD_CLOEXEC);

	(void)state;
	log_setup(fd, LOG_NOTE);
	assert_int_equal(opening_size(&o, ptoa(BLKDEV_PAGES_MAX) + 4095), 0);
	assert_int_equal(o.size, ptoa(BLKDEV_PAGES_MAX));
	assert_int_equal(pread(fd, said, sizeof(said) - 1, 0), 0);
	assert_int_equal(opening_size(&o, (uint64_t)20 << 40), 0);
	assert_int_equal(o.size, ptoa(BLKDEV_PAGES_MAX));
	log_setup(STDERR_FILENO, LOG_NOTE);
	assert_true(pread(fd, said, sizeof(said) - 1, 0) > 0);
	assert_non_null(strstr(said, "large: "));
	assert_non_null(strstr(said, " of 20T are used"));
	close(fd);
}

static void
test_busy(void **state)
{
	struct blkdev *dev = opens("busy", MIB, MIB);

	(void)state;
	refuses("busy", 0, EBUSY, "Device already in use");
	refuses("busy", 2 * MIB, EBUSY, "Device already in use");
	assert_int_equal(stat_of("busy").st_size, MIB);
	works(dev);
	blkdev_close(dev);
	blkdev_close(opens("busy", 0, MIB));
	drop("busy");
}

/* Somebody else's lock that goes a moment later, as that of a ring does. */
static void
test_busy_a_moment(void **state)
{
	struct blkspec sp = spec("busy", 0);
	int pipes[2], status;
	pid_t pid;
	char c;

	(void)state;
	blkdev_close(opens("busy", MIB, MIB));
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(sp.path, O_RDWR);

		if (flock(fd, LOCK_EX) != 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		usleep(50000);
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &c, 1), 1);
	blkdev_close(opens("busy", 0, MIB));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pipes[0]);
	close(pipes[1]);
	drop("busy");
}

/* As nobody: files of others, directories of others. */
static void
test_owner(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		not_here("files of other users (needs root)");
		return;
	}
	make("theirs", MIB, "USWAPSPACE1\n", 0);
	assert_int_equal(chown(spec("theirs", 0).path, 65534, 65534), 0);
	refuses("theirs", 0, EACCES, "belongs to user 65534");
	assert_int_equal(chmod(dir, 0755), 0);
	make("ours", MIB, "USWAPSPACE1\n", 0);
	assert_int_equal(chmod(spec("ours", 0).path, 0600), 0);
	pid = fork();
	if (pid == 0) {
		struct blkspec a = spec("ours", 0), b = spec("new", MIB);
		struct blkdev *dev;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(10);
		if (blkdev_open_file(&a, &dev, err, sizeof(err)) != -EACCES ||
		    strstr(err, "permission denied") == NULL)
			_exit(11);
		if (blkdev_open_file(&b, &dev, err, sizeof(err)) != -EACCES)
			_exit(12);
		a = spec("theirs", 0);
		if (blkdev_open_file(&a, &dev, err, sizeof(err)) != 0)
			_exit(13);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	drop("theirs");
	drop("ours");
}

/* ---- small file systems and block devices (root) ------------------------ */

/* Runs a command quietly; true when it succeeded. */
static bool
run(const char *fmt, const char *a, const char *b)
{
	char cmd[512];

	strf(cmd, sizeof(cmd), fmt, a, b);
	return system(cmd) == 0;
}

/*
 * Asks for every free byte.  Where the file system needs some for itself, that
 * is found out half-way, and what was grown is cut again.
 */
static void
check_last_block(const char *mnt, const char *old, const char *kind)
{
	struct blkspec sp = spec(old, 0);
	struct stat before = stat_of(old), after;
	struct blkdev *dev;
	struct statfs fs;
	int ret;

	assert_int_equal(statfs(mnt, &fs), 0);
	sp.size = (uint64_t)before.st_blocks * 512 +
		  (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize;
	ret = blkdev_open_file(&sp, &dev, err, sizeof(err));
	if (ret == 0) {
		works(dev);
		blkdev_close(dev);
		assert_null(strstr(kind, "ext2"));
		return;
	}
	assert_int_equal(ret, -ENOSPC);
	after = stat_of(old);
	assert_int_equal(after.st_size, before.st_size);
	/* A little for the file system's own notes may stay. */
	assert_in_range(after.st_blocks, 0, before.st_blocks + 64);
}

/*
 * Fills a mounted file system of about 8 MiB: what does not fit leaves nothing
 * behind, what does fit is really there.
 */
static void
check_full(const char *mnt, const char *kind)
{
	char path[128], old[128];
	struct blkdev *dev;
	struct stat st;
	struct blkspec sp;

	strf(path, sizeof(path), "%s/new", mnt);
	strf(old, sizeof(old), "%s/old", mnt);
	refuses(path, 64 * MIB, ENOSPC, "64");
	assert_false(exists(path));
	dev = opens(old, 2 * MIB, 2 * MIB);
	works(dev);
	blkdev_close(dev);
	refuses(old, 64 * MIB, ENOSPC, "free");
	st = stat_of(old);
	assert_int_equal(st.st_size, 2 * MIB);
	assert_true((uint64_t)st.st_blocks * 512 < 3 * MIB);
	sp = spec("temp", 64 * MIB);
	assert_int_equal(
	    blkdev_open_temp(&sp, mnt, &dev, err, sizeof(err)), -ENOSPC);
	sp.size = 2 * MIB;
	if (blkdev_open_temp(&sp, mnt, &dev, err, sizeof(err)) != 0)
		fail_msg("%s: %s", kind, err);
	works(dev);
	blkdev_close(dev);
	/* All of the space is free again but the old file's. */
	blkdev_close(opens(path, 3 * MIB, 3 * MIB));
	assert_true((uint64_t)stat_of(path).st_blocks * 512 >= 3 * MIB - 8192);
	drop(path);
	check_last_block(mnt, old, kind);
}

static void
test_full(void **state)
{
	static const struct {
		const char *kind, *mount;
	} fs[] = {
	    {"tmpfs", "mount -t tmpfs -o size=8m none %s"},
	    {"ext4", "truncate -s 8M %2$s && mkfs.ext4 -q -O ^has_journal "
		     "%2$s && mount -o loop %2$s %1$s"},
	    {"ext2 (no fallocate)",
		"truncate -s 8M %2$s && mkfs.ext2 -q %2$s && "
		"mount -t ext2 -o loop %2$s %1$s"},
	};
	char mnt[96], img[96], cmd[512];
	size_t i;

	(void)state;
	strf(mnt, sizeof(mnt), "%s/mnt", dir);
	strf(img, sizeof(img), "%s.img", dir);
	assert_int_equal(mkdir(mnt, 0700), 0);
	for (i = 0; i < nitems(fs); i++) {
		strf(cmd, sizeof(cmd), "(%s) >/dev/null 2>&1", fs[i].mount);
		if (geteuid() != 0 || !run(cmd, mnt, img)) {
			not_here(fs[i].kind);
			unlink(img);
			continue;
		}
		check_full(mnt, fs[i].kind);
		assert_true(run("umount %s", mnt, ""));
		unlink(img);
	}
	assert_int_equal(rmdir(mnt), 0);
}

static void
test_device(void **state)
{
	char img[96], loop[64] = "", cmd[256];
	struct blkdev *dev;
	FILE *f;
	int fd;

	(void)state;
	strf(img, sizeof(img), "%s/img", dir);
	make("img", 4 * MIB, NULL, 0);
	strf(cmd, sizeof(cmd), "losetup -f --show %s 2>/dev/null", img);
	f = geteuid() == 0 ? popen(cmd, "r") : NULL;
	if (f == NULL || fgets(loop, sizeof(loop), f) == NULL)
		not_here("block devices (no loop device)");
	if (f != NULL)
		pclose(f);
	loop[strcspn(loop, "\n")] = '\0';
	if (loop[0] != '\0') {
		refuses(loop, 0, EINVAL, "run: mkswap");
		assert_true(run("mkswap %s >/dev/null 2>&1", loop, ""));
		refuses(loop, 8 * MIB, EINVAL, "has 4");
		blkdev_close(opens(loop, MIB, MIB));
		dev = opens(loop, 0, 4 * MIB);
		works(dev);
		refuses(loop, 0, EBUSY, "Device already in use");
		blkdev_close(dev);
		fd = open(loop, O_RDONLY | O_EXCL | O_CLOEXEC); /* a mount */
		refuses(loop, 0, EBUSY, "Device already in use");
		close(fd);
		blkdev_close(opens(loop, 0, 4 * MIB));
		assert_true(run("losetup -d %s", loop, ""));
	}
	drop("img");
}

/* A file that the kernel swaps to is not ours. */
static void
test_kernel_swap(void **state)
{
	struct blkspec sp = spec("swap", 4 * MIB);
	struct blkdev *dev;
	const char *path;
	int ret;

	(void)state;
	blkdev_close(opens("swap", 4 * MIB, 4 * MIB));
	path = sp.path;
	/* swapon wants no holes and no unwritten pieces. */
	if (geteuid() != 0 ||
	    !run("dd if=/dev/zero of=%s bs=1M count=4 conv=fsync,notrunc "
		 ">/dev/null 2>&1 && mkswap %1$s >/dev/null 2>&1 && "
		 "swapon -p 0 %1$s 2>/dev/null",
		path, "")) {
		not_here("a file in use by the kernel (swapon refused)");
	} else {
		/* Off again before anything can fail. */
		ret = blkdev_open_file(&sp, &dev, err, sizeof(err));
		assert_true(run("swapoff %s", path, ""));
		assert_int_equal(ret, -EBUSY);
		assert_non_null(strstr(err, "Device already in use"));
		blkdev_close(opens("swap", 0, 4 * MIB));
	}
	drop("swap");
}

/* A test that failed half-way leaves its mounts and loop devices to this. */
static int
clean_up(void **state)
{
	(void)state;
	(void)run(
	    "umount -q %s/mnt; losetup -j %1$s/img -O NAME -n 2>/dev/null "
	    "| xargs -r losetup -d; rm -rf %1$s %1$s.img",
	    dir, "");
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_created),
	    cmocka_unit_test(test_marked),
	    cmocka_unit_test(test_temp),
	    cmocka_unit_test(test_kinds),
	    cmocka_unit_test(test_foreign),
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_larger),
	    cmocka_unit_test(test_busy),
	    cmocka_unit_test(test_busy_a_moment),
	    cmocka_unit_test(test_owner),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_device),
	    cmocka_unit_test(test_kernel_swap),
	};
	int failed;

	if (mkdtemp(dir) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, clean_up);
	printf("%u parts skipped\n", skipped);
	return failed;
}
