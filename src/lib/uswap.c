/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public calls: check the arguments, hand over to the clerk.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/herefd.h"
#include "base/log.h"
#include "daemon/policy.h"
#include "lib/config.h"
#include "lib/ctl.h"
#include "lib/ctx.h"
#include "lib/report.h"
#include "lib/sigbus.h"

/* What can be meant: more than the address space, less than wraps around. */
#define LENGTH_MAX ((size_t)1 << 56)

/* ---- opening and closing ------------------------------------------------- */

static int
check_options(const struct uswap_options *opt)
{
	char size[16];

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_SIZE)
		return ctx_error(-ENOSYS,
		    "pages of %ld bytes are not "
		    "supported, only %zu",
		    sysconf(_SC_PAGESIZE), PAGE_SIZE);
	if ((opt->flags &
		~(unsigned)(USWAP_FORCE_COPY | USWAP_VERBOSE | USWAP_QUIET |
			    USWAP_CONTROL | USWAP_FAULT_INLINE)) != 0)
		return ctx_error(-EINVAL, "unknown flags %#x", opt->flags);
	if (opt->when_full > USWAP_FULL_KILL)
		return ctx_error(
		    -EINVAL, "unknown when_full %u", opt->when_full);
	if (opt->handlers > HANDLERS_MAX)
		return ctx_error(-EINVAL, "%u handlers: at most %d are useful",
		    opt->handlers, HANDLERS_MAX);
	if (opt->ram != 0 &&
	    (atop(opt->ram) < RAM_PAGES_MIN || atop(opt->ram) > RAM_PAGES_MAX))
		return ctx_error(-EINVAL,
		    "a budget of %s: give 16M at the least, 2T at most",
		    size_text(size, opt->ram));
	return 0;
}

USWAP_API int
uswap_open(const struct uswap_options *opt, uswap_t **ret)
{
	struct uswap_options o = USWAP_OPTIONS_INIT;
	char err[512];
	struct uswap *u;
	int error;

	if (opt != NULL)
		memcpy(&o, opt, US_MIN(opt->size, sizeof(o)));
	error = check_options(&o);
	if (error != 0)
		return error;
	u = mem_map(sizeof(*u));
	if (u == NULL)
		return ctx_error(-ENOMEM, "no memory for a pager");
	u->opt = o;
	mtx_init(&u->fork_lock, RANK_FORK);
	u->ram_pages = atop(o.ram != 0 ? o.ram : config_default_ram());
	u->ram_pages =
	    US_MIN(US_MAX(u->ram_pages, RAM_PAGES_MIN), RAM_PAGES_MAX);
	kin_init(&u->kin);
	u->first_ram_pages = u->ram_pages;
	u->nhandlers = ctx_inline(u)     ? 1
		       : o.handlers != 0 ? o.handlers
					 : config_default_handlers();
	log_setup(o.flags & USWAP_QUIET ? -1 : 2,
	    o.flags & USWAP_VERBOSE ? LOG_NOTE : LOG_ERROR);
	error = ctx_start(u, err, sizeof(err));
	if (error == 0 && ctx_inline(u)) {
		error = sigbus_begin(u, err, sizeof(err));
		if (error != 0) {
			ctl_stop(u);
			ctx_stop(u);
		}
	}
	if (error != 0) {
		mem_unmap(u, sizeof(*u));
		return ctx_error(error, "%s", err);
	}
	if (o.flags & USWAP_VERBOSE)
		report_start(u);
	*ret = u;
	return 0;
}

USWAP_API int
uswap_close(uswap_t *u)
{
	uint32_t managed;

	if (atomic_load(&u->dead))
		return ctx_error(-ESRCH, "this is a forked child");
	mtx_lock(&u->pager.lock);
	managed = u->pager.map.n;
	mtx_unlock(&u->pager.lock);
	if (managed > 0)
		return ctx_error(-EBUSY,
		    "%u region%s still managed: unmap first", managed,
		    managed == 1 ? " is" : "s are");
	ctl_stop(u);
	if (ctx_inline(u))
		sigbus_end(u);
	ctx_stop(u);
	herefd_sweep();
	mem_unmap(u, sizeof(*u));
	return 0;
}

