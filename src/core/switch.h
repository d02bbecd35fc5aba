/*
 * Leaving the processor to another thread.
 *
 * In line where a thread parks, ends or yields: the fewer functions there are to return from after a switch, the
 * fewer returns the CPU mispredicts, as it expects them to follow the calls of the thread that left.
 */
#ifndef SWITCH_H
#define SWITCH_H

#include "core/observe.h"
#include "core/sched.h"

/* What is not done at most switches: the trace, a thread with a slice of its own, and one with a signal. */
void switch_specially(struct worker *worker, struct thread *next);

/* The switch alone: worker->after is set. */
static inline __attribute__((always_inline)) void switch_now(struct thread *self, struct worker *worker,
                                                             struct thread *next)
{
    ASSERT(self == self_thread && self->depth > 0 && self != next && worker == self->worker);
    next->worker = worker;
    next->proc = worker->proc;
    atomic_store_explicit(&worker->current, next, memory_order_relaxed);
    count_up(&worker->switches);
    atomic_store_explicit(&next->state, THREAD_RUNNING, memory_order_relaxed);
    compiler_barrier(); /* who marks it special looks at its state afterwards: see heavy_barrier() */
    if (unlikely(atomic_load_explicit(&switch_watch, memory_order_relaxed) != 0 ||
                 atomic_load_explicit(&next->special, memory_order_relaxed) != 0))
        switch_specially(worker, next);
    arch_switch(&self->context, &next->context);
    if (self->worker->after)
        switch_arrived(self);
}

/* For the arriving side: once self is off its stack, `after`, if any, is called with it. */
static inline __attribute__((always_inline)) void leave_behind(struct worker *worker, struct thread *self,
                                                               after_fn *after, void *arg)
{
    worker->left = self;
    worker->after = after;
    worker->after_arg = arg;
}

/* Leave the processor to `next`. */
static inline __attribute__((always_inline)) void switch_to(struct thread *self, struct thread *next,
                                                            after_fn *after, void *arg)
{
    struct worker *worker = self->worker;

    leave_behind(worker, self, after, arg);
    switch_now(self, worker, next);
}

#endif
