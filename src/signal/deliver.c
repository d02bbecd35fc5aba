/*
 * From the kernel's handler to the program's.
 *
 * The kernel's handler blocks everything but faults, so handlers do not nest before depth is raised.  At depth > 0 it
 * notes what came in the worker; whoever leaves the runtime on that worker routes it.  At depth 0, and where a worker
 * sleeps with nothing half done, it routes at once.  When the notes are full the kernel keeps the rest: everything is
 * blocked on this kernel thread until they have been routed.
 *
 * A thread runs its handlers at a safe point, at depth 0, with the kernel's masks open: a handler may be preempted,
 * may park, may leave by siglongjmp() (jump.c).  The mask that it runs with is in the thread.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <green/signal.h>

#include "base/kernel_signal.h"
#include "core/cancel.h"
#include "signal/signal.h"
#include "sync/sem.h"

struct delivery {
    siginfo_t info;
    struct sigaction action;
    uint64_t mask; /* before the handler */
};

/* The kernel's frame has room for the first word of a set, and something else behind it. */
static uint64_t context_mask(const ucontext_t *context)
{
    uint64_t bits;

    memcpy(&bits, &context->uc_sigmask, sizeof bits);
    return bits;
}

static void set_context_mask(ucontext_t *context, uint64_t bits)
{
    memcpy(&context->uc_sigmask, &bits, sizeof bits);
}

static void hold(struct worker *worker, const siginfo_t *info, ucontext_t *interrupted)
{
    worker->tick_pending = true;
    if (signal_is_kick(info))
        return;
    ASSERT(worker->held_end - worker->held_first < HELD_SIGNALS);
    worker->held[worker->held_end % HELD_SIGNALS] = *info;
    compiler_barrier();
    worker->held_end++;
    if (worker->held_end - worker->held_first < HELD_SIGNALS)
        return;
    signal_set(&worker->mask_before, context_mask(interrupted));
    set_context_mask(interrupted, signal_bits(preempt_closed_mask()));
    worker->tick_blocked = true;
}

/* It was for this kernel thread alone (tgkill), and so for the thread on it. */
static bool is_directed(const siginfo_t *info)
{
    return info->si_code == SI_TKILL && info->si_pid == getpid();
}

static void arrived(struct thread *self, const siginfo_t *info)
{
    if (signal_is_kick(info))
        return;
    if (is_directed(info) && self->kind != THREAD_WORKER)
        signal_to_thread(self, self, 0, info, true);
    else
        signal_to_process(self, info, true);
}

void signal_route_held(struct worker *worker)
{
    sem_deliver_posts(worker);
    while (worker->held_first != worker->held_end) {
        siginfo_t info = worker->held[worker->held_first % HELD_SIGNALS];
        compiler_barrier();
        worker->held_first++;
        arrived(self_thread, &info);
    }
}

/* What is for the process is for a worker to route.  But those block what the kernel keeps: so does this one, now. */
static bool pass_on(int number, siginfo_t *info, ucontext_t *interrupted)
{
    const struct worker *worker = workers_all();

    if (is_directed(info))
        return false;
    if (atomic_load(&signal_kept) & signal_bit(number)) {
        signal_frame_close(interrupted);
        return signal_queue_to_process(info);
    }
    return worker && syscall(SYS_rt_tgsigqueueinfo, getpid(), worker->tid, number, info) == 0;
}

/* A kernel thread that has never called us, or one of ours that has just begun. */
static void on_unknown_thread(int number, siginfo_t *info, ucontext_t *interrupted)
{
    struct sigaction action = signal_action(number);
    sigset_t mask, before;

    if (pass_on(number, info, interrupted))
        return;
    if (action.sa_handler == SIG_IGN)
        return;
    if (action.sa_handler == SIG_DFL) {
        signal_default(number);
        return;
    }
    signal_set(&mask, context_mask(interrupted) | signal_bits(&action.sa_mask) | signal_bit(number));
    kernel_sigmask(SIG_SETMASK, &mask, &before);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(number, info, interrupted);
    else
        action.sa_handler(number);
    kernel_sigmask(SIG_SETMASK, &before, NULL);
}

