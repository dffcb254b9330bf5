/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd: the process uswap-nbd, which has the connections to one export.
 *
 * One thread, one loop: everything here is its own, times are in nanoseconds.
 * It knows requests as pieces (nbd_wire.h): a piece is *queued* until it is
 * sent on a connection, *sent* until the server answers; when the connection
 * breaks first it is queued again.  Reading twice, or writing the same bytes
 * twice, does no harm.
 */
#ifndef USWAP_NBD_H
#define USWAP_NBD_H

#include <libnbd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/nbd_wire.h"

/*
 * To a server that keeps several connections consistent (multi-conn).  More
 * than a few bring nothing: a server has a thread for each, or many for one.
 */
#define CONNS_MAX 4

#define SEC       UINT64_C(1000000000)
#define MSEC      UINT64_C(1000000)
/* A pause between two attempts to connect while there is no connection. */
#define RETRY_NS (200 * MSEC)
/* The same for one that is not needed so much. */
#define RETRY_MORE_NS (10 * SEC)
/* So long may one attempt take. */
#define CONNECT_NS (10 * SEC)

struct conn;

struct piece {
	enum { P_FREE, P_QUEUED, P_SENT } state;
	struct conn *conn; /* P_SENT */
	unsigned unanswered; /* connections given up while they had it */
	uint64_t seq; /* those that came first are sent first */
	struct nbdw m; /* what was asked */
};

struct conn {
	struct nbd_handle *h; /* NULL: none */
	enum { C_DOWN, C_CONNECTING, C_READY } state;
	uint64_t since; /* of the state; C_READY: of its last answer */
	unsigned sent;
	bool broken; /* to be closed: the server wants to end */
};

struct nbd {
	const char *uri;
	uint64_t timeout;
	int tls; /* -1: as the URI says */
	char *mem;
	uint64_t size; /* of the export, when it was opened */
	uint32_t max; /* bytes of a request, at most */
	bool multi; /* all connections see the same */
	unsigned nconns;
	struct conn conn[CONNS_MAX];
	struct piece piece[NBDW_SLOTS];
	uint64_t seq;
	uint64_t down_since; /* 0: some connection is ready */
	bool gone; /* for longer than the timeout */
	uint64_t reconnects;
};

uint64_t now_ns(void);
/* A packet to the pager; its end is noticed where it is read from. */
void tell(const struct nbdw *, size_t len);

/* ---- conn.c --------------------------------------------------------------- */

/*
 * Opens the first connection, and learns from it what the export is.  0, or
 * errno with a sentence in text.
 */
int nbd_open(struct nbd *, char *text, size_t len);
/* Everything that time or the descriptors in pfd[conn] call for. */
void conns_step(struct nbd *, const struct pollfd *pfd);
/* Fills in pfd[conn]; fd -1 where there is nothing to wait for. */
void conns_poll(struct nbd *, struct pollfd *pfd);
/* Sends what is queued, as far as connections are ready. */
void conns_send(struct nbd *);
/* Says good-bye, so that the server has done all when this returns. */
void conns_close(struct nbd *);

#endif
