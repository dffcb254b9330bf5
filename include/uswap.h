/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uswap: memory backed by swap space of the program's own.
 *
 * A context (uswap_t) is one pager: a budget of memory, some swap space, and
 * any number of managed regions.  Touching a managed page works like touching
 * memory; when the budget is used, pages that were not used lately are written
 * to swap space, and come back when they are touched.
 *
 *	uswap_t *u;
 *	struct uswap_options opt = USWAP_OPTIONS_INIT;
 *	void *p;
 *
 *	opt.ram = 256 << 20;
 *	if (uswap_open(&opt, &u) != 0 ||
 *	    uswap_swapon(u, "/var/tmp/a.swap,size=4G") != 0 ||
 *	    uswap_map(u, (size_t)2 << 30, &p) != 0)
 *		errx(1, "%s", uswap_error());
 *	... use p like memory ...
 *	uswap_unmap(u, p, (size_t)2 << 30);
 *	uswap_close(u);
 *
 * Conventions of every call
 *	Errors	Functions return 0, or a negative errno value; uswap_error()
 *		then holds a sentence for people.  Outputs are not touched on
 *		failure.
 *	Units	Sizes and addresses are in bytes.  Addresses must be multiples
 *		of the page size (4096); lengths are rounded up to it.
 *	Threads	Every call may be made from any thread at any time, except
 *		uswap_close, which must be the last on its context.
 *	Signals	No call may be made from a signal handler.
 *	fork	See uswap_fork_begin.
 */
#ifndef USWAP_H
#define USWAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define USWAP_VERSION "0.1.0"

#ifndef USWAP_API
#define USWAP_API __attribute__((visibility("default")))
#endif

typedef struct uswap uswap_t;

/* ---- opening and closing ------------------------------------------------- */

enum {
	/*
	 * Use the path for kernels without UFFDIO_MOVE even where the kernel
	 * has it: pages leave by write-protect, copy and discard.
	 */
	USWAP_FORCE_COPY = 1 << 0,
	/* Say on stderr what is in force at start, and each event of note. */
	USWAP_VERBOSE = 1 << 1,
	/* Say nothing: descriptor 2 is not the stderr.  Outweighs the other. */
	USWAP_QUIET = 1 << 2,
	/*
	 * Make a control socket, which the command `uswap` speaks to: for the
	 * same user and root, in a directory of the user's.  One in a process.
	 * Where it cannot be had the pager starts without.
	 */
	USWAP_CONTROL = 1 << 3,
	/*
	 * Faults are answered by the threads that have them: see below, for
	 * what the program must not do then.
	 */
	USWAP_FAULT_INLINE = 1 << 4,
};

/* What happens when the budget is used and swap space is full. */
enum uswap_when_full {
	/* The budget is exceeded, until there is space again. */
	USWAP_FULL_GROW,
	/* Threads that need memory wait, until uswap_swapon adds space or
	 * others free some. */
	USWAP_FULL_STOP,
	/* The process ends by SIGKILL, as by the kernel's OOM killer. */
	USWAP_FULL_KILL,
};

struct uswap_options {
	size_t size; /* sizeof(struct uswap_options), for later versions */
	/*
	 * The most memory the managed regions, frames and buffers may occupy,
	 * in bytes.  At least 16 MiB.  0: half of what is available now.
	 */
	uint64_t ram;
	unsigned flags; /* USWAP_FORCE_COPY, ... */
	/*
	 * Fault handler threads; 0: one for every 8 CPUs the caller may use.
	 * With USWAP_FAULT_INLINE there is one, whatever is given.  Without
	 * that, one alone that may run on exactly two CPUs has another thread
	 * to keep the other CPU from halting while pages are read in: both show
	 * as busy then.
	 */
	unsigned handlers;
	unsigned when_full; /* USWAP_FULL_GROW, ... */
};
#define USWAP_OPTIONS_INIT                                                     \
	{                                                                      \
		sizeof(struct uswap_options), 0, 0, 0, USWAP_FULL_GROW         \
	}

