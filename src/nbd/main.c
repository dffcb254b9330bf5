/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main: uswap-nbd URI SECONDS, started by a pager (block/nbd_helper.c) with the
 * descriptors of nbd_wire.h.  Waits for the pager and the server at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nbd/nbd.h"

uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

void
tell(const struct nbdw *m, size_t len)
{
	while (send(NBDW_SOCK_FD, m, len, MSG_NOSIGNAL) < 0 && errno == EINTR)
		continue;
}

static int
say_failed(int error, const char *text)
{
	struct nbdw m = {.kind = NBDW_FAILED, .error = error};

	snprintf(m.text, sizeof(m.text), "%s", text);
	/* A message is one line. */
	m.text[strcspn(m.text, "\n")] = '\0';
	tell(&m, sizeof(m));
	return 1;
}

static void
accept_piece(struct nbd *nb, const struct nbdw *m)
{
	struct piece *p = &nb->piece[m->slot];

	p->m = *m;
	p->state = P_QUEUED;
	p->unanswered = 0;
	p->seq = nb->seq++;
}

/* What the pager says; false at its end, or when it makes no sense. */
static bool
listen_pager(struct nbd *nb)
{
	struct nbdw m;
	ssize_t n;

	for (;;) {
		n = recv(NBDW_SOCK_FD, &m, sizeof(m), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < (ssize_t)NBDW_SHORT || m.slot >= NBDW_SLOTS ||
		    m.len > NBDW_SLOT_BYTES ||
		    (m.kind != NBDW_READ && m.kind != NBDW_WRITE) ||
		    nb->piece[m.slot].state != P_FREE)
			return false;
		accept_piece(nb, &m);
	}
}

/* How long nothing can happen by itself, in ms. */
static int
patience(const struct nbd *nb)
{
	int ms = -1;

	if (nb->down_since != 0)
		return (int)(RETRY_NS / MSEC);
	for (unsigned i = 0; i < nb->nconns; i++) {
		if (nb->conn[i].broken)
			return 0; /* found when sending: to be closed now */
		if (nb->conn[i].state != C_READY || nb->conn[i].sent > 0)
			ms = 1000;
	}
	return ms;
}

static void
serve(struct nbd *nb)
{
	struct pollfd pfd[CONNS_MAX + 1];

	for (;;) {
		conns_poll(nb, pfd);
		pfd[nb->nconns] =
		    (struct pollfd){.fd = NBDW_SOCK_FD, .events = POLLIN};
		if (poll(pfd, nb->nconns + 1, patience(nb)) < 0)
			continue;
		if (pfd[nb->nconns].revents != 0 && !listen_pager(nb))
			return;
		conns_step(nb, pfd);
		conns_send(nb);
	}
}

int
main(int argc, char **argv)
{
	static struct nbd nb;
	struct nbdw hello = {.kind = NBDW_HELLO};
	char text[sizeof(hello.text)] = "";
	sigset_t none;
	int error;

	if (argc != 3 || fcntl(NBDW_MEM_FD, F_GETFD) < 0) {
		fputs("uswap-nbd is started by uswap, for swap space on "
		      "nbd://...; see uswap-run(1)\n",
		    stderr);
		return 125;
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	nb.uri = argv[1];
	nb.timeout = strtoul(argv[2], NULL, 10) * SEC;
	nb.tls = -1;
	nb.nconns = 1;
	nb.mem = mmap(NULL, NBDW_MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
	    NBDW_MEM_FD, 0);
	if (nb.mem == MAP_FAILED)
		return say_failed(ENOMEM, "no memory; raise ulimit -v");
	error = nbd_open(&nb, text, sizeof(text));
	if (error != 0) {
		close(NBDW_LOCK_FD);
		return say_failed(error, text);
	}
	hello.offset = nb.size;
	hello.len = nb.max;
	hello.slot = nb.multi;
	tell(&hello, NBDW_SHORT);
	serve(&nb);
	conns_close(&nb);
	/* Before the pager sees our end, and may open the export again. */
	close(NBDW_LOCK_FD);
	return 0;
}
