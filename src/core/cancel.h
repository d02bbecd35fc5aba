/*
 * Cancellation, as the calls see it that are cancellation points.
 *
 * A request is a bit in the word of its thread, beside the thread's own state and type, under the generation of the
 * id that was named: a late request cannot hit the next thread in the same structure.  SPECIAL_CANCEL says that there
 * was one; it only makes the thread look at the word, and stays.
 *
 * A thread that is in a cancellation point says so (`cancellable`).  A parked one is then claimed and woken as for a
 * signal, so its wait ends by WAKE_SIGNAL: it is off its queue, and whoever would have woken it goes on to the next
 * waiter, or keeps what it had to give.  A wake-up that came first stands: the call returns, and the request waits for
 * the next point.  So nothing that was given to a thread is lost with it.  Requester and thread meet as signal and
 * thread do (sched.h, tests/model/claim.pml): the one marks, passes a heavy barrier and looks at `cancellable` and
 * whether it is parked; the other announces these and then looks at the mark.
 *
 * Where it is acted upon: at depth 0, nothing of the library's held, where the handlers of a signal would run:
 * signal_interlude() for a wait that holds nothing, or the call itself for one that must first take its mutex or its mask
 * back.
 *
 * The asynchronous type makes every safe point such a place.  A running thread is sent a tick; a parked one is claimed
 * and woken whatever it waits for (cancel_unparks()), as for a signal here too: a mutex or a turn that is its own by then
 * stays so, and one that comes later goes to the next waiter.  A call that is at depth 0 in the middle of its work, for
 * handlers to run, and has something to put right first postpones it until then (cancel_postpone()): to lock the mutex
 * of a condition again, to withdraw from a barrier, to release whom it has joined.  Requester and thread meet over
 * `postpones` as over `cancellable`.  Rejected: to leave that to the way out of the stack, as a frame's cleanup, for
 * which these calls would have to be made at depth 0.
 *
 * Calls of libc's that block in the kernel (cancel/point.h) announce themselves in the same way, at depth 0.  Their
 * thread runs, to us: its kernel thread is sent a signal (kernel_thread.c), which ends what it sleeps in.  The handler
 * of that, or of any other, skips the system call when it is still to be made, or to be made again
 * (arch_syscall_unless()), and the thread ends behind it, outside of the handler, where it can take a processor again.
 * What the kernel has done stands.  A thread that is preempted in between finds the request when it is dispatched, as
 * its handler ends.
 *
 * Rejected: a wake-up of its own for cancelled waiters, a third rival for each claim; and waking every waiter, whatever
 * it waits for, for the deferred type: a thread would lose its place in the queue of a mutex.
 */
#ifndef CANCEL_H
#define CANCEL_H

#include "core/sched.h"

enum cancel { CANCEL_REQUESTED = 1, CANCEL_DISABLED = 2, CANCEL_ASYNCHRONOUS = 4 };

/* Somebody has asked, at some time. */
static inline bool cancel_marked(const struct thread *thread)
{
    return atomic_load_explicit(&thread->special, memory_order_relaxed) & SPECIAL_CANCEL;
}

static inline bool cancel_is(const struct thread *thread, uint32_t bits, uint32_t of)
{
    return ((uint32_t)atomic_load_explicit(&thread->cancel, memory_order_relaxed) & of) == bits;
}

/* A parked thread's wait shall end for it. */
static inline bool cancel_ends_wait(const struct thread *thread)
{
    return atomic_load_explicit(&thread->cancellable, memory_order_relaxed) &&
           cancel_is(thread, CANCEL_REQUESTED, CANCEL_REQUESTED | CANCEL_DISABLED);
}

/* The thread shall end wherever it is. */
static inline bool cancel_at_once(const struct thread *thread)
{
    return unlikely(cancel_marked(thread)) && !thread->ending &&
           !atomic_load_explicit(&thread->postpones, memory_order_relaxed) &&
           cancel_is(thread, CANCEL_REQUESTED | CANCEL_ASYNCHRONOUS,
                     CANCEL_REQUESTED | CANCEL_DISABLED | CANCEL_ASYNCHRONOUS);
}

/* Whatever a parked thread waits for, its wait shall end for it. */
static inline bool cancel_unparks(const struct thread *thread)
{
    return cancel_ends_wait(thread) || cancel_at_once(thread);
}

/*
 * At depth > 0: until cancel_postpone_end(), which gets what this returns, no asynchronous cancellation of the calling
 * thread, not in handlers either.
 */
static inline bool cancel_postpone(struct thread *self)
{
    const bool before = atomic_load_explicit(&self->postpones, memory_order_relaxed);

    atomic_store_explicit(&self->postpones, true, memory_order_relaxed);
    compiler_barrier();
    return before;
}

/* A request that came meanwhile is acted upon when the depth is 0. */
static inline void cancel_postpone_end(struct thread *self, bool before)
{
    atomic_store_explicit(&self->postpones, before, memory_order_relaxed);
    compiler_barrier();
    if (cancel_at_once(self))
        self->worker->tick_pending = true;
}

/* The calling thread shall end at its next cancellation point. */
static inline bool cancel_wanted(const struct thread *self)
{
    return unlikely(cancel_marked(self)) && !self->ending &&
           cancel_is(self, CANCEL_REQUESTED, CANCEL_REQUESTED | CANCEL_DISABLED);
}

/* At the end of a signal's handler that interrupted the calling thread at depth 0: nor does the call begin. */
static inline void cancel_skip_call(const struct thread *self, ucontext_t *interrupted)
{
    if (cancel_wanted(self))
        arch_ucontext_skip_call(interrupted);
}

/* At depth 0: end the calling thread, if that is wanted. */
void cancel_take(struct thread *self);
/* The same at depth 1. */
void cancel_take_inside(struct thread *self);

/* A call of the program's is a cancellation point, here, at depth 0; in its critical sections none is. */
static inline void cancel_point(void)
{
    struct thread *self = self_thread;

    if (self && unlikely(cancel_marked(self)))
        cancel_take(self);
}

/* Until cancel_point_end(), waits of the calling thread end for its cancellation.  One that ends cannot be cancelled. */
static inline void cancel_point_only(struct thread *self)
{
    atomic_store_explicit(&self->cancellable, !self->ending, memory_order_relaxed);
    compiler_barrier();
}

/* The same, and a request that was there before is taken first, at depth 1 with nothing held. */
static inline void cancel_point_begin(struct thread *self)
{
    if (unlikely(cancel_marked(self)))
        cancel_take_inside(self);
    cancel_point_only(self);
}

static inline void cancel_point_end(struct thread *self)
{
    atomic_store_explicit(&self->cancellable, false, memory_order_relaxed);
}

#endif
