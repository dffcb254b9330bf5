/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * touch: one access to one byte, in this thread or in another one, and the
 * signal that it ended in.
 */
#ifndef USWAP_TEST_TOUCH_H
#define USWAP_TEST_TOUCH_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* With inline delivery SIGBUS is the pager's, which passes on what it does not know. */
#ifndef TOUCH_SIGBUS
#define TOUCH_SIGBUS(sa) sigaction(SIGBUS, (sa), NULL)
#endif

static _Thread_local sigjmp_buf touch_back;
static _Thread_local volatile sig_atomic_t touching;

static inline void
touch_signal(int sig)
{
	if (touching)
		siglongjmp(touch_back, sig);
	/* Not ours: let it end the test. */
	signal(sig, SIG_DFL);
}

/* Before every touch: cmocka sets handlers of its own before every test. */
static inline void
touch_init(void)
{
	struct sigaction sa = {.sa_handler = touch_signal};

	TOUCH_SIGBUS(&sa);
	sigaction(SIGSEGV, &sa, NULL);
}

/* 0, or the signal.  A write stores value, a read returns it in *value. */
static inline int
touch(void *at, bool write, char *value)
{
	volatile char *p = at;
	int sig;

	touch_init();
	sig = sigsetjmp(touch_back, 1);
	if (sig == 0) {
		touching = 1;
		if (write)
			*p = *value;
		else
			*value = *p;
	}
	touching = 0;
	return sig;
}

/* The same in a thread of its own. */
struct toucher {
	pthread_t thread;
	void *at;
	bool write;
	char value;
	int sig;
	_Atomic bool done;
};

static inline void *
toucher_main(void *arg)
{
	struct toucher *t = arg;

	t->sig = touch(t->at, t->write, &t->value);
	atomic_store(&t->done, true);
	return NULL;
}

static inline void
touch_start(struct toucher *t, void *at, bool write, char value)
{
	t->at = at;
	t->write = write;
	t->value = value;
	atomic_store(&t->done, false);
	if (pthread_create(&t->thread, NULL, toucher_main, t) != 0)
		abort();
}

/* Waits for its end: 0, or the signal. */
static inline int
touch_end(struct toucher *t)
{
	pthread_join(t->thread, NULL);
	return t->sig;
}

#endif