/*
 * uswap_open(opt, &u): starts a pager: its threads, its userfaultfd and its
 * buffers, but no swap space.  opt may be NULL for the defaults.
 *
 * The pager's descriptors live in a file table of its threads' own: closing
 * descriptors in the program cannot touch them.  The call does not enter the
 * C library's allocator except through pthread_create.
 *
 * Errors: EINVAL an option is out of range; EPERM userfaultfd is not
 * permitted (uswap_error() names the command that permits it); ENOSYS the
 * kernel has no userfaultfd or io_uring; ENOMEM; EAGAIN no threads.
 */
USWAP_API int uswap_open(const struct uswap_options *opt, uswap_t **ret);

/*
 * uswap_close(u): stops the pager and closes its swap space.
 * Errors: EBUSY while a region is still managed: its pages may be in swap
 * space only.  Unmap every region first.
 */
USWAP_API int uswap_close(uswap_t *u);

/*
 * uswap_error(): the sentence belonging to the last call of the calling
 * thread that failed.  Valid until its next call.
 */
USWAP_API const char *uswap_error(void);

/* ---- inline delivery ----------------------------------------------------- */

/*
 * As a rule a thread that touches a page which is not there sleeps in the kernel,
 * and a thread of the pager's answers.  With USWAP_FAULT_INLINE the thread gets a
 * SIGBUS, whose handler, uswap's, brings the page in.  That saves two switches
 * between threads, and asks no permission for userfaultfd; but it can only be used
 * by a program that keeps to this:
 *
 *  - System calls fail with EFAULT where they meet a page that is not in memory,
 *    or would write to one that has only been read since it came in (a system call
 *    takes no SIGBUS).  What is passed to the kernel must not be
 *    managed, or be wired (uswap_wire) from before the call until after it.  That
 *    holds for buffers and names, and also for memory that the C library passes on:
 *    mutexes, condition variables and semaphores that threads wait for; arguments
 *    of posix_spawn; what a debugger reads.
 *  - The kernel writes signal frames to the stack: no stack, alternate signal
 *    stacks included, may be managed.  A fault uses up to 16 KiB of the thread's.
 *  - No thread may block SIGBUS while it touches managed memory, as by sigfillset,
 *    or in a signal handler with it in its sa_mask: the kernel ends the process.
 *    The C library does so when a thread begins, and looks at the locale that
 *    setlocale(3) has allocated: such memory must not be managed either.
 *  - The action for SIGBUS is uswap's from the first uswap_open with this flag on.
 *    A program that wants its own sets it before, or by uswap_sigaction; or it
 *    calls sigaction(2) and passes to the handler it finds there whatever it does
 *    not know.  What is no fault of managed memory goes to that action: with the
 *    same siginfo, mask and, if it is the default, the same end.  So does the
 *    touch of a page that is lost.
 *  - Signals of a thread that waits for memory are delayed by 100 ms at most.
 *  - A duplicate of the pager's userfaultfd and of each swap file are in the
 *    program's file table, from 900 on if its limit permits.  They may be closed;
 *    they are made again.
 *
 * It takes Linux 6.9 (ENOSYS), and at most 8 such contexts are in a process
 * (EAGAIN).
 */

struct sigaction;
/*
 * uswap_sigaction(act, old): sigaction(2) for SIGBUS, beside uswap's handler: what
 * happens to those that are not its own.  Without inline delivery it is
 * sigaction(2) itself.  Returns 0 or -errno.
 */
USWAP_API int uswap_sigaction(
    const struct sigaction *act, struct sigaction *old);

/* ---- swap space ---------------------------------------------------------- */

