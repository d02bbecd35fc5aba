/*
 * The word of a thread's life.
 *
 * It says how the life ends: its generation, and joinable, detached, exited, joined (exited, and its joiner knows),
 * free, or the index of its joiner, with a bit for one that has a deadline (join_timed.c).  All change it by compare and swap, so a stale id never reaches a later life in the
 * same structure, and a joiner that backs out is not woken as well.
 */
#ifndef LIFE_H
#define LIFE_H

#include <errno.h>

#include "core/thread.h"

static inline uint64_t life_of(const struct thread *thread)
{
    return atomic_load_explicit(&thread->life, memory_order_acquire);
}

static inline uint64_t life_with(uint64_t life, uint32_t low)
{
    return (life & ~UINT64_C(0xffffffff)) | low;
}

static inline bool life_change(struct thread *thread, uint64_t *life, uint32_t low)
{
    return atomic_compare_exchange_strong(&thread->life, life, life_with(*life, low));
}

static inline bool life_is_timed(uint64_t life)
{
    return (uint32_t)life >= LIFE_TIMED && (uint32_t)life < LIFE_JOINED;
}

/*
 * For whoever joins or detaches it: the life that `id` names becomes `living`, or `ended` when it is over.  0, EALREADY
 * when it was over, ESRCH when it is another's, EINVAL when it is somebody's already.
 */
static inline int life_claim(struct thread *target, green_t id, uint32_t living, uint32_t ended)
{
    uint64_t life = life_of(target);
    uint32_t low;

    do {
        low = (uint32_t)life;
        if (unlikely(life >> 32 != id >> 32))
            return ESRCH;
        if (unlikely(low != LIFE_JOINABLE && low != LIFE_EXITED))
            return EINVAL;
    } while (unlikely(!life_change(target, &life, low == LIFE_EXITED ? ended : living)));
    return low == LIFE_EXITED ? EALREADY : 0;
}

/* It has ended, and was seen to have a joiner with a deadline: hand it over.  False: that one has given up. */
bool life_end_timed(struct thread *target);

/* By its joiner, at depth 1: the result, and the release. */
void life_take(struct thread *self, struct thread *target, void **result);

/* Who knew the thread knows all: nobody can name it any more, and structure and stack go back to where they are kept. */
void life_release(struct proc *proc, struct thread *thread);

#endif
