/*
 * Semaphores.
 *
 * One word: the count, shifted by one, and the lowest bit for "there are waiters".  While that is clear, wait and
 * post are one compare and swap.  It is set only while the count is 0, and changed only under the queue's lock: then
 * a post hands its unit to the first waiter, so waiters are served in order and no newcomer overtakes them.
 *
 * Posting from a signal's handler.  Without waiters that is a compare and swap, wherever the handler came.  With
 * waiters locks are needed, which the code that the handler interrupted may hold; it does so at depth > 0 only.  Then
 * the post is noted, in the semaphore, and the semaphore, at the first one, in a list of the worker's; whoever leaves
 * the runtime on that worker delivers them.  A kernel thread that sleeps holds no lock (own_safe): there the handler
 * delivers at once.  A critical section of the program's alone (depth == sections) holds no lock either.  destroy
 * waits for what is noted.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "core/fork.h"
#include "core/signals.h"
#include "sync/sem.h"
#include "sync/shared.h"
#include "sync/waitq.h"

enum { WAITERS = 1, ONE = 2, NOTED_BITS = 20, NOTED_MAX = (1 << NOTED_BITS) - 1 };

static unsigned word_of(const green_sem_t *sem)
{
    return __atomic_load_n(&sem->__value, __ATOMIC_RELAXED);
}

static bool word_change(green_sem_t *sem, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&sem->__value, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static int fail(int error)
{
    if (error)
        errno = error;
    return error ? -1 : 0;
}

/* How a wait ends: with a unit, which somebody has posted, or not. */
static int waited(green_sem_t *sem, int error)
{
    if (!error)
        annotate_acquire(sem);
    return fail(error);
}

int green_sem_init(green_sem_t *sem, int shared, unsigned value)
{
    if (!sem || value > GREEN_SEM_VALUE_MAX)
        return fail(EINVAL);
    memset(sem, 0, sizeof *sem);
    sem->__value = value * ONE;
    if (shared)
        shared_sem_init(sem);
    return 0;
}

/* Posts that are noted.  Those of before a fork, whose workers are gone, do not count in the child. */
static unsigned noted(const green_sem_t *sem)
{
    const unsigned word = __atomic_load_n(&sem->__noted, __ATOMIC_RELAXED);

    return word >> NOTED_BITS == (fork_count & (UINT_MAX >> NOTED_BITS)) ? word & NOTED_MAX : 0;
}