/*
 * uswap_swapon(u, spec): adds swap space.
 *
 * spec is "PATH[,size=SIZE][,prio=N]".  A file that does not exist is created
 * with mode 0600 and needs a size; an existing one must be empty or a swap
 * file; a block device must carry a swap signature (mkswap).  SIZE takes the
 * suffixes K, M, G, T.  Devices of higher prio (0..32767) are used first,
 * those of equal prio in turn.
 *
 * With ",crypt" what is written is encrypted (AES-256-XTS) with a key that is
 * drawn now and ends with the device: however the program ends, what it leaves
 * there can be read by nobody.  It takes about a microsecond for each page, and
 * up to 4 MiB of buffers beyond the budget.
 *
 * The spec "tmp[,size=SIZE][,dir=DIR]" makes an unlinked file in DIR, else in
 * $TMPDIR or /var/tmp; without a size, of eight times the budget, but of half
 * the free space there at most.  Its name is tmp; of others beside it tmp2, tmp3
 * and so on.
 *
 * The spec "nbd://HOST[:PORT]/EXPORT[,size=SIZE][,prio=N][,timeout=SECONDS]", or
 * "nbd+unix:///EXPORT?socket=PATH...", is an export of a network block device
 * server; "nbds" for TLS.  A server that is away for longer than the timeout (30
 * seconds) makes errors of reads and writes until it is back.
 *
 * Errors: EINVAL bad spec or not a swap file; EBUSY in use by another process;
 * ENOSPC the file system cannot hold it; ELOOP a symbolic link; EACCES, EPERM,
 * ENOENT ... as open(2).
 */
USWAP_API int uswap_swapon(uswap_t *u, const char *spec);

/*
 * uswap_swapon_check(spec): whether uswap_swapon would take the spec now, asked
 * before there is a pager, so that a full disk is met at the start and not in
 * the middle.  Opens the swap space as uswap_swapon does, creating and
 * allocating a named file, and closes it again, leaving the file; a "tmp" spec
 * is only compared with the free space.  Errors: as uswap_swapon.
 */
USWAP_API int uswap_swapon_check(const char *spec);

/*
 * uswap_swapoff(u, name, flags): takes a device out of use while the program
 * runs.  What it holds moves to the other devices, or stays in memory where it
 * is there; then it is closed, and a file is left where it is.  Returns when
 * that is done, which takes about as long as reading the data and writing it
 * again; uswap_devices shows the progress.  Everything else goes on meanwhile,
 * calls of other threads as well: nobody waits for a page that is being moved.
 *
 * name is that of uswap_devices: the path given at swapon, or tmp, tmp2, ...  One
 * device is taken away at a time; a second call waits its turn.  flags is 0 or USWAP_FORCE.  The move takes up to
 * 8 MiB of memory beyond the budget.  Signals reach the calling
 * thread with some delay.
 *
 * On failure the device is in full use again, and nothing is lost.  A page
 * that cannot be read is lost as in a page-in (touching it is SIGBUS), and the
 * move goes on: the other pages are better off elsewhere.
 *
 * Errors: ENOENT no device has that name; EBUSY it is being taken away
 * already; ENOMEM the other devices have less free than this one holds: before
 * anything was moved, but with USWAP_FORCE, or because the space was used up
 * meanwhile; EINTR uswap_swapoff_stop; EIO the device is away and may have its
 * pages when it is back, without USWAP_FORCE; EINVAL unknown flags; EAGAIN all that is
 * left on it is read by forked children; EAGAIN, EMFILE, ENOMEM no thread or buffers
 * for the move.
 */
enum {
	/*
	 * Begin even if the other devices have less free than this one holds:
	 * what is in memory needs no other place at first.  And give up what
	 * cannot be read because the device is away.
	 */
	USWAP_FORCE = 1 << 0,
};
USWAP_API int uswap_swapoff(uswap_t *u, const char *name, unsigned flags);

/*
 * uswap_swapoff_stop(u, name): interrupts uswap_swapoff.  Returns at once; the
 * interrupted call returns -EINTR as soon as the transfers in flight are done,
 * with the device in full use again.  It may also have been about to succeed.
 * Errors: ENOENT no device of that name is being taken away (one that waits its
 * turn is not yet).
 */
USWAP_API int uswap_swapoff_stop(uswap_t *u, const char *name);

/*
 * uswap_set_priority(u, name, prio): changes a device's priority, 0..32767, as
 * if it had been added with it just now.  What is on it stays where it is.
 * Errors: ENOENT no device has that name; EINVAL prio.
 */
USWAP_API int uswap_set_priority(uswap_t *u, const char *name, int prio);

