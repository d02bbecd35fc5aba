/*
 * Spin locks.
 *
 * A private one is an error-checking mutex, which does what a spin lock should among threads that may be preempted:
 * it spins while the holder runs on another processor, and parks when it does not.  A word that is spun on without
 * knowing its holder was rejected: with one processor every meeting costs a slice, and a waiter of a real-time policy
 * of the kernel's never lets its holder run.
 *
 * One shared between processes is just such a word, as a holder in another process cannot be asked.  A waiter spins,
 * then yields, and in the end sleeps, longer and longer up to 1 ms, so that whatever keeps the holder from running
 * ends.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/annotate.h"
#include "base/base.h"
#include "sync/mutex.h"
#include "sync/shared.h"

enum { SPINS = 100, YIELDS = 10, SLEEP_FIRST_US = 10, SLEEP_MAX_US = 1000 };

int green_spin_init(green_spinlock_t *lock, int shared)
{
    if (!lock || (shared != GREEN_PROCESS_PRIVATE && shared != GREEN_PROCESS_SHARED))
        return EINVAL;
    memset(lock, 0, sizeof *lock);
    lock->__shared = (unsigned)shared;
    lock->__mutex.__kind = GREEN_MUTEX_ERRORCHECK;
    return 0;
}

int green_spin_destroy(green_spinlock_t *lock)
{
    if (!lock)
        return EINVAL;
    if (lock->__shared)
        return __atomic_load_n(&lock->__word, __ATOMIC_RELAXED) ? EBUSY : 0;
    return green_mutex_destroy(&lock->__mutex);
}

static bool take_shared(green_spinlock_t *lock)
{
    return !__atomic_load_n(&lock->__word, __ATOMIC_RELAXED) &&
           !__atomic_exchange_n(&lock->__word, 1, __ATOMIC_ACQUIRE);
}

static int lock_shared(green_spinlock_t *lock)
{
    unsigned sleep_us = SLEEP_FIRST_US;

    for (unsigned tries = 0; !take_shared(lock); tries++) {
        if (tries < SPINS) {
            arch_pause();
        } else if (tries < SPINS + YIELDS) {
            green_yield();
            sched_yield(); /* the holder may be another process's, on this CPU */
        } else {
            green_usleep(sleep_us);
            sleep_us = sleep_us < SLEEP_MAX_US / 2 ? 2 * sleep_us : SLEEP_MAX_US;
        }
    }
    annotate_acquire(lock);
    return 0;
}

int green_spin_lock(green_spinlock_t *lock)
{
    if (!lock)
        return EINVAL;
    return lock->__shared ? lock_shared(lock) : green_mutex_lock(&lock->__mutex);
}

int green_spin_trylock(green_spinlock_t *lock)
{
    if (!lock)
        return EINVAL;
    if (lock->__shared && !take_shared(lock))
        return EBUSY;
    if (lock->__shared)
        annotate_acquire(lock);
    return lock->__shared ? 0 : green_mutex_trylock(&lock->__mutex);
}

int green_spin_unlock(green_spinlock_t *lock)
{
    if (!lock)
        return EINVAL;
    if (!lock->__shared)
        return green_mutex_unlock(&lock->__mutex);
    annotate_release(lock);
    return __atomic_exchange_n(&lock->__word, 0, __ATOMIC_RELEASE) ? 0 : EPERM;
}
