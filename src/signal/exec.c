/*
 * Handing the caller's mask, and an ignored tick's signal, to the program that is executed.
 *
 * The kernel passes its own mask and dispositions on; of these the mask is open here whatever the thread blocks, and
 * the tick's signal has a handler even when the program ignores it.  So both are set just before, and set back when
 * exec fails.  Nothing in memory changes: the caller may be the child of a vfork().
 */
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "base/kernel_signal.h"
#include "mem/interpose.h"
#include "signal/signal.h"

enum { ARGUMENTS_MAX = 4096 };

struct handed {
    bool changed;
    bool ignored;
    sigset_t mask;
    struct sigaction tick;
};

static void hand_mask(struct handed *handed)
{
    const struct thread *self = self_thread;
    sigset_t mask;

    handed->changed = self != NULL;
    if (!self)
        return;
    signal_set(&mask, signal_mask(self));
    kernel_sigmask(SIG_SETMASK, &mask, &handed->mask);
}

static void hand_over(struct handed *handed)
{
    hand_mask(handed);
    handed->ignored = handed->changed && signal_action(settings.signal).sa_handler == SIG_IGN;
    if (handed->ignored)
        signal_kernel_action(settings.signal, &(struct sigaction){.sa_handler = SIG_IGN}, &handed->tick);
}

static int take_back(const struct handed *handed, int result)
{
    int saved_errno = errno;

    if (handed->ignored)
        signal_kernel_action(settings.signal, &handed->tick, NULL);
    if (handed->changed)
        kernel_sigmask(SIG_SETMASK, &handed->mask, NULL);
    errno = saved_errno;
    return result;
}

GREEN_API int execve(const char *path, char *const argv[], char *const envp[])
{
    struct handed handed = {0};

    hand_over(&handed);
    return take_back(&handed, REAL(execve)(path, argv, envp));
}

GREEN_API int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

GREEN_API int execvpe(const char *file, char *const argv[], char *const envp[])
{
    struct handed handed = {0};

    hand_over(&handed);
    return take_back(&handed, REAL(execvpe)(file, argv, envp));
}

GREEN_API int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

GREEN_API int fexecve(int fd, char *const argv[], char *const envp[])
{
    struct handed handed = {0};

    hand_over(&handed);
    return take_back(&handed, REAL(fexecve)(fd, argv, envp));
}

/* The arguments of a call with `...`, as an array; what comes after the NULL is left in `list`. */
static int collect(char **argv, const char *first, va_list *list)
{
    int count = 0;

    for (const char *argument = first; argument; argument = va_arg(*list, const char *)) {
        if (count == ARGUMENTS_MAX - 1) {
            errno = E2BIG;
            return -1;
        }
        argv[count++] = (char *)(uintptr_t)argument;
    }
    argv[count] = NULL;
    return 0;
}

GREEN_API int execl(const char *path, const char *argument, ...)
{
    char *argv[ARGUMENTS_MAX];
    va_list list;

    va_start(list, argument);
    int error = collect(argv, argument, &list);
    va_end(list);
    return error ? error : execve(path, argv, environ);
}

GREEN_API int execlp(const char *file, const char *argument, ...)
{
    char *argv[ARGUMENTS_MAX];
    va_list list;

    va_start(list, argument);
    int error = collect(argv, argument, &list);
    va_end(list);
    return error ? error : execvpe(file, argv, environ);
}

GREEN_API int execle(const char *path, const char *argument, ...)
{
    char *argv[ARGUMENTS_MAX];
    char *const *envp;
    va_list list;

    va_start(list, argument);
    int error = collect(argv, argument, &list);
    envp = error ? NULL : va_arg(list, char *const *);
    va_end(list);
    return error ? error : execve(path, argv, envp);
}

/* The child starts with the kernel's mask of its parent, unless its attributes say otherwise. */
GREEN_API int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    struct handed handed = {0};

    hand_mask(&handed);
    return take_back(&handed, REAL(posix_spawn)(pid, path, actions, attr, argv, envp));
}

GREEN_API int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    struct handed handed = {0};

    hand_mask(&handed);
    return take_back(&handed, REAL(posix_spawnp)(pid, file, actions, attr, argv, envp));
}
