/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * habits HABIT early|late [DIRECTORY]: a program that does to its process what
 * daemons, sandboxes and run-time systems do, before its memory grows or after
 * it, and then goes on using that memory.  Run it in 16M.  "habits list" names
 * the habits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define M     ((size_t)1 << 20)
#define BYTES (9 * M) /* of each half */
#define WORDS (BYTES / sizeof(uint64_t))

#define MUST(e)                                                                \
	do {                                                                   \
		if (!(e)) {                                                    \
			fprintf(stderr, "habits: line %d: %s: %s\n", __LINE__, \
			    #e, strerror(errno));                              \
			_exit(1);                                              \
		}                                                              \
	} while (0)

static uint64_t *half[2]; /* from the allocator, from mmap */
static const char *dir = "/var/empty";

/* ---- the memory ---------------------------------------------------------- */

static void
write_all(uint64_t factor)
{
	for (int h = 0; h < 2; h++)
		for (size_t i = 0; i < WORDS; i += 64)
			half[h][i] = i * factor + (uint64_t)h;
}

static void
check_all(uint64_t factor)
{
	for (int h = 0; h < 2; h++)
		for (size_t i = 0; i < WORDS; i += 64)
			MUST(half[h][i] == i * factor + (uint64_t)h);
}

static void
grow(void)
{
	half[0] = malloc(BYTES);
	half[1] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(half[0] != NULL && half[1] != MAP_FAILED);
	write_all(3);
}

/* Everything comes in, is changed, and comes in again. */
static void
use(void)
{
	void *p;

	check_all(3);
	for (uint64_t factor = 5; factor < 6; factor++) {
		write_all(factor);
		p = malloc(3 * M);
		memset(p, 1, 3 * M);
		check_all(factor);
		free(p);
	}
	write_all(3);
}

/* ---- signals ------------------------------------------------------------- */

static void
block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	MUST(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
}

static sigjmp_buf back;
static volatile int caught;

static void
on_fault(int sig)
{
	caught += sig;
	siglongjmp(back, 1);
}

/* On a stack in managed memory, for faults of the program's own making. */
static void
catch_faults(void)
{
	stack_t ss = {.ss_size = 256 << 10};
	struct sigaction sa = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
	char *none;

	ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	none = mmap(NULL, M, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(sigaltstack(&ss, NULL) == 0);
	MUST(sigaction(SIGSEGV, &sa, NULL) == 0);
	MUST(sigaction(SIGBUS, &sa, NULL) == 0);
	for (int i = 0; i < 10; i++) {
		caught = 0;
		if (sigsetjmp(back, 1) == 0)
			*(volatile char *)(none + i * 4096) = 1;
		MUST(caught == SIGSEGV);
	}
}

static void
on_alarm(int sig)
{
	static size_t at;
	void *p;

	(void)sig;
	at = (at + 4099 * 64) % WORDS;
	if (half[0] != NULL && half[0][at - at % 64] == 1)
		_exit(9);
	p = mmap(NULL, 128 << 10, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		munmap(p, 128 << 10);
}

/* A thousand a second, whose handler maps memory and touches some. */
static void
alarms(void)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval it = {{0, 1000}, {0, 1000}};

	MUST(sigaction(SIGALRM, &sa, NULL) == 0);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

static void
stop_and_go(void)
{
	char command[64];

	snprintf(command, sizeof(command),
	    "(kill -STOP %d; sleep 0.2; kill -CONT %d) &", getpid(), getpid());
	MUST(system(command) == 0);
}

/* ---- limits -------------------------------------------------------------- */

static void
limit(int what, rlim_t most)
{
	struct rlimit rl = {most, most};

	MUST(setrlimit(what, &rl) == 0);
}

static void
few_files(void)
{
	limit(RLIMIT_NOFILE, 32);
}

static void
no_files(void)
{
	limit(RLIMIT_NOFILE, 0);
}

static void
few_processes(void)
{
	limit(RLIMIT_NPROC, 1);
}

static void
no_locked_memory(void)
{
	limit(RLIMIT_MEMLOCK, 0);
}

static void
no_new_bytes(void)
{
	signal(SIGXFSZ, SIG_IGN);
	limit(RLIMIT_FSIZE, 0);
}

static void
small_stack(void)
{
	limit(RLIMIT_STACK, 64 << 10);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_SIGPENDING, 0);
}

/* ---- what a process gives up --------------------------------------------- */

static void
not_dumpable(void)
{
	MUST(prctl(PR_SET_DUMPABLE, 0) == 0);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

static void
change_user(void)
{
	MUST(setresgid(65534, 65534, 65534) == 0);
	MUST(setresuid(65534, 65534, 65534) == 0);
	MUST(setuid(0) != 0);
}

static void
change_root(void)
{
	MUST(chroot(dir) == 0 && chdir("/") == 0);
}

static void
close_all(void)
{
	MUST(syscall(SYS_close_range, 0, ~0u, 0) == 0);
	/* Numbers of the pager's, if they were the program's. */
	for (int i = 0; i < 300; i++)
		(void)open("/dev/null", O_RDWR);
	for (int i = 3; i < 300; i++)
		close(i);
}

static void
own_files(void)
{
	MUST(unshare(CLONE_FILES | CLONE_FS) == 0);
	close_all();
}

static void
become_daemon(void)
{
	pid_t pid = fork();
	int status;

	MUST(pid >= 0);
	if (pid > 0) {
		MUST(waitpid(pid, &status, 0) == pid);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	MUST(setsid() > 0 && chdir("/") == 0);
	umask(0);
}

static void
new_session(void)
{
	(void)setsid();
	(void)setpgid(0, 0);
	umask(0777);
}

/* Everything that a program of this kind does not need kills it. */
static void
filter(unsigned flags, uint32_t action)
{
	static const int bad[] = {SYS_userfaultfd, SYS_openat, SYS_open,
	    SYS_socket, SYS_unshare, SYS_pidfd_open, 425 /* io_uring_setup */,
	    426 /* io_uring_enter */, SYS_ioctl, SYS_execve};
	const unsigned n = sizeof(bad) / sizeof(bad[0]);
	struct sock_filter code[32];
	struct sock_fprog prog = {0, code};

	code[prog.len++] = (struct sock_filter)BPF_STMT(
	    BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < n; i++)
		code[prog.len++] =
		    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			(uint32_t)bad[i], (uint8_t)(n - i), 0);
	code[prog.len++] =
	    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[prog.len++] =
	    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) == 0);
}

static void
sandbox(void)
{
	filter(0, SECCOMP_RET_ERRNO | EPERM);
}

static void
sandbox_kill(void)
{
	filter(0, SECCOMP_RET_KILL_PROCESS);
}

/* Of all threads. */
static void
sandbox_all(void)
{
	filter(SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_RET_ERRNO | EPERM);
}

/* ---- how it runs --------------------------------------------------------- */

static void
other_personality(void)
{
	MUST(personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC) != -1);
}

