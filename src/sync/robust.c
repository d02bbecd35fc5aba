/*
 * Robust mutexes.
 *
 * A thread has those that it holds in a list, linked through __reserved[1], which only it touches; when it ends they
 * are opened, and marked DEAD: inconsistent.  The mark stays while the next owner mends what the mutex guards, until
 * green_mutex_consistent() takes it away.  Unlocked with the mark, the mutex is LOST, and stays LOCKED as well, so
 * that no fast path needs to know: whoever fails to take it looks for LOST before it waits.
 *
 * The list is singly linked: mutexes are mostly unlocked in reverse order, and then the first is the one.
 */
#include "sync/robust.h"

#include <errno.h>

#include "base/annotate.h"
#include "sync/inherit.h"
#include "sync/mutex.h"
#include "sync/waitq.h"

static green_mutex_t **next_held(green_mutex_t *mutex)
{
    return (green_mutex_t **)(void *)&mutex->__reserved[1];
}

static unsigned state_of(const green_mutex_t *mutex)
{
    return __atomic_load_n(&mutex->__state, __ATOMIC_RELAXED);
}

int robust_locked(struct thread *self, green_mutex_t *mutex)
{
    *next_held(mutex) = self->robust;
    self->robust = mutex;
    return state_of(mutex) & MUTEX_DEAD ? EOWNERDEAD : 0;
}

void robust_unlocked(struct thread *self, green_mutex_t *mutex)
{
    green_mutex_t **at = &self->robust;

    while (*at && *at != mutex)
        at = next_held(*at);
    if (*at)
        *at = *next_held(mutex);
}

void robust_lose(struct thread *self, green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    if (policy_inherits()) {
        inherit_lose(self, mutex);
        return;
    }
    lock_acquire(&queue->lock, RANK_QUEUE);
    struct thread *waiters = waitq_claim_all(queue);
    __atomic_store_n(&mutex->__state, MUTEX_LOCKED | MUTEX_LOST, __ATOMIC_RELEASE);
    lock_release(&queue->lock, RANK_QUEUE);
    waitq_ready_all(self, waiters);
}

/* Its owner has ended.  Nobody is handed it: whoever is first takes it, and finds the mark.  (Or who inherits it.) */
static void die(struct thread *self, green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    mutex->__count = 0;
    if (policy_inherits()) {
        __atomic_fetch_or(&mutex->__state, MUTEX_DEAD, __ATOMIC_RELAXED);
        inherit_unlock(self, mutex);
        return;
    }
    mutex_set_owner(mutex, NULL);
    lock_acquire(&queue->lock, RANK_QUEUE);
    const unsigned state = state_of(mutex);
    struct thread *waiter = mutex_woken(state) ? NULL : waitq_claim_first(queue);
    mutex_open(mutex, MUTEX_DEAD, mutex_woken(state) || waiter);
    lock_release(&queue->lock, RANK_QUEUE);
    if (waiter)
        ready(self, waiter);
}

void robust_announce(struct thread *self)
{
    for (green_mutex_t *mutex = self->robust; mutex; mutex = *next_held(mutex))
        annotate_unlocks(mutex, false);
}

void robust_abandon(struct thread *self)
{
    green_mutex_t *mutex;

    while ((mutex = self->robust)) {
        self->robust = *next_held(mutex);
        die(self, mutex);
    }
}

int green_mutex_consistent(green_mutex_t *mutex)
{
    if (!mutex || !(mutex->__kind & MUTEX_ROBUST) || !self_thread || mutex_owner(mutex) != self_thread ||
        !(state_of(mutex) & MUTEX_DEAD))
        return EINVAL;
    __atomic_fetch_and(&mutex->__state, ~(unsigned)MUTEX_DEAD, __ATOMIC_RELAXED);
    return 0;
}
