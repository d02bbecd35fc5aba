/*
 * Priority inheritance: who holds a mutex has at least the priority of those who wait for it.
 *
 * Without it a thread of low priority that holds a mutex is displaced by one of middling priority, and a thread of high
 * priority waits for both: for as long as the middling one likes.
 *
 * With a policy that lends priorities, a mutex is locked under one lock for all mutexes, so that its owner is exact at
 * every moment that somebody could want to lend him something; it is unlocked by one compare and swap while nobody
 * waits.  A thread has the mutexes in a list that it holds and others wait for (`lends`, linked through __reserved[0]),
 * and the one it waits for itself (`waits_for`).  Its priority is the highest of its own and of those who wait for the
 * former; when that changes, so may that of the owner of the latter, and so on.  In a deadlock the chain is a ring, in
 * which priorities settle.
 *
 * Unlocking hands the mutex to the waiter of the highest priority, and of equals to the first.  The other mutexes' way,
 * to leave it open for whoever comes first, would let the low one take it again before the high one runs.
 *
 * A mutex with a ceiling is in its owner's list from the start, as if somebody of that priority waited.
 *
 * Rejected: lending along the fast path's owner, which names the last one for some instructions after the next has
 * locked; he would keep what he was lent.
 */
#include "sync/inherit.h"

#include <errno.h>

#include "core/signals.h"
#include "sync/mutex.h"
#include "sync/waitq.h"

enum { HOPS_MAX = 100 };

/* With inherit_lock held, as all up to the next such line. */

static green_mutex_t **next_lent(green_mutex_t *mutex)
{
    return (green_mutex_t **)(void *)&mutex->__reserved[0];
}

static void link_to(struct thread *owner, green_mutex_t *mutex)
{
    *next_lent(mutex) = owner->lends;
    owner->lends = mutex;
}

static void unlink_from(struct thread *owner, green_mutex_t *mutex)
{
    green_mutex_t *first = owner->lends, *before;

    if (first == mutex) {
        owner->lends = *next_lent(mutex);
        return;
    }
    for (before = first; before && *next_lent(before) != mutex; before = *next_lent(before))
        continue;
    if (before)
        *next_lent(before) = *next_lent(mutex);
}

static struct thread *best_of(const struct waitq *queue)
{
    struct thread *best = NULL;

    for (struct thread *waiter = queue->head; waiter; waiter = waiter->wait_next)
        if (atomic_load_explicit(&waiter->state, memory_order_relaxed) != THREAD_LOST && /* at a fork */
            (!best || waiter->effective > best->effective))
            best = waiter;
    return best;
}

static int highest(const struct thread *thread)
{
    int priority = thread->priority;

    for (green_mutex_t *mutex = thread->lends; mutex; mutex = *next_lent(mutex)) {
        if (mutex_ceiling(mutex) > priority)
            priority = mutex_ceiling(mutex);
        const struct thread *best = best_of(waitq_of(&mutex->__queue));
        if (best && best->effective > priority)
            priority = best->effective;
    }
    return priority;
}

/* And everybody's that waits because of it. */
static void settle(struct thread *thread)
{
    for (int hops = 0; thread && hops < HOPS_MAX; hops++) {
        int priority = highest(thread);
        if (priority == thread->effective)
            return;
        policy_set_priority(thread, priority);
        thread = thread->waits_for ? mutex_owner(thread->waits_for) : NULL;
    }
}

static struct thread *claim_best(struct waitq *queue)
{
    struct thread *best;

    while ((best = best_of(queue))) {
        waitq_remove(queue, best);
        best->waits_for = NULL;
        if (park_claim(best, WAKE_READY))
            return best;
    }
    return NULL;
}

/* It is this thread's from here on, and lends to it what it has to. */
static void give(struct thread *owner, green_mutex_t *mutex)
{
    mutex_set_owner(mutex, owner);
    if (!waitq_of(&mutex->__queue)->head && !mutex_ceiling(mutex))
        return;
    link_to(owner, mutex);
    settle(owner);
}

/* True when it is the caller's; else it is known that somebody waits. */
static bool take(struct thread *self, green_mutex_t *mutex)
{
    if (!mutex_take_or_announce(mutex))
        return false;
    give(self, mutex);
    return true;
}

