/*
 * Contenders of a plain mutex that come straight back for it.
 *
 * When two processors take a mutex from each other at each turn, its cache line travels each time, which takes several
 * times as long as to lock it again where it was.  So much work between two locks makes up for that, done by one while
 * the other has the mutex; with less, both get on better when each keeps it for a while.
 *
 * So who takes the mutex by a spin notes in it from whom, and when.  A loser that wants it back within QUICK_CYCLES is
 * quick.  If the winner was quick as well, the loser does not even look for STREAK_CYCLES: a look fetches the line, too.
 * The same holds for who finds that a loser has already taken it back, by chance found it open at its first try.
 * Else it spins as ever: the winner is soon gone, and to wait for longer would be a loss for nothing.
 *
 * Rejected: pauses between looks that grow, for everybody (with more work in between a processor stands idle beside a
 * free mutex); and to go by how often the mutex is lost (two threads with work in between lose it to each other, too).
 */
#ifndef STREAK_H
#define STREAK_H

#include "core/sched.h"

/* Spinning for another is for while it runs: else it needs our processor, or somebody's. */
static inline bool runs_elsewhere(const struct thread *owner)
{
    return sched_shared && owner && atomic_load_explicit(&owner->state, memory_order_relaxed) == THREAD_RUNNING;
}

/* A loser that does nothing in between is back after some 400: the line has travelled twice.  A streak is some ten times that. */
enum { QUICK_CYCLES = 768, STREAK_CYCLES = 6000 };

/* The note: the loser's name << 32 | the time; in place of its last bit, the winner was quick.  Robust mutexes have no room. */
static inline uint64_t *streak_of(green_mutex_t *mutex)
{
    return &mutex->__reserved[1];
}

/* Not a pointer to be followed; that another has the same name does no harm. */
static inline uint32_t streak_name(const struct thread *thread)
{
    return (uint32_t)((uintptr_t)thread / ARCH_CACHE_LINE);
}

/* By the winner, from whom it was. */
static inline void streak_note(green_mutex_t *mutex, const struct thread *loser, bool quick)
{
    if (mutex->__kind == GREEN_MUTEX_NORMAL)
        __atomic_store_n(streak_of(mutex),
                         (uint64_t)streak_name(loser) << 32 | ((uint32_t)arch_cycles() & ~UINT32_C(1)) | quick,
                         __ATOMIC_RELAXED);
}

/* By who wants it, and finds it locked: true when that is quick, and perhaps a while later. */
static inline bool streak_wait(const struct thread *self, green_mutex_t *mutex, const struct thread *owner)
{
    const uint64_t note = __atomic_load_n(streak_of(mutex), __ATOMIC_RELAXED);
    const bool taken_back = note >> 32 == streak_name(owner);

    if (mutex->__kind != GREEN_MUTEX_NORMAL || (note >> 32 != streak_name(self) && !taken_back))
        return false;
    const uint64_t now = arch_cycles();
    if ((uint32_t)now - (uint32_t)(note & ~UINT64_C(1)) >= QUICK_CYCLES)
        return false;
    if (taken_back || note & 1)
        while (arch_cycles() - now < STREAK_CYCLES && runs_elsewhere(owner))
            arch_pause();
    return true;
}

#endif
