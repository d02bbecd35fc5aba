/*
 * Joining for a limited time, or not waiting at all.
 *
 * A joiner with a deadline can be woken by two, its target and the clock, and must know which it was before it leaves:
 * an entry of its in the target's life that outlives the wait would let the target wake it from another one.  So its
 * entry (LIFE_TIMED and its index) is made, taken back and honoured under one lock, which it parks under as under a
 * wait queue's: the target finds either no entry, or a joiner that is off its stack and has not given up.
 *
 * Rejected: the entry by compare and swap that a join without a deadline makes from off its stack (join.c).  There the
 * target can switch straight to the joiner, which is what makes a join cheap; with a deadline the joiner would have to
 * tell a target that has taken its entry from one that is about to wake it.
 *
 * Two threads that join each other are not told when one of them has a deadline: that ends it.
 */
#include <errno.h>

#include "core/cancel.h"
#include "core/life.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/table.h"

static struct lock timed_lock;

void join_timed_fork_reset(void)
{
    timed_lock.word = 0;
}

bool life_end_timed(struct thread *target)
{
    struct thread *joiner = NULL;

    lock_acquire(&timed_lock, RANK_OPEN_QUEUE);
    uint64_t life = life_of(target);
    while (life_is_timed(life) && !joiner)
        if (life_change(target, &life, LIFE_JOINED))
            joiner = table_at((uint32_t)life & ~(uint32_t)LIFE_TIMED);
    const bool claimed = joiner && park_claim(joiner, WAKE_READY);
    lock_release(&timed_lock, RANK_OPEN_QUEUE);
    if (claimed)
        ready(self_thread, joiner);
    return joiner != NULL;
}

/* Its wait was ended by the clock or a signal: take the entry back.  False when the target has ended after all. */
static bool take_back(struct thread *self, struct thread *target)
{
    lock_acquire(&timed_lock, RANK_OPEN_QUEUE);
    uint64_t life = life_of(target);
    const bool there = (uint32_t)life == (LIFE_TIMED | self->index) && life_change(target, &life, LIFE_JOINABLE);
    lock_release(&timed_lock, RANK_OPEN_QUEUE);
    return there;
}

/* Once: 0 when the target has ended, EINTR for a signal that has not been handled yet, or an error. */
static int wait_once(struct thread *self, struct thread *target, green_t id, uint64_t deadline)
{
    lock_acquire(&timed_lock, RANK_OPEN_QUEUE);
    int error = life_claim(target, id, LIFE_TIMED | self->index, LIFE_JOINED);
    if (error) {
        lock_release(&timed_lock, RANK_OPEN_QUEUE);
        return error == EALREADY ? 0 : error;
    }
    park_prepare(self, deadline);
    const enum wake wake = park(self, &timed_lock, RANK_OPEN_QUEUE);
    if (wake == WAKE_READY || !take_back(self, target))
        return 0;
    return wake == WAKE_SIGNAL ? EINTR : ETIMEDOUT;
}

static int join_until(struct thread *self, green_t id, void **result, uint64_t deadline)
{
    struct thread *target = table_find(id);
    int error;

    if (!target)
        return ESRCH;
    if (target == self)
        return EDEADLK;
    while ((error = wait_once(self, target, id, deadline)) == EINTR)
        signal_interlude(self);
    if (!error)
        life_take(self, target, result);
    return error;
}

int green_clockjoin_np(green_t id, void **result, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;
    int error = clock_deadline(clock, abstime, &deadline);

    if (error)
        return error;
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    cancel_point_begin(self);
    error = join_until(self, id, result, deadline);
    cancel_point_end(self);
    leave(self);
    return error;
}

int green_timedjoin_np(green_t id, void **result, const struct timespec *abstime)
{
    return green_clockjoin_np(id, result, CLOCK_REALTIME, abstime);
}

int green_tryjoin_np(green_t id, void **result)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    struct thread *target = table_find(id);
    int error = target ? life_claim(target, id, LIFE_JOINABLE, LIFE_JOINED) : ESRCH; /* while it lives, as it was */
    if (error == EALREADY)
        life_take(self, target, result);
    leave(self);
    return error == EALREADY ? 0 : error ? error : EBUSY;
}
