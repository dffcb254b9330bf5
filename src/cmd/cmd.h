/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd: the command `uswap`.  It sees the public header only.
 */
#ifndef USWAP_CMD_H
#define USWAP_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of our own, as of env(1) and timeout(1). */
enum { EXIT_USWAP = 125, EXIT_CANNOT = 126, EXIT_NOT_FOUND = 127 };

/* Prints "uswap: message" on stderr and exits with the code. */
void fail(int code, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* "512M", "1.5G", plain bytes; false when it is not a size. */
bool parse_size(const char *text, uint64_t *ret_bytes);

/* run.c */
extern const char run_usage[];
int cmd_run(int argc, char **argv);

/* program.c */
/*
 * Where execvp(3) would find the program.  Fails with 126 or 127 when it would
 * not, and with 125 when it would but the program cannot be preloaded.
 */
const char *program_find(const char *name);

/* libs.c */
/* The value of LD_PRELOAD for the program; fails when the library is missing. */
const char *preload_list(void);

/* memory.c */
/* The budget when none is given: half of what may be used. */
uint64_t default_ram(void);

#endif
