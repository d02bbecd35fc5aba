/*
 * Policies other than the default one.  See policy.c.
 *
 * With policy_on, every dispatch is a special one (proc->attention stays true) and the queues of runq.h stay empty;
 * without, nothing here is ever called.
 */
#ifndef POLICY_H
#define POLICY_H

#include <green/policy.h>

#include "core/sched.h"

extern const struct green_policy policy_rr, policy_priority, policy_fair;

/* Constant once the library runs. */
const struct green_policy *policy_get(void);
void policy_set(const struct green_policy *chosen);

/* At the start, and in the child of a fork: nobody is ready. */
void policy_reset(void);

/* A new thread's; its creator's unless the attribute tells. */
void policy_prepare(struct thread *thread, const struct thread *creator, const green_attr_t *attr);
/* Whether a multiplexed thread can have them: 0, ENOTSUP, EINVAL.  SCHED_OTHER has priority 0 alone. */
int policy_parameters(int how, int priority);
int policy_attributes(const green_attr_t *attr);

/* It is ready: whoever ought to make room is marked, and learns of it by wake_for(), which follows.  Sched lock or none. */
void policy_enqueue(struct thread *thread, enum green_why why);
/* By ready(): both. */
void policy_ready(struct thread *self, struct thread *thread);

/* Who runs next, NULL for nobody.  The caller leaves, and is not ready; or is a worker's own context. */
struct thread *policy_take(struct proc *proc);

/*
 * The caller makes room: queued, and whose turn is it?  NULL: its own, after all.  Else the lock is held, and the
 * switch to that thread (the worker's own context when the processor retires) does policy_after() then.
 */
struct thread *policy_yield(struct thread *self);
void policy_after(struct thread *left, void *arg);
/* The same at a tick: NULL when its slice is not over and nobody has asked.  `woken` are made ready first. */
struct thread *policy_judge(struct thread *self, uint64_t now, struct run_list *woken, bool *slice_over);

/* By the processor, at depth > 0, when it has said when it wants its next tick: whether it was to get one before that. */
void policy_look(struct proc *proc);

/* Signal the processors that were marked, and those that have to watch their slices now.  By wake_for(). */
void policy_tell(void);

/*
 * What runs there without having been chosen: back from the kernel, or the first.  NULL: nobody, as the processor is on
 * its way to another worker.  Sched lock or none.
 */
void policy_runs(struct proc *proc, struct thread *thread);
/* It has run for longer than its slice, with nobody waiting: it has another one from now on. */
void policy_slice(struct proc *proc, const struct thread *thread, uint64_t now);

/* Its priority with what it was lent, or its weight, is another.  False when that life of it is over. */
void policy_set_priority(struct thread *thread, int priority);
bool policy_set_weight(struct thread *thread, green_t id, unsigned weight);

/* Sync's inherit.c's, which is above us; here for policy_reset(). */
extern struct lock inherit_lock;

static inline bool policy_inherits(void)
{
    extern bool policy_lends;
    return unlikely(policy_lends);
}

#endif
