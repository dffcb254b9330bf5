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
    "       uswap help [COMMAND]\n"
    "       uswap --version\n"
    "\n"
    "Gives a program swap space of its own: it may use more memory than it is\n"
    "given, without root and without the machine's swap.\n"
    "\n"
    "Commands:\n"
    "  run    run a program within a memory budget\n"
    "  help   explain a command\n";

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

/* Text that was asked for goes to stdout; losing it is a failure. */
static int
show(const char *text)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) != 0)
		fail(EXIT_USWAP, "cannot write to the standard output");
	return 0;
}

static int
cmd_help(int argc, char **argv)
{
	if (argc < 2)
		return show(usage);
	if (strcmp(argv[1], "run") == 0)
		return show(run_usage);
	if (strcmp(argv[1], "help") == 0)
		return show("usage: uswap help [COMMAND]\n");
	fail(EXIT_USWAP, "there is no command %s; see: uswap --help", argv[1]);
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		fputs(usage, stderr);
		return EXIT_USWAP;
	}
	if (strcmp(argv[1], "run") == 0)
		return cmd_run(argc - 1, argv + 1);
	if (strcmp(argv[1], "help") == 0)
		return cmd_help(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return show(usage);
	if (strcmp(argv[1], "--version") == 0)
		return show("uswap " USWAP_VERSION "\n");
	fail(EXIT_USWAP, "there is no %s %s; see: uswap --help",
	    argv[1][0] == '-' ? "option" : "command", argv[1]);
}