/* Add to them, or subtract; how many there were before. */
static unsigned noted_add(green_sem_t *sem, unsigned change)
{
    for (;;) {
        unsigned word = __atomic_load_n(&sem->__noted, __ATOMIC_RELAXED), before = noted(sem);
        unsigned next = fork_count << NOTED_BITS | ((before + change) & NOTED_MAX);
        if (__atomic_compare_exchange_n(&sem->__noted, &word, next, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return before;
    }
}

int green_sem_destroy(green_sem_t *sem)
{
    if (!sem)
        return fail(EINVAL);
    if (shared_is(&sem->__queue))
        return fail(shared_sem_destroy(sem));
    while (noted(sem) > 0)
        green_yield();
    return word_of(sem) & WAITERS ? fail(EBUSY) : 0;
}

static bool try_take(green_sem_t *sem)
{
    unsigned word;

    while ((word = word_of(sem)) >= ONE)
        if (word_change(sem, word, word - ONE))
            return true;
    return false;
}

/* With the queue's lock held: true when a unit was taken after all; else posts know that there is a waiter. */
static bool take_or_announce(green_sem_t *sem)
{
    for (;;) {
        if (try_take(sem))
            return true;
        unsigned word = word_of(sem);
        if (word < ONE && (word == WAITERS || word_change(sem, word, WAITERS)))
            return false;
    }
}

static void forget_waiters_if_none(green_sem_t *sem)
{
    struct waitq *queue = waitq_of(&sem->__queue);

    lock_acquire(&queue->lock, RANK_OPEN_QUEUE);
    if (!queue->head)
        __atomic_fetch_and(&sem->__value, ~(unsigned)WAITERS, __ATOMIC_RELAXED);
    lock_release(&queue->lock, RANK_OPEN_QUEUE);
}

/* Once: 0, ETIMEDOUT, or EINTR for a signal that has not been handled yet. */
static int wait_once(struct thread *self, green_sem_t *sem, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&sem->__queue);
    int error = 0;

    lock_acquire(&queue->lock, RANK_OPEN_QUEUE);
    if (take_or_announce(sem)) {
        lock_release(&queue->lock, RANK_OPEN_QUEUE);
    } else {
        waitq_join(queue, self, deadline);
        error = waitq_park(queue, self, RANK_OPEN_QUEUE);
    }
    if (error)
        forget_waiters_if_none(sem);
    return error;
}

static int wait_until(green_sem_t *sem, uint64_t deadline)
{
    if (unlikely(shared_is(&sem->__queue)))
        return shared_sem_wait(sem, deadline);
    struct thread *self = enter();
    int error;

    if (!self)
        return ENOMEM;
    cancel_point_begin(self);
    while ((error = wait_once(self, sem, deadline)) == EINTR)
        if (signal_interlude(self) & HANDLED_INTERRUPT)
            break;
    cancel_point_end(self);
    leave(self);
    return error;
}

int green_sem_wait(green_sem_t *sem)
{
    if (!sem)
        return fail(EINVAL);
    cancel_point();
    return waited(sem, try_take(sem) ? 0 : wait_until(sem, NEVER));
}

int green_sem_trywait(green_sem_t *sem)
{
    if (!sem)
        return fail(EINVAL);
    return waited(sem, try_take(sem) ? 0 : EAGAIN);
}

int green_sem_clockwait(green_sem_t *sem, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (!sem || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
        return fail(EINVAL);
    cancel_point();
    if (try_take(sem))
        return waited(sem, 0);
    int error = clock_deadline(clock, abstime, &deadline);
    return waited(sem, error ? error : wait_until(sem, deadline));
}

int green_sem_timedwait(green_sem_t *sem, const struct timespec *abstime)
{
    return green_sem_clockwait(sem, CLOCK_REALTIME, abstime);
}

/* There were waiters a moment ago: the first has the unit, and is to be made ready, or the count has it. */
static struct thread *post_claim(green_sem_t *sem)
{
    struct waitq *queue = waitq_of(&sem->__queue);

    lock_acquire(&queue->lock, RANK_OPEN_QUEUE);
    struct thread *waiter = waitq_claim_first(queue);
    if (!queue->head)
        __atomic_fetch_and(&sem->__value, ~(unsigned)WAITERS, __ATOMIC_RELAXED);
    if (!waiter)
        __atomic_fetch_add(&sem->__value, ONE, __ATOMIC_RELEASE);
    lock_release(&queue->lock, RANK_OPEN_QUEUE);
    return waiter;
}

/* By a worker's own context, or a thread that has no processor, the queues of processors are left alone. */
static void post_slow(struct thread *self, green_sem_t *sem)
{
    struct thread *waiter = post_claim(sem);

    if (waiter && self->kind == THREAD_MULTIPLEXED)
        ready(self, waiter);
    else if (waiter)
        ready_globally(waiter);
}

static green_sem_t **next_posted(green_sem_t *sem)
{
    return (green_sem_t **)(void *)&sem->__reserved[0];
}

/* The first to note one puts the semaphore on the list, and nobody else does before all are delivered. */
static void note(struct worker *worker, green_sem_t *sem)
{
    if (noted_add(sem, 1) == 0) {
        *next_posted(sem) = atomic_load(&worker->posts);
        while (!atomic_compare_exchange_weak(&worker->posts, next_posted(sem), sem))
            continue;
    }
    worker->tick_pending = true;
}

static void deliver(struct thread *self, green_sem_t *sem)
{
    unsigned count;

    do {
        count = noted(sem);
        for (unsigned i = 0; i < count; i++)
            post_slow(self, sem);
    } while (noted_add(sem, 0U - count) != count);
}

void sem_deliver_posts(struct worker *worker)
{
    green_sem_t *sem, *next;

    if (likely(!atomic_load_explicit(&worker->posts, memory_order_relaxed)))
        return;
    for (sem = atomic_exchange(&worker->posts, NULL); sem; sem = next) {
        next = *next_posted(sem);
        deliver(self_thread, sem);
    }
}

/* A handler has interrupted the runtime, or a sleeper. */
static void post_inside(struct thread *self, green_sem_t *sem)
{
    struct worker *worker = self->worker;

    if (!worker->own_safe) {
        note(worker, sem);
        return;
    }
    own_safe_end(worker); /* what comes meanwhile is noted */
    compiler_barrier();
    post_slow(self, sem);
    own_safe_begin(worker);
}

/* With waiters: 0, ENOMEM; or EOVERFLOW of a shared one. */
static int post_to_waiters(green_sem_t *sem)
{
    if (unlikely(shared_is(&sem->__queue)))
        return shared_sem_post(sem);
    struct thread *self = self_thread;

    if (self && self->depth > self->sections) {
        post_inside(self, sem);
        return 0;
    }
    self = enter();
    if (!self)
        return ENOMEM;
    post_slow(self, sem);
    leave(self);
    return 0;
}

int green_sem_post(green_sem_t *sem)
{
    unsigned word;

    if (!sem)
        return fail(EINVAL);
    annotate_release(sem);
    while (!((word = word_of(sem)) & WAITERS)) {
        if (word / ONE == GREEN_SEM_VALUE_MAX)
            return fail(EOVERFLOW);
        if (word_change(sem, word, word + ONE))
            return 0;
    }
    return fail(post_to_waiters(sem));
}

int green_sem_getvalue(green_sem_t *sem, int *value)
{
    if (!sem || !value)
        return fail(EINVAL);
    *value = (int)(word_of(sem) / ONE);
    return 0;
}
