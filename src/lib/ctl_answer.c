/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the control socket says.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "lib/ctl.h"
#include "lib/report.h"
#include "lib/settings.h"

/* Where the addresses of a program end, whatever its kernel. */
#define ADDRESS_MAX (UINT64_C(1) << 56)

static struct out
begin(struct ctl_client *c)
{
	struct out o = {c->out + c->out_to, CTL_ANSWER - c->out_to, 0};

	put(&o, "{\"version\": 1, ");
	return o;
}

/* Half a line would be worse than none. */
static void
end(struct ctl_client *c, struct out *o)
{
	put(o, "}\n");
	if (o->len < o->size)
		c->out_to += o->len;
	else
		c->last = true;
}

void
ctl_answer(struct ctl_client *c, int error, const char *text)
{
	struct out o = begin(c);

	if (error == 0) {
		put(&o, "\"ok\": true");
	} else {
		put(&o, "\"ok\": false, \"error\": \"%s\", \"text\": ",
		    strerrorname_np(-error));
		put_string(&o, text);
	}
	end(c, &o);
}

/* ---- info ---------------------------------------------------------------- */

static int
put_devices(struct ctl *ctl, struct out *o)
{
	unsigned n = USWAP_DEVICES_MAX;
	int error =
	    uswap_devices(ctl->u, ctl->device, &n, sizeof(struct uswap_device));

	if (error != 0)
		return error;
	put(o, ", \"devices\": [");
	for (unsigned i = 0; i < US_MIN(n, USWAP_DEVICES_MAX); i++) {
		const struct uswap_device *d = &ctl->device[i];

		put(o, "%s{\"device\": ", i > 0 ? ", " : "");
		put_string(o, d->name);
		/* As in the totals: neither the label nor what is bad. */
		put(o,
		    ", \"priority\": %d, \"closing\": %s, \"away\": %s"
		    ", \"crypt\": %s, \"inherited\": %s, \"size\": %" PRIu64
		    ", \"used\": %" PRIu64 ", \"bad\": %" PRIu64
		    ", \"reads\": %" PRIu64 ", \"writes\": %" PRIu64
		    ", \"read_pages\": %" PRIu64 ", \"write_pages\": %" PRIu64
		    ", \"read_errors\": %" PRIu64 ", \"write_errors\": %" PRIu64
		    ", \"slow\": %" PRIu64 "}",
		    d->prio, d->flags & USWAP_DEVICE_CLOSING ? "true" : "false",
		    d->flags & USWAP_DEVICE_AWAY ? "true" : "false",
		    d->flags & USWAP_DEVICE_CRYPT ? "true" : "false",
		    d->flags & USWAP_DEVICE_INHERITED ? "true" : "false",
		    ptoa(d->blocks - d->bad - SWDEV_LABEL), ptoa(d->used),
		    ptoa(d->bad), d->reads, d->writes, d->read_pages,
		    d->write_pages, d->read_errors, d->write_errors, d->slow);
	}
	put(o, "]");
	return 0;
}

static int
put_settings(struct ctl *ctl, struct out *o)
{
	const char *name;

	put(o, ", \"settings\": {");
	for (unsigned i = 0; (name = setting_name(i)) != NULL; i++) {
		uint64_t value;
		int error = uswap_get(ctl->u, name, &value);

		if (error != 0)
			return error;
		put(o, "%s\"%s\": %" PRIu64, i > 0 ? ", " : "", name, value);
	}
	put(o, "}");
	return 0;
}

void
ctl_answer_info(struct ctl *ctl, struct ctl_client *c)
{
	struct out o = begin(c);
	struct uswap_stats st;
	int error;

	error = uswap_stats(ctl->u, &st, sizeof(st));
	if (error == 0) {
		put(&o,
		    "\"ok\": true, \"pid\": %d, \"parent\": %d, \"stats\": ",
		    (int)ctl->pid, (int)ctl->u->parent);
		put_stats(&o, &st);
		error = put_devices(ctl, &o);
	}
	if (error == 0)
		error = put_settings(ctl, &o);
	if (error == 0)
		end(c, &o);
	else
		ctl_answer(c, error, uswap_error());
}

/* ---- regions ------------------------------------------------------------- */

/* In one answer: each has less than a hundredth part of its room. */
#define REGIONS_MAX 100

static void
put_region(struct out *o, const struct uswap_region *r)
{
	put(o, "{\"addr\": %" PRIu64 ", \"length\": %" PRIu64 ", \"name\": ",
	    r->addr, r->length);
	put_string(o, r->name);
#define PUT(name, unit, text) put(o, ", \"" #name "\": %" PRIu64, r->name);
	USWAP_REGION_STATS(PUT)
#undef PUT
	put(o, "}");
}

/* From an address on; if there may be more, "next" says from which. */
void
ctl_answer_regions(struct ctl *ctl, struct ctl_client *c, uint64_t from)
{
	struct out o = begin(c);
	struct uswap_region r;
	unsigned n = 0;

	from = US_MIN(trunc_page(from), ADDRESS_MAX - PAGE_SIZE);
	put(&o, "\"ok\": true, \"regions\": [");
	for (; n < REGIONS_MAX; n++) {
		if (uswap_region_stats(ctl->u, (void *)(uintptr_t)from,
			ADDRESS_MAX - from, &r, sizeof(r)) != 0)
			break;
		if (n > 0)
			put(&o, ", ");
		put_region(&o, &r);
		from = r.addr + r.length;
	}
	put(&o, "]");
	if (n == REGIONS_MAX)
		put(&o, ", \"next\": %" PRIu64, from);
	end(c, &o);
}

/* ---- progress ------------------------------------------------------------ */

void
ctl_answer_progress(struct ctl *ctl, struct ctl_client *c, const char *device)
{
	unsigned n = USWAP_DEVICES_MAX;
	struct out o;

	if (uswap_devices(
		ctl->u, ctl->device, &n, sizeof(struct uswap_device)) != 0)
		return;
	for (unsigned i = 0; i < US_MIN(n, USWAP_DEVICES_MAX); i++) {
		const struct uswap_device *d = &ctl->device[i];

		if ((d->flags & USWAP_DEVICE_CLOSING) == 0 ||
		    strcmp(d->name, device) != 0)
			continue;
		o = begin(c);
		put(&o, "\"progress\": true, \"pages_left\": %" PRIu64,
		    d->used);
		end(c, &o);
		return;
	}
}
