/*
 * Barriers shared between processes.
 *
 * `__inside` has the round in its upper half, which is slept on, and how many have come in its lower one; both change as
 * one.  Who sleeps reads the round once more after its end, so destroy waits for those inside.
 */
#include <limits.h>

#include "base/annotate.h"
#include "sync/shared.h"

enum { ROUND_SHIFT = 32 };

void shared_barrier_init(green_barrier_t *barrier)
{
    barrier->__queue.__head = SHARED_MARK;
}

static uint64_t word_of(const green_barrier_t *barrier)
{
    return __atomic_load_n(&barrier->__inside, __ATOMIC_SEQ_CST);
}

static uint32_t *round_word(green_barrier_t *barrier)
{
    return (uint32_t *)(void *)&barrier->__inside + 1;
}

/* True for the last to come; *round is the one that the caller is of. */
static bool arrive(green_barrier_t *barrier, uint32_t *round)
{
    uint64_t word = word_of(barrier), next;

    do {
        *round = (uint32_t)(word >> ROUND_SHIFT);
        next = (uint32_t)word + 1 == barrier->__count ? (uint64_t)(*round + 1) << ROUND_SHIFT : word + 1;
    } while (!__atomic_compare_exchange_n(&barrier->__inside, &word, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return (uint32_t)next == 0;
}

int shared_barrier_wait(green_barrier_t *barrier)
{
    struct thread *self = known_self();
    uint32_t round;

    if (!self)
        return ENOMEM;
    annotate_release(barrier);
    shared_come(&barrier->__reserved[0]);
    const bool last = arrive(barrier, &round);
    if (last)
        shared_wake(round_word(barrier), INT_MAX);
    else
        while (word_of(barrier) >> ROUND_SHIFT == round)
            shared_wait(self, round_word(barrier), round, NEVER, SHARED_ENDS_NOT);
    shared_leave(&barrier->__reserved[0]);
    annotate_acquire(barrier);
    return last ? GREEN_BARRIER_SERIAL_THREAD : 0;
}

int shared_barrier_destroy(green_barrier_t *barrier)
{
    struct thread *self = known_self();

    if (!self)
        return ENOMEM;
    if ((uint32_t)word_of(barrier) > 0)
        return EBUSY;
    shared_await(self, &barrier->__reserved[0]);
    return 0;
}
