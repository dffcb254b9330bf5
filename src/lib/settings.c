/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings: what can be changed while the pager runs.
 *
 * Each is a number under the pager's lock that is looked at anew whenever it
 * matters, so that a change needs no more than storing it.  The ranges are such
 * that the pager cannot be brought to a standstill: page-out always begins
 * before nothing is free, and what is to be free and inactive can be had.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "lib/ctx.h"
#include "lib/settings.h"

/* Page-out has begun before as many faults at once have taken all. */
#define FREE_LOW_MIN 16

static const char *const names[] = {
#define NAME(name, unit, text) #name,
    USWAP_SETTINGS(NAME)
#undef NAME
};

enum setting {
#define INDEX(name, unit, text) SET_##name,
	USWAP_SETTINGS(INDEX)
#undef INDEX
};

const char *
setting_name(unsigned i)
{
	return i < nitems(names) ? names[i] : NULL;
}

/* Where it is, and the least and the most that it may be.  Lock held. */
static uint32_t *
find(struct uswap *u, enum setting i, uint32_t *min, uint32_t *max)
{
	struct pager *pg = &u->pager;

	*min = 1;
	*max = CLUSTER_MAX;
	switch (i) {
	case SET_swap_async_max:
		*max = PAGEOUT_IO;
		return &u->pageout.async_max;
	case SET_free_low:
		*min = FREE_LOW_MIN;
		*max = pg->free_high - 1;
		return &pg->free_low;
	case SET_free_high:
		*min = pg->free_low + 1;
		*max = pg->budget / 4;
		return &pg->free_high;
	case SET_inactive_goal:
		*min = 0;
		*max = pg->budget / 2;
		return &pg->inactive_goal;
	case SET_read_window:
		return &pg->read_window;
	case SET_write_cluster:
		return &pg->write_cluster;
	}
	KASSERT(false, "setting %d", (int)i);
	return NULL;
}

/* arg[0]: which; arg[1]: what it is to be. */
static int
do_set(struct uswap *u, struct call *c)
{
	enum setting i = (enum setting)c->arg[0];
	uint32_t min, max, *at;
	bool fits;

	mtx_lock(&u->pager.lock);
	at = find(u, i, &min, &max);
	fits = c->arg[1] >= min && c->arg[1] <= max;
	if (fits) {
		*at = (uint32_t)c->arg[1];
		u->pager.need_pageout(u); /* to look at it */
	}
	mtx_unlock(&u->pager.lock);
	if (fits)
		return 0;
	strf(c->text, sizeof(c->text),
	    "%s cannot be %ju; at present it may be %u to %u", names[i],
	    (uintmax_t)c->arg[1], min, max);
	return -ERANGE;
}

static int
do_get(struct uswap *u, struct call *c)
{
	uint32_t min, max;

	mtx_lock(&u->pager.lock);
	c->out = *find(u, (enum setting)c->arg[0], &min, &max);
	mtx_unlock(&u->pager.lock);
	return 0;
}

/* A call about the setting; its ret is not 0 when there is none. */
static struct call
call_for(call_fn *fn, const char *name)
{
	struct call c = {.fn = fn};

	for (size_t i = 0; i < nitems(names); i++) {
		c.arg[0] = i;
		if (strcmp(name, names[i]) == 0)
			return c;
	}
	c.ret = ctx_error(-ENOENT,
	    "there is no setting %.64s; see USWAP_SETTINGS in uswap.h", name);
	return c;
}

USWAP_API int
uswap_set(uswap_t *u, const char *name, uint64_t value)
{
	struct call c = call_for(do_set, name);

	c.arg[1] = value;
	return c.ret != 0 ? c.ret : ctx_call(u, &c);
}

USWAP_API int
uswap_get(uswap_t *u, const char *name, uint64_t *ret)
{
	struct call c = call_for(do_get, name);

	if (c.ret != 0 || ctx_call(u, &c) != 0)
		return c.ret;
	*ret = c.out;
	return 0;
}
