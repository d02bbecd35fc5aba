/*
 * Who holds which processor: the handshake between a worker, the monitor, and whoever gives.
 *
 * A worker whose thread is blocked in the kernel loses its processor to another worker without being disturbed; when
 * the thread comes back, it must notice before it touches anything of the processor's.  The handshake is asymmetric:
 * the worker pays with a load at each entry into the runtime, no fence and no atomic operation, the monitor with a
 * membarrier.
 *
 *   worker->hold
 *     NONE -> OWNED          whoever gives a processor, under the sched lock; the worker is off the list of spares
 *     OWNED -> REVOKING      the monitor alone
 *     REVOKING -> OWNED      the monitor, which gives up, or the worker, which cancels; either may lose
 *     REVOKING -> REVOKED    the monitor, under the lock
 *     OWNED -> REVOKED       the worker, at green_blocking_enter(), under the lock; the monitor, for a dead one
 *     REVOKED -> NONE        the monitor, for a dead one
 *     REVOKED -> OWNED       the worker, with an idle processor, under the lock
 *     OWNED, REVOKING -> NONE  the worker in its own context, giving the processor up, under the lock
 *     REVOKED -> NONE        the same, its thread off its stack and queued
 *
 * The worker: raises its thread's depth, then looks at hold.  The monitor: REVOKING, membarrier, then looks at the
 * thread's depth.  So one of them sees the other; and as depth may have been read of a thread that the worker has left
 * since, the monitor also reads the worker's count of switches before and after.
 *
 * While REVOKED the worker's `proc` is NULL and its thread runs at most the program's code, at depth 0.  The own
 * context of a worker is at depth 1 for ever, so nothing is taken from it but an idle processor, by a worker whose
 * thread needs one: under the lock, as the sleeper sees when it wakes.
 *
 * Rejected: a compare and swap at each entry and exit (Go's _Psyscall, which knows its system calls beforehand), and a
 * signal that asks the blocked worker, which would interrupt its call.
 */
#include "core/hold.h"

#include <errno.h>

#include "base/futex.h"
#include "core/activation.h"
#include "core/invariant.h"
#include "core/monitor.h"
#include "core/policy.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/switch.h"
#include "core/tick.h"

/* Guarded by the sched lock; idle_count is read without. */
static struct proc *idle_procs;
static _Atomic unsigned idle_count;
static struct worker *spare_workers;
static _Atomic unsigned spare_count;

/* Threads that wait for an idle processor on the spot, and what they sleep on. */
static _Atomic uint32_t idle_wanted, idle_added;

/* Each path out of hold_regain(). */
struct hold_counts hold_counts;

void hold_forget(void)
{
    idle_procs = NULL;
    spare_workers = NULL;
    atomic_store(&spare_count, 0);
    atomic_store(&idle_wanted, 0);
    atomic_store(&idle_count, 0);
}

bool procs_idle(void)
{
    return atomic_load_explicit(&idle_count, memory_order_relaxed) > 0;
}

unsigned procs_idle_count(void)
{
    return atomic_load(&idle_count);
}

void idle_add(struct proc *proc)
{
    proc->idle = true;
    proc->next_idle = idle_procs;
    idle_procs = proc;
    atomic_fetch_add(&idle_count, 1);
    if (unlikely(atomic_load(&idle_wanted) > 0)) {
        atomic_fetch_add(&idle_added, 1);
        futex_wake(&idle_added, 1);
    }
}

void idle_remove(struct proc *proc)
{
    struct proc **link = &idle_procs;

    while (*link != proc)
        link = &(*link)->next_idle;
    *link = proc->next_idle;
    proc->idle = false;
    atomic_fetch_sub(&idle_count, 1);
}

struct proc *idle_any(void)
{
    return idle_procs;
}

struct worker *spare_take(void)
{
    struct worker *worker = spare_workers;

    if (!worker)
        return NULL;
    spare_workers = worker->next_spare;
    atomic_fetch_sub(&spare_count, 1);
    return worker;
}

