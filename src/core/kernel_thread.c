/*
 * Where libc takes a green thread for a kernel thread, and must not.
 *
 * setuid() and its like make every kernel thread do the call: libc signals each (33, a signal that sigaction() does
 * not touch), and its handler looks for its thread in the TLS block, which must be the one that libc has listed for
 * the kernel thread.  So the handler is wrapped to run on the worker's `kernel_tls`.
 *
 * The same signal, queued with a worker's address, asks for a tick that must not get lost (tick_send), and ends a call
 * that a cancellation ends.  This one queues, whatever its number's name, and as no program can block it no call is made
 * with a mask that keeps it out.  It is no tick itself, as libc wants its handler on the alternate stack.
 *
 * pthread_exit() would end the worker, and pthread_getattr_np() asks the kernel for a tid that it does not know.
 */
#include "core/kernel_thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "core/sched.h"
#include "core/tick.h"
#include "mem/interpose.h"

enum { SIGSETXID = 33 };

/* The kernel's sigaction, not libc's. */
struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void (*libc_handler)(int, siginfo_t *, void *);

static void on_setxid(int signal, siginfo_t *info, void *ucontext)
{
    const struct thread *self = self_thread;

    if (info->si_code == SI_QUEUE) {
        tick_received(info->si_value.sival_ptr);
        if (self)
            cancel_skip_call(self, ucontext);
        return;
    }
    if (self)
        arch_call_with_tls(self->worker->kernel_tls, libc_handler, signal, info, ucontext);
    else
        libc_handler(signal, info, ucontext);
}

void kernel_thread_init(void)
{
    struct kernel_action action;

    if (libc_handler || syscall(SYS_rt_sigaction, SIGSETXID, NULL, &action, sizeof action.mask) != 0 ||
        !action.handler)
        return;
    libc_handler = action.handler;
    action.handler = on_setxid;
    if (annotate_under_valgrind())
        action.flags &= ~(unsigned long)SA_ONSTACK;
    action.mask = ~UINT64_C(0); /* no tick while the TLS base is not the thread's */
    syscall(SYS_rt_sigaction, SIGSETXID, &action, NULL, sizeof action.mask);
}

int kernel_thread_signal(void)
{
    return libc_handler ? SIGSETXID : 0;
}

bool kernel_thread_is_first(void)
{
    return gettid() == getpid();
}

int kernel_thread_getattr(pthread_t thread, pthread_attr_t *attr)
{
    return REAL(pthread_getattr_np)(thread, attr);
}

/* In place of libc's. */
GREEN_API int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
    const struct thread *self = self_thread;

    if (!self || !self->stack_top || thread != pthread_self())
        return kernel_thread_getattr(thread, attr);
    int error = pthread_attr_init(attr);
    if (error)
        return error;
    size_t bytes = (size_t)((char *)self->stack_top - (char *)self->stack.low);
    return pthread_attr_setstack(attr, self->stack.low, bytes);
}

GREEN_API void pthread_exit(void *result)
{
    struct thread *self = self_thread;

    if (self && self->kind != THREAD_WORKER)
        green_exit(result);
    REAL(pthread_exit)(result);
    __builtin_unreachable();
}
