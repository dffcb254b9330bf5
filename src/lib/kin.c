/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/policy.h"
#include "lib/ctl.h"
#include "lib/ctx.h"

/* How often is looked whether a child that has not connected is alive. */
#define LOOK_MS 5
/* How often for room for another child, before a fork is refused. */
#define REAP_TRIES 60
/* How often page-out looks who is gone, if nothing else makes it look. */
#define LOOK_NS   (1000 * NS_PER_MS)
#define NS_PER_MS UINT64_C(1000000)
/* How long who connects may take to show the token. */
#define TOKEN_MS 1000

/* Room for the descriptors of all devices, and of the will, in a message. */
#define FDS_MAX (SWDEV_MAX + 1)
union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

/* ---- shares -------------------------------------------------------------- */

/* The least that this process must keep, with the buffers it has. */
static uint32_t
share_of(const struct uswap *u)
{
	uint32_t buffers = u->pager.frames.n_in;

	if (u->ram_pages < buffers + SHARE_PAGES_MIN)
		return 0;
	return policy_share((uint32_t)u->ram_pages - buffers);
}

/* What is in use although it has been given away, for some time yet. */
static uint64_t
in_grace(struct uswap *u, uint64_t now, uint64_t *next)
{
	struct kin *kin = &u->kin;
	uint64_t pages = 0;

	*next = UINT64_MAX;
	for (unsigned i = 0; i < kin->n; i++) {
		if (kin->kid[i].due_ns <= now)
			continue;
		pages += kin->kid[i].ram_pages;
		*next = US_MIN(*next, kin->kid[i].due_ns);
	}
	if (kin->grace_ns > now) {
		pages += kin->grace_pages;
		*next = US_MIN(*next, kin->grace_ns);
	}
	return pages;
}

/* Lock held.  The buffers stay as many as they are. */
static uint64_t
set_budget(struct uswap *u)
{
	uint64_t now = clock_now_ns(&clock_real), next, ram;
	struct pager_params p;

	ram = u->ram_pages + in_grace(u, now, &next);
	ram = US_MIN(ram, RAM_PAGES_MAX);
	policy_divide((uint32_t)ram, &p);
	p.budget = (uint32_t)ram - u->pager.frames.n_in;
	pager_set_budget(&u->pager, &p);
	u->kin.waits = next != UINT64_MAX;
	return next == UINT64_MAX ? 0 : next - now;
}

/* ---- the witness --------------------------------------------------------- */

static bool
is_gone(const struct kid *k)
{
	return fcntl(k->witness, F_ADD_SEALS, F_SEAL_WRITE) == 0;
}

/* A file, and a mapping of its first page that keeps it from being sealed. */
static int
make_file(const char *name, int *ret_fd, void **ret)
{
	int fd = (int)syscall(
	    SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)PAGE_SIZE) == 0 &&
	    (*ret = mem_map_shared(fd, PAGE_SIZE)) != NULL) {
		*ret_fd = fd;
		return 0;
	}
	close(fd);
	return -ENOMEM;
}

/* ---- the will ------------------------------------------------------------- */

void
kin_init(struct kin *kin)
{
	kin->will = kin->parents_will = -1;
}

/* It is made with the first child, which must not have the mapping. */
static int
make_will(struct uswap *u)
{
	struct kin *kin = &u->kin;
	void *p;
	int error;

	if (kin->will >= 0)
		return 0;
	error = make_file("uswap-will", &kin->will, &p);
	if (error != 0)
		return error;
	(void)syscall(SYS_madvise, p, PAGE_SIZE, MADV_DONTFORK);
	mtx_lock(&u->pager.lock);
	kin->will_ram = p;
	*kin->will_ram = u->ram_pages;
	mtx_unlock(&u->pager.lock);
	return 0;
}

/* Lock held. */
static void
change_ram(struct uswap *u, int64_t pages)
{
	u->ram_pages = (uint64_t)((int64_t)u->ram_pages + pages);
	if (u->kin.will_ram != NULL)
		*u->kin.will_ram = u->ram_pages;
}

/* The parent is gone: nobody maps its will.  EPERM: another has inherited. */
static void
look_for_will(struct uswap *u)
{
	struct kin *kin = &u->kin;
	uint64_t pages = 0;

	if (fcntl(kin->parents_will, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) ==
	    0) {
		if (pread(kin->parents_will, &pages, sizeof(pages), 0) !=
		    (ssize_t)sizeof(pages))
			pages = 0;
	} else if (errno == EBUSY) {
		return;
	}
	close(kin->parents_will);
	kin->parents_will = -1;
	mtx_lock(&u->pager.lock);
	change_ram(u, (int64_t)pages);
	(void)set_budget(u);
	mtx_unlock(&u->pager.lock);
}

