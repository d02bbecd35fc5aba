/*
 * Workers: kernel threads that hold a processor, search for work for it, and sleep when there is none.
 *
 * A worker's own context runs when no thread is ready.  It looks at deadlines, its queues, the others' queues, and
 * then sleeps in a futex until the first deadline or until it is woken.  No wake-up is lost: whoever makes a thread
 * ready pushes it, fences, and looks for idle processors; who goes idle publishes that, fences, and looks at every
 * queue once more.
 *
 * A woken worker is "spinning" until it has found a thread.  While one spins, nobody wakes another: it will see the
 * new thread.  The one that finds a thread wakes the next if there is more to do.  So a burst of work wakes workers
 * one after the other, and a single thread that comes and goes wakes one.
 */
#include "base/futex.h"
#include "core/activation.h"
#include "core/block.h"
#include "core/hold.h"
#include "core/invariant.h"
#include "core/monitor.h"
#include "core/observe.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/switch.h"
#include "core/tick.h"

enum { SEARCH_ROUNDS = 4, STUCK_PAUSES = 200 };

static _Atomic unsigned spinners;

void spinners_forget(void)
{
    atomic_store(&spinners, 0);
}

/* Wake one idle processor's worker to look for work. */
static void wake_idle(void)
{
    struct worker *worker = NULL;

    lock_acquire(&sched_lock, RANK_SCHED);
    struct proc *proc = idle_any();
    if (proc) {
        idle_remove(proc);
        worker = atomic_load(&proc->worker);
        worker->spinning = true;
        atomic_fetch_add(&spinners, 1);
        atomic_store(&worker->wake, 1);
    }
    lock_release(&sched_lock, RANK_SCHED);
    if (worker)
        futex_wake(&worker->wake, 1);
}

/*
 * Its worker may be blocked, and a signal would only interrupt its call; or be so before the tick reaches it, or dead.  So
 * the monitor is told, and at last: on the same CPU it would run before the tick is on its way.
 */
static void kick_busy(struct proc *proc, struct worker *worker)
{
    if (!monitor_runs() || !block_now(worker))
        tick_kick(worker);
    monitor_attend(proc);
}

void proc_kick(struct proc *proc)
{
    struct worker *worker;
    bool asleep = false;

    lock_acquire(&sched_lock, RANK_SCHED);
    worker = atomic_load(&proc->worker);
    if (worker && proc->idle) {
        asleep = true;
        idle_remove(proc);
        atomic_store(&worker->wake, 1);
    }
    lock_release(&sched_lock, RANK_SCHED);
    if (asleep)
        futex_wake(&worker->wake, 1);
    else if (worker && settings.preempt)
        kick_busy(proc, worker);
}

/* Nobody is idle and a thread waits in the global queue: the first processor that does not watch its slice shall. */
static void kick_unless_ticking(void)
{
    for (unsigned i = 0; i < procs_count(); i++)
        if (atomic_load(&proc_at(i)->worker) && !atomic_load(&proc_at(i)->ticking)) {
            proc_kick(proc_at(i));
            return;
        }
}

