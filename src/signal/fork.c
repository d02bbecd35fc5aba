/* Signals in the child of a fork: nothing is pending, the caller keeps its mask and its handlers' frames. */
#include "core/table.h"
#include "signal/signal.h"

void signal_fork_reset(struct thread *survivor)
{
    pending_fork_reset();
    signal_waiters_fork_reset();
    signal_threads_fork_reset();
    for (uint32_t index = 0; index < table_count(); index++) {
        atomic_store(&table_at(index)->sigpending, 0);
        table_at(index)->siginfos = NULL;
    }
    atomic_fetch_and(&survivor->special, ~(uint32_t)SPECIAL_SIGNAL);
    atomic_store(&survivor->claim, CLAIM_NONE);
    signal_table_fork_reset();
    signal_kept_fork_reset(survivor);
}

void signal_fork_finish(void)
{
    signal_threads_fork_finish();
    signal_kept_fork_finish();
}
