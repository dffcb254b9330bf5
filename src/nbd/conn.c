/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn: connections through libnbd's asynchronous calls.
 *
 * A connection that is lost is made again, every 200 ms while there is no
 * other.  What it had sent is queued again.  When there has been none for the
 * timeout, the export is gone: what is queued fails, and all that comes, at once;
 * the attempts go on.
 *
 * A server can also stop answering with its connections open, as behind a cable
 * that was cut.  When one has had requests for half of the timeout and answered
 * none, all are given up and made again: a server that is there answers on the
 * new ones, and one that is not has the other half to come back.  A request
 * that was not answered on two of them fails.  A slot is the pager's again only
 * after the connection that could still write into it has been closed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nbd/nbd.h"

/* ---- pieces --------------------------------------------------------------- */

static void
answer(struct piece *p, int error)
{
	struct nbdw m = {.kind = NBDW_DONE, .slot = p->m.slot, .error = error};

	p->state = P_FREE;
	tell(&m, NBDW_SHORT);
}

/*
 * ENOTCONN is libnbd's word for a connection that broke, ESHUTDOWN the server's
 * for one that is going to.
 */
static int
answered(void *arg, int *error)
{
	struct piece *p = arg;
	struct conn *c = p->conn;

	c->sent--;
	c->since = now_ns();
	if (*error == ENOTCONN || *error == ESHUTDOWN) {
		p->state = P_QUEUED;
		c->broken = true;
	} else {
		answer(p, *error);
	}
	return 1; /* libnbd may forget it */
}

static bool
send_piece(struct nbd *nb, struct conn *c, struct piece *p)
{
	char *buf = nb->mem + (size_t)(p - nb->piece) * NBDW_SLOT_BYTES;
	nbd_completion_callback cb = {.callback = answered, .user_data = p};
	int64_t cookie;

	/* First, for libnbd may call back at once. */
	p->state = P_SENT;
	p->conn = c;
	if (c->sent++ == 0)
		c->since = now_ns();
	if (p->m.kind == NBDW_READ)
		cookie = nbd_aio_pread(c->h, buf, p->m.len, p->m.offset, cb, 0);
	else
		cookie =
		    nbd_aio_pwrite(c->h, buf, p->m.len, p->m.offset, cb, 0);
	if (cookie >= 0 || p->state != P_SENT)
		return true;
	c->sent--;
	p->state = P_QUEUED;
	c->broken = true;
	return false;
}

static struct piece *
first_queued(struct nbd *nb)
{
	struct piece *first = NULL;

	for (unsigned i = 0; i < NBDW_SLOTS; i++) {
		struct piece *p = &nb->piece[i];

		if (p->state == P_QUEUED &&
		    (first == NULL || p->seq < first->seq))
			first = p;
	}
	return first;
}

static struct conn *
idlest_conn(struct nbd *nb)
{
	struct conn *best = NULL;

	for (unsigned i = 0; i < nb->nconns; i++) {
		struct conn *c = &nb->conn[i];

		if (c->state == C_READY && !c->broken &&
		    (best == NULL || c->sent < best->sent))
			best = c;
	}
	return best;
}

void
conns_send(struct nbd *nb)
{
	struct piece *p;
	struct conn *c;

	while ((p = first_queued(nb)) != NULL) {
		if (nb->gone || p->unanswered >= 2)
			answer(p, ETIMEDOUT);
		else if ((c = idlest_conn(nb)) != NULL)
			(void)send_piece(nb, c, p);
		else
			return;
	}
}

/* ---- one connection ------------------------------------------------------- */

static void
conn_close(struct nbd *nb, struct conn *c)
{
	if (c->h != NULL)
		nbd_close(c->h);
	c->h = NULL;
	for (unsigned i = 0; i < NBDW_SLOTS; i++)
		if (nb->piece[i].state == P_SENT && nb->piece[i].conn == c)
			nb->piece[i].state = P_QUEUED;
	c->sent = 0;
	c->broken = false;
	c->state = C_DOWN;
	c->since = now_ns();
}

/* Begins to connect; false, and libnbd knows why, when that fails at once. */
static bool
conn_begin(struct nbd *nb, struct conn *c)
{
	c->since = now_ns();
	c->h = nbd_create();
	if (c->h == NULL)
		return false;
	if (nbd_set_uri_allow_local_file(c->h, true) == 0 &&
	    nbd_set_uri_allow_transports(c->h,
		LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX) ==
		0 &&
	    nbd_set_pread_initialize(c->h, false) == 0 &&
	    (nb->tls < 0 || nbd_set_tls(c->h, nb->tls) == 0) &&
	    nbd_aio_connect_uri(c->h, nb->uri) == 0) {
		c->state = C_CONNECTING;
		return true;
	}
	return false;
}

