/*
 * Parking and readying, in line for the waits that are most often waited: one function to return from after the switch
 * (see switch.h), and nothing to be asked twice.
 */
#ifndef PARK_H
#define PARK_H

#include "core/sched.h"
#include "core/switch.h"

/* Where nobody takes from another's queues: as choose(), and first of all whom the running thread has readied. */
static inline __attribute__((always_inline)) struct thread *choose_alone(struct worker *worker)
{
    struct proc *proc = worker->proc;
    const uint32_t until = atomic_load_explicit(&proc->until_global, memory_order_relaxed) - 1;
    struct thread *next = atomic_load_explicit(&proc->runnext, memory_order_relaxed);

    if (unlikely(!next || until == 0 || atomic_load_explicit(&proc->attention, memory_order_relaxed)))
        return choose(worker);
    atomic_store_explicit(&proc->until_global, until, memory_order_relaxed);
    atomic_store_explicit(&proc->runnext, NULL, memory_order_relaxed);
    return next;
}

/* dispatch.c: what is left to be done for a thread that parked with a signal, or its cancellation, to look at */
void after_park_marked(struct thread *left, void *arg);

/*
 * Nobody else dispatches, so nobody can resume the thread before it has left: it parks while it still stands on its
 * stack, and most times nothing is left to be done after the switch.
 */
static inline __attribute__((always_inline)) void park_alone(struct thread *self, struct lock *lock,
                                                             enum lock_rank rank)
{
    struct worker *worker = self->worker;
    struct thread *next = choose_alone(worker);
    const bool marked = parked_with_signal(self);

    lock_release(lock, rank);
    worker->left = self;
    worker->after = unlikely(marked) ? after_park_marked : NULL;
    switch_now(self, worker, next);
}

/* As park(). */
static inline __attribute__((always_inline)) enum wake park_inline(struct thread *self, struct lock *lock,
                                                                   enum lock_rank rank)
{
    if (unlikely(!lock_is_idle(rank) || self->deadline != NEVER)) /* idle: it is not foreign either */
        return park(self, lock, rank);
    ASSERT(self->kind == THREAD_MULTIPLEXED);
    park_alone(self, lock, rank);
    return park_outcome(self);
}

/* As ready(), by a thread that is no handler: it has its processor. */
static inline __attribute__((always_inline)) void ready_inline(struct thread *self, struct thread *thread)
{
    struct proc *proc = self->proc;

    if (unlikely(!lock_is_idle(RANK_QUEUE) || atomic_load_explicit(&proc->runnext, memory_order_relaxed) ||
                 !atomic_load_explicit(&proc->ticking, memory_order_relaxed))) {
        ready(self, thread);
        return;
    }
    atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
    atomic_store_explicit(&proc->runnext, thread, memory_order_relaxed);
}

#endif
