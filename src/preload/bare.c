/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare: calls whose arguments mean something else each time, where only faults of
 * user mode are answered: see syscalls.c.
 *
 * Nobody here knows which argument names memory, and how much.  But one that fails
 * with EFAULT names some, a page of which is missing, or may not be written to; to touch
 * a page changes nothing, so each argument that could be an address of managed memory is
 * taken for one.  What lies further than a page behind it remains a failure.  What has
 * done something before it fails has its arguments touched before; what is named by
 * what they name, as by some requests of ioctl, does it twice.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/again.h"

#define ARGUMENTS 6

static int
bring_any(const long a[ARGUMENTS])
{
	int some = 0;

	for (int i = 0; i < ARGUMENTS; i++)
		some |= OUT((const void *)a[i], 4096);
	return some;
}

/* The first `n` of the arguments behind `last`; the others are 0. */
#define ARGS(a, last, n)                                                       \
	do {                                                                   \
		va_list ap_;                                                   \
                                                                               \
		va_start(ap_, last);                                           \
		for (int i_ = 0; i_ < (n); i_++)                               \
			(a)[i_] = va_arg(ap_, long);                           \
		va_end(ap_);                                                   \
	} while (0)

/* A request that says so of itself writes its argument when all is done. */
HOOK int
ioctl(int fd, unsigned long request, ...)
{
	long a[ARGUMENTS] = {0};
	int ret;

	ARGS(a, request, 1);
	if (_IOC_DIR(request) & _IOC_READ)
		(void)OUT((const void *)a[0], _IOC_SIZE(request));
	AGAIN(ret, NEXT(ioctl)(fd, request, a[0]), ret == -1 && errno == EFAULT,
	    bring_any(a))
	return ret;
}

HOOK int
fcntl(int fd, int op, ...)
{
	long a[ARGUMENTS] = {0};
	int ret;

	ARGS(a, op, 1);
	AGAIN(ret, NEXT(fcntl)(fd, op, a[0]), ret == -1 && errno == EFAULT,
	    bring_any(a))
	return ret;
}

HOOK int fcntl64(int, int, ...) __attribute__((alias("fcntl")));

HOOK int
prctl(int op, ...)
{
	long a[ARGUMENTS] = {0};
	int ret;

	ARGS(a, op, 4);
	AGAIN(ret, NEXT(prctl)(op, a[0], a[1], a[2], a[3]),
	    ret == -1 && errno == EFAULT, bring_any(a))
	return ret;
}

/*
 * The preload library's own come this way, too, with the allocator's locks held and
 * before any constructor: so nothing is looked up.
 */
static long
enter_kernel(long number, const long a[ARGUMENTS])
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = a[3];
	register long r8 __asm__("r8") = a[4];
	register long r9 __asm__("r9") = a[5];
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]),
			 "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a[0];
	register long x1 __asm__("x1") = a[1];
	register long x2 __asm__("x2") = a[2];
	register long x3 __asm__("x3") = a[3];
	register long x4 __asm__("x4") = a[4];
	register long x5 __asm__("x5") = a[5];

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "uswap is not ported to this machine"
#endif
}

/*
 * Results of these are told once, or come after what was done.  None that the preload
 * library makes while it takes its lock: rt_sigprocmask, nanosleep, futex.
 */
static int
tells_late(long number)
{
	switch (number) {
	case SYS_splice:
	case SYS_copy_file_range:
	case SYS_sendfile:
	case SYS_prlimit64:
	case SYS_timer_settime:
	case SYS_timerfd_settime:
	case SYS_setitimer:
	case SYS_waitid:
	case SYS_wait4:
	case SYS_rt_sigtimedwait:
	case SYS_sigaltstack:
	case SYS_read:
	case SYS_readv:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_recvfrom:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_msgrcv:
	case SYS_mq_timedreceive:
	case SYS_ppoll:
	case SYS_pselect6:
	case SYS_clock_nanosleep:
		return 1;
	default:
		return 0;
	}
}

/* Bare system calls, as far as they are made by way of the C library. */
HOOK long
syscall(long number, ...)
{
	long a[ARGUMENTS], ret;

	ARGS(a, number, ARGUMENTS);
	if (tells_late(number))
		(void)bring_any(a);
	AGAIN(ret, enter_kernel(number, a), ret == -EFAULT, bring_any(a))
	if (ret < 0 && ret >= -4095) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}
