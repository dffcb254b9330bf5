/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/config.h"
#include "lib/ctx.h"

/* "tmp" without a size: eight times the budget, or what half the disk gives. */
#define TMP_FACTOR 8

/* ---- memory and handlers ------------------------------------------------ */

/* The number after `key` in a small text file; 0 if it is not there. */
static uint64_t
number_in_file(const char *path, const char *key)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *at;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, key);
	return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

uint64_t
config_default_ram(void)
{
	uint64_t ram = number_in_file("/proc/meminfo", "MemAvailable:") * 1024;
	uint64_t v2 = number_in_file("/sys/fs/cgroup/memory.max", "");
	uint64_t v1 =
	    number_in_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");

	if (v2 != 0)
		ram = US_MIN(ram, v2);
	if (v1 != 0)
		ram = US_MIN(ram, v1);
	return ram / 2 & ~PAGE_MASK;
}

/*
 * All handlers are woken by each fault, so one that is not needed costs.  One
 * takes all waiting faults at once, and waits for none of their reads.
 */
unsigned
config_default_handlers(void)
{
	cpu_set_t may;
	unsigned cpus;

	if (sched_getaffinity(0, sizeof(may), &may) != 0)
		return 1;
	cpus = US_MAX((unsigned)CPU_COUNT(&may), 1);
	return US_MIN(howmany(cpus, CPUS_PER_HANDLER), HANDLERS_MAX);
}

/* ---- temporary swap files ------------------------------------------------ */

/*
 * "tmp[,size=SIZE][,dir=DIR]", taken apart: DIR (empty: the default), and the
 * rest as a spec that blkspec_parse knows.
 */
static bool
is_tmp(const char *spec, char *dir, char *rest, size_t len)
{
	const char *at, *end;

	dir[0] = '\0';
	if (strncmp(spec, "tmp", 3) != 0 || (spec[3] != '\0' && spec[3] != ','))
		return false;
	strf(rest, len, "%s", spec);
	at = strstr(rest, ",dir=");
	if (at != NULL) {
		size_t n;

		end = strchrnul(at + 1, ',');
		n = US_MIN((size_t)(end - at) - 5, len - 1);
		memcpy(dir, at + 5, n);
		dir[n] = '\0';
		memmove(rest + (at - rest), end, strlen(end) + 1);
	}
	return true;
}

static const char *
tmp_dir(const char *dir)
{
	const char *env = getenv("TMPDIR");

	if (dir[0] != '\0')
		return dir;
	return env != NULL && env[0] == '/' ? env : "/var/tmp";
}

static int
no_tmp(int error, const char *dir, char *err, size_t errlen)
{
	strf(err, errlen,
	    "no swap space: %s: %s; name another directory with TMPDIR, or a "
	    "file with --swap",
	    dir, strerrordesc_np(error));
	return -error;
}

/* The largest file this process may have. */
static uint64_t
file_limit(void)
{
	struct rlimit rl;

	return getrlimit(RLIMIT_FSIZE, &rl) == 0 ? rl.rlim_cur : UINT64_MAX;
}

/*
 * Sets the size a temporary file is to have; checks that it can be had, as far
 * as that can be told without making it.
 */
static int
tmp_size(struct blkspec *spec, const char *dir, uint64_t ram_pages, char *err,
    size_t errlen)
{
	uint64_t room, limit = file_limit();
	struct statvfs fs;
	char have[16], want[16];

	if (statvfs(dir, &fs) != 0 || access(dir, W_OK | X_OK) != 0)
		return no_tmp(errno, dir, err, errlen);
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (spec->size == 0) {
		uint64_t size = US_MIN(ptoa(ram_pages) * TMP_FACTOR, room / 2);

		spec->size = US_MIN(size, limit) & ~PAGE_MASK;
	}
	if (spec->size > limit) {
		strf(err, errlen,
		    "no swap space: %s is more than a file may have here; use "
		    "a smaller size= or raise ulimit -f",
		    size_text(want, spec->size));
		return -EFBIG;
	}
	if (spec->size <= room && spec->size >= ptoa(BLKDEV_PAGES_MIN))
		return 0;
	strf(err, errlen,
	    "no swap space: %s has %s free, %s are wanted; name another place "
	    "with --swap or TMPDIR",
	    dir, size_text(have, US_MIN(room, limit)),
	    size_text(want, US_MAX(spec->size, ptoa(BLKDEV_PAGES_MIN))));
	return -ENOSPC;
}

/* ---- specs --------------------------------------------------------------- */

static int
open_tmp(struct blkspec *spec, const char *dir, uint64_t ram_pages,
    struct blkdev **ret, char *err, size_t errlen)
{
	int error = tmp_size(spec, dir, ram_pages, err, errlen);

	if (error == 0 && ret != NULL)
		error = blkdev_open_temp(spec, dir, ret, err, errlen);
	return error;
}

/* What was opened is encrypted if that was asked for. */
static int
opened(const struct blkspec *spec, int error, struct blkdev **ret, char *err,
    size_t errlen)
{
	if (error != 0 || !spec->crypt || ret == NULL)
		return error;
	error = blkdev_encrypt(*ret, err, errlen);
	if (error != 0)
		blkdev_close(*ret);
	return error;
}

static int
open_named(
    const struct blkspec *spec, struct blkdev **ret, char *err, size_t errlen)
{
	if (spec->nbd)
		return blkdev_open_nbd(spec, ret, err, errlen);
	return blkdev_open_file(spec, ret, err, errlen);
}

int
config_open_spec(const char *text, uint64_t ram_pages, struct blkdev **ret,
    int *ret_prio, char *err, size_t errlen)
{
	char dir[1024], rest[1200];
	bool tmp = is_tmp(text, dir, rest, sizeof(rest));
	struct blkspec spec;
	int error;

	error = blkspec_parse(tmp ? rest : text, &spec, err, errlen);
	if (error != 0)
		return error;
	*ret_prio = spec.prio;
	error = tmp ? open_tmp(&spec, tmp_dir(dir), ram_pages, ret, err, errlen)
		    : open_named(&spec, ret, err, errlen);
	return opened(&spec, error, ret, err, errlen);
}

int
config_check_spec(
    const char *text, uint64_t ram_pages, char *err, size_t errlen)
{
	char dir[1024], rest[1200];
	bool tmp = is_tmp(text, dir, rest, sizeof(rest));
	struct blkdev *dev;
	struct blkspec spec;
	int error;

	error = blkspec_parse(tmp ? rest : text, &spec, err, errlen);
	if (error != 0)
		return error;
	if (tmp)
		return open_tmp(
		    &spec, tmp_dir(dir), ram_pages, NULL, err, errlen);
	error = open_named(&spec, &dev, err, errlen);
	error = opened(&spec, error, &dev, err, errlen);
	if (error == 0)
		blkdev_close(dev);
	return error;
}

void
config_swap_dir(const char *text, char *dir, size_t len)
{
	char given[1024], rest[1200], err[256];
	struct blkspec spec;
	struct stat st;
	char *slash;

	dir[0] = '\0';
	if (is_tmp(text, given, rest, sizeof(rest))) {
		strf(dir, len, "%s", tmp_dir(given));
		return;
	}
	if (blkspec_parse(text, &spec, err, sizeof(err)) != 0 || spec.nbd ||
	    stat(spec.path, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	slash = strrchr(spec.path, '/');
	if (slash != NULL)
		slash[slash == spec.path] = '\0';
	strf(dir, len, "%s", slash != NULL ? spec.path : ".");
}