enum {
	USWAP_DEVICE_CLOSING = 1 << 0, /* being taken away: uswap_swapoff */
	/*
	 * All transfers fail: nothing is written to it but a try now and then,
	 * and it is used again when one of them, or a read, succeeds.
	 */
	USWAP_DEVICE_AWAY = 1 << 1,
	USWAP_DEVICE_CRYPT = 1 << 2, /* what is on it is encrypted */
	USWAP_DEVICE_INHERITED = 1 << 3, /* the parent process's, only read */
};

/* Devices that can be in use at once. */
#define USWAP_DEVICES_MAX 32

/* A block is a page (4096 bytes).  Of `blocks`, the first two are a label. */
struct uswap_device {
	/* The path given at swapon; for the spec "tmp" that, or tmp2, tmp3 ... */
	char name[1024];
	int prio;
	unsigned flags; /* USWAP_DEVICE_... */
	uint64_t blocks; /* its size */
	uint64_t used; /* blocks given out; falls while it is closing */
	uint64_t bad; /* blocks retired after an error */
	/* Since it was added: requests, pages transferred, failed requests. */
	uint64_t reads, writes;
	uint64_t read_pages, write_pages;
	uint64_t read_errors, write_errors;
	uint64_t slow; /* requests that took longer than 20 seconds */
};

/*
 * uswap_devices(u, dev, &n, size): describes the devices in use, in the order
 * in which they are used.  *n is how many dev has room for, and becomes how
 * many there are: if that is more, the first were described.  size is
 * sizeof(struct uswap_device) as the caller was compiled.
 */
USWAP_API int uswap_devices(
    uswap_t *u, struct uswap_device *dev, unsigned *n, size_t size);

/* ---- regions ------------------------------------------------------------- */

/*
 * uswap_map(u, length, &addr): maps length bytes of zeros, managed.  Costs
 * address space until touched.  Errors: EINVAL length is 0 or absurd;
 * ENOMEM.
 */
USWAP_API int uswap_map(uswap_t *u, size_t length, void **ret_addr);

/*
 * uswap_map_named(u, name, length, &addr): the region of that name: the first
 * call maps it, as uswap_map does; each further one, from whatever thread,
 * returns the same address, and the region lasts until as many calls of
 * uswap_unmap_named.  So parts of a program that share a name share memory,
 * whoever comes first; after the last has gone the name is free, and the next
 * call finds zeros.  Names belong to the context.
 *
 *	// In each part that needs the table, in any order:
 *	void *table;
 *	if (uswap_map_named(u, "table", (size_t)1 << 30, &table) != 0)
 *		errx(1, "%s", uswap_error());
 *	... use it ...
 *	uswap_unmap_named(u, "table");
 *
 * While it has a name the region stays where it is, whole: uswap_unmap,
 * uswap_forget and uswap_remap of any part of it are EBUSY.
 *
 * Errors: EINVAL the name is empty or longer than USWAP_NAME_MAX - 1 bytes,
 * length is 0 or absurd, or more than the region of that name has (less is no
 * error); ENOSPC there are USWAP_NAMES_MAX names; ENOMEM.
 */
#define USWAP_NAME_MAX  64 /* with its NUL */
#define USWAP_NAMES_MAX 1024
USWAP_API int uswap_map_named(
    uswap_t *u, const char *name, size_t length, void **ret_addr);

/*
 * uswap_unmap_named(u, name): gives one reference back; with the last the
 * region is unmapped.  Errors: ENOENT nothing has that name; EINVAL as above.
 */
USWAP_API int uswap_unmap_named(uswap_t *u, const char *name);

/*
 * uswap_manage(u, addr, length): takes over private anonymous memory that the
 * caller mapped with mmap(2), with its contents.  Pages that are already in
 * memory count against the budget from now on.  The range must not be managed
 * yet.  A small range may become one region with those that it touches.
 * madvise(2) is not for managed memory: the pager uses some of it.
 * Errors: EINVAL not page-aligned, or a part of it is something else: not
 * mapped, shared, a file, huge pages, heap or stack (not checked where there
 * is no /proc); EEXIST a part of it is managed; EBUSY it has a userfaultfd of
 * somebody else's; ENOMEM.
 */
