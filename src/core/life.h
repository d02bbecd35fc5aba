/*
 * The word of a thread's life.
 *
 * It says how the life ends: its generation, and joinable, detached, exited, joined (exited, and its joiner knows),
 * free, or the index of its joiner.  All change it by compare and swap, so a stale id never reaches a later life in the
 * same structure, and a joiner that backs out is not woken as well.
 */
#ifndef LIFE_H
#define LIFE_H

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

/* Who knew the thread knows all: nobody can name it any more, and structure and stack go back to where they are kept. */
void life_release(struct proc *proc, struct thread *thread);

#endif
