/*
 * The runtime's own lock: a word that spins for a moment and then sleeps on its futex.
 *
 * It is held for some ten instructions, always at depth > 0, so its holder is never preempted by us; the kernel may
 * preempt it, and then waiters sleep.  A pure spin lock was rejected: with more workers than CPUs the waiter spins
 * out its whole time slice.  A ticket lock was rejected for the same reason, doubled.
 *
 * Locks have ranks and are taken in ascending order; a debug build checks that, and what a function requires.
 *
 * With one processor, and no thread beside its own, who holds it at depth > 0 is alone with the wait queues: their
 * locks are then not taken at all (queues_shared).  That was a third of the cost of a wait that is ended at once.
 *
 * A lock may be released by another thread than the one that took it, on the same worker: a parking thread hands the
 * lock of its queue to its successor.  So what is held is counted per worker, not per thread.
 */
#ifndef LOCK_H
#define LOCK_H

#include <stdatomic.h>

#include "base/base.h"

enum lock_rank {
    RANK_COND,      /* a condition variable's queue: held while its mutex is released */
    RANK_QUEUE,     /* any other that is used by who holds a processor, and by foreign threads: see queues_shared */
    RANK_OPEN_QUEUE, /* one that handlers use without a processor, or service threads: semaphores', for one */
    RANK_INHERIT,   /* who waits for whom, with a policy that lends priorities */
    RANK_SIGNAL,    /* all that is pending, and who waits for it */
    RANK_CONTROL,   /* the set of processors */
    RANK_TIMERS,    /* a processor's timer heap */
    RANK_TIMERS_TO, /* another's, into which it is moved */
    RANK_UNBORN,    /* a processor's threads that have not started */
    RANK_SCHED,     /* global run queue, idle processors, spare workers */
    RANK_POLICY,    /* the ready threads, with a policy other than the default */
    RANK_ACTIVATION, /* observers, and the events for them */
    RANK_POOL,      /* released threads */
    RANK_TABLE,     /* the thread table */
    RANK_DEFAULTS,  /* the attributes of threads that are created without */
    RANK_TIDS,      /* which kernel threads of foreign and bound threads live */
    RANK_SLAB,      /* stack slabs */
    RANK_ACCOUNT,   /* a worker's account of CPU time: taken at a switch, whatever is held */
};

struct lock {
    _Atomic uint32_t word; /* 0: free, 1: held, 2: held and somebody sleeps */
};

/* Several threads may be at the wait queues' locks at once.  Once true, for ever.  See core/alone.c. */
extern _Atomic bool queues_shared;

void lock_acquire_slow(struct lock *lock);
void lock_release_slow(struct lock *lock);

#ifdef GREEN_DEBUG
void lock_note_acquire(enum lock_rank rank);
void lock_note_release(enum lock_rank rank);
void lock_note_next(enum lock_rank rank);
/* Supplied by the layer that knows workers: one bit for each rank the calling worker holds. */
uint32_t *lock_held_ranks(void);
#else
static inline void lock_note_acquire(enum lock_rank rank)
{
    (void)rank;
}
static inline void lock_note_release(enum lock_rank rank)
{
    (void)rank;
}
static inline void lock_note_next(enum lock_rank rank)
{
    (void)rank;
}
#endif

static inline void lock_take(struct lock *lock)
{
    uint32_t free = 0;

    if (unlikely(!atomic_compare_exchange_strong_explicit(&lock->word, &free, 1, memory_order_acquire,
                                                          memory_order_relaxed)))
        lock_acquire_slow(lock);
}

static inline void lock_drop(struct lock *lock)
{
    if (unlikely(atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2))
        lock_release_slow(lock);
}

/* The caller has it without taking it.  That may end before the release, which then frees what is free. */
static inline bool lock_is_idle(enum lock_rank rank)
{
    return rank <= RANK_QUEUE && !atomic_load_explicit(&queues_shared, memory_order_relaxed);
}

static inline void lock_acquire(struct lock *lock, enum lock_rank rank)
{
    lock_note_acquire(rank);
    if (!lock_is_idle(rank))
        lock_take(lock);
}

static inline void lock_release(struct lock *lock, enum lock_rank rank)
{
    lock_note_release(rank);
    if (!lock_is_idle(rank))
        lock_drop(lock);
}

/*
 * Several of one rank: the first is acquired and the last released as above, those between by these, and the caller has
 * an order of its own for them (their addresses').
 */
static inline void lock_acquire_next(struct lock *lock, enum lock_rank rank)
{
    lock_note_next(rank);
    if (!lock_is_idle(rank))
        lock_take(lock);
}

static inline void lock_release_next(struct lock *lock, enum lock_rank rank)
{
    lock_note_next(rank);
    if (!lock_is_idle(rank))
        lock_drop(lock);
}

#endif
