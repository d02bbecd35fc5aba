/*
 * A thread's mask: a word of its own, so changing it is a store, and a look at what is pending.
 *
 * A mask at a thread's birth is its creator's; main has what the process had when the library started.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <green/signal.h>
#include <green/sched.h>

#include "base/kernel_signal.h"
#include "signal/signal.h"

static int mask_after(int how, uint64_t before, uint64_t set, uint64_t *after)
{
    switch (how) {
    case SIG_BLOCK:
        *after = before | set;
        return 0;
    case SIG_UNBLOCK:
        *after = before & ~set;
        return 0;
    case SIG_SETMASK:
        *after = set;
        return 0;
    default:
        return EINVAL;
    }
}

void signal_mask_changed(struct thread *self, uint64_t before)
{
    enter();
    signals_lock();
    signal_fetch(self, before & ~signal_mask(self));
    signal_route_again(self, signal_mask(self) & ~before);
    if (signal_due(self)) {
        atomic_fetch_or(&self->special, SPECIAL_SIGNAL);
        self->worker->tick_pending = true;
    }
    signals_unlock();
    leave(self);
}

/* The first time that somebody blocks it. */
static void mask_first(uint64_t set)
{
    struct thread *self = enter();

    signal_mask_first(set);
    leave(self);
}

int green_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    struct thread *self = known_self();
    uint64_t after;

    if (unlikely(!self))
        return ENOMEM;
    const uint64_t before = signal_mask(self);
    if (set) {
        if (mask_after(how, before, signal_bits(set), &after))
            return EINVAL;
        if (unlikely(after & ~atomic_load_explicit(&signal_masked, memory_order_relaxed)))
            mask_first(after);
        atomic_store_explicit(&self->sigmask, after, memory_order_relaxed);
        compiler_barrier();
        if (unlikely(signal_opens(self, before) ||
                     (atomic_load_explicit(&signal_process_set, memory_order_relaxed) & after & ~before)))
            signal_mask_changed(self, before);
    }
    if (old)
        signal_set(old, before);
    return 0;
}

int green_sigpending(sigset_t *set)
{
    struct thread *self = known_self();

    if (!self || !set) {
        errno = self ? EFAULT : ENOMEM;
        return -1;
    }
    enter();
    signals_lock(); /* under which the receiver takes and gives back */
    const uint64_t pending =
        atomic_load(&self->sigpending) | atomic_load(&signal_process_set) | signal_kernel_has();
    signals_unlock();
    leave(self);
    signal_set(set, pending & signal_mask(self));
    return 0;
}

static bool within(const stack_t *stack)
{
    return (uintptr_t)__builtin_frame_address(0) - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/* A handler that comes meanwhile runs on the one or the other, and not at the address of one with the size of the other. */
static void set_altstack(struct thread *self, stack_t stack)
{
    enter();
    self->altstack = stack;
    leave(self);
}

int green_sigaltstack(const stack_t *stack, stack_t *old)
{
    struct thread *self = known_self();
    int error = self ? 0 : ENOMEM;

    if (!error && stack && within(&self->altstack))
        error = EPERM;
    else if (!error && stack && stack->ss_flags & ~SS_DISABLE)
        error = EINVAL;
    else if (!error && stack && !stack->ss_flags && stack->ss_size < (size_t)sysconf(_SC_MINSIGSTKSZ))
        error = ENOMEM;
    if (error) {
        errno = error;
        return -1;
    }
    stack_t before = self->altstack;
    before.ss_flags = !before.ss_size ? SS_DISABLE : within(&self->altstack) ? SS_ONSTACK : 0;
    if (stack)
        set_altstack(self, stack->ss_flags & SS_DISABLE ? (stack_t){.ss_size = 0} : *stack);
    if (old)
        *old = before;
    return 0;
}

void signal_thread_begins(struct thread *creator, struct thread *thread)
{
    sigset_t kernel;

    thread->frames = NULL;
    thread->sigwaits = 0;
    if (unlikely(thread->altstack.ss_size > 0))
        thread->altstack = (stack_t){.ss_size = 0};
    if (unlikely(atomic_load_explicit(&thread->sigpending, memory_order_relaxed))) { /* sent as it ended */
        signals_lock();
        pending_discard(pending_of(thread), ~UINT64_C(0));
        signals_unlock();
    }
    if (likely(creator != NULL)) {
        atomic_store_explicit(&thread->sigmask, signal_mask(creator), memory_order_relaxed);
        return;
    }
    kernel_sigmask(SIG_SETMASK, NULL, &kernel);
    sigdelset(&kernel, settings.signal);
    atomic_store(&thread->sigmask, signal_bits(&kernel));
    if (atomic_load(&signal_kept) & ~signal_bits(&kernel)) /* it has opened them, and says so when it knows itself */
        atomic_fetch_or(&thread->special, SPECIAL_SIGNAL);
}

/* Its mask closed, nobody chooses it any more; who did before has set what is read after. */
void signal_thread_ends(struct thread *self)
{
    const uint64_t before = signal_mask(self);

    atomic_store_explicit(&self->sigmask, ~UINT64_C(0), memory_order_relaxed);
    compiler_barrier();
    if (likely(!atomic_load_explicit(&self->sigpending, memory_order_relaxed) &&
               !atomic_load_explicit(&signal_process_set, memory_order_relaxed)))
        return;
    signals_lock();
    pending_discard(pending_of(self), ~UINT64_C(0));
    signal_route_again(self, ~before);
    signals_unlock();
}
