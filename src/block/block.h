/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block: devices that store pages, and the queues that carry requests.
 *
 * A *device* (struct blkdev) is opened by a spec and belongs to one engine:
 * io_uring on a file or block device, an export of a network block device
 * server, or the simulated disk.  A *queue* (struct blkq) belongs to one thread,
 * which is the only one that submits to it and reaps from it; any thread may
 * kick it.  A device may be used through any number of queues of its engine's
 * kind, an export through any queue.
 *
 * block.c stands in front of every engine: it asserts state, range, length
 * and alignment of each request and counts it, so engines check nothing.
 *
 * Errors: 0 or a positive errno in blkreq.error when a request completes;
 * a transfer that is short is EIO, never success.  Functions that return int
 * return 0 or -errno.
 */
#ifndef USWAP_BLOCK_H
#define USWAP_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "base/base.h"
#include "base/spin.h"

/* A block of one device, in pages from its start; not a swap block. */
typedef struct {
	uint32_t v;
} devblk_t;

/* The largest device: the limit of devblk_t, 16 TiB less a little. */
#define BLKDEV_PAGES_MAX UINT32_C(0xfffffff0)

/* The smallest file or device worth opening: a label and some room. */
#define BLKDEV_PAGES_MIN 16

enum blk_op { BLK_READ, BLK_WRITE };

struct blkdev;
struct blkq;

/*
 * One transfer of whole pages.  The submitter fills the first group and keeps
 * the request and its memory alive until it is reaped; it does not look at it
 * before, since the queue may have put other memory in the place of its own.
 * The rest must be zero before the first use; a reaped request may be used again
 * as it is.
 */
struct blkreq {
	enum blk_op op;
	struct blkdev *dev;
	devblk_t blk; /* first page on the device */
	uint32_t npages; /* 1..CLUSTER_MAX */
	struct iovec *iov; /* page-aligned, whole pages, npages in sum */
	int niov;
	void *arg; /* the submitter's own */

	int error; /* on completion: 0 or errno */

	/* the queue's own, from submit to reap */
	STAILQ_ENTRY(blkreq) link;
	TAILQ_ENTRY(blkreq) age;
	struct blkq *q; /* NULL when not in flight */
	uint64_t since_ns; /* submitted */
	bool slow; /* it was counted */
	/* sim: when it is due; nbd: when it came */
	uint64_t stamp_ns;
	/* pages done, when a transfer was short; nbd: pages started */
	uint32_t progress;
	/* uring: times the kernel said "again"; nbd: pages done */
	uint32_t retries;
};
STAILQ_HEAD(blkreq_list, blkreq);
TAILQ_HEAD(blkreq_aged, blkreq);

/*
 * A transfer that takes longer is counted, and said on stderr, and again as long
 * as it takes; that much apart for each device.  FreeBSD's limit.
 */
#define BLK_SLOW_NS UINT64_C(20000000000)

/* ---- devices: block.c --------------------------------------------------- */

/*
 * What a person may ask for: "PATH[,size=16G][,prio=5][,crypt]", or with the URI
 * of an NBD export (see blkdev_open_nbd) in the place of the path, and for it also
 * "timeout=30".  Missing size: the size of the file, device or export; missing
 * prio: 0.  crypt is for whoever opens it to obey.
 */
struct blkspec {
	char path[1024]; /* or URI */
	uint64_t size; /* bytes, 0 = as it is */
	int prio; /* 0..32767, higher is used first */
	bool nbd; /* path is a URI */
	bool crypt; /* see blkdev_encrypt */
	unsigned timeout; /* seconds, 0 = the default; only with nbd */
};

/* Parses a spec.  0, or -EINVAL with a sentence in err. */
int blkspec_parse(const char *text, struct blkspec *, char *err, size_t errlen);