USWAP_API int uswap_manage(uswap_t *u, void *addr, size_t length);

/*
 * uswap_forget(u, addr, length): ends the management of whatever part of the
 * range is managed.  Contents that are not in memory are lost: follow it with
 * munmap(2) or a mapping over it.  uswap_unmap does both.
 * A range without managed parts is no error.
 */
USWAP_API int uswap_forget(uswap_t *u, void *addr, size_t length);

/*
 * uswap_unmap(u, addr, length): uswap_forget, then munmap(2).
 * Errors: EBUSY a part of it has a name (this of uswap_forget, too).
 */
USWAP_API int uswap_unmap(uswap_t *u, void *addr, size_t length);

/*
 * uswap_remap(u, old, old_len, new_len, flags, new_addr, &addr): mremap(2) for
 * managed memory: grows, shrinks or moves it; contents and swap blocks move
 * without I/O.  The old range may be in several regions that the kernel holds for
 * one mapping.  With MREMAP_FIXED it may also be memory that is not managed, and
 * is not afterwards: what was managed in the new place is gone, at once with the
 * move.  flags and new_addr as in mremap(2): 0, MREMAP_MAYMOVE, MREMAP_FIXED,
 * MREMAP_DONTUNMAP.  Nothing has changed when it fails.
 * Errors: EINVAL; EFAULT the old range is managed in part, or is more than one
 * mapping; EBUSY a part of it, or of the new place, has a name; ENOMEM.
 */
USWAP_API int uswap_remap(uswap_t *u, void *old_addr, size_t old_length,
    size_t new_length, int flags, void *new_addr, void **ret_addr);

/*
 * uswap_clone(u, addr, length, &new_addr): a snapshot: a new region with the
 * contents that the range has at one moment during the call.  The two have
 * nothing to do with each other afterwards: each is written, paged and unmapped
 * by itself, in any order.  The range lies inside one managed region.
 *
 *	void *then;
 *	if (uswap_clone(u, table, length, &then) != 0)
 *		errx(1, "%s", uswap_error());
 *	... write `then` to a file, while others go on with table ...
 *	uswap_unmap(u, then, length);
 *
 * Moment: a write that ended before the call is in the clone, one that begins
 * after it is not; of writes by other threads meanwhile, if one is in it, so is
 * every one that ended before that one began.  What a device transfers into the
 * range meanwhile may be in it or not.
 *
 * Cost: nothing is read, and nothing copied.  What is in swap space is shared
 * by both until one of them changes a page; what is in memory and not in swap
 * space is written to it, most of it while the program runs on.  Then threads
 * that touch the region and fault, or write to it, wait while what was changed
 * meanwhile is written.  No memory beyond the budget is used; the pages stay in
 * memory as far as they fit, and the first touch of each is a soft fault.  Other
 * calls on the context wait.
 *
 * Errors: EFAULT the range is not one managed region; EBUSY a page is wired or
 * pinned by a transfer, or the region is reserved (uswap_reserve); ENOSPC swap
 * space cannot hold what is in memory; ENOMEM; EMLINK a page has been cloned 32767
 * times.  All or nothing.
 */
USWAP_API int uswap_clone(
    uswap_t *u, void *addr, size_t length, void **ret_new_addr);

/* uswap_is_managed(u, addr, length): 1 if any page of the range is managed. */
USWAP_API int uswap_is_managed(uswap_t *u, const void *addr, size_t length);

/* ---- advice, wiring, residency ------------------------------------------- */

enum uswap_advice {
	USWAP_DONTNEED, /* drop the contents: the range reads as zeros */
	USWAP_WILLNEED, /* start reading the range in */
};

/*
 * uswap_advise(u, addr, length, advice).  Parts that are not managed are left
 * alone.  USWAP_DONTNEED gives memory and swap blocks back at once.
 */
USWAP_API int uswap_advise(
    uswap_t *u, void *addr, size_t length, enum uswap_advice advice);

