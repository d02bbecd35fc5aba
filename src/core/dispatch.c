/*
 * The dispatcher: who runs next, and the switch to it.
 *
 * The common switch goes from thread to thread on the leaving thread's stack.  What must wait until that stack is left
 * (to queue the thread, to release the lock of the queue it parked on, to free it) is noted in the worker and done by the
 * arriving side.  Only when no thread is ready does the worker's own context run: it searches, steals and sleeps (worker.c).
 *
 * A switch does not read the clock: that alone would cost as much as the rest.  Slices are judged when a tick comes.
 */
#include "core/observe.h"
#include "core/sched.h"

/* The global queue is looked at first every so many dispatches: a prime, to fall out of step with the program's patterns. */
enum { GLOBAL_EVERY = 61 };

void (*_Atomic observe_switch)(unsigned proc, green_t thread, const char *name);

__thread struct thread *self_thread;

static void observe(const struct worker *worker, const struct thread *next)
{
    void (*observer)(unsigned, green_t, const char *) = atomic_load_explicit(&observe_switch, memory_order_acquire);

    if (observer && worker->proc)
        observer(worker->proc->index, next->kind == THREAD_WORKER ? 0 : thread_id(next), next->name);
}

void switch_arrived(struct thread *self)
{
    struct worker *worker = self->worker;

    worker->after(worker->left, worker->after_arg);
    if (unlikely(worker->tick_blocked) && !self->in_tick)
        tick_unblock(worker);
}

void switch_to(struct thread *self, struct thread *next, after_fn *after, void *arg)
{
    struct worker *worker = self->worker;

    ASSERT(self == self_thread && self->depth > 0 && self != next);
    worker->left = self;
    worker->after = after;
    worker->after_arg = arg;
    next->worker = worker;
    atomic_store_explicit(&next->state, THREAD_RUNNING, memory_order_relaxed);
    if (unlikely(atomic_load_explicit(&observe_switch, memory_order_relaxed) != NULL))
        observe(worker, next);
    if (unlikely(atomic_load_explicit(&next->slice_us, memory_order_relaxed) != 0) && worker->proc)
        slice_begin(worker->proc, next, clock_now());
    arch_switch(&self->context, &next->context);
    switch_arrived(self);
}

/* Without ticks, deadlines are looked at when somebody is chosen. */
static void poll_timers(struct proc *proc)
{
    if (atomic_load_explicit(&proc->first_deadline, memory_order_relaxed) != NEVER)
        timers_expire(proc, clock_now(), &proc->woken);
}

struct thread *choose_ready(struct proc *proc)
{
    struct thread *next;

    count_up(&proc->dispatches);
    if (unlikely(atomic_load_explicit(&proc->retired, memory_order_relaxed)))
        return NULL;
    if (unlikely(!settings.preempt))
        poll_timers(proc);
    if (unlikely(--proc->until_global == 0)) {
        proc->until_global = GLOBAL_EVERY;
        if ((next = global_take(proc)))
            return next;
    }
    if (unlikely(proc->woken.head != NULL))
        return run_list_pop(&proc->woken);
    if ((next = runq_take_next(proc)))
        return next;
    proc->slice_unknown = true;
    if ((next = runq_pop(proc)))
        return next;
    return global_take(proc);
}

struct thread *choose(struct worker *worker)
{
    struct thread *next = choose_ready(worker->proc);

    return next ? next : &worker->own;
}

void after_nothing(struct thread *left, void *arg)
{
    (void)left;
    (void)arg;
}

void after_requeue(struct thread *left, void *arg)
{
    (void)arg;
    atomic_store_explicit(&left->state, THREAD_READY, memory_order_relaxed);
    runq_push(left->worker->proc, left);
}

int green_yield(void)
{
    struct thread *self = enter();

    if (unlikely(!self))
        return 0;
    struct worker *worker = self->worker;
    if (likely(worker->proc != NULL)) {
        struct thread *next = choose_ready(worker->proc);
        if (unlikely(!next) && atomic_load_explicit(&worker->proc->retired, memory_order_relaxed))
            next = &worker->own;
        if (next)
            switch_to(self, next, after_requeue, NULL);
    }
    leave(self);
    return 0;
}

/* The thread is off its stack: whoever finds it now may resume it. */
static void after_park(struct thread *left, void *arg)
{
    struct lock *lock = arg;

    if (left->deadline != NEVER)
        timer_add(left->worker->proc, left);
    if (lock)
        lock_release(lock, left->park_rank);
}

enum wake park(struct thread *self, struct lock *lock, enum lock_rank rank)
{
    ASSERT(self->depth > 0 && (lock || self->deadline != NEVER));
    if (self->kind == THREAD_FOREIGN)
        return foreign_park(self, lock, rank);
    self->park_rank = (uint8_t)rank;
    atomic_store_explicit(&self->state, THREAD_PARKED, memory_order_relaxed);
    switch_to(self, choose(self->worker), after_park, lock);
    if (self->deadline != NEVER)
        timer_cancel(self);
    return atomic_load_explicit(&self->wake, memory_order_relaxed);
}

static bool ready_elsewhere(struct thread *self, struct thread *thread)
{
    ASSERT(atomic_load(&thread->wake) != WAKE_WAITING);
    if (thread->kind == THREAD_FOREIGN) {
        foreign_ready(thread);
        return true;
    }
    atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
    if (likely(self->worker->proc != NULL))
        return false;
    global_push_one(thread);
    wake_for(NULL);
    return true;
}

void ready(struct thread *self, struct thread *thread)
{
    if (ready_elsewhere(self, thread))
        return;
    runq_push_next(self->worker->proc, thread);
    wake_for(self->worker->proc);
}

void ready_last(struct thread *self, struct thread *thread)
{
    if (ready_elsewhere(self, thread))
        return;
    runq_push(self->worker->proc, thread);
    wake_for(self->worker->proc);
}
