/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * programs: how others are started, where only faults of user mode are answered:
 * see syscalls.c.
 *
 * What posix_spawn(3) makes has no handler of SIGBUS and shares our memory until it
 * is another program: a page that it misses ends it.  So all is brought in before
 * the call, and again if the kernel still missed some.  system(3) and popen(3) do
 * the same inside the C library.
 */
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload/again.h"

int
bring_strings(char *const *v)
{
	int some = 0;

	for (; v != NULL; v++) {
		some |= IN(v, sizeof(*v));
		if (*v == NULL)
			break;
		some |= IN(*v, strlen(*v) + 1);
	}
	return some;
}

/* ---- posix_spawn --------------------------------------------------------- */

/* What the C library has in one action, of which a word may name a file. */
#define ACTION_SIZE ((size_t)32)

static int
bring_actions(const posix_spawn_file_actions_t *actions)
{
	const uintptr_t *words;
	size_t size;
	int some;

	if (actions == NULL)
		return 0;
	some = IN(actions, sizeof(*actions));
	words = (const uintptr_t *)actions->__actions;
	size = (size_t)actions->__used * ACTION_SIZE;
	some |= IN(words, size);
	for (size_t i = 0; i < size / sizeof(*words); i++)
		some |= NAME((const void *)words[i]);
	return some;
}

typedef int spawn_fn(pid_t *, const char *, const posix_spawn_file_actions_t *,
    const posix_spawnattr_t *, char *const[], char *const[]);

static int
spawn(spawn_fn *fn, pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[])
{
	const char *places = getenv("PATH");
	int ret = EFAULT, some = 1;

	for (int i = 0; ret == EFAULT && some != 0 && i < TRIES; i++) {
		some = NAME(path) | bring_actions(actions) |
		       IN(attr, sizeof(*attr)) | bring_strings(argv) |
		       bring_strings(envp);
		if (places != NULL)
			some |= IN(places, strlen(places) + 1);
		ret = fn(pid, path, actions, attr, argv, envp);
	}
	return ret;
}

HOOK int
posix_spawn(pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[])
{
	return spawn(NEXT(posix_spawn), pid, path, actions, attr, argv, envp);
}

HOOK int
posix_spawnp(pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[])
{
	return spawn(NEXT(posix_spawnp), pid, path, actions, attr, argv, envp);
}

HOOK int
system(const char *command)
{
	if (command != NULL)
		(void)(IN(command, strlen(command) + 1) |
		       bring_strings(environ));
	return NEXT(system)(command);
}

/* ---- exec ---------------------------------------------------------------- */

#define EXECS(X)                                                               \
	X(int, execve, (const char *a, char *const v[], char *const e[]),      \
	    (a, v, e), NAME(a) | bring_strings(v) | bring_strings(e))          \
	X(int, execvpe, (const char *a, char *const v[], char *const e[]),     \
	    (a, v, e), NAME(a) | bring_strings(v) | bring_strings(e))          \
	X(int, fexecve, (int d, char *const v[], char *const e[]), (d, v, e),  \
	    bring_strings(v) | bring_strings(e))                               \
	X(int, execv, (const char *a, char *const v[]), (a, v),                \
	    NAME(a) | bring_strings(v) | bring_strings(environ))               \
	X(int, execvp, (const char *a, char *const v[]), (a, v),               \
	    NAME(a) | bring_strings(v) | bring_strings(environ))
EXECS(DEFINE)

/*
 * Arguments one by one: as a vector, which the C library makes of them, too.  The
 * list ends with a NULL, with the environment of execle behind it.
 */
typedef int exec_fn(const char *, char *const[], char *const[]);

static int
exec_list(exec_fn *fn, const char *path, const char *arg, va_list ap, int env)
{
	size_t n = 1;
	va_list count;

	va_copy(count, ap);
	while (va_arg(count, char *) != NULL)
		n++;
	va_end(count);
	{
		char *v[n + 1];

		v[0] = (char *)arg;
		for (size_t i = 1; i <= n; i++)
			v[i] = va_arg(ap, char *);
		return fn(path, v, env ? va_arg(ap, char *const *) : environ);
	}
}

#define LIST(name, fn, env)                                                    \
	HOOK int name(const char *path, const char *arg, ...)                  \
	{                                                                      \
		va_list ap;                                                    \
		int ret;                                                       \
                                                                               \
		va_start(ap, arg);                                             \
		ret = exec_list(fn, path, arg, ap, env);                       \
		va_end(ap);                                                    \
		return ret;                                                    \
	}
LIST(execl, execve, 0)
LIST(execlp, execvpe, 0)
LIST(execle, execve, 1)
