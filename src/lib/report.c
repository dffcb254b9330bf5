/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "lib/ctx.h"
#include "lib/report.h"

void
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

/*
 * The length of the character of UTF-8 at p, 0 if there is none.  Names of files
 * may be anything; readers of JSON insist.
 */
static unsigned
utf8_len(const unsigned char *p)
{
	unsigned n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

	if (*p < 0xc2 || *p > 0xf4 || (*p == 0xe0 && p[1] < 0xa0) ||
	    (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
	    (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	for (unsigned i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void
put_string(struct out *o, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	put(o, "\"");
	while (*p != '\0') {
		unsigned n = *p >= 0x80 ? utf8_len(p) : 1;

		if (n == 0 || *p < ' ' || *p == 0x7f)
			put(o, "\\u%04x", *p);
		else
			put(o, "%s%.*s", *p == '"' || *p == '\\' ? "\\" : "",
			    (int)n, p);
		p += US_MAX(n, 1);
	}
	put(o, "\"");
}

void
put_stats(struct out *o, const struct uswap_stats *st)
{
	const char *sep = "{";

#define FIELD(name, unit, text)                                                \
	put(o, "%s\"" #name "\": %" PRIu64, sep, st->name);                    \
	sep = ", ";
	USWAP_STATS(FIELD)
#undef FIELD
	put(o, "}");
}

int
report_json(const struct uswap_stats *st, char *buf, size_t size)
{
	struct out o = {buf, size, 0};

	put_stats(&o, st);
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
	    "pager started: %s of memory, %u fault handler%s%s, pages %s, %s "
	    "file table",
	    size_text(size, ptoa(u->ram_pages)), u->nhandlers,
	    u->nhandlers == 1 ? "" : "s",
	    ctx_inline(u) ? " beside inline delivery" : "",
	    u->pmap->how[0] == 'm' ? "moved (UFFDIO_MOVE)"
				   : "copied (no UFFDIO_MOVE)",
	    u->private_files ? "private" : "shared");
}
