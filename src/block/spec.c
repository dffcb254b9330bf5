/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people type after --swap: PATH[,size=16G][,prio=5][,crypt], or URI and
 * options.
 *
 * The path ends at the first comma; a path with a comma in it cannot be said,
 * which keeps quoting out of the language (a URI says %2C).  Every refusal names the piece it
 * is about and what would be accepted instead.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "block/block.h"

#define PRIO_MAX    32767
#define TIMEOUT_MAX 3600 /* who waits longer for a page has given up */

/* Enough for any sensible value; a longer one is refused by its length. */
#define VALUE_MAX 64

static int
spec_size(struct blkspec *sp, const char *value, char *err, size_t errlen)
{
	uint64_t bytes;
	int error = size_parse(value, &bytes);

	if (error == -EINVAL) {
		strf(err, errlen,
		    "size=%s: not a size; write it as 512M or 16G", value);
		return -EINVAL;
	}
	if (error == -ERANGE || bytes > ptoa(BLKDEV_PAGES_MAX)) {
		strf(err, errlen,
		    "size=%s: too large; one file or device holds up to 15T, "
		    "use several",
		    value);
		return -EINVAL;
	}
	if (bytes < ptoa(BLKDEV_PAGES_MIN)) {
		strf(err, errlen, "size=%s: too small; use 64K or more", value);
		return -EINVAL;
	}
	sp->size = bytes;
	return 0;
}

static int
spec_prio(struct blkspec *sp, const char *value, char *err, size_t errlen)
{
	const char *s;
	int prio = 0;

	for (s = value; *s >= '0' && *s <= '9' && prio <= PRIO_MAX; s++)
		prio = prio * 10 + (*s - '0');
	if (s == value || *s != '\0' || prio > PRIO_MAX) {
		strf(err, errlen,
		    "prio=%s: not a priority; use a number from 0 to %d, "
		    "higher is used first",
		    value, PRIO_MAX);
		return -EINVAL;
	}
	sp->prio = prio;
	return 0;
}

static int
spec_timeout(struct blkspec *sp, const char *value, char *err, size_t errlen)
{
	const char *s;
	unsigned n = 0;

	if (!sp->nbd) {
		strf(err, errlen,
		    "timeout=%s: only an NBD export can have one; leave it out",
		    value);
		return -EINVAL;
	}
	for (s = value; *s >= '0' && *s <= '9' && n <= TIMEOUT_MAX; s++)
		n = n * 10 + (unsigned)(*s - '0');
	if (*s != '\0' || n < 1 || n > TIMEOUT_MAX) {
		strf(err, errlen,
		    "timeout=%s: not a time; use a number of seconds from 1 to "
		    "%d",
		    value, TIMEOUT_MAX);
		return -EINVAL;
	}
	sp->timeout = n;
	return 0;
}

/* Has no value: `crypt` says it all. */
static int
spec_crypt(struct blkspec *sp, const char *value, char *err, size_t errlen)
{
	if (*value != '\0') {
		strf(err, errlen, "crypt has no value; write crypt");
		return -EINVAL;
	}
	sp->crypt = true;
	return 0;
}

/*
 * One "key=value" of len bytes.  The value is copied, to end it with a zero;
 * *seen has a bit for each key that was there.
 */
