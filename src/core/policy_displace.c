/*
 * Policies: making room.
 *
 * A processor that runs nobody (`running` is NULL) will ask the policy before it sleeps.  When more threads are ready
 * than such processors, whoever was just queued is held against those that run: the processor of the least urgent of
 * them is marked, if the policy says that it should make room.  A mark stays until that processor chooses next, by
 * whatever cause, and a marked one is not chosen as a victim again: so two urgent threads find two victims.  wake_for()
 * tells the marked, by a tick that is judged as every tick is: at depth > 0 it is noted, so no section's holder is
 * displaced.  Such a tick may be lost where the processor sets its clock anew at that moment: so it looks at its mark
 * afterwards (policy_look).
 *
 *   displace   NO -> WANTED   under policy.c's lock, when a thread is queued
 *              WANTED -> TOLD by whoever sends the tick
 *              any -> NO      under that lock, by the processor, when it chooses
 */
#include "core/policy_displace.h"

#include "core/hold.h"
#include "core/runq.h"

/* The policy displaces, and there are ticks to do it with. */
static bool telling(void)
{
    return policy_get()->preempts && settings.preempt;
}

static bool in_service(const struct proc *proc)
{
    return atomic_load(&proc->worker) != NULL;
}

/* Of those that would make room for it, the processor of the one that would make room for all the others. */
static struct proc *victim_of(const struct green_task *ready)
{
    const struct green_policy *policy = policy_get();
    struct proc *victim = NULL;

    for (unsigned i = 0; i < procs_count(); i++) {
        struct proc *proc = proc_at(i);
        const struct thread *running = running_at(proc);
        if (!in_service(proc) || !running || atomic_load(&proc->displace) != DISPLACE_NO ||
            !policy->preempts(ready, &running->task))
            continue;
        if (!victim || policy->preempts(&running_at(victim)->task, &running->task))
            victim = proc;
    }
    return victim;
}

static unsigned hungry(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < procs_count(); i++)
        count += in_service(proc_at(i)) && !running_at(proc_at(i));
    return count;
}

void displace_for(const struct green_task *ready)
{
    if (!telling() || global_count() <= hungry())
        return;
    struct proc *victim = victim_of(ready);
    if (victim)
        atomic_store(&victim->displace, DISPLACE_WANTED);
}

void displace_thread(const struct thread *thread)
{
    for (unsigned i = 0; telling() && global_count() > 0 && i < procs_count(); i++)
        if (running_at(proc_at(i)) == thread && atomic_load(&proc_at(i)->displace) == DISPLACE_NO)
            atomic_store(&proc_at(i)->displace, DISPLACE_WANTED);
}

void policy_look(struct proc *proc)
{
    if (atomic_load(&proc->displace) != DISPLACE_NO)
        atomic_load_explicit(&proc->worker, memory_order_relaxed)->tick_pending = true;
}

/* Our own: at the next safe point. */
static void tell(struct proc *proc)
{
    struct thread *self = self_thread;

    if (self->worker->proc != proc)
        proc_kick(proc);
    else if (self->kind == THREAD_MULTIPLEXED)
        self->worker->tick_pending = true;
}

void policy_tell(void)
{
    if (!settings.preempt)
        return;
    const bool waits = global_count() > 0 && !procs_idle();
    for (unsigned i = 0; i < procs_count(); i++) {
        struct proc *proc = proc_at(i);
        uint8_t wanted = DISPLACE_WANTED;
        const bool marked = atomic_load_explicit(&proc->displace, memory_order_relaxed) == DISPLACE_WANTED &&
                            atomic_compare_exchange_strong(&proc->displace, &wanted, DISPLACE_TOLD);
        const bool unwatched = waits && !atomic_load_explicit(&proc->ticking, memory_order_relaxed) &&
                               running_at(proc);
        if (marked || unwatched)
            tell(proc);
    }
}