/*
 * uswap_wire(u, addr, length): brings the range in and keeps it in memory
 * until as many calls of uswap_unwire.  Errors: ENOMEM part of the range is
 * not managed, or more than half of the budget would be wired; EIO a page
 * could not be read; EAGAIN a page is wired 255 times already, or could not be
 * brought in (the program has protected it).  Nothing is wired then.
 */
USWAP_API int uswap_wire(uswap_t *u, void *addr, size_t length);
USWAP_API int uswap_unwire(uswap_t *u, void *addr, size_t length);

/*
 * uswap_reserve(u, addr, length): assigns swap blocks to every page of the
 * range that has none, and leaves them to it, so that it never meets full swap
 * space.  After a fork that is not so: a block that a child may read is not
 * written to, so a page that is changed needs another as long as the child lives.
 * All or nothing.  Errors: ENOSPC; ENOMEM not managed, or no memory for the
 * pager's tables; EBUSY a part is shared with a clone: unmap either, or have the
 * pages written anew.
 */
USWAP_API int uswap_reserve(uswap_t *u, void *addr, size_t length);

/*
 * uswap_pageout(u, addr, length): writes the range out and frees its memory;
 * returns when that is done.  Wired pages stay.  Errors: ENOSPC: some pages
 * stay in memory, because swap space is full or refuses to be written.
 */
USWAP_API int uswap_pageout(uswap_t *u, void *addr, size_t length);

enum {
	USWAP_MAPPED = 1, /* the program can touch it without a fault */
	USWAP_RESIDENT = 2, /* in memory, mapped or not */
	USWAP_SWAPPED = 4, /* has a swap block */
	USWAP_LOST = 8, /* could not be read: touching it is SIGBUS */
};

/*
 * uswap_residency(u, addr, length, vec): one byte for each page of the range,
 * the sum of the flags above.  Errors: ENOMEM a part is not managed.
 */
USWAP_API int uswap_residency(
    uswap_t *u, void *addr, size_t length, unsigned char *vec);

/* ---- statistics ---------------------------------------------------------- */

/*
 * X(name, unit, description): every number, once.  Names are stable; new ones
 * are added at the end.
 */
#define USWAP_STATS(X)                                                         \
	X(ram_budget, "bytes", "what there is now of the budget given by ram") \
	X(ram_used, "bytes",                                                   \
	    "managed memory in use: mapped pages, frames, "                    \
	    "buffers")                                                         \
	X(ram_peak, "bytes", "the highest ram_used so far")                    \
	X(managed, "bytes", "address space of the managed regions")            \
	X(swap_total, "bytes",                                                 \
	    "swap space that can be allocated, not on a device that is "       \
	    "closing or away")                                                 \
	X(swap_used, "bytes", "swap space in use")                             \
	X(metadata, "bytes", "the pager's own bookkeeping")                    \
	X(pages_active, "pages", "mapped into the program")                    \
	X(pages_inactive, "pages", "in memory, out of the program")            \
	X(pages_wired, "pages", "mapped and not to be paged out")              \
	X(faults, "events", "faults received")                                 \
	X(faults_zero, "events", "faults answered with zeros")                 \
	X(faults_soft, "events", "faults on pages that were still in memory")  \
	X(faults_disk, "events", "faults that read swap space")                \
	X(pages_in, "pages", "read from swap space; not those of pages_moved") \
	X(pages_ahead, "pages", "of these, read before they were asked for")   \
	X(pages_out, "pages",                                                  \
	    "written to swap space; not those of pages_moved")                 \
	X(pages_zero, "pages", "filled with zeros for the program")            \
	X(clean_drops, "pages", "left memory without I/O: unchanged")          \
	X(zero_drops, "pages", "left memory without I/O or block: all zeros")  \
	X(swap_reads, "requests",                                              \
	    "read requests to swap devices, those that move pages, too")       \
	X(swap_writes, "requests",                                             \
	    "write requests to swap devices, those that move pages, too")      \
	X(read_errors, "events", "failed or unverifiable reads")               \
	X(write_errors, "events", "failed writes")                             \
	X(blocks_bad, "blocks", "retired after a write error")                 \
	X(waits_memory, "events", "faults that waited for a free page")        \
	X(wait_memory_ns, "ns", "time faults waited for a free page")          \
	X(wait_read_ns, "ns", "time faults waited for swap space")             \
	X(over_budget, "pages",                                                \
	    "most pages ever held beyond the budget, "                         \
	    "for want of swap space")                                          \
	X(pages_moved, "pages", "moved from a device that was taken away")     \
	X(v_swapin, "requests", "FreeBSD's name: reads begun")                 \
	X(v_swapout, "requests", "FreeBSD's name: writes begun")               \
	X(v_swappgsin, "pages", "FreeBSD's name: pages of reads begun")        \
	X(v_swappgsout, "pages", "FreeBSD's name: pages of writes begun")      \
	X(v_intrans, "events", "FreeBSD's name: faults on pages on their way") \
	X(transfers_slow, "requests", "took longer than 20 seconds")           \
	X(children, "processes", "forked, with a share of the budget")         \
	X(swap_held, "bytes",                                                  \
	    "swap space that children may read, for each of them")

