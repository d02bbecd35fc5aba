/*
 * Barriers.
 *
 * All under the queue's lock: who comes is counted, and parks unless it is the last, who ends the round and makes the
 * others ready.  Those do not touch the barrier any more, so it may be destroyed, and its memory used for something
 * else, as soon as one of them runs.
 *
 * But for those whom a signal has woken: they run its handlers and come back to see whether their round is over.
 * They are what is left of `inside` at the end of a round, and destroy waits for them.  One that is cancelled there, which
 * only the asynchronous type can do, has not arrived: the round waits for another in its place.
 */
#include <errno.h>
#include <string.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "core/signals.h"
#include "sync/shared.h"
#include "sync/waitq.h"

enum { WITHDRAWN = -2 };
_Static_assert((int)WITHDRAWN != GREEN_BARRIER_SERIAL_THREAD, "it is no result of a wait");

int green_barrierattr_init(green_barrierattr_t *attr)
{
    if (!attr)
        return EINVAL;
    memset(attr, 0, sizeof *attr);
    return 0;
}

int green_barrierattr_destroy(green_barrierattr_t *attr)
{
    return attr ? 0 : EINVAL;
}

int green_barrierattr_setpshared(green_barrierattr_t *attr, int shared)
{
    return attr ? shared_set(&attr->__shared, shared) : EINVAL;
}

int green_barrierattr_getpshared(const green_barrierattr_t *attr, int *shared)
{
    return attr ? shared_get(&attr->__shared, shared) : EINVAL;
}

int green_barrier_init(green_barrier_t *barrier, const green_barrierattr_t *attr, unsigned count)
{
    if (!barrier || count == 0 || (attr && !shared_valid(attr->__shared)))
        return EINVAL;
    memset(barrier, 0, sizeof *barrier);
    barrier->__count = count;
    if (attr && attr->__shared)
        shared_barrier_init(barrier);
    return 0;
}

/* With the lock held, which is released: the round is over. */
static void end_round(struct thread *self, green_barrier_t *barrier)
{
    struct waitq *queue = waitq_of(&barrier->__queue);

    barrier->__arrived = 0;
    barrier->__round++;
    struct thread *waiters = waitq_claim_all(queue);
    waitq_inside_add(&barrier->__inside, -waitq_count(waiters));
    lock_release(&queue->lock, RANK_QUEUE);
    waitq_ready_all(self, waiters);
}

/* The lock is held, and released.  WITHDRAWN when its own cancellation came first, else 0. */
static int await_round(struct thread *self, green_barrier_t *barrier)
{
    struct waitq *queue = waitq_of(&barrier->__queue);
    const unsigned round = barrier->__round;

    waitq_inside_add(&barrier->__inside, 1);
    do {
        waitq_join(queue, self, NEVER);
        if (waitq_park(queue, self, RANK_QUEUE) == 0)
            return 0;
        signal_interlude_within(self);
        lock_acquire(&queue->lock, RANK_QUEUE);
    } while (barrier->__round == round && !cancel_at_once(self));
    const bool withdraws = barrier->__round == round;
    if (withdraws)
        barrier->__arrived--;
    waitq_depart(queue, self, &barrier->__inside, RANK_QUEUE);
    return withdraws ? WITHDRAWN : 0;
}

static int wait_at_depth(struct thread *self, green_barrier_t *barrier)
{
    lock_acquire(&waitq_of(&barrier->__queue)->lock, RANK_QUEUE);
    if (++barrier->__arrived == barrier->__count) {
        end_round(self, barrier);
        return GREEN_BARRIER_SERIAL_THREAD;
    }
    return await_round(self, barrier);
}

int green_barrier_wait(green_barrier_t *barrier)
{
    if (barrier && shared_is(&barrier->__queue))
        return shared_barrier_wait(barrier);
    if (barrier)
        annotate_release(barrier);
    struct thread *self = barrier ? enter() : NULL;
    int result;
    if (!self)
        return barrier ? ENOMEM : EINVAL;
    while ((result = wait_at_depth(self, barrier)) == WITHDRAWN) {
        leave(self); /* where it ends, unless a handler there forbids it */
        enter();
    }
    leave(self);
    annotate_acquire(barrier);
    return result;
}

int green_barrier_destroy(green_barrier_t *barrier)
{
    if (barrier && shared_is(&barrier->__queue))
        return shared_barrier_destroy(barrier);
    struct thread *self = barrier ? enter() : NULL;

    if (!self)
        return barrier ? ENOMEM : EINVAL;
    struct waitq *queue = waitq_of(&barrier->__queue);
    lock_acquire(&queue->lock, RANK_QUEUE);
    const bool busy = barrier->__arrived > 0;
    if (busy)
        lock_release(&queue->lock, RANK_QUEUE);
    else
        waitq_await_departures(queue, self, &barrier->__inside, RANK_QUEUE);
    leave(self);
    return busy ? EBUSY : 0;
}
