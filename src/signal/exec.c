/*
 * Handing the caller's mask, what is pending, and an ignored tick's signal to the program that is executed.
 *
 * The kernel passes its own mask, dispositions and pending signals on; of these the mask is open here whatever the
 * thread blocks, what it blocks is pending in the library, and the tick's signal has a handler even when the program
 * ignores it.  So just before, the kernel thread blocks what its thread blocks, what is pending for that and for the
 * process is sent again, and all is taken back when exec fails.  The caller stays inside the library meanwhile, so it
 * cannot change its kernel thread.
 *
 * All is sent to the caller's kernel thread, which is the new program's only one.  To the process was tried: the kernel
 * gives it to a worker that is open, and that dies with the signal in its hands.
 *
 * The child of a vfork() changes nothing in memory, which is its parent's, and nothing is pending for it.
 */
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel_signal.h"
#include "core/tick.h"
#include "mem/interpose.h"
#include "signal/signal.h"

enum { ARGUMENTS_MAX = 4096 };

struct handed {
    bool changed;
    bool inside; /* of the library: not the child of a vfork() */
    bool ignored;
    sigset_t mask;
    struct sigaction tick;
    unsigned thread_s[SIGNALS + 1]; /* how many were sent that were pending for the thread, */
    unsigned process_s[SIGNALS + 1]; /* and after them, for the process */
};

static bool send_here(const siginfo_t *info)
{
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), info->si_signo, info) == 0;
}

/* What is beyond the kernel's limit is lost with the program, or stays if exec fails. */
static uint64_t send_all(struct pending from, uint64_t which, unsigned *count)
{
    uint64_t sent = 0;
    siginfo_t info;

    while (pending_take(from, which, &info)) {
        if (!send_here(&info)) {
            pending_add(from, &info, true);
            break;
        }
        count[info.si_signo]++;
        sent |= signal_bit(info.si_signo);
    }
    return sent;
}

/*
 * Of two standard ones of a number the kernel would drop the second.  What the kernel keeps for a signalfd is taken, too:
 * the receiver might have it in its hands when it dies.
 */
static void hand_pending(struct thread *self, struct handed *handed)
{
    const uint64_t real_time = ~(signal_bit(SIGRTMIN) - 1);

    signals_lock();
    const uint64_t sent = send_all(pending_of(self), signal_mask(self), handed->thread_s);
    signal_fetch(self, signal_mask(self));
    send_all(pending_of_process(), signal_mask(self) & (real_time | ~sent), handed->process_s);
    signals_unlock();
}

/* A tick that was there before has kept the kernel from queueing one of its number. */
static bool take_one(struct thread *self, int number, siginfo_t *info)
{
    if (!signal_take_from_kernel(self, signal_bit(number), info))
        return false;
    if (tick_is_ours(info)) {
        self->worker->tick_pending = true;
        signal_fill_info(info, number, SI_USER);
    }
    return true;
}

/* As they were sent; then what has come meanwhile.  But what the kernel keeps may stay there. */
static void take_back_pending(struct thread *self, struct handed *handed)
{
    siginfo_t info;

    for (int number = 1; number <= SIGNALS; number++) {
        while (handed->thread_s[number] > 0 && take_one(self, number, &info)) {
            handed->thread_s[number]--;
            signal_to_thread(self, self, 0, &info, true);
        }
        while (handed->process_s[number] > 0 && take_one(self, number, &info)) {
            handed->process_s[number]--;
            signal_to_process(self, &info, true);
        }
    }
    while (signal_take_from_kernel(self, signal_mask(self) & ~atomic_load(&signal_kept), &info)) {
        if (tick_is_ours(&info))
            self->worker->tick_pending = true;
        else
            signal_to_process(self, &info, true);
    }
}

static void hand_mask(struct handed *handed)
{
    struct thread *self = self_thread;
    sigset_t mask;

    handed->changed = self != NULL;
    if (!self)
        return;
    handed->inside = self->worker->tid == gettid();
    if (handed->inside) {
        enter();
        hold_processor(self);
        tick_hold_back(self->worker);
    }
    signal_set(&mask, signal_mask(self));
    kernel_sigmask(SIG_SETMASK, &mask, &handed->mask);
    if (!handed->inside)
        return;
    signal_route_held(self->worker);
    hand_pending(self, handed);
}

static void take_back_mask(struct handed *handed)
{
    struct thread *self = self_thread;

    if (handed->inside)
        take_back_pending(self, handed);
    kernel_sigmask(SIG_SETMASK, &handed->mask, NULL);
    if (handed->inside) {
        tick_let_come(self->worker);
        leave(self);
    }
}

static void hand_over(struct handed *handed)
{
    hand_mask(handed);
    handed->ignored = handed->changed && signal_action(settings.signal).sa_handler == SIG_IGN;
    if (handed->ignored)
        signal_kernel_action(settings.signal, &(struct sigaction){.sa_handler = SIG_IGN}, &handed->tick);
}

static int take_back(struct handed *handed, int result)
{
    int saved_errno = errno;

    if (handed->ignored)
        signal_kernel_action(settings.signal, &handed->tick, NULL);
    if (handed->changed)
        take_back_mask(handed);
    errno = saved_errno;
    return result;
}

GREEN_API int execve(const char *path, char *const argv[], char *const envp[])
{
    __typeof__(&execve) real = REAL(execve); /* at depth 0 */
    struct handed handed = {0};

    hand_over(&handed);
    return take_back(&handed, real(path, argv, envp));
}

GREEN_API int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

GREEN_API int execvpe(const char *file, char *const argv[], char *const envp[])
{
    __typeof__(&execvpe) real = REAL(execvpe); /* at depth 0 */
    struct handed handed = {0};

    hand_over(&handed);
    return take_back(&handed, real(file, argv, envp));
}

GREEN_API int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

GREEN_API int fexecve(int fd, char *const argv[], char *const envp[])
{
    __typeof__(&fexecve) real = REAL(fexecve); /* at depth 0 */
    struct handed handed = {0};

    hand_over(&handed);
    return take_back(&handed, real(fd, argv, envp));
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

/*
 * The child starts with the kernel's mask of its parent, unless its attributes say otherwise: they say what the thread
 * blocks.
 */
static int spawn(int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                             char *const *, char *const *),
                 pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    const struct thread *self = self_thread;
    posix_spawnattr_t with_mask; /* a plain structure: what it points to stays the caller's */
    sigset_t mask;
    short flags = 0;

    if (attr)
        with_mask = *attr;
    else
        posix_spawnattr_init(&with_mask);
    posix_spawnattr_getflags(&with_mask, &flags);
    if (!self || flags & POSIX_SPAWN_SETSIGMASK)
        return real(pid, path, actions, attr, argv, envp);
    signal_set(&mask, signal_mask(self));
    posix_spawnattr_setsigmask(&with_mask, &mask);
    posix_spawnattr_setflags(&with_mask, (short)(flags | POSIX_SPAWN_SETSIGMASK));
    return real(pid, path, actions, &with_mask, argv, envp);
}

GREEN_API int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    return spawn(REAL(posix_spawn), pid, path, actions, attr, argv, envp);
}

GREEN_API int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    return spawn(REAL(posix_spawnp), pid, file, actions, attr, argv, envp);
}
