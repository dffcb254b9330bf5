/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run: uswap run [OPTIONS] [--] PROGRAM [ARGUMENTS]
 *
 * Checks everything that can be checked, describes the pager in the
 * environment, and becomes the program: the exit status is the program's own
 * because there is nobody else.  The preload library does the rest.
 *
 * Whatever leaves a trace (the swap file, the statistics file) is checked last,
 * and removed again when what follows is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "uswap.h"

#define RAM_MIN ((uint64_t)16 << 20)

const char run_usage[] =
    "usage: uswap run [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
    "\n"
    "Runs the program within a memory budget; what does not fit is kept in swap\n"
    "space of the program's own.  Each process it starts gets the same budget.\n"
    "\n"
    "Options:\n"
    "  --ram SIZE    the budget, at least 16M (default: half of the memory that\n"
    "                is available)\n"
    "  --swap SPEC   swap space; may be given more than once (default: tmp)\n"
    "  --when-full grow|stop|kill\n"
    "                what happens when the budget is used and swap space is full:\n"
    "                grow beyond the budget (the default), wait until there is\n"
    "                space, or end by SIGKILL\n"
    "  --inline      let the threads that touch what is out bring it in, which is\n"
    "                faster and needs nobody's permission; not every program can\n"
    "                live with it: see uswap-run(1)\n"
    "  --stats FILE  write statistics as JSON when the program ends\n"
    "  -v            say what is in force, and a summary when the program ends\n"
    "  -h, --help    show this text\n"
    "\n"
    "SIZE is a number of bytes, or has a suffix K, M, G or T.\n"
    "SPEC is PATH[,size=SIZE][,prio=N] for a file, which is created if it is not\n"
    "there, or a block device; tmp[,size=SIZE][,dir=DIR] for an unlinked file; or\n"
    "nbd://HOST[:PORT]/EXPORT[,size=SIZE][,prio=N][,timeout=SECONDS] for a network\n"
    "block device.  With ,crypt what is written there is encrypted, with a key that\n"
    "nobody knows and that ends with the program.\n"
    "\n"
    "Exit status: the program's own; 125 uswap failed; 126 the program cannot be\n"
    "executed; 127 it was not found.\n";

struct options {
	uint64_t ram;
	char **swap; /* specs, in the order given */
	size_t swaps;
	const char *stats;
	const char *when_full;
	bool inline_faults;
	bool verbose;
};

/* Memory that was asked for. */
static void *
must(void *p)
{
	if (p == NULL)
		fail(EXIT_USWAP, "out of memory");
	return p;
}

