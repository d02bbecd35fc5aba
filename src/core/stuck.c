/*
 * Blocked threads that nobody can take the processor from, as there is no spare worker and none can be made.
 *
 * The monitor sends such a thread a tick, which interrupts its call (monitor.c); here it gives way, not to those that a
 * policy prefers to it, but to all: it sleeps for a while, and then tries again.  Else a strict policy would choose it
 * anew at once, and so would one that counts CPU time, of which a blocked thread has none.  Whoever holds the lock that
 * it waits for, which may be the lock that the making of a worker needs, would never run.
 *
 * The more threads are off, the longer each stays: for each there is as much time in which nobody is.
 *
 *   worker->stuck   the thread, from the monitor on; NULL once the worker has judged a tick
 *
 * Rejected: to queue it behind everybody.  What it waited for may come at once, and under a strict policy it would then
 * wait for threads that are less urgent.
 */
#include "core/stuck.h"

#include "core/park.h"
#include "core/tick.h"

#define OFF_NS UINT64_C(2000000)

static _Atomic unsigned off;
static _Atomic uint64_t told;

void stuck_tell(struct worker *worker)
{
    atomic_fetch_add(&told, 1);
    atomic_store(&worker->stuck, atomic_load_explicit(&worker->current, memory_order_relaxed));
    tick_send(worker);
}

uint64_t stuck_told(void)
{
    return atomic_load(&told);
}

bool stuck_taken(struct thread *self)
{
    struct worker *worker = self->worker;

    if (likely(!atomic_load_explicit(&worker->stuck, memory_order_relaxed)))
        return false;
    return atomic_exchange(&worker->stuck, NULL) == self && self->in_tick;
}

void stuck_give_way(struct thread *self)
{
    const unsigned others = atomic_fetch_add(&off, 1);

    park_prepare(self, clock_now() + (others + 1) * OFF_NS);
    park(self, NULL, RANK_QUEUE); /* until a signal comes for it, at most: its handler runs at the end of the tick's */
    atomic_fetch_sub(&off, 1);
}

void stuck_fork_reset(void)
{
    atomic_store(&off, 0);
    atomic_store(&told, 0);
}