struct uswap_stats {
#define USWAP_STATS_FIELD(name, unit, text) uint64_t name;
	USWAP_STATS(USWAP_STATS_FIELD)
#undef USWAP_STATS_FIELD
};

/*
 * uswap_stats(u, st, size): fills the first size bytes of *st;
 * size is sizeof(struct uswap_stats) as the caller was compiled.
 */
USWAP_API int uswap_stats(uswap_t *u, struct uswap_stats *st, size_t size);

/* The same of a region: X(name, unit, description). */
#define USWAP_REGION_STATS(X)                                                  \
	X(mapped, "pages", "the program can touch them without a fault")       \
	X(resident, "pages", "in memory, mapped or not")                       \
	X(wired, "pages", "mapped and not to be paged out")                    \
	X(swapped, "pages", "in swap space only")                              \
	X(lost, "pages", "could not be read: touching them is SIGBUS")         \
	X(blocks, "blocks", "of swap space: of pages in memory, too")          \
	X(shared, "blocks", "of these, a clone's as well")                     \
	X(reserved, "blocks", "of these, without contents so far")

struct uswap_region {
	uint64_t addr, length; /* the part that is described */
	char name[USWAP_NAME_MAX]; /* uswap_map_named; else "" */
#define USWAP_REGION_FIELD(name, unit, text) uint64_t name;
	USWAP_REGION_STATS(USWAP_REGION_FIELD)
#undef USWAP_REGION_FIELD
	/* Of `blocks`, those on each device, in the order of uswap_devices. */
	uint64_t on[USWAP_DEVICES_MAX];
};

/*
 * uswap_region_stats(u, addr, length, &r, size): counts the pages and blocks of
 * the first managed part of the range, or of it as far as the range goes.  The
 * rest is for the next call:
 *
 *	struct uswap_region r = {0};
 *	uintptr_t at = 0;
 *	uint64_t blocks = 0;
 *	while (uswap_region_stats(u, (void *)at, (size_t)1 << 47, &r,
 *		   sizeof(r)) == 0) {
 *		blocks += r.blocks;
 *		at = r.addr + r.length;
 *	}
 *
 * It looks at every page that was ever touched, some million in a second, and is
 * exact if nothing happens to the region meanwhile.  Pages that read as zeros and
 * take neither memory nor swap space are not counted.  size is
 * sizeof(struct uswap_region) as the caller was compiled.
 *
 * Errors: ENOENT no part of the range is managed; EINVAL the range.
 */
USWAP_API int uswap_region_stats(uswap_t *u, const void *addr, size_t length,
    struct uswap_region *ret, size_t size);

/*
 * uswap_report(u, json, buf, size): the statistics as text: one JSON object
 * with the names above (json != 0), or a summary for people.  Returns the
 * length it needs without the final NUL, as snprintf(3) does.
 */
USWAP_API int uswap_report(uswap_t *u, int json, char *buf, size_t size);

/* ---- settings ------------------------------------------------------------ */

