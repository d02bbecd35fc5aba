/*
 * Semaphores.
 *
 * One word: the count, shifted by one, and the lowest bit for "there are waiters".  While that is clear, wait and
 * post are one compare and swap.  It is set only while the count is 0, and changed only under the queue's lock: then
 * a post hands its unit to the first waiter, so waiters are served in order and no newcomer overtakes them.
 */
#include <errno.h>
#include <string.h>

#include "core/cancel.h"
#include "core/signals.h"
#include "sync/waitq.h"

enum { WAITERS = 1, ONE = 2 };

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

int green_sem_init(green_sem_t *sem, int shared, unsigned value)
{
    if (!sem || value > GREEN_SEM_VALUE_MAX)
        return fail(EINVAL);
    if (shared)
        return fail(ENOSYS);
    memset(sem, 0, sizeof *sem);
    sem->__value = value * ONE;
    return 0;
}

int green_sem_destroy(green_sem_t *sem)
{
    if (!sem)
        return fail(EINVAL);
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

    lock_acquire(&queue->lock, RANK_QUEUE);
    if (!queue->head)
        __atomic_fetch_and(&sem->__value, ~(unsigned)WAITERS, __ATOMIC_RELAXED);
    lock_release(&queue->lock, RANK_QUEUE);
}

/* Once: 0, ETIMEDOUT, or EINTR for a signal that has not been handled yet. */
static int wait_once(struct thread *self, green_sem_t *sem, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&sem->__queue);
    int error = 0;

    lock_acquire(&queue->lock, RANK_QUEUE);
    if (take_or_announce(sem)) {
        lock_release(&queue->lock, RANK_QUEUE);
    } else {
        waitq_join(queue, self, deadline);
        error = waitq_park(queue, self, RANK_QUEUE);
    }
    if (error)
        forget_waiters_if_none(sem);
    return error;
}

static int wait_until(green_sem_t *sem, uint64_t deadline)
{
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
    return try_take(sem) ? 0 : fail(wait_until(sem, NEVER));
}

int green_sem_trywait(green_sem_t *sem)
{
    if (!sem)
        return fail(EINVAL);
    return try_take(sem) ? 0 : fail(EAGAIN);
}

int green_sem_clockwait(green_sem_t *sem, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (!sem || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
        return fail(EINVAL);
    cancel_point();
    if (try_take(sem))
        return 0;
    int error = clock_deadline(clock, abstime, &deadline);
    return fail(error ? error : wait_until(sem, deadline));
}

int green_sem_timedwait(green_sem_t *sem, const struct timespec *abstime)
{
    return green_sem_clockwait(sem, CLOCK_REALTIME, abstime);
}

/* There were waiters a moment ago: the first has the unit, or the count. */
static void post_slow(struct thread *self, green_sem_t *sem)
{
    struct waitq *queue = waitq_of(&sem->__queue);

    lock_acquire(&queue->lock, RANK_QUEUE);
    struct thread *waiter = waitq_claim_first(queue);
    if (!queue->head)
        __atomic_fetch_and(&sem->__value, ~(unsigned)WAITERS, __ATOMIC_RELAXED);
    if (!waiter)
        __atomic_fetch_add(&sem->__value, ONE, __ATOMIC_RELEASE);
    lock_release(&queue->lock, RANK_QUEUE);
    if (waiter)
        ready(self, waiter);
}

int green_sem_post(green_sem_t *sem)
{
    unsigned word;

    if (!sem)
        return fail(EINVAL);
    while (!((word = word_of(sem)) & WAITERS)) {
        if (word / ONE == GREEN_SEM_VALUE_MAX)
            return fail(EOVERFLOW);
        if (word_change(sem, word, word + ONE))
            return 0;
    }
    struct thread *self = enter();
    if (!self)
        return fail(ENOMEM);
    post_slow(self, sem);
    leave(self);
    return 0;
}

int green_sem_getvalue(green_sem_t *sem, int *value)
{
    if (!sem || !value)
        return fail(EINVAL);
    *value = (int)(word_of(sem) / ONE);
    return 0;
}