static void
one_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	MUST(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static void
real_time(void)
{
	struct sched_param p = {.sched_priority = 1};

	one_cpu();
	if (sched_setscheduler(0, SCHED_FIFO, &p) != 0)
		MUST(sched_setscheduler(
			 0, SCHED_BATCH, &(struct sched_param){0}) == 0);
}

static void
idle(void)
{
	MUST(nice(19) != -1);
	MUST(sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}) == 0);
}

static void *
go_on(void *arg)
{
	(void)arg;
	if (half[0] == NULL)
		grow();
	use();
	exit(0);
}

/* The first thread ends, the others go on. */
static void
first_ends(void)
{
	pthread_t t;

	MUST(pthread_create(&t, NULL, go_on, NULL) == 0);
	pthread_exit(NULL);
}

/* Called uswap as the pager's threads are, it is still the program's. */
static void
other_name(void)
{
	MUST(prctl(PR_SET_NAME, "uswap-clerk") == 0);
	free(calloc(1000, 1000));
}

/* What is read-only, or nobody may look at, leaves memory, too. */
static void
protect(int prot)
{
	if (half[1] == NULL)
		return;
	MUST(mprotect(half[1], BYTES, prot) == 0);
	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < WORDS; k += 64)
			MUST(half[0][k] == k * 3);
	MUST(mprotect(half[1], BYTES, PROT_READ | PROT_WRITE) == 0);
}

static void
read_only(void)
{
	protect(PROT_READ);
}

static void
no_access(void)
{
	protect(PROT_NONE);
}

static void
executable(void)
{
	if (half[1] != NULL)
		MUST(mprotect(half[1], BYTES,
			 PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
}

static const struct {
	const char *name;
	void (*fn)(void);
} habits[] = {
    {"block-all", block_all},
    {"catch-faults", catch_faults},
    {"alarms", alarms},
    {"stop-and-go", stop_and_go},
    {"few-files", few_files},
    {"no-files", no_files},
    {"few-processes", few_processes},
    {"no-locked-memory", no_locked_memory},
    {"no-new-bytes", no_new_bytes},
    {"small-stack", small_stack},
    {"not-dumpable", not_dumpable},
    {"change-user", change_user},
    {"change-root", change_root},
    {"close-all", close_all},
    {"own-files", own_files},
    {"daemon", become_daemon},
    {"new-session", new_session},
    {"sandbox", sandbox},
    {"sandbox-kill", sandbox_kill},
    {"sandbox-all", sandbox_all},
    {"personality", other_personality},
    {"one-cpu", one_cpu},
    {"real-time", real_time},
    {"idle", idle},
    {"first-ends", first_ends},
    {"other-name", other_name},
    {"read-only", read_only},
    {"no-access", no_access},
    {"executable", executable},
};

int
main(int argc, char **argv)
{
	bool early = argc > 2 && strcmp(argv[2], "early") == 0;

	if (argc > 3)
		dir = argv[3];
	for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++) {
		if (argc > 1 && strcmp(argv[1], "list") == 0) {
			puts(habits[i].name);
			continue;
		}
		if (argc < 3 || strcmp(argv[1], habits[i].name) != 0)
			continue;
		if (!early)
			grow();
		habits[i].fn();
		if (early)
			grow();
		use();
		return 0;
	}
	return argc > 1 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
