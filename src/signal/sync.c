/*
 * Faults: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS from the instruction that the thread executes.
 *
 * They are the thread's that caused them, and are never deferred: the handler runs in a critical section, too.  A
 * thread that blocks such a signal, or a program that ignores it, is ended by it, as the kernel would do.  The default
 * action is left to the kernel, by going back to the instruction, so status and core are those of the fault.
 *
 * Without SA_ONSTACK the kernel's frame lies on the thread's own stack, and all is as for other signals.  With it the
 * frame lies on the worker's alternate stack, where no thread may stay: the next fault of another one would overwrite
 * it.  So the frame is moved to the thread's own alternate stack (green_sigaltstack), or where it has none, below what
 * it had on its own stack; the thread goes on there, may be preempted and park, and ends with a sigreturn of the
 * moved frame.  Rejected: giving the kernel each thread's alternate stack at every switch, a system call.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <green/signal.h>

#include "base/annotate.h"
#include "base/kernel_signal.h"
#include "core/fault.h"
#include "core/tick.h"
#include "signal/signal.h"

enum { RED_ZONE = 128, ROOM = 8192 };

/* On the stack to which a frame is moved, below it. */
struct moved {
    struct arch_signal_frame frame;
    struct thread *self;
};

/* The kernel ends the process when the instruction is executed again; a fault without an address may not recur. */
static void end_process(int number, const siginfo_t *info)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    signal_kernel_action(number, &action, NULL);
    if (number == SIGSEGV)
        fault_init(); /* which says so when it was a stack overflow */
    if (info->si_code == SI_KERNEL && number != SIGSEGV)
        syscall(SYS_tgkill, getpid(), gettid(), number);
}

/* At the depth that the thread had; the kernel's masks are open. */
static void handle(struct thread *self, siginfo_t *info, ucontext_t *context)
{
    struct signal_frame frame = {.below = self->frames, .mask = signal_mask(self)};
    struct sigaction action = signal_action(info->si_signo);
    uint64_t closed = signal_bits(&action.sa_mask) | (action.sa_flags & SA_NODEFER ? 0 : signal_bit(info->si_signo));
    uint64_t kernel_mask, after;

    frame.on_altstack = action.sa_flags & SA_ONSTACK && self->altstack.ss_size > 0;
    memcpy(&kernel_mask, &context->uc_sigmask, sizeof kernel_mask);
    memcpy(&context->uc_sigmask, &frame.mask, sizeof frame.mask);
    if (action.sa_flags & (int)SA_RESETHAND) {
        enter();
        signals_lock();
        signal_reset_action(info->si_signo);
        signals_unlock();
        leave(self);
    }
    atomic_store_explicit(&self->sigmask, frame.mask | closed, memory_order_relaxed);
    self->frames = &frame;
    signal_count(SIGNALS_HANDLED);
    signal_call_handler(self, &action, info, context);
    self->frames = frame.below;
    memcpy(&after, &context->uc_sigmask, sizeof after);
    memcpy(&context->uc_sigmask, &kernel_mask, sizeof kernel_mask);
    atomic_store_explicit(&self->sigmask, after & ~SIGNALS_UNBLOCKABLE, memory_order_relaxed);
    if (signal_opens(self, ~UINT64_C(0)))
        signal_mask_changed(self, ~UINT64_C(0));
}

/* Nothing comes between this and the sigreturn, which gives the worker its alternate stack. */
static void close_kernel_mask(struct thread *self, ucontext_t *context)
{
    preempt_close();
    if (self->kind != THREAD_FOREIGN)
        context->uc_stack = self->worker->altstack;
}

static void handle_in_place(struct thread *self, siginfo_t *info, ucontext_t *context)
{
    sigset_t mask;
    uint64_t bits;

    memcpy(&bits, &context->uc_sigmask, sizeof bits);
    signal_set(&mask, bits);
    kernel_sigmask(SIG_SETMASK, &mask, NULL);
    handle(self, info, context);
    close_kernel_mask(self, context);
}

static void go_on_here(struct moved *moved)
{
    struct thread *self = moved->self;

    handle(self, moved->frame.info, moved->frame.context);
    close_kernel_mask(self, moved->frame.context);
    arch_sigreturn(moved->frame.context);
}

/* Where the thread goes on; NULL: there is no room, as its stack has overflown. */
static void *place_for(const struct thread *self, const ucontext_t *context)
{
    uintptr_t sp = arch_ucontext_sp(context);
    const stack_t *stack = &self->altstack;

    if (stack->ss_size > 0 && sp - (uintptr_t)stack->ss_sp >= stack->ss_size)
        return (char *)stack->ss_sp + stack->ss_size;
    if (stack->ss_size == 0 && self->stack.low &&
        (sp - (uintptr_t)self->stack.low >= self->stack.bytes || sp - (uintptr_t)self->stack.low < ROOM))
        return NULL;
    return (void *)(sp - RED_ZONE);
}

static void handle_elsewhere(struct thread *self, siginfo_t *info, ucontext_t *context)
{
    void *place = place_for(self, context);
    struct moved *moved;

    if (!place) {
        end_process(info->si_signo, info);
        return;
    }
    struct arch_signal_frame frame = arch_signal_frame_copy(place, info, context);
    moved = (struct moved *)(((uintptr_t)frame.low - sizeof *moved) & ~(uintptr_t)15);
    *moved = (struct moved){frame, self};
    arch_ucontext_call(context, moved, (void (*)(void *))go_on_here, moved);
}

static bool on_alternate_stack(const struct thread *self)
{
    const stack_t *stack = &self->worker->altstack;

    return (uintptr_t)__builtin_frame_address(0) - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/* For debug builds.  A worker with another one's would overwrite its frames. */
static bool altstack_is_its_own(const struct thread *self)
{
    stack_t stack;

    return self->kind == THREAD_FOREIGN || kernel_sigaltstack(NULL, &stack) != 0 ||
           stack.ss_sp == self->worker->altstack.ss_sp;
}

/* Somebody has sent it: it is like any other, but that here may be no place to switch from. */
static void sent(struct thread *self, int number, siginfo_t *info, ucontext_t *context)
{
    if (!self || self->depth > 0 || !on_alternate_stack(self)) {
        signal_from_kernel(number, info, context);
        return;
    }
    self->depth++;
    hold_keep(self->worker);
    if (!signal_is_kick(info))
        signal_to_process(self, info, true);
    tick_send(self->worker); /* which comes when this handler has returned */
    compiler_barrier();
    self->depth--;
}

void signal_fault(int number, siginfo_t *info, void *context)
{
    struct thread *self = self_thread;
    struct sigaction action = signal_action(number);
    int saved_errno = errno;

    ASSERT(!self || altstack_is_its_own(self));
    if (info->si_code <= 0)
        sent(self, number, info, context);
    else if (!self || self->kind == THREAD_WORKER || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN ||
             signal_mask(self) & signal_bit(number))
        end_process(number, info);
    else if (!on_alternate_stack(self))
        handle_in_place(self, info, context);
    else if (annotate_under_valgrind()) /* whose frames cannot be moved */
        handle(self, info, context);
    else
        handle_elsewhere(self, info, context);
    errno = saved_errno;
}
