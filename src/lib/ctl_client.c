/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients: come, ask, are answered, and go, whatever they do.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/ctl.h"

/* ---- clients ------------------------------------------------------------- */

void
ctl_drop(struct ctl *ctl, struct ctl_client *c)
{
	close(c->fd);
	c->fd = -1;
	mem_unmap(c->out, CTL_ANSWER);
	if (ctl->asker == c) {
		ctl->asker = NULL;
		ctl_job_abandon(ctl);
	}
}

/* A free place: if there is none, that of the one silent longest. */
static struct ctl_client *
place(struct ctl *ctl)
{
	struct ctl_client *oldest = NULL;

	for (unsigned i = 0; i < CTL_CLIENTS; i++) {
		struct ctl_client *c = &ctl->client[i];

		if (c->fd < 0)
			return c;
		if (!c->busy &&
		    (oldest == NULL || c->heard_ns < oldest->heard_ns))
			oldest = c;
	}
	KASSERT(oldest != NULL, "one client is busy at most");
	ctl_drop(ctl, oldest);
	return oldest;
}

static void
welcome(struct ctl *ctl, int fd)
{
	char *out = ctl_peer_ok(fd, ctl->uid) ? mem_map(CTL_ANSWER) : NULL;
	struct ctl_client *c;

	if (out == NULL) {
		close(fd);
		return;
	}
	c = place(ctl);
	c->fd = fd;
	c->out = out;
	c->out_from = c->out_to = 0;
	c->in.n = c->in.taken = 0;
	c->busy = c->last = c->gone = c->more = false;
	c->heard_ns = ctl_now_ns();
}

/*
 * No more in one round than half of the places: however many come, each has
 * time to say what it wants before it is the oldest.
 */
void
ctl_accept(struct ctl *ctl)
{
	for (unsigned i = 0; i < CTL_CLIENTS / 2; i++) {
		int fd = accept4(
		    ctl->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		welcome(ctl, fd);
	}
}

static void
obey(struct ctl *ctl, struct ctl_client *c, const struct ctl_request *r)
{
	int error;

	switch (r->verb) {
	case CTL_INFO:
		ctl_answer_info(ctl, c);
		return;
	case CTL_REGIONS:
		ctl_answer_regions(ctl, c, r->value);
		return;
	case CTL_SET:
		if (strncmp(r->text, "prio:", 5) == 0)
			error = uswap_set_priority(ctl->u, r->text + 5,
			    (int)US_MIN(r->value, INT_MAX));
		else
			error = uswap_set(ctl->u, r->text, r->value);
		ctl_answer(c, error, uswap_error());
		return;
	case CTL_ON:
	case CTL_OFF:
		if (ctl_job_state(ctl) == JOB_IDLE)
			ctl_job_post(ctl, c, r);
		else
			ctl_answer(c, -EBUSY,
			    "another swapon or swapoff is under way; wait "
			    "for its end");
		return;
	}
}

/* False: nothing can come of it any more. */
static bool
read_some(struct ctl_client *c)
{
	size_t room;
	char *at = ctl_in_room(&c->in, &room);
	ssize_t n;

	if (room == 0 || c->gone)
		return true;
	n = recv(c->fd, at, room, 0);
	if (n > 0)
		c->in.n += (size_t)n;
	else if (n == 0)
		c->gone = true;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static bool
write_some(struct ctl_client *c)
{
	ssize_t n;

	if (c->out_to == 0)
		return true;
	n = send(
	    c->fd, c->out + c->out_from, c->out_to - c->out_from, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->heard_ns = ctl_now_ns();
	c->out_from += (size_t)n;
	if (c->out_from == c->out_to)
		c->out_from = c->out_to = 0;
	return true;
}

/* The next request, if there is one and the last has been answered. */
static void
take_request(struct ctl *ctl, struct ctl_client *c)
{
	struct ctl_request r;
	char err[256], *line;
	size_t len;

	if (c->busy || c->last || c->out_to > 0)
		return;
	c->more = false;
	switch (ctl_in_line(&c->in, &line, &len)) {
	case CTL_GOT_LESS:
		c->last = c->gone;
		return;
	case CTL_GOT_TOO_LONG:
		ctl_answer(c, -EMSGSIZE, "the line is too long");
		c->last = true;
		return;
	case CTL_GOT_LINE:
		c->more = true;
		c->heard_ns = ctl_now_ns();
		if (ctl_parse(line, len, ctl->arena, &r, err, sizeof(err)) == 0)
			obey(ctl, c, &r);
		else
			ctl_answer(c, -EINVAL, err);
		return;
	}
}

void
ctl_serve(struct ctl *ctl, struct ctl_client *c)
{
	bool alive = read_some(c);

	take_request(ctl, c);
	if (!alive || !write_some(c) || (c->last && c->out_to == 0) ||
	    (ctl_now_ns() - c->heard_ns > CTL_PATIENCE_MS * CTL_NS_PER_MS &&
		(!c->busy || c->out_to > 0)))
		ctl_drop(ctl, c);
}

short
ctl_interest(struct ctl_client *c)
{
	short events = 0;
	size_t room;

	(void)ctl_in_room(&c->in, &room);
	if (room > 0 && !c->gone)
		events |= POLLIN;
	if (c->out_to > 0)
		events |= POLLOUT;
	return events;
}