static int
spec_option(struct blkspec *sp, const char *text, size_t len, unsigned *seen,
    char *err, size_t errlen)
{
	static const struct {
		const char *key;
		int (*set)(struct blkspec *, const char *, char *, size_t);
	} keys[] = {{"size=", spec_size}, {"prio=", spec_prio},
	    {"timeout=", spec_timeout}, {"crypt", spec_crypt}};
	char value[VALUE_MAX];
	size_t i, klen;

	for (i = 0; i < nitems(keys); i++) {
		klen = strlen(keys[i].key);
		if (len < klen || memcmp(text, keys[i].key, klen) != 0)
			continue;
		if ((*seen & 1u << i) != 0) {
			strf(err, errlen, "%.*s is given twice; say it once",
			    (int)klen, text);
			return -EINVAL;
		}
		*seen |= 1u << i;
		text += klen;
		len -= klen;
		if (len >= sizeof(value)) {
			strf(err, errlen,
			    "%s the value has %zu characters; shorten it",
			    keys[i].key, len);
			return -EINVAL;
		}
		memcpy(value, text, len);
		value[len] = '\0';
		return keys[i].set(sp, value, err, errlen);
	}
	strf(err, errlen,
	    "\"%.*s\" is not an option of swap space; use size=, prio=, "
	    "crypt or, for NBD, timeout= (a path cannot contain a comma)",
	    (int)US_MIN(len, 64), text);
	return -EINVAL;
}

/* ---- NBD ----------------------------------------------------------------- */

/* The value of socket= in the query of a URI, or NULL. */
static const char *
uri_socket(const char *uri)
{
	const char *s = strchr(uri, '?');

	for (; s != NULL; s = strchr(s, '&')) {
		s++;
		if (strncmp(s, "socket=", 7) == 0)
			return s + 7;
	}
	return NULL;
}

/*
 * What only this program knows is refused here; the rest of a URI is libnbd's.
 * A path like nbd:x or nbd/x is a file.
 */
static int
spec_uri(struct blkspec *sp, char *err, size_t errlen)
{
	static const char *const schemes[] = {
	    "nbd:", "nbds:", "nbd+unix:", "nbds+unix:"};
	const char *rest = strstr(sp->path, "://"), *sock;
	size_t i;

	if (strncmp(sp->path, "nbd", 3) != 0 || rest == NULL ||
	    strcspn(sp->path, "/") != (size_t)(rest - sp->path) + 1)
		return 0;
	sp->nbd = true;
	for (i = 0; i < nitems(schemes); i++)
		if (strlen(schemes[i]) == (size_t)(rest - sp->path) + 1 &&
		    strncmp(sp->path, schemes[i], strlen(schemes[i])) == 0)
			break;
	rest += 3;
	if (i == nitems(schemes))
		strf(err, errlen,
		    "%.64s: not a kind of NBD known here; write nbd://, "
		    "nbds://, nbd+unix:// or nbds+unix://",
		    sp->path);
	else if (i < 2 && (*rest == '\0' || *rest == '/' || *rest == '?'))
		strf(err, errlen,
		    "%.64s: no host; write nbd://HOST[:PORT]/EXPORT", sp->path);
	else if (i >= 2 && ((sock = uri_socket(rest)) == NULL || *sock != '/'))
		/* Relative to what, when it reconnects? */
		strf(err, errlen,
		    "%.64s: no socket with its whole path; write "
		    "nbd+unix:///EXPORT?socket=/PATH",
		    sp->path);
	else
		return 0;
	return -EINVAL;
}

int
blkspec_parse(const char *text, struct blkspec *sp, char *err, size_t errlen)
{
	size_t len = strcspn(text, ",");
	unsigned seen = 0;
	int error;

	memset(sp, 0, sizeof(*sp));
	if (len == 0) {
		strf(err, errlen,
		    "no path in \"%.64s\"; write PATH[,size=16G][,prio=5]",
		    text);
		return -EINVAL;
	}
	if (len >= sizeof(sp->path)) {
		strf(err, errlen,
		    "the path has %zu bytes, the limit is %zu; use a shorter "
		    "one",
		    len, sizeof(sp->path) - 1);
		return -EINVAL;
	}
	memcpy(sp->path, text, len);
	error = spec_uri(sp, err, errlen);
	if (error != 0)
		return error;
	for (text += len; *text == ','; text += len) {
		text++;
		len = strcspn(text, ",");
		error = spec_option(sp, text, len, &seen, err, errlen);
		if (error != 0)
			return error;
	}
	return 0;
}