/* It sleeps, in its own context or as a foreign thread. */
static void on_sleeper(struct thread *self, const siginfo_t *info)
{
    struct worker *worker = self->worker;

    worker->own_safe = false;
    compiler_barrier();
    arrived(self, info);
    compiler_barrier();
    worker->own_safe = true;
}

static void on_thread(struct thread *self, const siginfo_t *info, ucontext_t *interrupted)
{
    self->depth++;
    hold_keep(self->worker);
    arrived(self, info);
    compiler_barrier();
    self->depth--;
    compiler_barrier();
    if (on_own_stack(self, arch_ucontext_sp(interrupted))) {
        preempt_handler_end(self, interrupted);
    } else {
        self->worker->tick_pending = true; /* at the next safe point */
        cancel_skip_call(self, interrupted);
    }
}

void signal_from_kernel(int number, siginfo_t *info, void *context)
{
    struct thread *self = self_thread;
    int saved_errno = errno;

    annotate_handler_begins();
    if (self)
        signal_frame_close(context);
    if (!self)
        on_unknown_thread(number, info, context);
    else if (self->depth == 0)
        on_thread(self, info, context);
    else if (self->worker->own_safe)
        on_sleeper(self, info);
    else
        hold(self->worker, info, context);
    errno = saved_errno;
}

/* Under the lock: no handler runs on the thread for this one. */
static bool without_thread(struct thread *self, struct delivery *delivery)
{
    const int number = delivery->info.si_signo;
    const enum verdict verdict = signal_verdict(number, &delivery->action);

    if (verdict == VERDICT_HANDLER)
        return false;
    if (verdict == VERDICT_THREAD)
        return signal_threads_post(self, &delivery->info, &delivery->action);
    if (verdict == VERDICT_DEFAULT) {
        signals_unlock();
        signal_default(number);
        signals_lock();
    }
    signal_count(SIGNALS_DISCARDED);
    return true;
}

/* The mask for the handler, whatever it closes going to others. */
static void close_mask(struct thread *self, struct delivery *delivery)
{
    const struct sigaction *action = &delivery->action;
    const int number = delivery->info.si_signo;
    uint64_t closed = signal_bits(&action->sa_mask) | (action->sa_flags & SA_NODEFER ? 0 : signal_bit(number));

    if (action->sa_flags & (int)SA_RESETHAND)
        signal_reset_action(number);
    delivery->mask = signal_mask(self);
    atomic_store_explicit(&self->sigmask, delivery->mask | closed, memory_order_relaxed);
    signal_route_again(self, closed & ~delivery->mask);
}

/* The next signal that the thread is to handle, its mask closed for the handler.  False: there is none. */
static bool take_next(struct thread *self, struct delivery *delivery)
{
    bool found;

    enter();
    signals_lock();
    signal_fetch(self, ~signal_mask(self));
    do {
        found = pending_take_for(self, ~signal_mask(self), &delivery->info);
        if (found)
            delivery->action = signal_action(delivery->info.si_signo);
    } while (found && without_thread(self, delivery));
    if (found) {
        signal_count(SIGNALS_HANDLED);
        close_mask(self, delivery);
    } else {
        atomic_fetch_and(&self->special, ~(uint32_t)SPECIAL_SIGNAL);
    }
    signals_unlock();
    compiler_barrier();
    self->depth--;
    compiler_barrier();
    preempt_take_ticks(self); /* and only these: other signals come after this one */
    return found;
}

static bool on_altstack(const struct thread *self)
{
    const stack_t *stack = &self->altstack;

    return (uintptr_t)__builtin_frame_address(0) - (uintptr_t)stack->ss_sp < stack->ss_size;
}

