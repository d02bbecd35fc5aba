/* The slow paths of the runtime lock, and the rank check.  See lock.h. */
#include "base/lock.h"

#include "base/futex.h"

enum { SPINS = 100 };

#ifdef GREEN_TSAN
_Atomic bool queues_shared = true; /* what it is told is of locks that are taken */
#else
_Atomic bool queues_shared;
#endif

void lock_acquire_slow(struct lock *lock)
{
    for (int i = 0; i < SPINS; i++) {
        uint32_t free = 0;
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&lock->word, &free, 1, memory_order_acquire, memory_order_relaxed))
            return;
        arch_pause();
    }
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        futex_wait(&lock->word, 2, NEVER);
}

void lock_release_slow(struct lock *lock)
{
    futex_wake(&lock->word, 1);
}

#ifdef GREEN_DEBUG
void lock_note_acquire(enum lock_rank rank)
{
    uint32_t *held = lock_held_ranks();

    ASSERT((*held >> rank) == 0);
    *held |= UINT32_C(1) << rank;
}

void lock_note_release(enum lock_rank rank)
{
    uint32_t *held = lock_held_ranks();

    ASSERT(*held & (UINT32_C(1) << rank));
    *held &= ~(UINT32_C(1) << rank);
}

void lock_note_next(enum lock_rank rank)
{
    ASSERT(*lock_held_ranks() >> rank == 1);
}
#endif
