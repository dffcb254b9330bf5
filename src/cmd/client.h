/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client: speaks to the control sockets of running pagers.
 *
 * Lines of JSON, one request and its answers at a time; the protocol is
 * described in uswap-ctl(1).  Only client.c knows the parser.
 */
#ifndef USWAP_CMD_CLIENT_H
#define USWAP_CMD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- JSON ---------------------------------------------------------------- */

struct json_t; /* an object, or a value in it */

/* The number at path, "stats.ram_used"; 0 if there is none. */
uint64_t json_number(const struct json_t *, const char *path);
/* The text at path; "" if there is none. */
const char *json_text(const struct json_t *, const char *path);
bool json_true_at(const struct json_t *, const char *path);
/* Item i of the list at path, NULL when there are no more. */
const struct json_t *json_item(
    const struct json_t *, const char *path, size_t i);
/* Member i of the object at path: its name; NULL when there are no more. */
const char *json_member(
    const struct json_t *, const char *path, size_t i, uint64_t *ret_value);
/* As a JSON string on stdout. */
void json_print_text(const char *text);

/* ---- the pagers ---------------------------------------------------------- */

/*
 * Calls fn for each process with a pager that this user may control, by pid;
 * removes the sockets of processes that have ended.
 */
void client_each(void (*fn)(pid_t pid, void *arg), void *arg);

/* Connects, or returns -1 and a sentence in err. */
int client_try(pid_t pid, char *err, size_t errlen);
/* Connects to the process named on the command line, or exits. */
int client_open(const char *pid_text, pid_t *ret_pid);

/* ---- requests ------------------------------------------------------------ */

/*
 * Sends {"request": verb, key: text, number_key: number}; NULL keys are left
 * out; number_key "force" is sent as true or false.
 */
bool client_send(int fd, const char *verb, const char *key, const char *text,
    const char *number_key, uint64_t number);
/*
 * The next line, parsed; *ret_line, if wanted, is its text.  NULL: the process
 * has ended, or said nothing for timeout_ms (-1: for ever), or (*ret_again) a
 * signal came and the call may be repeated.
 */
struct json_t *client_receive(
    int fd, int timeout_ms, const char **ret_line, bool *ret_again);
/* One request and its answer, which may be a refusal; NULL: none came. */
struct json_t *client_info(int fd, const char **ret_line);
struct json_t *client_regions(int fd, uint64_t from, const char **ret_line);

#endif