static char *must_print(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

static char *
must_print(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return must(text);
}

static void
set(const char *name, const char *value)
{
	if (setenv(name, value, 1) != 0)
		fail(EXIT_USWAP, "out of memory");
}

static uint64_t
parse_ram(const char *text)
{
	uint64_t ram;

	if (!parse_size(text, &ram))
		fail(EXIT_USWAP,
		    "--ram %s is not a size; write for example --ram 512M",
		    text);
	if (ram < RAM_MIN)
		fail(EXIT_USWAP, "--ram %s is too little; give at least 16M",
		    text);
	return ram;
}

static const char *
parse_when_full(const char *text)
{
	if (strcmp(text, "grow") != 0 && strcmp(text, "stop") != 0 &&
	    strcmp(text, "kill") != 0)
		fail(EXIT_USWAP, "--when-full %s: give grow, stop or kill",
		    text);
	return text;
}

static void
add_swap(struct options *o, char *spec)
{
	/* A new line separates the specs in the environment. */
	if (*spec == '\0' || strchr(spec, '\n') != NULL)
		fail(EXIT_USWAP,
		    "--swap needs the name of a file or block device, or tmp; "
		    "see: uswap run --help");
	o->swap = must(realloc(o->swap, (o->swaps + 1) * sizeof(*o->swap)));
	o->swap[o->swaps++] = spec;
}

/* The option as it was typed, for messages: getopt knows only its letter. */
static void __attribute__((noreturn)) bad_option(int c, char **argv, int before)
{
	const char *word = argv[optind - 1];

	if (optopt != 0 && c == '?' && strncmp(argv[before], "--", 2) != 0)
		fail(EXIT_USWAP, "unknown option -%c; see: uswap run --help",
		    optopt);
	if (c == ':')
		fail(EXIT_USWAP, "%s needs a value; see: uswap run --help",
		    word);
	fail(EXIT_USWAP, "unknown option %s; see: uswap run --help",
	    argv[before]);
}

/* Returns the index of the program's name. */
static int
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
	    {"ram", required_argument, NULL, 'r'},
	    {"swap", required_argument, NULL, 's'},
	    {"stats", required_argument, NULL, 'S'},
	    {"when-full", required_argument, NULL, 'f'},
	    {"inline", no_argument, NULL, 'i'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int c, before;

	opterr = 0;
	for (;;) {
		before = optind;
		c = getopt_long(argc, argv, "+:vh", longs, NULL);
		switch (c) {
		case -1:
			return optind;
		case 'r':
			o->ram = parse_ram(optarg);
			break;
		case 's':
			add_swap(o, optarg);
			break;
		case 'S':
			o->stats = optarg;
			break;
		case 'f':
			o->when_full = parse_when_full(optarg);
			break;
		case 'i':
			o->inline_faults = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			fputs(run_usage, stdout);
			exit(fflush(stdout) == 0 ? 0 : EXIT_USWAP);
		default:
			bad_option(c, argv, before);
		}
	}
}

/* ---- traces -------------------------------------------------------------- */

/* Files that were not there before; swap files and the statistics. */
static char **made;
static size_t nmade;

/* exit(3) means that the program was not run: exec does not come here. */
static void
remove_made(void)
{
	while (nmade > 0)
		(void)unlink(made[--nmade]);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* To be removed if the program cannot be run.  Takes the path over. */
static void
note_made(char *path)
{
	made = must(realloc(made, (nmade + 1) * sizeof(*made)));
	if (nmade == 0)
		atexit(remove_made);
	made[nmade++] = path;
}

/* ---- what the program is to find ----------------------------------------- */

/*
 * The program may go elsewhere before anything is opened: the same path, or
 * what begins with one, from the root on.
 */
static char *
absolute(const char *path)
{
	char cwd[PATH_MAX];

	if (path[0] == '/')
		return must_print("%s", path);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		fail(EXIT_USWAP,
		    "cannot tell the current directory: %s; go to another, or "
		    "write the whole path of %s",
		    strerror(errno), path);
	/* "/" ends with the slash already. */
	return must_print("%s/%s", cwd[1] == '\0' ? "" : cwd, path);
}

static const char *
check_stats(const char *file)
{
	char *path = absolute(file);
	bool there = is_there(path);
	int fd;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		fail(EXIT_USWAP,
		    "cannot write the statistics to %s: %s; give another "
		    "--stats file",
		    file, strerror(errno));
	close(fd);
	if (!there)
		note_made(must_print("%s", path));
	return path;
}

static bool
is_tmp(const char *spec)
{
	return strncmp(spec, "tmp", 3) == 0 &&
	       (spec[3] == '\0' || spec[3] == ',');
}

/* nbd://..., nbd+unix://...: nothing here is a file of ours. */
static bool
is_nbd(const char *spec)
{
	return strncmp(spec, "nbd", 3) == 0 &&
	       strncmp(spec + strcspn(spec, ":/,"), "://", 3) == 0;
}

/* PATH,size=1G or tmp,dir=DIR with an absolute path. */
char *
absolute_spec(const char *spec)
{
	const char *dir = strstr(spec, ",dir=");

	if (is_nbd(spec))
		return must_print("%s", spec);
	if (!is_tmp(spec))
		return absolute(spec);
	/* An empty one is the default, which is absolute. */
	if (dir == NULL || dir[5] == ',' || dir[5] == '\0')
		return must_print("%s", spec);
	dir += 5;
	return must_print("%.*s%s", (int)(dir - spec), spec, absolute(dir));
}

/* Fails unless the swap space can be had. */
static void
check_swap(const char *spec)
{
	char *path = must(strndup(spec, strcspn(spec, ",")));
	bool there = is_tmp(spec) || is_nbd(spec) || is_there(path);

	if (uswap_swapon_check(spec) != 0)
		fail(EXIT_USWAP, "%s", uswap_error());
	if (!there)
		note_made(path);
}

/* Checks the swap space and names it in the environment. */
static void
prepare_swap(struct options *o)
{
	static char tmp[] = "tmp";
	const char *joined = "";

	if (o->swaps == 0)
		add_swap(o, tmp);
	for (size_t i = 0; i < o->swaps; i++) {
		const char *spec = absolute_spec(o->swap[i]);

		check_swap(spec);
		joined = must_print("%s%s%s", joined, i > 0 ? "\n" : "", spec);
	}
	set("USWAP_SWAP", joined);
}

/*
 * Who may not have faults of the kernel's answered, and may have those of the
 * program's, is told of both ways on; which is taken is not for us to choose: see
 * docs/decisions/0031-inline-for-everybody.md.
 */
static void
check_permitted(bool inline_faults)
{
	char *why;

	if ((inline_faults ? uswap_probe_inline() : uswap_probe()) == 0)
		return;
	why = must_print("%s", uswap_error());
	if (!inline_faults && uswap_probe_inline() == 0)
		fail(EXIT_USWAP,
		    "%s; without root, use \"uswap run --inline\", which most "
		    "programs can live with: see uswap-run(1)",
		    why);
	fail(EXIT_USWAP, "%s", why);
}

static void
prepare(struct options *o)
{
	const char *list = preload_list(o->inline_faults);
	char number[32];

	check_permitted(o->inline_faults);
	prepare_swap(o);
	if (o->stats != NULL)
		set("USWAP_STATS", check_stats(o->stats));
	else
		unsetenv("USWAP_STATS");
	set("USWAP_WHEN_FULL", o->when_full != NULL ? o->when_full : "grow");
	set("USWAP_INLINE", o->inline_faults ? "1" : "0");
	set("USWAP_VERBOSE", o->verbose ? "1" : "0");
	snprintf(number, sizeof(number), "%llu", (unsigned long long)o->ram);
	set("USWAP_RAM", number);
	/* exec keeps the pid: the program will know that it is the first. */
	snprintf(number, sizeof(number), "%d", (int)getpid());
	set("USWAP_TOP", number);
	set("LD_PRELOAD", list);
}

int
cmd_run(int argc, char **argv)
{
	struct options o = {0};
	int first = parse_options(argc, argv, &o);
	const char *path;

	if (first >= argc)
		fail(EXIT_USWAP,
		    "run needs a program to run; see: uswap run --help");
	path = program_find(argv[first]);
	if (o.ram == 0)
		o.ram = default_ram();
	prepare(&o);
	/* A path has a slash in it: execvp only adds the shell for scripts. */
	execvp(path, argv + first);
	fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT,
	    "cannot run %s: %s; try it without uswap", path, strerror(errno));
}
