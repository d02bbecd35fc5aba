/*
 * The calls of libc's that mean a thread's signals: on a green thread they mean the green thread's.
 *
 * A program that was written for POSIX threads, and a library that knows nothing of these, block, await and handle
 * signals by libc's names.  The kernel's mask is the worker's: a thread that changed that would take it away from the
 * others and leave it behind when it moves.  A kernel thread that has nothing to do with the library keeps the
 * kernel's.
 *
 * Handlers go to the table for another reason: only the library wakes a parked thread for its handler, and runs that
 * where it may lock and wait.  Not those of faults, which the kernel hands to the thread itself.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <green/signal.h>

#include "base/kernel_signal.h"
#include "mem/interpose.h"
#include "signal/signal.h"

/* The caller's signals are emulated. */
static bool emulated(void)
{
    return self_thread && self_thread->kind != THREAD_WORKER;
}

static bool for_table(int number, const struct sigaction *action)
{
    if (signal_in_table(number))
        return true;
    return action && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN && atomic_load(&signal_seen) != 0 &&
           signal_valid(number) && !signal_is_synchronous(number) && number != SIGKILL && number != SIGSTOP;
}

GREEN_API int sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    return for_table(number, action) ? green_sigaction(number, action, before)
                                     : signal_kernel_action(number, action, before);
}

/*
 * The kernel drops a signal that finds another of its number pending on the same kernel thread, and that may be a
 * tick; and the thread may change its kernel thread before it comes.  So what raise() does, to run the handler before
 * it returns, is done without the kernel.
 */
GREEN_API int raise(int number)
{
    if (self_thread && signal_in_table(number))
        return green_raise(number);
    return (int)syscall(SYS_tgkill, getpid(), gettid(), number);
}

static sighandler_t set_handler(int number, sighandler_t handler, int flags)
{
    struct sigaction action, before;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    return sigaction(number, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

GREEN_API sighandler_t signal(int number, sighandler_t handler)
{
    return set_handler(number, handler, SA_RESTART);
}

/* What signal() is in a program compiled for System V or strict POSIX. */
GREEN_API sighandler_t __sysv_signal(int number, sighandler_t handler)
{
    return set_handler(number, handler, (int)(SA_RESETHAND | SA_NODEFER));
}

GREEN_API int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return emulated() ? green_sigmask(how, set, old) : kernel_sigmask(how, set, old);
}

GREEN_API int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    const int error = pthread_sigmask(how, set, old);

    if (error)
        errno = error;
    return error ? -1 : 0;
}

GREEN_API int sigpending(sigset_t *set)
{
    return emulated() ? green_sigpending(set) : REAL(sigpending)(set);
}

GREEN_API int sigwait(const sigset_t *set, int *number)
{
    return emulated() ? green_sigwait(set, number) : REAL(sigwait)(set, number);
}

GREEN_API int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    return emulated() ? green_sigwaitinfo(set, info) : REAL(sigwaitinfo)(set, info);
}

GREEN_API int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *duration)
{
    return emulated() ? green_sigtimedwait(set, info, duration) : REAL(sigtimedwait)(set, info, duration);
}

GREEN_API int sigsuspend(const sigset_t *mask)
{
    return emulated() ? green_sigsuspend(mask) : REAL(sigsuspend)(mask);
}

/* A thread with a kernel thread of its own has the kernel's, on which faults are handled. */
GREEN_API int sigaltstack(const stack_t *stack, stack_t *old)
{
    return emulated() && self_thread->kind == THREAD_MULTIPLEXED ? green_sigaltstack(stack, old)
                                                                 : kernel_sigaltstack(stack, old);
}
