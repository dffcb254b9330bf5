/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON is taken apart by Jansson, which allocates; here in an arena that is
 * forgotten after each line, because the C library's allocator is the program's.
 * Its hooks are global and have no argument: the arena is a variable of the
 * thread's, and a thread that has none gets no memory.
 *
 * Jansson also goes one call deeper for each bracket, up to 2048 of them; the
 * stacks of the pager's threads are small, and a request is one object.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/log.h"
#include "lib/ctl_request.h"

#define DEPTH_MAX 16

/* ---- lines --------------------------------------------------------------- */

static void
drop_taken(struct ctl_in *in)
{
	memmove(in->buf, in->buf + in->taken, in->n - in->taken);
	in->n -= in->taken;
	in->taken = 0;
}

char *
ctl_in_room(struct ctl_in *in, size_t *ret_room)
{
	drop_taken(in);
	*ret_room = sizeof(in->buf) - in->n;
	return in->buf + in->n;
}

enum ctl_got
ctl_in_line(struct ctl_in *in, char **ret_line, size_t *ret_len)
{
	char *end;

	drop_taken(in);
	end = memchr(in->buf, '\n', in->n);
	if (end == NULL)
		return in->n == sizeof(in->buf) ? CTL_GOT_TOO_LONG
						: CTL_GOT_LESS;
	*end = '\0';
	*ret_line = in->buf;
	*ret_len = (size_t)(end - in->buf);
	in->taken = *ret_len + 1;
	return CTL_GOT_LINE;
}

/* ---- the arena ----------------------------------------------------------- */

static _Thread_local char *arena_at __attribute__((tls_model("initial-exec")));
static _Thread_local size_t arena_left
    __attribute__((tls_model("initial-exec")));

/* What stdin is in the Jansson inside the libraries: see tools/jansson.sh. */
extern FILE *uswap_no_stdin;
FILE *uswap_no_stdin;

static void *
arena_alloc(size_t n)
{
	char *p = arena_at;

	n = (n + 15) & ~(size_t)15;
	if (n == 0 || n > arena_left)
		return NULL;
	arena_at += n;
	arena_left -= n;
	return p;
}

static void
arena_free(void *p)
{
	(void)p;
}

/* A seed of our own: Jansson would read a file for one. */
static void
set_hooks(void)
{
	json_set_alloc_funcs(arena_alloc, arena_free);
	json_object_seed(1);
}

/* ---- requests ------------------------------------------------------------ */

/* The verbs, and the member that each needs. */
static const struct verb {
	const char *name;
	enum ctl_verb verb;
	const char *member;
} verbs[] = {
    {"info", CTL_INFO, NULL},
    {"regions", CTL_REGIONS, NULL},
    {"on", CTL_ON, "spec"},
    {"off", CTL_OFF, "device"},
    {"set", CTL_SET, "key"},
};

static bool
too_deep(const char *line, size_t len)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (c == '"')
			quoted = !quoted;
		else if (c == '\\' && quoted)
			i++;
		else if (!quoted && (c == '{' || c == '['))
			depth++;
		else if (!quoted && (c == '}' || c == ']'))
			depth--;
		if (depth > DEPTH_MAX)
			return true;
	}
	return false;
}

static int
read_value(const json_t *value, const char *name, struct ctl_request *r,
    char *err, size_t errlen)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0) {
		strf(err, errlen,
		    "the request needs a \"%s\", a number of 0 or more", name);
		return -EINVAL;
	}
	r->value = (uint64_t)json_integer_value(value);
	return 0;
}

static int
read_request(const json_t *o, struct ctl_request *r, char *err, size_t errlen)
{
	const char *name = json_string_value(json_object_get(o, "request"));
	const json_t *version = json_object_get(o, "version"), *value;
	const struct verb *v = verbs;
	const char *text;

	if (version != NULL && json_integer_value(version) != 1) {
		strf(err, errlen, "this is version 1 of the protocol");
		return -EINVAL;
	}
	while (name != NULL && v < verbs + nitems(verbs) &&
	       strcmp(v->name, name) != 0)
		v++;
	if (name == NULL || v == verbs + nitems(verbs)) {
		strf(err, errlen,
		    "a request is one of info, regions, on, off and set, as in "
		    "{\"request\": \"info\"}");
		return -EINVAL;
	}
	r->verb = v->verb;
	r->force = json_is_true(json_object_get(o, "force"));
	value = json_object_get(o, v->verb == CTL_SET ? "value" : "from");
	if (v->verb == CTL_REGIONS && value != NULL)
		return read_value(value, "from", r, err, errlen);
	if (v->member == NULL)
		return 0;
	text = json_string_value(json_object_get(o, v->member));
	if (text == NULL || *text == '\0' || strlen(text) >= sizeof(r->text)) {
		strf(err, errlen,
		    "the request \"%s\" needs a \"%s\" of 1 to %zu bytes",
		    v->name, v->member, sizeof(r->text) - 1);
		return -EINVAL;
	}
	strf(r->text, sizeof(r->text), "%s", text);
	return r->verb == CTL_SET ? read_value(value, "value", r, err, errlen)
				  : 0;
}

int
ctl_parse(const char *line, size_t len, void *arena, struct ctl_request *ret,
    char *err, size_t errlen)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	json_error_t why = {.text = "too many brackets"};
	json_t *o = NULL;
	int error = -EINVAL;

	pthread_once(&once, set_hooks);
	memset(ret, 0, sizeof(*ret));
	arena_at = arena;
	arena_left = CTL_ARENA;
	if (!too_deep(line, len))
		o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (o == NULL)
		strf(err, errlen, "this is no request: %s",
		    why.text[0] != '\0' ? why.text : "it is too large");
	else
		error = read_request(o, ret, err, errlen);
	/* Nothing is freed: the whole arena is. */
	arena_left = 0;
	return error;
}
