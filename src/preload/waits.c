/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waits: mutexes and the like, where only faults of user mode are answered: see
 * syscalls.c.
 *
 * A thread that is to wait looks at a word, which brings it in, and tells the kernel
 * to, which looks at it, too.  Should the page leave in between, the C library ends
 * the process.  So what threads wait for is kept in memory from the first wait on:
 * what nobody has to wait for pays a trylock.
 *
 * The preload library's calls are not for us: it keeps its locks elsewhere, and
 * waits for them where nobody may ask for its own.
 */
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "preload/again.h"

static struct text preload_text; /* constant after the constructor */

static void __attribute__((constructor)) find_preload(void)
{
	preload_text = text_of((const void *)uswap_preload_keep);
}

/* Best effort: more than half of the budget is not kept. */
static void
keep(const void *p, size_t n)
{
	int error = errno;

	if (uswap_preload_holds(p, n))
		(void)uswap_preload_keep(p, n);
	errno = error;
}

#define FOREIGN() (!text_has(&preload_text, __builtin_return_address(0)))

/* A row each: tried first, where `try_` says EBUSY it is kept. */
#define WAITS(X)                                                               \
	X(pthread_mutex_lock, (pthread_mutex_t * m), (m),                      \
	    NEXT(pthread_mutex_trylock)(m))                                    \
	X(pthread_mutex_timedlock,                                             \
	    (pthread_mutex_t * m, const struct timespec *t), (m, t),           \
	    NEXT(pthread_mutex_trylock)(m))                                    \
	X(pthread_mutex_clocklock,                                             \
	    (pthread_mutex_t * m, clockid_t c, const struct timespec *t),      \
	    (m, c, t), NEXT(pthread_mutex_trylock)(m))                         \
	X(pthread_rwlock_rdlock, (pthread_rwlock_t * m), (m),                  \
	    NEXT(pthread_rwlock_tryrdlock)(m))                                 \
	X(pthread_rwlock_wrlock, (pthread_rwlock_t * m), (m),                  \
	    NEXT(pthread_rwlock_trywrlock)(m))                                 \
	X(pthread_rwlock_timedrdlock,                                          \
	    (pthread_rwlock_t * m, const struct timespec *t), (m, t),          \
	    NEXT(pthread_rwlock_tryrdlock)(m))                                 \
	X(pthread_rwlock_timedwrlock,                                          \
	    (pthread_rwlock_t * m, const struct timespec *t), (m, t),          \
	    NEXT(pthread_rwlock_trywrlock)(m))                                 \
	X(pthread_barrier_wait, (pthread_barrier_t * m), (m), EBUSY)

#define WAIT(name, params, args, try_)                                         \
	HOOK int name params                                                   \
	{                                                                      \
		if (FOREIGN()) {                                               \
			int error = (try_);                                    \
                                                                               \
			if (error != EBUSY)                                    \
				return error;                                  \
			keep(m, sizeof(*m));                                   \
		}                                                              \
		return NEXT(name) args;                                        \
	}
WAITS(WAIT)

/* Whoever calls these waits, as a rule. */
#define CONDS(X)                                                               \
	X(pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t * m),        \
	    (c, m))                                                            \
	X(pthread_cond_timedwait,                                              \
	    (pthread_cond_t * c, pthread_mutex_t * m,                          \
		const struct timespec *t),                                     \
	    (c, m, t))                                                         \
	X(pthread_cond_clockwait,                                              \
	    (pthread_cond_t * c, pthread_mutex_t * m, clockid_t k,             \
		const struct timespec *t),                                     \
	    (c, m, k, t))

#define COND(name, params, args)                                               \
	HOOK int name params                                                   \
	{                                                                      \
		if (FOREIGN()) {                                               \
			keep(c, sizeof(*c));                                   \
			keep(m, sizeof(*m));                                   \
		}                                                              \
		return NEXT(name) args;                                        \
	}
CONDS(COND)

#define SEMS(X)                                                                \
	X(sem_wait, (sem_t * s), (s))                                          \
	X(sem_timedwait, (sem_t * s, const struct timespec *t), (s, t))        \
	X(sem_clockwait, (sem_t * s, clockid_t k, const struct timespec *t),   \
	    (s, k, t))

#define SEM(name, params, args)                                                \
	HOOK int name params                                                   \
	{                                                                      \
		int error = errno;                                             \
                                                                               \
		if (FOREIGN()) {                                               \
			if (NEXT(sem_trywait)(s) == 0)                         \
				return 0;                                      \
			errno = error;                                         \
			keep(s, sizeof(*s));                                   \
		}                                                              \
		return NEXT(name) args;                                        \
	}
SEMS(SEM)