/*
 * Opens a file or block device for swapping (engine_uring).
 *
 * A file that does not exist is created with mode 0600; it is never opened
 * through a symbolic link; an existing one is used only if it is a regular
 * file, owned by the caller, and empty or marked as swap (uswap's own mark or
 * mkswap's).  Its space is really allocated.  A block device is used only if
 * it carries such a mark.  Either is locked against a second user.
 * On error nothing that was created remains, and err says what happened, to
 * what, and what to do.
 *
 * -EINVAL not swap / absurd size, -EBUSY in use, -ENOSPC, -ELOOP, -EACCES …
 */
int blkdev_open_file(
    const struct blkspec *, struct blkdev **ret, char *err, size_t errlen);
/*
 * The same on an unlinked temporary file in `dir` (NULL: $TMPDIR or /var/tmp)
 * of spec->size bytes; the path is only a name for messages.
 */
int blkdev_open_temp(const struct blkspec *, const char *dir,
    struct blkdev **ret, char *err, size_t errlen);
/*
 * The same on an export of a network block device server, by its URI:
 *
 *	nbd://HOST[:PORT]/EXPORT	nbd+unix:///EXPORT?socket=PATH
 *	nbds://, nbds+unix://		with TLS, which nbd: takes if it must
 *
 * A process of the device's own, uswap-nbd, connects and stays connected: it
 * reconnects, and sends again what was not answered, for spec->timeout seconds.
 * Then transfers fail (ETIMEDOUT), and new ones at once, until it has come back.
 * No mark is needed on an export, as an export has no other use than the one it
 * is made for; it must be writable, and have blocks of no more than a page.
 * Two devices of one machine cannot have the same URI; nothing guards against
 * another machine, or another name of the export.
 *
 * -EBUSY in use on this machine, -EROFS, -EINVAL not usable, -ENOENT no
 * uswap-nbd; else why there is no connection.
 */
int blkdev_open_nbd(
    const struct blkspec *, struct blkdev **ret, char *err, size_t errlen);
/*
 * From now on what is written is encrypted, with a key that ends with the
 * device.  Nothing may have been written before.  Up to 4 MiB of buffers.
 * -ENOMEM, and as getrandom(2).
 */
int blkdev_encrypt(struct blkdev *, char *err, size_t errlen);
bool blkdev_encrypted(const struct blkdev *);
/*
 * Whether a child forked from now on may read what is on it: it gets the key, if
 * there is one, and else it does not.
 */
void blkdev_share(struct blkdev *, bool share);
/* Why a child could not, and what helps, as a part of a sentence; NULL: it can. */
const char *blkdev_unshared(const struct blkdev *);
/*
 * In a forked child, whose copy of the device is its parent's, on a thread that
 * outlives it: fd, the device's from now on, is what the parent has as blkdev_fd.
 * An export is connected to.  0, or -errno with a sentence in err.
 */
int blkdev_inherit(struct blkdev *, int fd, char *err, size_t errlen);
/* No request may be outstanding. */
void blkdev_close(struct blkdev *);

/*
 * The descriptor that a forked child needs to use the device, and that keeps it
 * locked against others as long as one of them has it.  -1: simulated.
 */
int blkdev_fd(const struct blkdev *);

const char *blkdev_name(const struct blkdev *);
/* Another name, before anybody else knows the device. */
void blkdev_rename(struct blkdev *, const char *name);
uint32_t blkdev_pages(const struct blkdev *);

/*
 * Whether the device is away as a whole and all transfers fail, though it may
 * come back: its blocks are as good as ever.  Any thread.  An engine may know;
 * of every device the guard in front of it finds out: at once by an error that
 * speaks of the device (ENXIO, ENODEV, ENOMEDIUM, ESHUTDOWN, ESTALE), else by 8
 * reads or 8 writes at different blocks that failed one after the other.  The
 * next one that succeeds shows that it is back.
 */
bool blkdev_gone(const struct blkdev *);
/*
 * Whether a device that is away should be tried now, by whoever would pass it
 * over to write elsewhere: rarely, and ever more rarely.
 */
bool blkdev_try(struct blkdev *);

