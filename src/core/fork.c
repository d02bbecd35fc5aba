/*
 * fork: the child has the thread that called it alone, on a fresh runtime.
 *
 * The kernel copies one kernel thread, the caller's.  In the child it becomes the one worker there is, with a new
 * context of its own, as at the start of the library.  What it was before, and what the other workers were doing, is
 * forgotten, locks included; only the thread table and the threads in the pool are kept.  Processors beyond the
 * first, and the monitor, are started when the child first creates a thread: most children only exec.
 *
 * Nothing is held across the fork, neither a lock nor depth: libc takes the locks of malloc and stdio after the
 * handlers of the parent, and their holders may be threads that wait for this processor.  But a spare worker is
 * made before or after: a program with one thread to its knowledge may do anything in the child.  No tick comes to the child
 * before it asks for one, as timers and pending signals are not inherited.
 */
#include "core/fork.h"

#include <errno.h>
#include <pthread.h>

#include "base/barrier.h"
#include "core/activation.h"
#include "core/attr_default.h"
#include "core/monitor.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/prefault.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/table.h"
#include "core/tick.h"
#include "mem/tls.h"
#include "sync/sem_named.h"

unsigned fork_count;

/* The calling kernel thread is a green thread's: it becomes the worker of the only processor. */
static void restart_worker(struct thread *self)
{
    if (worker_adopt(proc_at(0), self) != 0)
        fatal("no memory for the child of a fork");
    self->in_tick = false;
}

static void after_fork_in_child(void)
{
    struct thread *self = self_thread;

    fork_count++;
    if (!self)
        return;
    self->depth++;
    compiler_barrier();
    heavy_barrier_init();
    stack_fork_reset();
    table_fork_reset();
    attr_default_fork_reset();
    global_forget();
    if (policy_on)
        policy_reset();
    workers_forget();
    activation_fork_reset();
    procs_fork_reset();
    pool_fork_reset(self);
    threads_fork_reset(self);
    join_timed_fork_reset();
    foreign_fork_reset(self);
    tls_modules_fork_reset();
    tick_fork_reset();
    monitor_fork_reset();
    prefault_fork_reset();
    signal_fork_reset(self);
    sem_named_fork_reset();
    procs_set(1);
    if (self->kind == THREAD_MULTIPLEXED)
        restart_worker(self);
    procs_set(settings.procs);
    atomic_store(&procs_missing, true);
    leave(self);
    signal_fork_finish();
}

/* The library's own handler first: what the program does in the child may be to create threads. */
int green_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    leave(self);
    return pthread_atfork(prepare, parent, child);
}

int fork_init(void)
{
    static bool registered;

    if (registered)
        return 0;
    int error = pthread_atfork(spares_fork_prepare, spares_fork_parent, after_fork_in_child);
    registered = error == 0;
    return error;
}
