/*
 * Waiting for a mutex that somebody has: a spin while its owner runs elsewhere, then the queue.  mutex.c has the protocol.
 */
#include <errno.h>

#include "core/signals.h"
#include "sync/inherit.h"
#include "sync/mutex.h"
#include "sync/streak.h"
#include "sync/waitq.h"

enum { SPINS = 100 };

/* As mutex_take(), for a thread that may have been woken, and that the mutex then has been given to. */
static bool take(struct thread *self, green_mutex_t *mutex, unsigned announce)
{
    for (;;) {
        const unsigned state = mutex_state(mutex);
        const bool given = self->woken && state & MUTEX_GIVEN, taken = given || !(state & MUTEX_LOCKED);
        unsigned next = taken ? (state & ~(unsigned)MUTEX_GIVEN) | MUTEX_LOCKED : state | announce;
        if (!taken && !announce)
            return false;
        if (self->woken)
            next &= MUTEX_WOKEN_ONE - 1;
        if (state == next || mutex_change(mutex, state, next)) {
            self->woken = false;
            return taken;
        }
    }
}

static bool spin(struct thread *self, green_mutex_t *mutex)
{
    const bool quick = streak_wait(self, mutex, mutex_owner(mutex));

    for (int i = 0; i < SPINS; i++) {
        const struct thread *owner = mutex_owner(mutex);
        const uint64_t look = arch_cycles();
        if (take(self, mutex, 0)) {
            streak_note(mutex, owner, quick, look);
            return true;
        }
        if (!runs_elsewhere(mutex_owner(mutex)))
            return false;
        arch_pause();
    }
    return false;
}

static void forget_waiters_if_none(green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    lock_acquire(&queue->lock, RANK_QUEUE);
    if (!queue->head)
        mutex_forget_waiters(mutex);
    lock_release(&queue->lock, RANK_QUEUE);
}

/* A signal's handlers run, which may lock other mutexes; the wait goes on, where it was. */
static void interlude(struct thread *self, green_mutex_t *mutex)
{
    const bool handoff = self->handoff;
    const uint64_t lost_ns = self->lost_ns;

    forget_waiters_if_none(mutex);
    self->handoff = false;
    signal_interlude(self);
    self->handoff = handoff;
    self->lost_ns = lost_ns;
    self->granted = self->woken = false;
}

/* Park until the mutex may be free: 0, EALREADY when it is the caller's, or ETIMEDOUT, EINTR, ENOTRECOVERABLE. */
static int await(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&mutex->__queue);
    int error;

    lock_acquire(&queue->lock, RANK_QUEUE);
    const bool woken = self->woken;
    if (take(self, mutex, MUTEX_WAITERS))
        error = EALREADY;
    else
        error = mutex_lost(mutex) ? ENOTRECOVERABLE : 0;
    if (error) {
        lock_release(&queue->lock, RANK_QUEUE);
        return error;
    }
    self->handoff |= woken; /* in vain: it is to stand first */
    waitq_join(queue, self, deadline);
    error = waitq_park(queue, self, RANK_QUEUE);
    if (error)
        return error;
    if (self->granted)
        return EALREADY;
    self->woken = true;
    return 0;
}

int mutex_wait(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    int error = 0;

    if (policy_inherits())
        return inherit_lock_until(self, mutex, deadline);
    self->handoff = self->granted = self->woken = false;
    while (!spin(self, mutex) && (error = await(self, mutex, deadline)) != EALREADY) {
        if (error != 0 && error != EINTR)
            break;
        if (error == EINTR)
            interlude(self, mutex);
        error = 0; /* the next spin may have it */
    }
    self->handoff = false;
    if (!error || error == EALREADY)
        return 0;
    forget_waiters_if_none(mutex);
    return error;
}