void spare_add(struct worker *worker)
{
    worker->next_spare = spare_workers;
    spare_workers = worker;
    worker->spare_since = clock_now();
    if (atomic_fetch_add(&spare_count, 1) >= SPARES_KEPT)
        spares_surplus();
}

/* The one that has been a spare for longest stands last. */
struct worker *spare_surplus(uint64_t now, uint64_t quiet_ns, uint64_t *next)
{
    struct worker **link = NULL;

    *next = NEVER;
    if (spares() <= SPARES_KEPT)
        return NULL;
    for (struct worker **at = &spare_workers; *at; at = &(*at)->next_spare)
        if (!(*at)->adopted)
            link = at;
    if (!link)
        return NULL;
    struct worker *worker = *link;
    if (now < worker->spare_since + quiet_ns) {
        *next = worker->spare_since + quiet_ns;
        return NULL;
    }
    *link = worker->next_spare;
    atomic_fetch_sub(&spare_count, 1);
    return worker;
}

struct worker *spare_any(void)
{
    return spare_workers;
}

unsigned spares(void)
{
    return atomic_load_explicit(&spare_count, memory_order_relaxed);
}

static void attach(struct worker *worker, struct proc *proc)
{
    atomic_store(&proc->worker, worker);
    worker->proc = proc;
    proc->accounted = clock_now();
    atomic_store(&worker->hold, HOLD_OWNED);
}

void worker_give(struct worker *worker, struct proc *proc)
{
    attach(worker, proc);
    atomic_store(&worker->wake, 1);
    futex_wake(&worker->wake, 1);
}

/* The event first: the worker tells it before it runs anybody. */
void worker_enlist(struct worker *worker, struct proc *proc)
{
    activation_event(GREEN_ACTIVATION_ADDED, NULL, (int)proc->index);
    worker_give(worker, proc);
    invariant_assert();
}

void worker_give_up(struct worker *worker)
{
    worker->proc = NULL;
    tick_clear(worker);
    atomic_store(&worker->hold, HOLD_NONE);
    spare_add(worker);
}

/*
 * The timer is stopped before the spare worker is woken, to which the kernel may give our CPU: for milliseconds, then, a
 * tick would interrupt the blocked call.  The clock, which is dear to set, is for the caller to see to while that one wakes.
 */
static void pass_on(struct worker *worker, struct worker *spare, uint64_t since)
{
    struct proc *proc = worker->proc;
    struct thread *blocked = atomic_load_explicit(&worker->current, memory_order_relaxed);

    use_charge(proc, blocked, since);
    if (policy_on)
        policy_runs(proc, NULL);
    activation_event(GREEN_ACTIVATION_BLOCKED, blocked, (int)proc->index);
    worker->proc = NULL;
    proc->taken = true;
    tick_disarm(worker);
    worker_give(spare, proc);
}

bool worker_revoke(struct worker *worker, struct worker *spare, uint64_t since)
{
    uint32_t revoking = HOLD_REVOKING;

    if (!atomic_compare_exchange_strong(&worker->hold, &revoking, HOLD_REVOKED))
        return false;
    pass_on(worker, spare, since);
    tick_on_return(worker);
    invariant_assert();
    return true;
}

void worker_replace(struct worker *worker, struct worker *spare)
{
    atomic_store(&worker->hold, HOLD_REVOKED);
    pass_on(worker, spare, clock_now());
    tick_clear(worker);
    invariant_assert();
}

bool worker_hand_over(struct worker *worker)
{
    lock_acquire(&sched_lock, RANK_SCHED);
    struct worker *spare = spare_take();
    if (spare) /* the monitor, if it was about to, fails */
        worker_replace(worker, spare);
    lock_release(&sched_lock, RANK_SCHED);
    if (!spare || spares() == 0)
        spares_want();
    return spare != NULL;
}

