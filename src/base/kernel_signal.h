/*
 * The kernel's mask and alternate stack of the calling kernel thread, whatever libc's names for them mean on a green
 * thread (signal/libc.c).
 */
#ifndef KERNEL_SIGNAL_H
#define KERNEL_SIGNAL_H

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libc keeps two signals for itself, which nobody blocks.  0 or an errno, which itself stays what it is. */
static inline int kernel_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    enum { KERNEL_SET_BYTES = 8, LIBC_FIRST = 32, LIBC_LAST = 33 };
    int saved_errno = errno;
    sigset_t copy;

    if (set) {
        copy = *set;
        for (int number = LIBC_FIRST; number <= LIBC_LAST; number++)
            ((unsigned long *)&copy)[0] &= ~(1UL << (number - 1));
        set = &copy;
    }
    if (old)
        sigemptyset(old);
    int error = syscall(SYS_rt_sigprocmask, how, set, old, KERNEL_SET_BYTES) == 0 ? 0 : errno;
    errno = saved_errno;
    return error;
}

static inline int kernel_sigaltstack(const stack_t *stack, stack_t *old)
{
    return (int)syscall(SYS_sigaltstack, stack, old);
}

#endif
