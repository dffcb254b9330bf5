/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands in for uswap_swapoff and its relatives until they exist.
 * TO BE DELETED, with its lines in include/uswap.h and meson.build.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "lib/ctx.h"

int
uswap_swapoff(uswap_t *u, const char *name, unsigned flags)
{
	(void)u;
	(void)flags;
	return ctx_error(-ENOSYS, "swapoff of %s is not there yet", name);
}

int
uswap_swapoff_stop(uswap_t *u, const char *name)
{
	(void)u;
	(void)name;
	return -ENOENT;
}

int
uswap_devices(uswap_t *u, struct uswap_device *dev, unsigned *n, size_t size)
{
	unsigned room = *n;

	(void)size;
	mtx_lock(&u->pager.lock);
	*n = u->pager.space.ndev;
	for (unsigned i = 0; i < US_MIN(room, *n); i++) {
		struct swdev_info info;

		swspace_info(&u->pager.space, i, &info);
		memset(&dev[i], 0, sizeof(dev[i]));
		strf(dev[i].name, sizeof(dev[i].name), "%s", info.name);
		dev[i].prio = info.prio;
		dev[i].blocks = info.blocks;
		dev[i].used = info.used;
		dev[i].bad = info.bad;
	}
	mtx_unlock(&u->pager.lock);
	return 0;
}
