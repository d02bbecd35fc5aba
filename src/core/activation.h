/* Events for the program's observers.  See activation.c. */
#ifndef ACTIVATION_H
#define ACTIVATION_H

#include <green/activation.h>

#include "core/thread.h"

/* The kinds that somebody is registered for. */
extern _Atomic uint32_t activation_kinds;

/* Events wait for a worker's own context. */
extern _Atomic bool activation_waits;

/* Of the kind of the event; thread may be NULL, proc -1.  At depth > 0, at most the sched lock held. */
void activation_record(enum green_activation_kind kind, const struct thread *thread, int proc);
static inline void activation_event(enum green_activation_kind kind, const struct thread *thread, int proc)
{
    if (unlikely(atomic_load_explicit(&activation_kinds, memory_order_relaxed) & kind))
        activation_record(kind, thread, proc);
}

static inline bool activation_pending(void)
{
    return unlikely(atomic_load_explicit(&activation_waits, memory_order_relaxed));
}

/* By a worker's own context, no lock held: tell the observers. */
void activation_tell(void);

void activation_fork_reset(void);

#endif
