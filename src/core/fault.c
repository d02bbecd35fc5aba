/*
 * Stack overflow: one line, then the default action.
 *
 * SIGSEGV is handled on the worker's alternate stack.  A fault in the guard of the thread's stack is named; every
 * other is left to the default action, with the registers of the fault in the core, by returning to the faulting
 * instruction.  When a tick's frame does not fit the stack the kernel reports no address (si_code SI_KERNEL): then
 * the stack pointer tells.  Such a signal does not come again by itself, and is raised.
 *
 * A program that wants SIGSEGV for itself installs its handler as ever, and then gets overflows, too.
 */
#include "core/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/plain.h"
#include "core/sched.h"
#include "core/signals.h"

/* Where a frame could not be written: this far below the stack pointer at the most. */
enum { FRAME_REACH = 16384 };

static const void *overflow_address(const struct thread *self, const siginfo_t *info, const void *ucontext)
{
    uintptr_t sp = arch_ucontext_sp(ucontext), low = (uintptr_t)self->stack.low;

    if (!self->stack_top && !self->bound) /* not one of ours */
        return NULL;
    if (info->si_code > 0 && info->si_code != SI_KERNEL)
        return stack_in_guard(&self->stack, info->si_addr) ? info->si_addr : NULL;
    return sp - low < FRAME_REACH || low - sp < FRAME_REACH ? (const void *)sp : NULL;
}

static void report(const struct thread *self, const void *address)
{
    char line[200];
    int length = snprintf(line, sizeof line,
                          "libgreen: stack overflow in thread \"%s\" (id %llu), stack of %zu bytes, fault at %p\n",
                          self->name, (unsigned long long)thread_id(self),
                          self->borrowed ? self->stack.bytes : STACK_CLASS_MIN << self->class, address);

    if (length > 0 && plain_write(STDERR_FILENO, line, (size_t)length) < 0)
        return;
}

static void on_fault(int signal_number, siginfo_t *info, void *ucontext)
{
    const struct thread *self = self_thread;
    const void *address = self ? overflow_address(self, info, ucontext) : NULL;
    struct sigaction action;

    if (address)
        report(self, address);
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    signal_kernel_action(signal_number, &action, NULL);
    if (info->si_code <= 0 || info->si_code == SI_KERNEL)
        signal_default(signal_number);
}

bool fault_is_ours(const struct sigaction *action)
{
    return action->sa_sigaction == on_fault;
}

int fault_init(void)
{
    struct sigaction action;

    if (signal_kernel_action(SIGSEGV, NULL, &action) != 0)
        return errno;
    if (action.sa_handler != SIG_DFL)
        return 0;
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    return signal_kernel_action(SIGSEGV, &action, NULL) == 0 ? 0 : errno;
}