/* For a worker whose own is gone, that of a worker which sleeps and becomes a spare.  With the lock held. */
static bool take_idle(struct worker *worker, const struct thread *returned)
{
    struct proc *proc = idle_procs;

    if (!proc)
        return false;
    idle_remove(proc);
    tick_clear(worker);
    worker_give_up(atomic_load(&proc->worker));
    attach(worker, proc);
    atomic_fetch_add_explicit(&hold_counts.idle, 1, memory_order_relaxed);
    activation_event(GREEN_ACTIVATION_UNBLOCKED, returned, (int)proc->index);
    invariant_assert();
    return true;
}

/* In the own context of a worker whose processor is gone: the thread that left waits for another. */
static void after_revoked(struct thread *left, void *arg)
{
    struct worker *worker = left->worker;
    struct proc *lost = left->proc;

    (void)arg;
    atomic_store_explicit(&left->state, THREAD_READY, memory_order_relaxed);
    lock_acquire(&sched_lock, RANK_SCHED);
    const bool idle = atomic_load(&worker->hold) == HOLD_OWNED || take_idle(worker, left);
    if (!idle) {
        global_push_front_locked(left);
        atomic_store(&lost->returned, !policy_on); /* a policy has been told */
        worker_give_up(worker);
        atomic_fetch_add_explicit(&hold_counts.queued, 1, memory_order_relaxed);
        activation_event(GREEN_ACTIVATION_UNBLOCKED, left, -1);
        invariant_assert();
    }
    lock_release(&sched_lock, RANK_SCHED);
    if (!idle) {
        if (!policy_on)
            proc_kick(lost); /* where it may run at once, if it has used less than who runs there now */
        wake_for(NULL);
    } else if (policy_on) {
        policy_enqueue(left, GREEN_RETURNED);
        wake_for(worker->proc);
    } else {
        runq_push(worker->proc, left);
    }
}

static bool regain(struct thread *self)
{
    lock_acquire(&sched_lock, RANK_SCHED);
    const bool held = atomic_load(&self->worker->hold) == HOLD_OWNED; /* since a handler of the program's came between */
    const bool idle = held || take_idle(self->worker, self);
    lock_release(&sched_lock, RANK_SCHED);
    if (!idle || held)
        return held;
    self->proc = self->worker->proc;
    if (policy_on)
        policy_runs(self->proc, self);
    ticks_prepare(self->proc, self);
    return true;
}

/*
 * On the alternate stack, which is its worker's, the thread cannot leave the worker: it waits for a processor that has
 * nothing to do.
 */
static void wait_for_idle(struct thread *self)
{
    uint32_t seen;

    atomic_fetch_add(&idle_wanted, 1);
    while (seen = atomic_load(&idle_added), !regain(self))
        futex_wait(&idle_added, seen, NEVER);
    atomic_fetch_sub(&idle_wanted, 1);
}

/* Back from the kernel, or on the way: at depth 1, perhaps without a processor. */
void hold_regain(struct thread *self)
{
    struct worker *worker = self->worker;
    uint32_t hold = atomic_load(&worker->hold);

    if (hold == HOLD_REVOKING && atomic_compare_exchange_strong(&worker->hold, &hold, HOLD_OWNED)) {
        atomic_fetch_add_explicit(&hold_counts.cancelled, 1, memory_order_relaxed);
        return;
    }
    if (hold == HOLD_OWNED || self->kind == THREAD_WORKER) /* the monitor gave up; a handler in a spare's own context */
        return;
    int saved_errno = errno;
    if (on_worker_altstack(worker, (uintptr_t)__builtin_frame_address(0))) {
        wait_for_idle(self);
    } else if (!regain(self)) {
        const uint64_t mask = preempt_mask_leave(self);
        switch_to(self, &self->worker->own, after_revoked, NULL);
        preempt_mask_arrive(self, mask);
    } else if (activation_pending()) {
        worker->tick_pending = true; /* whose judgement tells them */
    }
    monitor_expect();
    errno = saved_errno;
}