static int
probe(bool inline_)
{
	char err[512];
	int error = pmap_probe_uffd(inline_, err, sizeof(err));

	if (error != 0)
		return ctx_error(error, "%s", err);
	/* Whether it is permitted comes before whether it makes sense. */
	if (syscall(SYS_io_uring_setup, 0, NULL) < 0 &&
	    (errno == EPERM || errno == ENOSYS)) {
		error = -errno;
		return ctx_error(error, "%s", ctx_start_hint(error));
	}
	return 0;
}

USWAP_API int
uswap_probe(void)
{
	return probe(false);
}

USWAP_API int
uswap_probe_inline(void)
{
	return probe(true);
}

/* ---- swap space ---------------------------------------------------------- */

USWAP_API int
uswap_swapon(uswap_t *u, const char *spec)
{
	struct call c = {.fn = do_swapon};

	if (strlen(spec) >= sizeof(c.text))
		return ctx_error(-EINVAL, "the swap spec is too long");
	strf(c.text, sizeof(c.text), "%s", spec);
	return ctx_call(u, &c);
}

USWAP_API int
uswap_swapon_check(const char *spec)
{
	char err[512];
	int error;

	error = config_check_spec(
	    spec, atop(config_default_ram()), err, sizeof(err));
	return error == 0 ? 0 : ctx_error(error, "%s", err);
}

/* ---- regions ------------------------------------------------------------- */

/*
 * A call for a range: the length is rounded up.  The sentence is set and ret
 * is not 0 when the range cannot be one.
 */
static struct call
range_call(call_fn *fn, const void *addr, size_t length)
{
	struct call c = {.fn = fn, .addr = (uintptr_t)addr};

	if (length == 0 || length > LENGTH_MAX)
		c.ret = ctx_error(-EINVAL, "a length of %zu bytes", length);
	else if ((c.addr & PAGE_MASK) != 0)
		c.ret = ctx_error(-EINVAL,
		    "the address %#zx is not at the start of a page",
		    (size_t)c.addr);
	c.len = round_page(length);
	return c;
}

static int
range_do(uswap_t *u, call_fn *fn, const void *addr, size_t length)
{
	struct call c = range_call(fn, addr, length);

	return c.ret != 0 ? c.ret : ctx_call(u, &c);
}

USWAP_API int
uswap_map(uswap_t *u, size_t length, void **ret)
{
	struct call c = range_call(do_map, NULL, length);

	if (c.ret != 0 || ctx_call(u, &c) != 0)
		return c.ret;
	*ret = (void *)c.out;
	return 0;
}

/* A call with a name in text; ret is not 0 when it cannot be one. */
static struct call
name_call(call_fn *fn, const char *name, size_t length)
{
	struct call c = range_call(fn, NULL, length);

	if (c.ret == 0 && (*name == '\0' || strlen(name) >= USWAP_NAME_MAX))
		c.ret = ctx_error(
		    -EINVAL, "a name has 1 to %d bytes", USWAP_NAME_MAX - 1);
	if (c.ret == 0)
		strf(c.text, sizeof(c.text), "%s", name);
	return c;
}

USWAP_API int
uswap_map_named(uswap_t *u, const char *name, size_t length, void **ret)
{
	struct call c = name_call(do_map_named, name, length);

	if (c.ret != 0 || ctx_call(u, &c) != 0)
		return c.ret;
	*ret = (void *)c.out;
	return 0;
}

USWAP_API int
uswap_unmap_named(uswap_t *u, const char *name)
{
	struct call c = name_call(do_unmap_named, name, 1);

	return c.ret != 0 ? c.ret : ctx_call(u, &c);
}

USWAP_API int
uswap_manage(uswap_t *u, void *addr, size_t length)
{
	return range_do(u, do_manage, addr, length);
}

USWAP_API int
uswap_forget(uswap_t *u, void *addr, size_t length)
{
	return range_do(u, do_forget, addr, length);
}

USWAP_API int
uswap_unmap(uswap_t *u, void *addr, size_t length)
{
	return range_do(u, do_unmap, addr, length);
}

USWAP_API int
uswap_clone(uswap_t *u, void *addr, size_t length, void **ret)
{
	struct call c = range_call(do_clone, addr, length);

	if (c.ret != 0 || ctx_call(u, &c) != 0)
		return c.ret;
	*ret = (void *)c.out;
	return 0;
}

