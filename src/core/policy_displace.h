/*
 * Who makes room, where a policy chooses: see policy_displace.c.  For policy.c, which alone writes `running`.
 */
#ifndef POLICY_DISPLACE_H
#define POLICY_DISPLACE_H

#include "core/policy.h"

enum displace { DISPLACE_NO, DISPLACE_WANTED, DISPLACE_TOLD };

static inline struct thread *running_at(const struct proc *proc)
{
    return atomic_load_explicit(&proc->running, memory_order_relaxed);
}

/* With the policy's lock held, as the next.  It was just queued: mark the processor that should be its, if any. */
void displace_for(const struct green_task *ready);

/* It is less urgent than it was: mark its processor, if it runs and others are ready. */
void displace_thread(const struct thread *thread);

#endif
