/* The counters, summed over the processors that ever were. */
#include <string.h>

#include <green/sched.h>

#include "core/block.h"
#include "core/hold.h"
#include "core/monitor.h"
#include "core/pool.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/stuck.h"
#include "core/tick.h"
#include "mem/tls.h"

/* What its processors do, without stopping them: each counts once. */
static void count_proc(struct green_stats *stats, const struct proc *proc)
{
    const struct worker *worker = atomic_load(&proc->worker);

    if (atomic_load(&proc->retired))
        stats->procs_retired++;
    else if (!worker || __atomic_load_n(&proc->idle, __ATOMIC_RELAXED))
        stats->procs_idle++;
    else if (block_seen(worker))
        stats->procs_blocked++;
    else
        stats->procs_running++;
}

void green_stats(struct green_stats *stats)
{
    if (!stats)
        return;
    memset(stats, 0, sizeof *stats);
    for (unsigned i = 0; i < PROCS_MAX && proc_at(i); i++) {
        const struct proc *proc = proc_at(i);
        stats->switches += dispatches_of(proc) + atomic_load(&proc->count.elected);
        stats->preemptions += atomic_load(&proc->count.preemptions);
        stats->wakeup_preemptions += atomic_load(&proc->count.wakeup_preemptions);
        stats->steals += atomic_load(&proc->count.steals);
        stats->idles += atomic_load(&proc->count.idles);
        count_proc(stats, proc);
    }
    for (const struct worker *worker = workers_all(); worker; worker = worker->next) {
        stats->ticks += atomic_load(&worker->count.ticks);
        stats->ticks_deferred += atomic_load(&worker->count.deferred);
        stats->workers_blocked += atomic_load(&worker->hold) == HOLD_REVOKED;
    }
    signal_stats(stats);
    stats->threads_created = threads_created();
    stats->threads_live = proc_at(0) ? threads_live() : 0;
    stats->stacks_mapped = pool_stacks();
    stats->stacks_trimmed = pool_trimmed();
    stats->workers = workers_count();
    stats->procs = procs_count();
    stats->workers_spare = spares();
    stats->returns_idle = atomic_load(&hold_counts.idle); /* before what they are returns from: never more than that */
    stats->returns_queued = atomic_load(&hold_counts.queued);
    stats->retakes_cancelled = atomic_load(&hold_counts.cancelled);
    stats->retakes = monitor_retakes();
    stats->calls_interrupted = stuck_told();
}

const char *green_tls_provider(void)
{
    return tls_provider_name();
}

const char *green_monitor_source(void)
{
    return monitor_name();
}

const char *green_tick_source(void)
{
    return tick_source_name();
}