/* ---- the end of a child --------------------------------------------------- */

/* Lock held. */
static void
kid_end(struct uswap *u, struct kid *k)
{
	struct pager *pg = &u->pager;

	swhold_drop(&pg->space, k->hold);
	close(k->witness);
	/* What could not be written may be tried again. */
	pg->grow = false;
	change_ram(u, k->ram_pages);
}

/* Takes one that is gone off the list; false if there is none. */
static bool
take_gone(struct uswap *u, struct kid *ret)
{
	struct kin *kin = &u->kin;
	bool found = false;

	mtx_lock(&u->pager.lock);
	for (unsigned i = 0; i < kin->n && !found; i++) {
		if (!is_gone(&kin->kid[i]))
			continue;
		*ret = kin->kid[i];
		kin->kid[i] = kin->kid[--kin->n];
		kid_end(u, ret);
		(void)set_budget(u);
		found = true;
	}
	mtx_unlock(&u->pager.lock);
	return found;
}

/*
 * A process that ends gives up its memory before its descriptors, so for a moment the
 * socket of one that is gone still listens; and for long, if it is another program now.
 */
void
kin_reap(struct uswap *u)
{
	struct kid gone;

	while (take_gone(u, &gone)) {
		if (u->ctl == NULL || gone.pid == 0 ||
		    ctl_remove_stale(u->ctl, gone.pid))
			continue;
		mtx_lock(&u->pager.lock);
		u->kin.late = gone.pid;
		mtx_unlock(&u->pager.lock);
	}
}

/* Once; of several in one second, the last. */
static void
look_again(struct uswap *u)
{
	pid_t late;

	mtx_lock(&u->pager.lock);
	late = u->kin.late;
	u->kin.late = 0;
	mtx_unlock(&u->pager.lock);
	if (late != 0 && u->ctl != NULL)
		(void)ctl_remove_stale(u->ctl, late);
}

int
kin_tick(struct uswap *u)
{
	uint64_t left = 0, now = clock_now_ns(&clock_real);
	bool look;

	if (now - u->kin.looked_ns >= LOOK_NS) {
		u->kin.looked_ns = now;
		look_again(u);
		kin_reap(u);
		if (u->kin.parents_will >= 0)
			look_for_will(u);
	}
	mtx_lock(&u->pager.lock);
	if (u->kin.waits)
		left = set_budget(u);
	look = u->kin.n > 0 || u->kin.late != 0;
	mtx_unlock(&u->pager.lock);
	if (left > 0)
		return (int)(left / NS_PER_MS) + 1;
	if (look || u->kin.parents_will >= 0)
		return (int)(LOOK_NS / NS_PER_MS);
	return -1;
}

void
kin_forget(struct uswap *u)
{
	struct kin *kin = &u->kin;

	mtx_lock(&u->pager.lock);
	while (kin->n > 0)
		kid_end(u, &kin->kid[--kin->n]);
	mtx_unlock(&u->pager.lock);
	if (kin->parents_will >= 0)
		close(kin->parents_will);
	if (kin->will < 0)
		return;
	mem_unmap(kin->will_ram, PAGE_SIZE);
	close(kin->will);
	kin_init(kin);
}

/* ---- before and after the fork ------------------------------------------- */

/* Why a child could not read what is on some device, and on which; NULL: it can. */
static const char *
unreadable(const struct swspace *s, const char **ret_name)
{
	struct swdev_info info;
	const char *why = NULL;

	for (unsigned i = 0; i < s->ndev && why == NULL; i++) {
		swspace_info(s, i, &info);
		if (info.used > 0)
			why = blkdev_unshared(info.dev);
		*ret_name = info.name;
	}
	return why;
}

/*
 * A child that its parent has waited for may take a moment more to let go of its
 * memory, and of its share with it: whoever reads /proc may hold it.
 */
static void
reap_for_room(struct uswap *u)
{
	const struct timespec moment = {.tv_nsec = LOOK_MS * (long)NS_PER_MS};

	for (int tries = 0; tries < REAP_TRIES; tries++) {
		bool room;

		kin_reap(u);
		mtx_lock(&u->pager.lock);
		room =
		    u->kin.n == 0 || (share_of(u) > 0 && u->kin.n < KIDS_MAX);
		mtx_unlock(&u->pager.lock);
		if (room)
			return;
		(void)nanosleep(&moment, NULL);
	}
}