static bool
conn_lost(const struct conn *c)
{
	return nbd_aio_is_dead(c->h) == 1 || nbd_aio_is_closed(c->h) == 1;
}

/* What the descriptor says, passed to libnbd, which notes errors itself. */
static void
conn_event(struct conn *c, short revents)
{
	unsigned dir = nbd_aio_get_direction(c->h);

	if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
	    (dir & LIBNBD_AIO_DIRECTION_READ) != 0)
		(void)nbd_aio_notify_read(c->h);
	else if ((revents & (POLLOUT | POLLHUP | POLLERR)) != 0 &&
		 (dir & LIBNBD_AIO_DIRECTION_WRITE) != 0)
		(void)nbd_aio_notify_write(c->h);
	else if ((revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
		c->broken = true;
}

/* ---- what an export must be ---------------------------------------------- */

/* What libnbd says, without the name of the function that says it. */
static const char *
why(void)
{
	const char *text = nbd_get_error(), *rest;

	if (text == NULL)
		return "no connection";
	rest = strstr(text, ": ");
	return strncmp(text, "nbd_", 4) == 0 && rest != NULL ? rest + 2 : text;
}

#define REFUSE(error, ...) (snprintf(text, len, __VA_ARGS__), (error))

static int
check_export(
    struct nbd_handle *h, uint64_t *size, uint32_t *max, char *text, size_t len)
{
	int64_t bytes = nbd_get_size(h);
	int64_t min_blk = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
	int64_t max_blk = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	if (bytes < 0)
		return REFUSE(EIO, "no size: %s", why());
	if (nbd_is_read_only(h) == 1)
		return REFUSE(EROFS,
		    "the export is read-only; let the server export it for "
		    "writing");
	if (min_blk > (int64_t)PAGE_SIZE)
		return REFUSE(EINVAL,
		    "the server wants blocks of %lld bytes; swap space needs "
		    "4096 or fewer",
		    (long long)min_blk);
	if (max_blk > 0 && max_blk < (int64_t)PAGE_SIZE)
		return REFUSE(EINVAL,
		    "the server takes %lld bytes at most; swap space needs "
		    "4096 or more",
		    (long long)max_blk);
	*size = (uint64_t)bytes & ~(uint64_t)PAGE_MASK;
	*max = NBDW_SLOT_BYTES;
	if (max_blk > 0 && max_blk < (int64_t)NBDW_SLOT_BYTES)
		*max = (uint32_t)max_blk & ~(uint32_t)PAGE_MASK;
	return 0;
}

/* Connected again: is it still what it was? */
static bool
same_export(struct nbd *nb, struct conn *c)
{
	char text[200];
	uint64_t size;
	uint32_t max;

	return check_export(c->h, &size, &max, text, sizeof(text)) == 0 &&
	       size >= nb->size && max >= nb->max;
}

/* ---- the first connection ------------------------------------------------- */

static int
first_attempt(struct nbd *nb, struct conn *c, char *text, size_t len)
{
	uint64_t end = now_ns() + CONNECT_NS;

	if (!conn_begin(nb, c))
		goto fail;
	while (nbd_aio_is_ready(c->h) != 1) {
		if (conn_lost(c))
			goto fail;
		if (now_ns() >= end) {
			conn_close(nb, c);
			return REFUSE(ETIMEDOUT,
			    "no connection within %u s; is it the right host?",
			    (unsigned)(CONNECT_NS / SEC));
		}
		if (nbd_poll(c->h, 100) < 0)
			goto fail;
	}
	return 0;
fail:
	(void)REFUSE(
	    0, "%s; is the server there, and the name of the export?", why());
	conn_close(nb, c);
	return nbd_get_errno() != 0 ? nbd_get_errno() : EIO;
}

/*
 * nbd: means without TLS as a rule; a server that demands it refuses, and is
 * asked once more.  Falling back the other way is not done: nbds: is TLS.
 */
int
nbd_open(struct nbd *nb, char *text, size_t len)
{
	struct conn *c = &nb->conn[0];
	char other[sizeof(((struct nbdw *)0)->text)];
	int error = first_attempt(nb, c, text, len);

	if (error != 0 && error != ETIMEDOUT && nb->tls < 0 &&
	    strncmp(nb->uri, "nbds", 4) != 0) {
		nb->tls = LIBNBD_TLS_REQUIRE;
		if (first_attempt(nb, c, other, sizeof(other)) != 0)
			return error;
		error = 0;
	}
	if (error == 0)
		error = check_export(c->h, &nb->size, &nb->max, text, len);
	if (error != 0)
		return error;
	c->state = C_READY;
	c->since = now_ns();
	nb->multi = nbd_can_multi_conn(c->h) == 1;
	nb->nconns = nb->multi ? CONNS_MAX : 1;
	return 0;
}

/* ---- all of them ---------------------------------------------------------- */

static void
state_changed(struct nbd *nb, bool gone)
{
	struct nbdw m = {
	    .kind = NBDW_STATE, .error = gone, .offset = nb->reconnects};

	nb->gone = gone;
	tell(&m, NBDW_SHORT);
}

/* The export was away, and this connection is the first again. */
static void
conn_ready(struct nbd *nb, struct conn *c)
{
	if (!same_export(nb, c)) {
		conn_close(nb, c);
		return;
	}
	c->state = C_READY;
	c->since = now_ns();
	if (nb->down_since == 0)
		return;
	nb->down_since = 0;
	nb->reconnects++;
	state_changed(nb, false);
}

static bool
conn_stuck(const struct nbd *nb, const struct conn *c, uint64_t now)
{
	return c->state == C_READY && c->sent > 0 &&
	       now - c->since >= nb->timeout / 2;
}

/* Gives up all connections; returns when the server last said something. */
static uint64_t
conns_give_up(struct nbd *nb, uint64_t now)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < nb->nconns; i++)
		if (conn_stuck(nb, &nb->conn[i], now))
			last =
			    nb->conn[i].since > last ? nb->conn[i].since : last;
	for (unsigned i = 0; i < NBDW_SLOTS; i++)
		if (nb->piece[i].state == P_SENT &&
		    conn_stuck(nb, nb->piece[i].conn, now))
			nb->piece[i].unanswered++;
	for (unsigned i = 0; i < nb->nconns; i++)
		if (nb->conn[i].state == C_READY)
			conn_close(nb, &nb->conn[i]);
	return last;
}

