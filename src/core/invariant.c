/*
 * The invariant of scheduler activations, as a check: as many workers hold a processor as there are processors in
 * service, whatever blocks in the kernel.
 *
 * In full, with the sched lock held:
 *   - a processor and the worker that holds it point at each other, so never do two hold one, nor one two;
 *   - its worker's hold is OWNED or REVOKING; a worker that is REVOKED or NONE has no processor, and so a thread that
 *     was found blocked keeps none;
 *   - every processor in service has a worker, or one is being made for it, or that is known to be missing;
 *   - an idle processor has a worker, and their number is the one that is published;
 *   - a spare worker has no processor, and its hold is NONE.
 *
 * Debug builds look after every change of holds but the first of a process, which is made without the lock.
 */
#include "core/invariant.h"

#include "core/hold.h"
#include "core/sched.h"

static bool holds(const struct worker *worker)
{
    const uint32_t hold = atomic_load(&worker->hold);

    return hold == HOLD_OWNED || hold == HOLD_REVOKING;
}

/*
 * Whether a processor may be without a worker.  What is looked at changes under the control lock, which is not held: a
 * processor comes into service, or a promise is broken, only after `procs_missing` is set.  So who sees one in service
 * without a promise, and looks once more, sees that it is missing.
 */
static bool is_provided_for(const struct proc *proc)
{
    for (int look = 0; look < 2; look++)
        if (atomic_load(&proc->promised) || atomic_load(&procs_missing) || proc->index >= procs_count())
            return true;
    return false;
}

static const char *proc_violation(const struct proc *proc)
{
    const struct worker *worker = atomic_load(&proc->worker);

    if (!worker)
        return is_provided_for(proc) ? NULL : "a processor in service has no worker";
    if (worker->proc != proc)
        return "a processor's worker has another";
    return holds(worker) ? NULL : "a processor's worker does not hold it";
}

static const char *worker_violation(const struct worker *worker)
{
    if (!worker->proc)
        return holds(worker) ? "a worker holds no processor" : NULL;
    return atomic_load(&worker->proc->worker) == worker ? NULL : "a worker holds another's processor";
}

static const char *lists_violation(void)
{
    unsigned idle = 0, spare = 0;

    for (const struct proc *proc = idle_any(); proc; proc = proc->next_idle, idle++)
        if (!proc->idle || !atomic_load(&proc->worker))
            return "an idle processor has no worker";
    for (const struct worker *worker = spare_any(); worker; worker = worker->next_spare, spare++)
        if (worker->proc || atomic_load(&worker->hold) != HOLD_NONE)
            return "a spare worker has a processor";
    return idle == procs_idle_count() && spare == spares() ? NULL : "what is idle or spare is miscounted";
}

const char *invariant_violation(void)
{
    const char *violation = lists_violation();

    for (unsigned i = 0; i < PROCS_MAX && proc_at(i) && !violation; i++)
        violation = proc_violation(proc_at(i));
    for (const struct worker *worker = workers_all(); worker && !violation; worker = worker->next)
        violation = worker_violation(worker);
    return violation;
}

#ifdef GREEN_DEBUG
void invariant_assert(void)
{
    const char *violation = invariant_violation();

    if (violation)
        fatal("%s", violation);
}
#endif
