/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main: finds the subcommand.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "uswap.h"

static const char usage[] =
    "usage: uswap run [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
    "       uswap list [--json]\n"
    "       uswap info [-k | -m | -g | -h] [--json] [--regions] [PID]\n"
    "       uswap on PID SPEC\n"
    "       uswap off [-f] PID DEVICE\n"
    "       uswap set PID [KEY=VALUE]...\n"
    "       uswap help [COMMAND]\n"
    "       uswap --version\n"
    "\n"
    "Gives a program swap space of its own: it may use more memory than it is\n"
    "given, without root and without the machine's swap.\n"
    "\n"
    "Commands:\n"
    "  run    run a program within a memory budget\n"
    "  list   list the processes that have a pager\n"
    "  info   show swap space, memory and counters of a running one\n"
    "  on     give it more swap space\n"
    "  off    take swap space from it\n"
    "  set    change its settings\n"
    "  help   explain a command\n";

static const char help_usage[] = "usage: uswap help [COMMAND]\n";

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;
} commands[] = {
    {"run", cmd_run, run_usage},
    {"list", cmd_list, list_usage},
    {"info", cmd_info, info_usage},
    {"on", cmd_on, on_usage},
    {"off", cmd_off, off_usage},
    {"set", cmd_set, set_usage},
    {"help", cmd_help, help_usage},
};

void
fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("uswap: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(code);
}

void
bad_usage(const char *command, const char *word)
{
	if (word != NULL)
		fail(EXIT_USAGE,
		    "%s does not understand %s; see: uswap %s --help", command,
		    word, command);
	fail(EXIT_USAGE,
	    "%s needs the number of a process; see: uswap %s --help", command,
	    command);
}

int
finish_output(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		fail(EXIT_USWAP, "cannot write to the standard output");
	return 0;
}

/* Text that was asked for goes to stdout; losing it is a failure. */
static int
show(const char *text)
{
	fputs(text, stdout);
	return finish_output();
}

static const struct command *
find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int
cmd_help(int argc, char **argv)
{
	const struct command *c = argc < 2 ? NULL : find(argv[1]);

	if (c == NULL && argc > 1)
		fail(EXIT_USWAP, "there is no command %s; see: uswap --help",
		    argv[1]);
	return show(c == NULL ? usage : c->usage);
}

/* run knows more options, and may be followed by a program's. */
static bool
wants_help(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], "run") == 0)
		return false;
	return strcmp(argv[2], "--help") == 0 ||
	       (strcmp(argv[2], "-h") == 0 && strcmp(argv[1], "info") != 0);
}

int
main(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		fputs(usage, stderr);
		return EXIT_USWAP;
	}
	c = find(argv[1]);
	if (c != NULL && wants_help(argc, argv))
		return show(c->usage);
	if (c != NULL)
		return c->run(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return show(usage);
	if (strcmp(argv[1], "--version") == 0)
		return show("uswap " USWAP_VERSION "\n");
	fail(EXIT_USWAP, "there is no %s %s; see: uswap --help",
	    argv[1][0] == '-' ? "option" : "command", argv[1]);
}