void signal_call_handler(struct thread *self, const struct sigaction *action, siginfo_t *info, ucontext_t *context)
{
    const stack_t *stack = &self->altstack;

    if (action->sa_flags & SA_ONSTACK && stack->ss_size > 0 && !on_altstack(self))
        arch_call_on_stack((char *)stack->ss_sp + stack->ss_size, action->sa_sigaction, info->si_signo, info, context);
    else if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(info->si_signo, info, context);
    else
        action->sa_handler(info->si_signo);
}

/*
 * The handler sees, and may change, the mask that comes back after it; the kernel's own in a context of the kernel's
 * is not its to see.
 */
static void run_handler(struct thread *self, struct delivery *delivery, ucontext_t *context)
{
    struct signal_frame frame = {.below = self->frames, .mask = delivery->mask};
    frame.postpones = atomic_load_explicit(&self->postpones, memory_order_relaxed);
    const uint64_t kernel_mask = context_mask(context);
    const bool cancellable = atomic_load_explicit(&self->cancellable, memory_order_relaxed);
    int saved_errno = errno;

    atomic_store_explicit(&self->cancellable, false, memory_order_relaxed); /* its waits are not that call's */
    frame.on_altstack = on_altstack(self) || (delivery->action.sa_flags & SA_ONSTACK && self->altstack.ss_size > 0);
    set_context_mask(context, delivery->mask);
    self->frames = &frame;
    signal_call_handler(self, &delivery->action, &delivery->info, context);
    self->frames = frame.below;
    atomic_store_explicit(&self->sigmask, context_mask(context) & ~SIGNALS_UNBLOCKABLE, memory_order_relaxed);
    set_context_mask(context, kernel_mask);
    atomic_store_explicit(&self->cancellable, cancellable, memory_order_relaxed);
    self->handled |= delivery->action.sa_flags & SA_RESTART ? HANDLED_RESTART : HANDLED_INTERRUPT;
    errno = saved_errno;
}

void signal_run(struct thread *self, ucontext_t *interrupted)
{
    struct delivery delivery;
    ucontext_t here;

    for (;;) {
        if (!take_next(self, &delivery)) {
            if (signal_marked(self)) /* meanwhile: the tick that told of it has been taken */
                continue;
            return;
        }
        if (!interrupted && delivery.action.sa_flags & SA_SIGINFO)
            getcontext(&here);
        run_handler(self, &delivery, interrupted ? interrupted : &here);
    }
}

void signal_run_in_handler(struct thread *self, ucontext_t *interrupted)
{
    sigset_t mask;

    signal_set(&mask, context_mask(interrupted));
    self->in_tick = false;
    self->worker->tick_blocked = false;
    kernel_sigmask(SIG_SETMASK, &mask, NULL);
    compiler_barrier();
    self->depth--;
    compiler_barrier();
    preempt_take_ticks(self);
    signal_run(self, interrupted);
    if (unlikely(cancel_at_once(self)))
        cancel_take(self);
    compiler_barrier();
    self->depth++;
    hold_processor(self); /* as the handlers may have blocked */
    preempt_close();
    self->worker->tick_blocked = true;
    self->in_tick = true;
}

enum handled signal_interlude(struct thread *self)
{
    self->handled = HANDLED_NONE;
    if (self->depth > 1) /* a foreign thread, claimed by mistake */
        return HANDLED_NONE;
    leave(self);
    signal_run(self, NULL);
    if (unlikely(cancel_unparks(self)))
        cancel_take(self);
    enter();
    return self->handled;
}

enum handled signal_interlude_within(struct thread *self)
{
    const bool before = cancel_postpone(self);
    const enum handled handled = signal_interlude(self);

    cancel_postpone_end(self, before);
    return handled;
}

void signal_found_parked(struct thread *left)
{
    struct thread *self = self_thread;

    signals_lock();
    if ((signal_due(left) || cancel_unparks(left)) && park_claim_for_signal(left))
        signal_resume(self, left);
    signals_unlock();
}