/*
 * X(name, unit, description): what can be changed while the pager runs.  The
 * numbers it starts with suit its budget.
 */
#define USWAP_SETTINGS(X)                                                      \
	X(swap_async_max, "requests", "writes in flight at once, at most")     \
	X(free_low, "pages", "page-out begins when fewer are free")            \
	X(free_high, "pages", "page-out ends when so many are free")           \
	X(inactive_goal, "pages", "kept inactive while page-out works")        \
	X(read_window, "pages", "one read of a stream brings, at most")        \
	X(write_cluster, "pages", "one write takes, at most")

/*
 * uswap_set(u, name, value), uswap_get(u, name, &value): changes or tells one
 * setting.  Errors: ENOENT there is no such setting; ERANGE the value is out of
 * its range, which uswap_error() names: swap_async_max 1..8, read_window and
 * write_cluster 1..256, free_low 16 or more and below free_high, free_high a
 * quarter of the budget at most, inactive_goal a half at most.
 */
USWAP_API int uswap_set(uswap_t *u, const char *name, uint64_t value);
USWAP_API int uswap_get(uswap_t *u, const char *name, uint64_t *ret_value);

/*
 * uswap_control_end(u): removes the control socket's name, as uswap_close does:
 * for a process that ends without closing.  One that is killed leaves the name
 * behind; the next `uswap list` removes it.
 */
USWAP_API void uswap_control_end(uswap_t *u);

/* ---- fork ---------------------------------------------------------------- */

/*
 * A forked child has all that its parent has, and a pager of its own: what is in
 * swap space both may read, and it stays there until both have changed it or are
 * gone.  What the child pages out goes to an unnamed file beside the parent's swap
 * files, made when the first page leaves.  The child has a quarter of the parent's
 * budget, 4 MiB at least, which the parent has back when the child, and each child
 * of its own, has ended or executed another program: see ram_budget.  When the parent
 * ends first, one of its children has what it had, within a second.
 *
 * For that both sides of a fork call
 *
 *	if (uswap_fork_begin(u) != 0)
 *		... there can be no child now
 *	pid = fork();
 *	uswap_fork_end(u, pid == 0);
 *
 * uswap_fork_begin(u): the pager stands still from here on: faults of other threads,
 * and calls, wait.  Between this and uswap_fork_end the calling thread makes no call,
 * and does nothing that waits for another thread; its signals are blocked, but SIGBUS
 * with inline delivery.
 * Errors, and nothing has changed: ENOMEM the budget is too small to be divided;
 * ENOTSUP pages are on a network block device that is away, or whose server does not
 * promise that several connections see the same (multi-conn): the child has one of
 * its own; EAGAIN there are too many children; EMFILE, ENFILE no descriptor.
 *
 * uswap_fork_end(u, in_child): in the parent it returns when the child has what it
 * needs, or does not live; always 0.  In the child it may fail: no thread, no
 * connection, or userfaultfd is not permitted any more.  Then its managed memory is
 * unmapped, as it would hold wrong bytes, the context is dead (calls return -ESRCH),
 * and it is best to end.
 *
 * Of several contexts a child can have one: of the others it has no managed memory, as
 * if it was made without all this.
 *
 * uswap_fork_check(u): whether uswap_fork_begin would fail, and why.
 *
 * A child that is made by the bare system call, or _Fork(3), gets no managed memory
 * once a page has left memory (MADV_DONTFORK): it can see no wrong bytes.  vfork(2)
 * and posix_spawn(3) are not affected.
 */
USWAP_API int uswap_fork_check(uswap_t *u);
USWAP_API int uswap_fork_begin(uswap_t *u);
USWAP_API int uswap_fork_end(uswap_t *u, int in_child);

/*
 * uswap_probe(): whether this process may have a pager: 0, or the error that
 * uswap_open would return, with the sentence in uswap_error().
 */
USWAP_API int uswap_probe(void);
/* The same for USWAP_FAULT_INLINE. */
USWAP_API int uswap_probe_inline(void);

#ifdef __cplusplus
}
#endif

#endif
