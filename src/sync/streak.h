/*
 * Contenders of a plain mutex that come straight back for it.
 *
 * When two processors take a mutex from each other at each turn, its cache line travels each time, which takes several
 * times as long as to lock it again where it was.  So much work between two locks makes up for that, done by one while
 * the other has the mutex; with less, both get on better when each keeps it for a while.
 *
 * So who takes the mutex by a spin notes in it from whom, and when.  A loser that wants it back before the line could
 * have travelled QUICK_TRAVELS times is quick.  If the winner was quick as well, the loser does not even look for
 * STREAK_CYCLES: a look fetches the line, too.
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

/*
 * Cycles of the processor.  The way of the line was seen to differ by a factor of five on one machine, whose host moves
 * its virtual processors: so the winner goes by how long his last look took, in which the line came to him.  A loser
 * that does nothing in between is back after four of these or so.
 */
enum { QUICK_TRAVELS = 5, TRAVEL_CYCLES_MIN = 150, TRAVEL_CYCLES_MAX = 800, STREAK_CYCLES = 6000 };

/*
 * The note: the loser's name << 32 | until when it is quick; in place of the last bit, the winner was.  Robust mutexes
 * have no room for it.
 */
static inline uint64_t *streak_of(green_mutex_t *mutex)
{
    return &mutex->__reserved[1];
}

/* Not a pointer to be followed; that another has the same name does no harm. */
static inline uint32_t streak_name(const struct thread *thread)
{
    return (uint32_t)((uintptr_t)thread / ARCH_CACHE_LINE);
}

/* By the winner: from whom it was, and when the winner began to look. */
static inline void streak_note(green_mutex_t *mutex, const struct thread *loser, bool quick, uint64_t look)
{
    const uint64_t now = arch_cycles(), took = now - look;
    const uint64_t floor = took > TRAVEL_CYCLES_MIN ? took : TRAVEL_CYCLES_MIN;
    const uint64_t travel = floor < TRAVEL_CYCLES_MAX ? floor : TRAVEL_CYCLES_MAX;
    const uint32_t until = (uint32_t)(now + QUICK_TRAVELS * travel) & ~UINT32_C(1);

    if (mutex->__kind == GREEN_MUTEX_NORMAL)
        __atomic_store_n(streak_of(mutex), (uint64_t)streak_name(loser) << 32 | until | quick, __ATOMIC_RELAXED);
}

/* By who wants it, and finds it locked: true when that is quick, and perhaps a while later. */
static inline bool streak_wait(const struct thread *self, green_mutex_t *mutex, const struct thread *owner)
{
    const uint64_t note = __atomic_load_n(streak_of(mutex), __ATOMIC_RELAXED);
    const bool taken_back = note >> 32 == streak_name(owner);

    if (mutex->__kind != GREEN_MUTEX_NORMAL || (note >> 32 != streak_name(self) && !taken_back))
        return false;
    const uint64_t now = arch_cycles();
    if ((int32_t)((uint32_t)note - (uint32_t)now) <= 0)
        return false;
    if (taken_back || note & 1)
        while (arch_cycles() - now < STREAK_CYCLES && runs_elsewhere(owner))
            arch_pause();
    return true;
}

#endif
