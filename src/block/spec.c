/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people type after --swap: PATH[,size=16G][,prio=5].
 *
 * The path ends at the first comma; a path with a comma in it cannot be said,
 * which keeps quoting out of the language.  Every refusal names the piece it
 * is about and what would be accepted instead.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "block/block.h"

#define PRIO_MAX 32767

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
	} keys[] = {{"size=", spec_size}, {"prio=", spec_prio}};
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
	    "\"%.*s\" is not an option of swap space; use size= or prio= "
	    "(a path cannot contain a comma)",
	    (int)US_MIN(len, 64), text);
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
	for (text += len; *text == ','; text += len) {
		text++;
		len = strcspn(text, ",");
		error = spec_option(sp, text, len, &seen, err, errlen);
		if (error != 0)
			return error;
	}
	return 0;
}