USWAP_API int
uswap_is_managed(uswap_t *u, const void *addr, size_t length)
{
	return range_do(u, do_is_managed, addr, length);
}

/* As mremap(2) has it: both others move, and DONTUNMAP keeps the length. */
static bool
remap_flags_valid(int flags, size_t old_length, size_t new_length)
{
	const int moves = MREMAP_FIXED | MREMAP_DONTUNMAP;

	if ((flags & ~(MREMAP_MAYMOVE | moves)) != 0)
		return false;
	if ((flags & MREMAP_DONTUNMAP) && old_length != new_length)
		return false;
	return (flags & moves) == 0 || (flags & MREMAP_MAYMOVE);
}

USWAP_API int
uswap_remap(uswap_t *u, void *old_addr, size_t old_length, size_t new_length,
    int flags, void *new_addr, void **ret)
{
	struct call c = range_call(do_remap, old_addr, old_length);

	if (c.ret != 0)
		return c.ret;
	if (new_length == 0 || new_length > ptoa(PINDEX_MAX) ||
	    !remap_flags_valid(flags, c.len, round_page(new_length)) ||
	    ((flags & MREMAP_FIXED) && ((uintptr_t)new_addr & PAGE_MASK) != 0))
		return ctx_error(
		    -EINVAL, "mremap: flags %#x, %zu bytes", flags, new_length);
	c.arg[0] = round_page(new_length);
	c.arg[1] = (uintptr_t)flags;
	c.arg[2] = (uintptr_t)new_addr;
	if ((flags & MREMAP_FIXED) && c.arg[2] < c.addr + c.len &&
	    c.addr < c.arg[2] + c.arg[0])
		return ctx_error(-EINVAL, "mremap onto a part of itself");
	if (ctx_call(u, &c) != 0)
		return c.ret;
	*ret = (void *)c.out;
	return 0;
}

/* ---- advice, wiring, residency ------------------------------------------- */

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* Of a page that is on its way, or gone again before it is looked at. */
#define POPULATE_TRIES 1000

/* Not the C library's madvise: that may be the preloaded one. */
static int
populate_there(uintptr_t va, size_t len, int advice)
{
	return syscall(SYS_madvise, va, len, advice) == 0 ? 0 : -errno;
}

/*
 * With inline delivery the kernel says EFAULT of a page that is not there, and the
 * fault is answered here instead.  Any other error is the page's own.
 */
static int
populate(uswap_t *u, uintptr_t va, size_t len, int advice)
{
	int error = populate_there(va, len, advice);

	if (error != -EFAULT || !ctx_inline(u))
		return error;
	for (uintptr_t end = va + len; va < end; va += PAGE_SIZE) {
		unsigned tries = 0;

		while ((error = populate_there(va, PAGE_SIZE, advice)) ==
			   -EFAULT &&
		       tries++ < POPULATE_TRIES)
			sigbus_touch(u, va, advice == MADV_POPULATE_WRITE);
		if (error != 0)
			return error;
	}
	return 0;
}

/*
 * Reading in is left to the calling thread's own faults, in order: they form
 * a stream, whose windows are read ahead.  At most half the budget, or the
 * end would push out the beginning.
 */
static int
willneed(uswap_t *u, struct call *c)
{
	uintptr_t end = c->addr + c->len;
	size_t left = ptoa(u->pager.budget / 2), some;

	c->fn = do_part;
	while (c->addr < end && left > 0) {
		c->len = end - c->addr;
		if (ctx_call(u, c) != 0 || c->out == 0)
			break;
		some = US_MIN(c->arg[0] - c->out, left);
		(void)populate(u, c->out, some, MADV_POPULATE_READ);
		left -= some;
		c->addr = c->out + some;
	}
	return c->ret;
}

USWAP_API int
uswap_advise(uswap_t *u, void *addr, size_t length, enum uswap_advice advice)
{
	struct call c = range_call(do_dontneed, addr, length);

	if (c.ret != 0)
		return c.ret;
	switch (advice) {
	case USWAP_DONTNEED:
		return ctx_call(u, &c);
	case USWAP_WILLNEED:
		return willneed(u, &c);
	}
	return ctx_error(-EINVAL, "unknown advice %d", (int)advice);
}

