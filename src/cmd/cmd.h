/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd: the command `uswap`.  It sees the public header only.
 */
#ifndef USWAP_CMD_H
#define USWAP_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Exit codes of our own, as of env(1) and timeout(1); and those of the commands
 * that control a process, whose exit code cannot be taken for a program's.
 */
enum { EXIT_USWAP = 125, EXIT_CANNOT = 126, EXIT_NOT_FOUND = 127 };
enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Prints "uswap: message" on stderr and exits with the code. */
void fail(int code, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* The command does not know the word, or (NULL) needs one more.  Exits with 2. */
void bad_usage(const char *command, const char *word) __attribute__((noreturn));
/* All that was to be printed; losing it is a failure.  Returns 0. */
int finish_output(void);

/* "512M", "1.5G", plain bytes; false when it is not a size. */
bool parse_size(const char *text, uint64_t *ret_bytes);
/* The reverse: "3.0G", "256M". */
char *show_size(char text[16], uint64_t bytes);

/* run.c */
extern const char run_usage[];
int cmd_run(int argc, char **argv);
/* A spec with an absolute path, from the root on, for whoever is elsewhere. */
char *absolute_spec(const char *spec);

/* list.c, info.c, control.c */
extern const char list_usage[], info_usage[], on_usage[], off_usage[],
    set_usage[];
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_on(int argc, char **argv);
int cmd_off(int argc, char **argv);
int cmd_set(int argc, char **argv);
/* The command line of a process; "" when it is not to be had. */
void program_of(pid_t pid, char *text, size_t size);

/* program.c */
/*
 * Where execvp(3) would find the program.  Fails with 126 or 127 when it would
 * not, and with 125 when it would but the program cannot be preloaded.
 */
const char *program_find(const char *name);

/* libs.c */
/* The value of LD_PRELOAD for the program; fails when a library is missing. */
const char *preload_list(bool inline_faults);

/* memory.c */
/* The budget when none is given: half of what may be used. */
uint64_t default_ram(void);

#endif