int
kin_check(struct uswap *u, char *err, size_t errlen)
{
	const char *why, *device;
	char ram[16];
	int error = 0;

	reap_for_room(u);
	mtx_lock(&u->pager.lock);
	why = unreadable(&u->pager.space, &device);
	if (!u->private_files) {
		strf(
		    err, errlen, "the pager has no file table of its own here");
		error = -ENOTSUP;
	} else if (why != NULL) {
		strf(err, errlen, "pages are on %s: %s", device, why);
		error = -ENOTSUP;
	} else if (share_of(u) == 0) {
		strf(err, errlen,
		    "%s of memory are too little to give a child a share; "
		    "raise --ram",
		    size_text(ram, ptoa(u->ram_pages)));
		error = -ENOMEM;
	} else if (u->kin.n == KIDS_MAX) {
		strf(err, errlen, "there are %u children already", u->kin.n);
		error = -EAGAIN;
	}
	mtx_unlock(&u->pager.lock);
	return error;
}

/* A name that the kernel chooses: only the token counts. */
static int
make_listener(struct birth *b)
{
	sa_family_t family = AF_UNIX;
	int fd;

	if (getrandom(b->token, sizeof(b->token), 0) !=
	    (ssize_t)sizeof(b->token))
		return -errno;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	b->address_len = sizeof(b->address);
	if (bind(fd, (struct sockaddr *)&family, sizeof(family)) != 0 ||
	    listen(fd, 4) != 0 ||
	    getsockname(fd, (struct sockaddr *)&b->address, &b->address_len) !=
		0) {
		int error = -errno;

		close(fd);
		return error;
	}
	b->listener = fd;
	return 0;
}

static int
take_hold(struct uswap *u, struct birth *b)
{
	struct pager *pg = &u->pager;
	int error;

	mtx_lock(&pg->lock);
	error = swhold_take(&pg->space, &b->kid.hold);
	mtx_unlock(&pg->lock);
	return error;
}

int
kin_prepare(struct uswap *u, char *err, size_t errlen)
{
	struct birth *b = &u->kin.birth;
	int error;

	*b = (struct birth){.parent = getpid()};
	b->kid.ram_pages = share_of(u);
	error = make_will(u);
	if (error == 0)
		error = make_file("uswap-child", &b->kid.witness, &b->mapping);
	if (error != 0)
		goto out;
	error = make_listener(b);
	if (error != 0)
		goto unmap;
	error = take_hold(u, b);
	if (error == 0)
		return 0;
	close(b->listener);
unmap:
	mem_unmap(b->mapping, PAGE_SIZE);
	close(b->kid.witness);
out:
	strf(err, errlen, "a child cannot be told of the swap space: %s; %s",
	    strerrordesc_np(-error), ctx_start_hint(error));
	return error;
}

void
kin_give_up(struct uswap *u)
{
	struct birth *b = &u->kin.birth;

	mtx_lock(&u->pager.lock);
	swhold_drop(&u->pager.space, b->kid.hold);
	mtx_unlock(&u->pager.lock);
	close(b->listener);
	mem_unmap(b->mapping, PAGE_SIZE);
	close(b->kid.witness);
}

void
kin_add(struct uswap *u)
{
	struct birth *b = &u->kin.birth;

	mem_unmap(b->mapping, PAGE_SIZE);
	mtx_lock(&u->pager.lock);
	b->kid.due_ns = clock_now_ns(&clock_real) + KIN_GRACE_MS * NS_PER_MS;
	u->kin.kid[u->kin.n++] = b->kid;
	change_ram(u, -(int64_t)b->kid.ram_pages);
	(void)set_budget(u);
	mtx_unlock(&u->pager.lock);
}

/* ---- descriptors --------------------------------------------------------- */

/* Those of the devices, in their order, and the will's. */
static unsigned
descriptors(struct uswap *u, int *fd)
{
	struct swdev_info info;
	unsigned n = 0;

	for (unsigned i = 0; i < u->pager.space.ndev; i++) {
		swspace_info(&u->pager.space, i, &info);
		fd[n++] = blkdev_fd(info.dev);
	}
	fd[n++] = u->kin.will;
	return n;
}

static bool
send_descriptors(struct uswap *u, int to)
{
	int fd[FDS_MAX];
	unsigned n = descriptors(u, fd);
	union control control = {0};
	struct iovec iov = {&n, sizeof(n)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (n > 0) {
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fd, n * sizeof(int));
	}
	return sendmsg(to, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(n);
}

/* Whether the child is at the other end; its pid. */
static bool
is_child(const struct birth *b, int fd, pid_t *ret)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	socklen_t len = sizeof(struct ucred);
	struct ucred peer;
	uint64_t token[2];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
	    peer.uid != geteuid() || poll(&p, 1, TOKEN_MS) != 1 ||
	    recv(fd, token, sizeof(token), MSG_DONTWAIT) !=
		(ssize_t)sizeof(token) ||
	    memcmp(token, b->token, sizeof(token)) != 0)
		return false;
	*ret = peer.pid;
	return true;
}