static void join_waiters(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&mutex->__queue);
    struct thread *owner = mutex_owner(mutex);
    const bool first = !queue->head;

    self->handoff = false;
    waitq_join(queue, self, deadline);
    self->waits_for = mutex;
    if (!owner) /* it was locked before the library ran */
        return;
    if (first && !mutex_ceiling(mutex))
        link_to(owner, mutex);
    settle(owner);
}

static void leave_waiters(struct thread *self, green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);
    struct thread *owner = mutex_owner(mutex);

    const bool was_queued = self->wait_queued;
    waitq_remove(queue, self);
    self->waits_for = NULL;
    if (!was_queued) /* an unlock came across it and has seen to the rest */
        return;
    if (!queue->head) {
        mutex_forget_waiters(mutex);
        if (owner && !mutex_ceiling(mutex))
            unlink_from(owner, mutex);
    }
    if (owner)
        settle(owner);
}

/* From here on, the lock is taken where it is needed. */

int inherit_trylock(green_mutex_t *mutex)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    lock_acquire(&inherit_lock, RANK_INHERIT);
    const bool taken = mutex_take(mutex);
    if (taken)
        give(self, mutex);
    lock_release(&inherit_lock, RANK_INHERIT);
    leave(self);
    return taken ? 0 : EBUSY;
}

/* WAKE_READY: it is the caller's, at once or because it was handed over; or it is lost. */
static enum wake wait_once(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    lock_acquire(&inherit_lock, RANK_INHERIT);
    if (take(self, mutex) || mutex_lost(mutex)) {
        lock_release(&inherit_lock, RANK_INHERIT);
        return WAKE_READY;
    }
    join_waiters(self, mutex, deadline);
    const enum wake wake = park(self, &inherit_lock, RANK_INHERIT);
    if (wake == WAKE_READY)
        return wake;
    lock_acquire(&inherit_lock, RANK_INHERIT);
    leave_waiters(self, mutex);
    lock_release(&inherit_lock, RANK_INHERIT);
    wake_for(self->worker->proc);
    return wake;
}

/* A signal's handlers run in between, which may lock other mutexes; meanwhile nothing is lent for this one. */
int inherit_lock_until(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    enum wake wake;

    while ((wake = wait_once(self, mutex, deadline)) == WAKE_SIGNAL)
        signal_interlude(self);
    if (wake == WAKE_READY && mutex_lost(mutex))
        return ENOTRECOVERABLE;
    return wake == WAKE_READY ? 0 : ETIMEDOUT;
}

void inherit_unlock(struct thread *self, green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    lock_acquire(&inherit_lock, RANK_INHERIT);
    struct thread *owner = mutex_owner(mutex), *next = claim_best(queue);
    mutex_set_owner(mutex, NULL);
    mutex_hand_over(mutex, next != NULL, queue->head != NULL);
    if (owner) {
        unlink_from(owner, mutex);
        settle(owner);
    }
    if (next)
        give(next, mutex);
    lock_release(&inherit_lock, RANK_INHERIT);
    if (next)
        ready(self, next);
    else
        wake_for(self->worker->proc);
}

void inherit_lose(struct thread *self, green_mutex_t *mutex)
{
    struct thread *owner = mutex_owner(mutex), *first = NULL, **last = &first, *waiter;

    lock_acquire(&inherit_lock, RANK_INHERIT);
    mutex_set_owner(mutex, NULL);
    __atomic_store_n(&mutex->__state, MUTEX_LOCKED | MUTEX_LOST, __ATOMIC_RELEASE);
    while ((waiter = claim_best(waitq_of(&mutex->__queue)))) {
        *last = waiter;
        last = &waiter->next;
    }
    *last = NULL;
    if (owner) {
        unlink_from(owner, mutex);
        settle(owner);
    }
    lock_release(&inherit_lock, RANK_INHERIT);
    waitq_ready_all(self, first);
}

bool inherit_set_own(struct thread *thread, green_t id, int how, int priority)
{
    lock_acquire(&inherit_lock, RANK_INHERIT);
    const bool same = thread_id(thread) == id;
    if (same) {
        atomic_store(&thread->how, how);
        thread->priority = priority;
        settle(thread);
    }
    lock_release(&inherit_lock, RANK_INHERIT);
    return same;
}
