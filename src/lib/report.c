/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "lib/ctx.h"
#include "lib/report.h"

/* Where the next piece of text goes, and how long it all is. */
struct out {
	char *buf;
	size_t size;
	size_t len;
};

static void put(struct out *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct out *o, const char *fmt, ...)
{
	size_t room = o->len < o->size ? o->size - o->len : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room > 0 ? o->buf + o->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		o->len += (size_t)n;
}

int
report_json(const struct uswap_stats *st, char *buf, size_t size)
{
	struct out o = {buf, size, 0};
	const char *sep = "{";

#define FIELD(name, unit, text)                                                \
	put(&o, "%s\"" #name "\": %" PRIu64, sep, st->name);                   \
	sep = ", ";
	USWAP_STATS(FIELD)
#undef FIELD
	put(&o, "}");
	return (int)o.len;
}

static void
put_pages(struct out *o, const char *what, uint64_t pages, const char *note)
{
	char size[16];

	put(o, "  %-22s %10" PRIu64 " pages  %8s  %s\n", what, pages,
	    size_text(size, ptoa(pages)), note);
}

int
report_text(const struct uswap_stats *st, char *buf, size_t size)
{
	struct out o = {buf, size, 0};
	char a[16], b[16], c[16], d[16];

	put(&o, "  %-22s %s of %s (now %s)\n", "memory, at most",
	    size_text(a, st->ram_peak), size_text(b, st->ram_budget),
	    size_text(c, st->ram_used));
	put(&o, "  %-22s %s of %s; %s managed\n", "swap in use",
	    size_text(a, st->swap_used), size_text(b, st->swap_total),
	    size_text(d, st->managed));
	put_pages(&o, "read", st->pages_in, "from swap space");
	put_pages(&o, "read ahead", st->pages_ahead, "of these, unasked");
	put_pages(&o, "written", st->pages_out, "to swap space");
	put_pages(&o, "dropped unchanged", st->clean_drops, "without I/O");
	put_pages(&o, "dropped as zeros", st->zero_drops, "without I/O");
	put(&o,
	    "  %-22s %10" PRIu64 " (%" PRIu64 " zero, %" PRIu64
	    " soft, %" PRIu64 " disk)\n",
	    "faults", st->faults, st->faults_zero, st->faults_soft,
	    st->faults_disk);
	put(&o, "  %-22s %.2f s for swap space, %.2f s for memory\n", "waited",
	    (double)st->wait_read_ns / 1e9, (double)st->wait_memory_ns / 1e9);
	if (st->read_errors + st->write_errors > 0)
		put(&o, "  %-22s %" PRIu64 " reading, %" PRIu64 " writing\n",
		    "ERRORS", st->read_errors, st->write_errors);
	if (st->over_budget > 0)
		put_pages(&o, "BEYOND THE BUDGET", st->over_budget,
		    "swap space was full");
	return (int)o.len;
}

void
report_start(const struct uswap *u)
{
	char size[16];

	log_msg(LOG_NOTE,
	    "pager started: %s of memory, %u fault handler%s, pages %s, %s "
	    "file table",
	    size_text(size, ptoa(u->ram_pages)), u->nhandlers,
	    u->nhandlers == 1 ? "" : "s",
	    u->pmap->how[0] == 'm' ? "moved (UFFDIO_MOVE)"
				   : "copied (no UFFDIO_MOVE)",
	    u->private_files ? "private" : "shared");
}