void wake_for(struct proc *pushed_to)
{
    if (pushed_to) {
        if (unlikely(!atomic_load_explicit(&pushed_to->ticking, memory_order_relaxed)) && settings.preempt &&
            self_thread->kind != THREAD_WORKER)
            slice_watch(pushed_to, self_thread);
        if (!sched_shared)
            return;
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (procs_idle()) {
        if (atomic_load_explicit(&spinners, memory_order_relaxed) == 0)
            wake_idle();
    } else if (!pushed_to && !policy_on) {
        kick_unless_ticking();
    }
    if (unlikely(policy_on))
        policy_tell();
}

void own_safe_begin(struct worker *worker)
{
    for (;;) {
        worker->own_safe = true;
        compiler_barrier();
        if (!signal_held(worker))
            return;
        worker->own_safe = false;
        compiler_barrier();
        signal_route_held(worker);
    }
}

void own_safe_end(struct worker *worker)
{
    compiler_barrier();
    worker->own_safe = false;
}

/*
 * A thread in another's runnext is its own business, unless that processor does not dispatch: else it would be taken
 * from a pair of threads that hand work to each other.
 */
static bool stuck(const struct proc *victim)
{
    uint64_t dispatches = dispatches_of(victim);

    if (!atomic_load_explicit(&victim->runnext, memory_order_relaxed))
        return false;
    for (int pause = 0; pause < STUCK_PAUSES; pause++)
        arch_pause();
    return dispatches == dispatches_of(victim);
}

static bool work_anywhere(void)
{
    if (global_count() > 0)
        return true;
    for (unsigned i = 0; i < procs_count(); i++)
        if (!ring_empty(proc_at(i)) || stuck(proc_at(i)))
            return true;
    return false;
}

static uint32_t next_random(struct proc *proc)
{
    uint32_t x = proc->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return proc->random = x;
}

/* One pass over the others, from a random one on. */
static struct thread *steal_pass(struct proc *proc, bool last)
{
    unsigned count = procs_count(), start = next_random(proc) % count;

    for (unsigned i = 0; i < count; i++) {
        struct proc *victim = proc_at((start + i) % count);
        struct thread *thread = victim == proc ? NULL : runq_steal(proc, victim, last && stuck(victim));
        if (thread) {
            count_up(&proc->count.steals);
            return thread;
        }
    }
    return NULL;
}

static struct thread *steal(struct worker *worker)
{
    struct thread *thread = NULL;

    if (!sched_shared || policy_on || !ring_empty(worker->proc))
        return NULL;
    if (!worker->spinning) {
        if (2 * atomic_load(&spinners) >= procs_count() - procs_idle_count())
            return NULL;
        worker->spinning = true;
        atomic_fetch_add(&spinners, 1);
    }
    for (int round = 1; round <= SEARCH_ROUNDS && !thread; round++)
        thread = steal_pass(worker->proc, round == SEARCH_ROUNDS);
    return thread;
}

static void stop_spinning(struct worker *worker, bool found)
{
    if (!worker->spinning)
        return;
    worker->spinning = false;
    if (atomic_fetch_sub(&spinners, 1) == 1 && found && procs_idle() && work_anywhere())
        wake_idle();
}

/* The processor was taken out of service: leave nothing behind on it, and wait for another. */
static void retire(struct worker *worker)
{
    stop_spinning(worker, true);
    runq_drain(worker->proc);
    pool_flush(worker->proc);
    proc_retire(worker);
    wake_for(NULL);
}

/* Sleep until woken or the deadline. */
static void sleep_until(struct worker *worker, uint64_t deadline)
{
    worker->own.proc = NULL; /* a handler must not use it: it may be taken */
    signal_route_held(worker); /* before there are more than it can hold */
    if (worker->tick_blocked)
        tick_unblock(worker);
    own_safe_begin(worker);
    while (atomic_load(&worker->wake) == 0 && (deadline == NEVER || clock_now() < deadline))
        futex_wait(&worker->wake, 0, deadline);
    own_safe_end(worker);
}

/* Without a processor: sleep until given one. */
static void spare_wait(struct worker *worker)
{
    sleep_until(worker, NEVER);
    atomic_store(&worker->wake, 0);
}

static void observe_idle(const struct proc *proc)
{
    void (*observer)(unsigned, green_t, const char *) = atomic_load_explicit(&observe_switch, memory_order_acquire);

    if (observer)
        observer(proc->index, 0, "");
}

/* Publish the processor as idle and sleep, unless there is work after all. */
static void idle(struct worker *worker)
{
    struct proc *proc = worker->proc;

    lock_acquire(&sched_lock, RANK_SCHED);
    atomic_store(&worker->wake, 0);
    stop_spinning(worker, false); /* before others can set it again: they see the processor idle under this lock */
    count_up(&proc->count.idles);
    idle_add(proc);
    invariant_assert();
    lock_release(&sched_lock, RANK_SCHED);
    atomic_thread_fence(memory_order_seq_cst);
    if (!work_anywhere() && !atomic_load(&proc->retired)) {
        observe_idle(proc);
        sleep_until(worker, atomic_load_explicit(&proc->first_deadline, memory_order_relaxed));
    }
    lock_acquire(&sched_lock, RANK_SCHED);
    if (worker->proc == proc && proc->idle) /* else it was taken, and perhaps another given */
        idle_remove(proc);
    invariant_assert();
    lock_release(&sched_lock, RANK_SCHED);
    if (worker->proc == proc)
        proc->accounted = clock_now();
}

/*
 * A thread to run; sleeps until there is one.  NULL when the worker is to end.  Deadlines that have passed meanwhile are
 * the tick's, which comes at once and knows who goes ahead of whom; here, nobody is to run before they are looked at.
 */
static struct thread *find_work(struct worker *worker)
{
    for (;;) {
        struct thread *next;

        if (activation_pending())
            activation_tell();
        if (atomic_load(&worker->hold) == HOLD_NONE) {
            if (atomic_load(&worker->ending))
                return NULL;
            spare_wait(worker);
            continue;
        }
        struct proc *proc = worker->proc;
        if (atomic_load(&proc->retired)) {
            retire(worker);
            continue;
        }
        if (worker->tick_pending) {
            worker->tick_pending = false;
            tick_came(worker);
            signal_route_held(worker);
        }
        if ((next = choose_ready(proc)))
            return next;
        timers_fire(proc);
        if ((next = choose_ready(proc)) || (next = steal(worker)))
            return next;
        idle(worker);
    }
}

void worker_run(void)
{
    struct thread *own = self_thread;
    struct worker *worker = own->worker;

    for (;;) {
        struct thread *next = find_work(worker);
        if (!next)
            return;
        stop_spinning(worker, true);
        ticks_prepare(worker->proc, next);
        switch_to(own, next, NULL, NULL);
    }
}
