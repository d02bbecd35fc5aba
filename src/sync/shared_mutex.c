/*
 * Mutexes shared between processes.
 *
 * The word, in the place of `__since`: free, locked, or locked with somebody who waits perhaps.  Who has waited leaves it
 * at the last, as there may be others.  The owner, of a type that knows him, is an identity (shared.c) in the reserved
 * part; `__owner`, a pointer, stays null and `__state` locked, so that every fast path of mutex.c fails.
 */
#include "base/annotate.h"
#include "sync/mutex.h"
#include "sync/shared.h"

enum { FREE, LOCKED, CONTENDED, SPINS = 100 };

void shared_mutex_init(green_mutex_t *mutex)
{
    mutex->__state = MUTEX_LOCKED;
    mutex->__kind |= MUTEX_SHARED;
    mutex->__queue.__head = SHARED_MARK;
}

static bool knows_owner(const green_mutex_t *mutex)
{
    return (mutex->__kind & MUTEX_TYPE) != GREEN_MUTEX_NORMAL;
}

static uint64_t owner_of(const green_mutex_t *mutex)
{
    return __atomic_load_n(&mutex->__reserved[0], __ATOMIC_RELAXED);
}

static void set_owner(green_mutex_t *mutex, uint64_t owner)
{
    __atomic_store_n(&mutex->__reserved[0], owner, __ATOMIC_RELAXED);
}

static bool take(green_mutex_t *mutex)
{
    unsigned from = FREE;

    return __atomic_compare_exchange_n(&mutex->__since, &from, LOCKED, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static bool spin(green_mutex_t *mutex)
{
    for (int i = 0; i < SPINS && sched_shared; i++) {
        if (__atomic_load_n(&mutex->__since, __ATOMIC_RELAXED) == FREE && take(mutex))
            return true;
        arch_pause();
    }
    return take(mutex);
}

static int take_waiting(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    if (spin(mutex))
        return 0;
    while (__atomic_exchange_n(&mutex->__since, CONTENDED, __ATOMIC_ACQUIRE) != FREE)
        if (shared_wait(self, &mutex->__since, CONTENDED, deadline, SHARED_ENDS_NOT) == ETIMEDOUT)
            return ETIMEDOUT;
    return 0;
}

static int lock(green_mutex_t *mutex, bool waits, uint64_t deadline)
{
    struct thread *self = known_self();

    if (!self)
        return ENOMEM;
    const uint64_t identity = knows_owner(mutex) ? shared_identity(self) : 0;
    if (identity && owner_of(mutex) == identity)
        return mutex_relock(mutex);
    const int error = waits ? take_waiting(self, mutex, deadline) : take(mutex) ? 0 : EBUSY;
    if (!error && identity)
        set_owner(mutex, identity);
    return error;
}

int shared_mutex_lock(green_mutex_t *mutex, uint64_t deadline)
{
    return lock(mutex, true, deadline);
}

int shared_mutex_trylock(green_mutex_t *mutex)
{
    const int error = lock(mutex, false, NEVER);

    return error == EDEADLK ? EBUSY : error;
}

static void let_go(green_mutex_t *mutex)
{
    set_owner(mutex, 0);
    if (__atomic_exchange_n(&mutex->__since, FREE, __ATOMIC_RELEASE) == CONTENDED)
        shared_wake(&mutex->__since, 1);
}

int shared_mutex_check(const struct thread *self, const green_mutex_t *mutex)
{
    return knows_owner(mutex) && (!self || owner_of(mutex) != shared_identity(self)) ? EPERM : 0;
}

int shared_mutex_unlock(green_mutex_t *mutex)
{
    const int error = shared_mutex_check(self_thread, mutex);

    if (error)
        return error;
    if (mutex->__count > 0) {
        mutex->__count--;
        return 0;
    }
    annotate_unlocks(mutex, false);
    let_go(mutex);
    return 0;
}

int shared_mutex_destroy(green_mutex_t *mutex)
{
    if (__atomic_load_n(&mutex->__since, __ATOMIC_RELAXED) != FREE)
        return EBUSY;
    annotate_lock_gone(mutex);
    return 0;
}

void shared_mutex_release(green_mutex_t *mutex)
{
    let_go(mutex);
}

int shared_mutex_relock(struct thread *self, green_mutex_t *mutex)
{
    leave(self);
    const int error = lock(mutex, true, NEVER);
    enter();
    return error;
}
