/*
 * Joining and detaching.
 *
 * A joiner enters itself in its target's life (life.h) from off its own stack: from then on it may be resumed.  When its
 * target has not started, the joiner switches straight to that one (runq.h says why), which cannot end before it has
 * entered the joiner.
 */
#include <errno.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "core/life.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/switch.h"
#include "core/table.h"

/*
 * Two threads that join each other: whoever sees both entries takes back that of the one with the higher index, in a
 * word that both would change, so just one of them is told.  True when it is the joiner itself.
 */
static bool backs_out(struct thread *target, struct thread *joiner)
{
    uint64_t of_target = life_of(target), of_joiner = life_of(joiner);

    if ((uint32_t)of_target != joiner->index || (uint32_t)of_joiner != target->index)
        return false;
    if (joiner->index > target->index)
        return life_change(target, &of_target, LIFE_JOINABLE);
    if (life_change(joiner, &of_joiner, LIFE_JOINABLE)) {
        target->join_error = EDEADLK;
        if (park_claim(target, WAKE_READY))
            ready(self_thread, target);
    }
    return false;
}

/* Become the joiner of `target`, whom join_id names: 0, EALREADY when it has ended, ESRCH, EDEADLK or EINVAL. */
static int life_join(struct thread *target, struct thread *joiner)
{
    const int error = life_claim(target, joiner->join_id, joiner->index, LIFE_JOINED);

    if (unlikely(error))
        return error;
    return backs_out(target, joiner) ? EDEADLK : 0;
}

/*
 * Its target may end, and wake it, from life_join() on; a signal may take it once `wake` says that it waits.  Where
 * only one processor runs threads the target cannot end before we are done.
 */
static void join_waits(struct thread *joiner, const struct thread *target)
{
    uint32_t none = WAKE_NONE;

    if (likely(!sched_shared && target->kind == THREAD_MULTIPLEXED))
        atomic_store_explicit(&joiner->wake, WAKE_WAITING, memory_order_release);
    else
        atomic_compare_exchange_strong(&joiner->wake, &none, WAKE_WAITING);
    compiler_barrier();
    if (unlikely(signal_marked(joiner) || cancel_marked(joiner)))
        signal_found_parked(joiner);
}

static void after_join(struct thread *left, void *arg)
{
    struct thread *target = arg;

    int error = life_join(target, left);

    if (error) { /* else it may run already */
        left->join_error = error;
        park_claim(left, WAKE_READY);
        ready(self_thread, left);
        return;
    }
    join_waits(left, target);
}

static enum wake join_park_foreign(struct thread *self, struct thread *target)
{
    park_prepare(self, NEVER);
    int error = life_join(target, self);

    if (!error)
        return foreign_park(self, NULL, RANK_QUEUE);
    self->join_error = error;
    return WAKE_READY;
}

/* Once, until the target has ended or a signal comes.  An ended one is never waited for, nor is one that is detached. */
static enum wake join_park(struct thread *self, struct thread *target)
{
    const uint32_t life = (uint32_t)life_of(target);

    if (life == LIFE_EXITED || life == LIFE_DETACHED || self->kind == THREAD_FOREIGN)
        return join_park_foreign(self, target);
    self->deadline = NEVER; /* as park_prepare() does, but that `wake` follows in after_join() */
    atomic_store_explicit(&self->claim, CLAIM_NONE, memory_order_relaxed);
    atomic_store_explicit(&self->wake, WAKE_NONE, memory_order_release);
    atomic_store_explicit(&self->state, THREAD_PARKED, memory_order_relaxed);
    switch_to(self, choose_target(self->worker, target), after_join, target);
    return park_outcome(self);
}

/*
 * A signal has interrupted the wait: take the joiner's entry back, so that no end of the target wakes a thread that
 * runs handlers.  False when it was too late, and the wait is over; the target is off its stack then.
 */
static bool join_take_back(struct thread *self, struct thread *target)
{
    uint64_t life = life_of(target);

    while ((uint32_t)life == self->index)
        if (life_change(target, &life, LIFE_JOINABLE))
            return true;
    if ((uint32_t)life != LIFE_JOINED)
        return true; /* somebody else has, for a deadlock: then it is found again */
    const bool before = cancel_postpone(self); /* nobody else can join that one any more */
    while (atomic_load_explicit(&target->state, memory_order_acquire) != THREAD_EXITED) {
        leave(self);
        green_yield();
        enter();
    }
    cancel_postpone_end(self, before);
    return false;
}

/* Wait until the target has ended: 0, ESRCH, EINVAL or EDEADLK. */
static int join_wait(struct thread *self, struct thread *target)
{
    self->join_error = 0;
    while (join_park(self, target) == WAKE_SIGNAL && join_take_back(self, target)) {
        green_t join_id = self->join_id;
        signal_interlude(self); /* whose handlers may join others */
        self->join_id = join_id;
        self->join_error = 0;
    }
    return self->join_error == EALREADY ? 0 : self->join_error;
}

void life_take(struct thread *self, struct thread *target, void **result)
{
    if (unlikely(target->bound))
        bound_part(self, target, true);
    annotate_acquire_inside(self, target);
    if (result)
        *result = target->result;
    life_release(self->worker->proc, target);
}

static int join(struct thread *self, green_t id, void **result)
{
    struct thread *target = table_find(id);

    if (!target)
        return ESRCH;
    if (target == self)
        return EDEADLK;
    self->join_id = id;
    int error = join_wait(self, target);
    if (!error)
        life_take(self, target, result);
    return error;
}

int green_join(green_t id, void **result)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    cancel_point_begin(self);
    int error = join(self, id, result);
    cancel_point_end(self);
    leave(self);
    return error;
}

static int detach(struct thread *self, struct thread *target, green_t id)
{
    const int error = life_claim(target, id, LIFE_DETACHED, LIFE_DETACHED);

    if (error != EALREADY)
        return error;
    if (target->bound)
        bound_part(self, target, false);
    life_release(self->worker->proc, target);
    return 0;
}

int green_detach(green_t id)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    struct thread *target = table_find(id);
    int error = target ? detach(self, target, id) : ESRCH;
    leave(self);
    return error;
}