#define WIRE_TRIES 10000

/* Brings pages in for wiring: false if the program has protected them. */
static bool
bring_in(uswap_t *u, uintptr_t va, size_t len, uintptr_t *ret_readonly)
{
	*ret_readonly = 0;
	if (populate(u, va, len, MADV_POPULATE_WRITE) == 0)
		return true;
	/* One page may be different from the others. */
	if (populate(u, va, PAGE_SIZE, MADV_POPULATE_WRITE) == 0)
		return true;
	*ret_readonly = 1;
	return populate(u, va, PAGE_SIZE, MADV_POPULATE_READ) == 0;
}

/*
 * A page can be wired while it is in the program, which the pager cannot
 * force but the caller can: touch, wire what is there, go on.
 */
USWAP_API int
uswap_wire(uswap_t *u, void *addr, size_t length)
{
	struct call c = range_call(do_wire, addr, length);
	size_t end = c.addr + c.len;
	size_t start = c.addr;
	unsigned stuck = 0;

	while (c.ret == 0 && c.addr < end) {
		size_t some = US_MIN(end - c.addr, ptoa(CLUSTER_MAX));
		bool in = bring_in(u, c.addr, some, &c.arg[0]);

		c.fn = do_wire;
		c.len = some;
		if (ctx_call(u, &c) != 0)
			break;
		c.addr += c.out;
		/* The page may be on its way in or out; but not for ever. */
		stuck = c.out == 0 ? stuck + 1 : 0;
		if (stuck == WIRE_TRIES || (!in && stuck > 0))
			c.ret = ctx_error(-EAGAIN,
			    "the page at %#zx cannot be brought in",
			    (size_t)c.addr);
		c.out = 0;
	}
	if (c.ret != 0 && c.addr + c.out > start) {
		/* All or nothing.  The sentence stays that of the failure. */
		struct call undo = {.fn = do_unwire,
		    .addr = start,
		    .len = c.addr + c.out - start};

		(void)ctx_call(u, &undo);
	}
	return c.ret;
}

USWAP_API int
uswap_unwire(uswap_t *u, void *addr, size_t length)
{
	return range_do(u, do_unwire, addr, length);
}

USWAP_API int
uswap_reserve(uswap_t *u, void *addr, size_t length)
{
	return range_do(u, do_reserve, addr, length);
}

USWAP_API int
uswap_pageout(uswap_t *u, void *addr, size_t length)
{
	return range_do(u, do_pageout, addr, length);
}

USWAP_API int
uswap_residency(uswap_t *u, void *addr, size_t length, unsigned char *vec)
{
	struct call c = range_call(do_residency, addr, length);
	size_t end = c.addr + c.len;

	for (; c.ret == 0 && c.addr < end; c.addr += c.len) {
		c.fn = do_residency;
		c.len = US_MIN(end - c.addr, ptoa(CALL_VEC));
		if (ctx_call(u, &c) != 0)
			break;
		memcpy(vec, c.vec, c.len / PAGE_SIZE);
		vec += c.len / PAGE_SIZE;
	}
	return c.ret;
}

/* ---- statistics ---------------------------------------------------------- */

USWAP_API int
uswap_stats(uswap_t *u, struct uswap_stats *st, size_t size)
{
	struct call c = {.fn = do_stats};

	if (ctx_call(u, &c) != 0)
		return c.ret;
	memset(st, 0, size);
	memcpy(st, &c.stats, US_MIN(size, sizeof(c.stats)));
	return 0;
}

USWAP_API int
uswap_region_stats(uswap_t *u, const void *addr, size_t length,
    struct uswap_region *ret, size_t size)
{
	struct call c = range_call(do_region_stats, addr, length);

	if (c.ret != 0 || ctx_call(u, &c) != 0)
		return c.ret;
	memset(ret, 0, size);
	memcpy(ret, &c.region, US_MIN(size, sizeof(c.region)));
	return 0;
}

USWAP_API int
uswap_report(uswap_t *u, int json, char *buf, size_t size)
{
	struct uswap_stats st;
	int error = uswap_stats(u, &st, sizeof(st));

	if (error != 0)
		return error;
	return json ? report_json(&st, buf, size) : report_text(&st, buf, size);
}