static void
conn_step(struct nbd *nb, struct conn *c, uint64_t now)
{
	uint64_t pause = nb->down_since != 0 ? RETRY_NS : RETRY_MORE_NS;

	switch (c->state) {
	case C_DOWN:
		if (now - c->since >= pause && !conn_begin(nb, c))
			conn_close(nb, c);
		break;
	case C_CONNECTING:
		if (c->broken || conn_lost(c) || now - c->since >= CONNECT_NS)
			conn_close(nb, c);
		else if (nbd_aio_is_ready(c->h) == 1)
			conn_ready(nb, c);
		break;
	case C_READY:
		if (c->broken || conn_lost(c))
			conn_close(nb, c);
	}
}

/*
 * A server that stopped answering has been away since then, not since it was
 * taken for lost: its requests have waited for the timeout already.
 */
void
conns_step(struct nbd *nb, const struct pollfd *pfd)
{
	uint64_t now, last = 0;
	bool ready = false, stuck = false;

	for (unsigned i = 0; i < nb->nconns; i++)
		if (pfd[i].fd >= 0 && pfd[i].revents != 0)
			conn_event(&nb->conn[i], pfd[i].revents);
	now = now_ns(); /* not before any time that was just noted */
	for (unsigned i = 0; i < nb->nconns; i++) {
		conn_step(nb, &nb->conn[i], now);
		stuck |= conn_stuck(nb, &nb->conn[i], now);
	}
	if (stuck)
		last = conns_give_up(nb, now);
	for (unsigned i = 0; i < nb->nconns; i++)
		ready |= nb->conn[i].state == C_READY;
	if (!ready && nb->down_since == 0)
		nb->down_since = last != 0 ? last : now;
	if (!ready && !nb->gone && now - nb->down_since >= nb->timeout)
		state_changed(nb, true);
}

void
conns_poll(struct nbd *nb, struct pollfd *pfd)
{
	for (unsigned i = 0; i < nb->nconns; i++) {
		struct conn *c = &nb->conn[i];
		unsigned dir = c->h != NULL ? nbd_aio_get_direction(c->h) : 0;

		pfd[i] = (struct pollfd){.fd = -1};
		if (dir == 0)
			continue;
		pfd[i].fd = nbd_aio_get_fd(c->h);
		if ((dir & LIBNBD_AIO_DIRECTION_READ) != 0)
			pfd[i].events |= POLLIN;
		if ((dir & LIBNBD_AIO_DIRECTION_WRITE) != 0)
			pfd[i].events |= POLLOUT;
	}
}

/* The server that does not answer is not waited for. */
void
conns_close(struct nbd *nb)
{
	alarm(2);
	for (unsigned i = 0; i < nb->nconns; i++)
		if (nb->conn[i].state == C_READY)
			(void)nbd_shutdown(nb->conn[i].h, 0);
}