/* Totals since the device was opened; any thread may read them. */
struct blkdev_stats {
	uint64_t reads, writes; /* requests */
	uint64_t read_pages, write_pages;
	uint64_t read_errors, write_errors;
	uint32_t inflight;
	uint64_t reconnects; /* of an export: connections made again */
	uint64_t slow; /* transfers that took longer than BLK_SLOW_NS */
};
void blkdev_stats(const struct blkdev *, struct blkdev_stats *);

/* ---- queues: block.c in front, engine_uring.c or engine_sim.c behind ----- */

/*
 * depth: the most requests outstanding at once; more is a programmer's error.
 * watch_fd: a descriptor whose readability ends blkq_wait, or -1; it stays the
 * caller's and must outlive the queue.  It is level triggered: while it is
 * readable, blkq_wait returns.
 *
 * The queue belongs to the thread that creates it: only that one may submit,
 * flush, poll, wait and destroy (the kernel refuses others, which asserts).
 *
 * -ENOSYS the kernel has no io_uring, or one older than 5.11; -EPERM it is
 * forbidden (kernel.io_uring_disabled, a container's seccomp filter); -ENOMEM
 * and -EMFILE as usual.
 */
int blkq_create_uring(unsigned depth, int watch_fd, struct blkq **ret);
/*
 * A queue for reads by threads of the program's, who have it one at a time: the
 * read is made by the blkq_flush, blkq_poll or blkq_wait that follows its submit,
 * in that thread; the first makes a context of asynchronous I/O in this process, if
 * there is one to be had.  It may come back wrong although the device is well: the program
 * may have closed the descriptor that this takes.
 */
int blkq_create_here(unsigned depth, struct blkq **ret);
/* Whether such a queue can read from the device; if it can be had, it is then. */
bool blkdev_is_here(struct blkdev *);
/* For a forked child, before it reads: its copy of one, which nobody uses. */
void blkq_here_forked(struct blkq *);
/* Nothing outstanding, nobody kicks; nothing of it stays in the kernel. */
void blkq_destroy(struct blkq *);

/*
 * Hands a request over.  Never fails and never completes at once: an error
 * arrives with the completion.  Requests may be passed to the kernel only by
 * the next blkq_flush, blkq_poll or blkq_wait.
 */
void blkq_submit(struct blkq *, struct blkreq *);
void blkq_flush(struct blkq *);

/* Reaps what is complete, without waiting: the next request, or NULL. */
struct blkreq *blkq_poll(struct blkq *);

/*
 * Sleeps until a completion can be reaped, the watched descriptor is
 * readable, the queue is kicked, or timeout_ms (-1: no limit) is over.
 * Returns at once if one of these already holds, and sometimes for no reason:
 * callers loop.  Says on stderr what has been under way for BLK_SLOW_NS.
 */
void blkq_wait(struct blkq *, int timeout_ms);
/*
 * The same, for what is near: waits awake at first (base/spin.h), for the same things.
 * A kick meanwhile costs what it costs when the owner sleeps.  Without a spin, as blkq_wait.
 */
void blkq_wait_awake(struct blkq *, int timeout_ms, struct spin *);
/*
 * Whether the watched descriptor was found not readable when completions were last
 * taken, and blkq_wait will end when it is.  What came since is seen by reading it.
 */
bool blkq_watching(const struct blkq *);
/*
 * Wakes the owner from blkq_wait, now or when it next calls it.  Any thread;
 * what it wrote before is seen by the owner after.  Kicks that find an owner
 * awake or already kicked cost one atomic exchange.
 */
void blkq_kick(struct blkq *);
/*
 * In a forked child: gives back the memory of a queue that was its parent's, with
 * nothing in flight.
 */
void blkq_forget(struct blkq *);
unsigned blkq_inflight(const struct blkq *);
unsigned blkq_depth(const struct blkq *);

/* Verifies the invariants numbered in engine.h; owner only. */
void blkq_check(const struct blkq *);

#endif
