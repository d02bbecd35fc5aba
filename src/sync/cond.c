/*
 * Condition variables.
 *
 * The waiter is on the queue before the mutex is released, so whoever locks the mutex next and signals finds it, also
 * by a look without the lock; and the queue's lock is held until the waiter is off its stack and can be resumed.  Its
 * rank is below a mutex's queue, whose lock the release may take.
 *
 * A timed wait and a signal that meet: both claim the waiter (park_claim), one wins.  When the deadline wins, the
 * signal goes on to the next waiter, so it is never swallowed.
 *
 * It may be destroyed as soon as a broadcast has woken everybody: waitq.h says how.
 */
#include <errno.h>
#include <string.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "core/signals.h"
#include "sync/mutex.h"
#include "sync/shared.h"
#include "sync/waitq.h"

static bool clock_known(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

int green_condattr_init(green_condattr_t *attr)
{
    if (!attr)
        return EINVAL;
    memset(attr, 0, sizeof *attr);
    attr->__clock = CLOCK_REALTIME;
    return 0;
}

int green_condattr_destroy(green_condattr_t *attr)
{
    return attr ? 0 : EINVAL;
}

int green_condattr_setclock(green_condattr_t *attr, clockid_t clock)
{
    if (!attr || !clock_known(clock))
        return EINVAL;
    attr->__clock = clock;
    return 0;
}

int green_condattr_getclock(const green_condattr_t *attr, clockid_t *clock)
{
    if (!attr || !clock)
        return EINVAL;
    *clock = attr->__clock;
    return 0;
}

int green_condattr_setpshared(green_condattr_t *attr, int shared)
{
    return attr ? shared_set(&attr->__shared, shared) : EINVAL;
}

int green_condattr_getpshared(const green_condattr_t *attr, int *shared)
{
    return attr ? shared_get(&attr->__shared, shared) : EINVAL;
}

int green_cond_init(green_cond_t *cond, const green_condattr_t *attr)
{
    if (!cond || (attr && (!clock_known(attr->__clock) || !shared_valid(attr->__shared))))
        return EINVAL;
    memset(cond, 0, sizeof *cond);
    cond->__clock = attr ? attr->__clock : CLOCK_REALTIME;
    if (attr && attr->__shared)
        shared_cond_init(cond);
    return 0;
}

static bool has_waiters(green_cond_t *cond)
{
    return __atomic_load_n(&cond->__queue.__head, __ATOMIC_RELAXED) != NULL;
}

int green_cond_destroy(green_cond_t *cond)
{
    if (cond && shared_is(&cond->__queue))
        return shared_cond_destroy(cond);
    struct thread *self = cond ? enter() : NULL;

    if (!self)
        return cond ? ENOMEM : EINVAL;
    struct waitq *queue = waitq_of(&cond->__queue);
    lock_acquire(&queue->lock, RANK_COND);
    const bool busy = queue->head != NULL;
    if (busy)
        lock_release(&queue->lock, RANK_COND);
    else
        waitq_await_departures(queue, self, &cond->__inside, RANK_COND);
    leave(self);
    return busy ? EBUSY : 0;
}

/* For detectors of races, at depth 1; when the thread is not cancelled any more before it has released the mutex. */
static void announce_unlock(struct thread *self, green_mutex_t *mutex)
{
    leave(self);
    annotate_unlocks(mutex, false);
    enter();
}

/*
 * Who leaves by itself.  Nobody hands it the mutex any more, nor in the waits of its handlers; and it is not cancelled
 * there, without the mutex.
 */
static void wait_failed(struct thread *self, green_cond_t *cond, int error)
{
    struct waitq *queue = waitq_of(&cond->__queue);

    self->relocks = NULL;
    lock_acquire(&queue->lock, RANK_COND);
    waitq_depart(queue, self, &cond->__inside, RANK_COND);
    if (error == EINTR)
        signal_interlude_within(self);
}

static int wait_at_depth(struct thread *self, green_cond_t *cond, green_mutex_t *mutex, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&cond->__queue);
    int error = mutex_check(self, mutex);

    if (error)
        return error;
    cancel_point_begin(self);
    if (annotate_finds_races())
        announce_unlock(self, mutex);
    if (waitq_inside_stale(&cond->__inside)) {
        if (shared_is(&cond->__queue))
            return shared_cond_wait(self, cond, mutex, deadline);
        waitq_inside_renew(queue, &cond->__inside, RANK_COND);
    }
    lock_acquire(&queue->lock, RANK_COND);
    waitq_join(queue, self, deadline);
    cond->__inside++;
    self->relocks = mutex;
    unsigned count = mutex_release_to_next(self, mutex);
    error = waitq_park_inline(queue, self, RANK_COND);
    cancel_point_end(self); /* cleanup handlers find the mutex locked */
    if (unlikely(error))
        wait_failed(self, cond, error);
    else if (!self->relocks)
        return 0;
    self->relocks = NULL;
    const int owner_error = mutex_reacquire(self, mutex, count);
    return owner_error ? owner_error : error;
}

static int wait_until(green_cond_t *cond, green_mutex_t *mutex, uint64_t deadline)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = wait_at_depth(self, cond, mutex, deadline);
    leave(self);
    if (error != EPERM && error != ENOTRECOVERABLE)
        annotate_locked(mutex, false);
    if (error != EINTR)
        return error;
    cancel_point();
    return 0; /* a wake-up without cause, as POSIX allows: no signal of the condition was taken */
}

int green_cond_wait(green_cond_t *cond, green_mutex_t *mutex)
{
    return cond && mutex ? wait_until(cond, mutex, NEVER) : EINVAL;
}

int green_cond_clockwait(green_cond_t *cond, green_mutex_t *mutex, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (!cond || !mutex)
        return EINVAL;
    int error = clock_deadline(clock, abstime, &deadline);
    return error ? error : wait_until(cond, mutex, deadline);
}

int green_cond_timedwait(green_cond_t *cond, green_mutex_t *mutex, const struct timespec *abstime)
{
    return cond ? green_cond_clockwait(cond, mutex, cond->__clock, abstime) : EINVAL;
}

static __attribute__((noinline)) int wake_shared(struct thread *self, green_cond_t *cond, bool all)
{
    shared_cond_wake(cond, all);
    leave(self);
    return 0;
}

/* Inline, with a constant: a signal is as short as if it stood alone. */
static inline __attribute__((always_inline)) int wake(green_cond_t *cond, bool all)
{
    if (!cond)
        return EINVAL;
    if (!has_waiters(cond))
        return 0;
    struct waitq *queue = waitq_of(&cond->__queue);
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    if (waitq_inside_stale(&cond->__inside)) {
        if (shared_is(&cond->__queue))
            return wake_shared(self, cond, all);
        waitq_inside_renew(queue, &cond->__inside, RANK_COND);
    }
    lock_acquire(&queue->lock, RANK_COND);
    struct thread *waiter = all ? waitq_claim_all(queue) : waitq_claim_first(queue);
    cond->__inside -= all ? (uint64_t)waitq_count(waiter) : waiter != NULL;
    lock_release(&queue->lock, RANK_COND);
    if (all)
        waitq_ready_all(self, waiter);
    else if (waiter)
        ready_inline(self, waiter);
    leave(self);
    return 0;
}

int green_cond_signal(green_cond_t *cond)
{
    return wake(cond, false);
}

int green_cond_broadcast(green_cond_t *cond)
{
    return wake(cond, true);
}