static bool
answer_one(struct uswap *u, struct kid *k)
{
	struct birth *b = &u->kin.birth;
	int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = is_child(b, fd, &k->pid) && send_descriptors(u, fd);
	close(fd);
	return done;
}

/* Nobody else adds or takes away children meanwhile. */
void
kin_hand_over(struct uswap *u)
{
	struct birth *b = &u->kin.birth;
	struct kid *k = &u->kin.kid[u->kin.n - 1];
	struct pollfd p = {.fd = b->listener, .events = POLLIN};

	while (!is_gone(k))
		if (poll(&p, 1, LOOK_MS) == 1 && answer_one(u, k))
			break;
	close(b->listener);
}

/* ---- in the child -------------------------------------------------------- */

/*
 * The bookkeeping of blocks is a copy, too: holds are dropped in it, so that the
 * owners it counts are the pages of this process.
 */
void
kin_forked(struct uswap *u)
{
	struct swspace *s = &u->pager.space;
	struct kin *kin = &u->kin;

	while (kin->n > 0)
		swhold_drop(s, kin->kid[--kin->n].hold);
	swhold_drop(s, kin->birth.kid.hold);
	swspace_inherit(s);
	/* Their numbers are of another table, and the mapping is not here. */
	kin_init(kin);
	kin->will_ram = NULL;
	u->parent = kin->birth.parent;
	u->ram_pages = kin->birth.kid.ram_pages;
	kin->grace_pages = u->pager.resident;
	kin->grace_ns = clock_now_ns(&clock_real) + KIN_GRACE_MS * NS_PER_MS;
}

static int
receive_descriptors(int from, int *fd, unsigned *n)
{
	union control control;
	struct iovec iov = {n, sizeof(*n)};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = sizeof(control.room)};
	struct cmsghdr *c;
	ssize_t got;

	do
		got = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got == 0)
		return -ECONNRESET;
	c = CMSG_FIRSTHDR(&msg);
	if (*n == 0)
		return 0;
	if (*n > FDS_MAX || c == NULL || (msg.msg_flags & MSG_CTRUNC) != 0 ||
	    c->cmsg_len != CMSG_LEN(*n * sizeof(int)))
		return -EMFILE;
	memcpy(fd, CMSG_DATA(c), *n * sizeof(int));
	return 0;
}

static int
fetch(const struct birth *b, int *fd, unsigned *n)
{
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error = 0;

	if (s < 0)
		return -errno;
	if (connect(s, (const struct sockaddr *)&b->address, b->address_len) !=
		0 ||
	    send(s, b->token, sizeof(b->token), MSG_NOSIGNAL) < 0)
		error = -errno;
	if (error == 0)
		error = receive_descriptors(s, fd, n);
	close(s);
	return error;
}

void
kin_begin(struct uswap *u)
{
	mtx_lock(&u->pager.lock);
	(void)set_budget(u);
	mtx_unlock(&u->pager.lock);
}

/*
 * A device with nothing to be read is forgotten, not closed: what it has is the
 * parent's.  From the last one on, so that the others keep their numbers.
 */
static int
inherit(struct uswap *u, const int *fd, char *err, size_t errlen)
{
	struct swspace *s = &u->pager.space;
	struct swdev_info info;
	int error = 0;

	for (unsigned i = s->ndev; error == 0 && i-- > 0;) {
		swspace_info(s, i, &info);
		if (info.used > 0) {
			error = blkdev_inherit(info.dev, fd[i], err, errlen);
			continue;
		}
		close(fd[i]);
		blkdev_share(info.dev, false);
		mtx_lock(&u->pager.lock);
		(void)swspace_off(s, swspace_find(s, info.name));
		mtx_unlock(&u->pager.lock);
	}
	return error;
}

int
kin_fetch(struct uswap *u, char *err, size_t errlen)
{
	struct swspace *s = &u->pager.space;
	int fd[FDS_MAX], error;
	unsigned n = 0;

	error = fetch(&u->kin.birth, fd, &n);
	if (error == 0 && n != s->ndev + 1)
		error = -EPROTO;
	if (error != 0) {
		strf(err, errlen,
		    "the parent's swap space is out of reach: %s; %s",
		    strerrordesc_np(-error), ctx_start_hint(error));
		return error;
	}
	u->kin.parents_will = fd[s->ndev];
	return inherit(u, fd, err, errlen);
}
