/*
 * The dispatcher: who runs next, and the switch to it.
 *
 * The common switch goes from thread to thread on the leaving thread's stack.  What must wait until that stack is
 * left (to queue the thread, to release the lock of the queue it parked on, to free it) is noted in the worker and
 * done by the arriving side.  Only when no thread is ready does the worker's own context run: it searches, steals and
 * sleeps (worker.c).
 *
 * A switch does not read the clock: that alone would cost as much as the rest.  Slices are judged when a tick comes.
 */
#include <sched.h>

#include "base/barrier.h"
#include "core/cancel.h"
#include "core/cpu_time.h"
#include "core/observe.h"
#include "core/park.h"
#include "core/policy.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/switch.h"
#include "mem/interpose.h"

observer_fn *_Atomic observe_switch;
_Atomic uint32_t switch_watch;

__thread struct thread *self_thread;

static void observe(const struct worker *worker, const struct thread *next)
{
    observer_fn *observer = atomic_load_explicit(&observe_switch, memory_order_acquire);

    if (observer && worker->proc)
        observer(worker->proc->index, next->kind == THREAD_WORKER ? 0 : thread_id(next), next->name);
}

void switch_observe(observer_fn *observer)
{
    atomic_store(&observe_switch, observer);
    if (observer)
        atomic_fetch_or(&switch_watch, WATCH_OBSERVER);
    else
        atomic_fetch_and(&switch_watch, ~(uint32_t)WATCH_OBSERVER);
}

/*
 * What the thread that left has left to us.  Who leaves from the tick's handler always leaves something, so the
 * signal need not be looked at otherwise.
 */
void switch_arrived(struct thread *self)
{
    struct worker *worker = self->worker;

    if (!worker->after)
        return;
    if (unlikely(annotate_valgrind_races))
        annotate_valgrind_release(worker->left);
    worker->after(worker->left, worker->after_arg);
    if (unlikely(signal_held(worker)))
        worker->tick_pending = true; /* the next to leave the runtime sees to them, and opens what is blocked */
    else if (unlikely(worker->tick_blocked) && !self->in_tick)
        tick_unblock(worker);
}

/* What is not done at most switches: accounts, the trace, a thread with a slice of its own, and one with a signal. */
void switch_specially(struct worker *worker, struct thread *next)
{
    const uint32_t watch = atomic_load_explicit(&switch_watch, memory_order_relaxed);

    if (watch & WATCH_RACES)
        annotate_valgrind_acquire(next);
    if (watch & WATCH_CPU_TIME)
        cpu_time_switch(worker, next);
    if (watch & WATCH_OBSERVER)
        observe(worker, next);
    if (atomic_load_explicit(&next->slice_us, memory_order_relaxed) != 0 && worker->proc && !policy_on)
        slice_begin(worker->proc, next, clock_now());
    if (signal_marked(next) || cancel_at_once(next))
        worker->tick_pending = true; /* it runs its handlers, or ends, as it leaves the runtime */
}

/*
 * Something asks for a look at the next dispatch.  Cleared when nothing does any more; who sets it from another
 * kernel thread states his reason first, so one of the two sees the other.
 */
static void settle_attention(struct proc *proc)
{
    atomic_store_explicit(&proc->attention, false, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (proc->woken.head || !settings.preempt || atomic_load_explicit(&proc->retired, memory_order_relaxed))
        atomic_store_explicit(&proc->attention, true, memory_order_relaxed);
}

/* From the global queue comes a share of it: then somebody waits here who did not before. */
static struct thread *take_global(struct proc *proc)
{
    struct thread *next = global_take(proc);

    if (next && settings.preempt && !ring_empty(proc) && !atomic_load_explicit(&proc->ticking, memory_order_relaxed))
        slice_watch(proc, next);
    return next;
}

static bool deadline_has_come(const struct proc *proc)
{
    const uint64_t first = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed);

    return first != NEVER && first <= clock_now();
}

/* As if a tick had come: judged when the next thread leaves the runtime. */
static void judge_soon(struct proc *proc)
{
    proc->more_woken = false;
    atomic_load_explicit(&proc->worker, memory_order_relaxed)->tick_pending = true;
}

/*
 * The dispatches that are not as most: on a processor that leaves service nobody is chosen; without ticks, deadlines
 * are looked at here; woken threads go first; and now and then the global queue does.  With another policy than the
 * default, all are so: it chooses, and nobody after it.
 */
static struct thread *choose_specially(struct proc *proc)
{
    struct thread *next;
    const bool global_first = atomic_load_explicit(&proc->until_global, memory_order_relaxed) == 0;

    if (global_first) {
        atomic_store_explicit(&proc->until_global, GLOBAL_EVERY, memory_order_relaxed);
        count_up(&proc->rounds);
    }
    if (policy_on) {
        if (!settings.preempt)
            timers_fire(proc);
        next = run_list_pop(&proc->woken); /* chosen already: it made way for observers */
        return next ? next : policy_take(proc);
    }
    if (atomic_load_explicit(&proc->retired, memory_order_relaxed))
        return NULL;
    if (!settings.preempt)
        timers_fire(proc);
    next = run_list_pop(&proc->woken);
    if (unlikely(proc->more_woken) && !proc->woken.head)
        judge_soon(proc);
    else if (global_first && settings.preempt && deadline_has_come(proc))
        judge_soon(proc);
    if (!next && global_first)
        next = take_global(proc);
    if (atomic_load_explicit(&proc->attention, memory_order_relaxed))
        settle_attention(proc);
    return next;
}

static struct thread *choose_ordinarily(struct proc *proc)
{
    struct thread *next = runq_take_next(proc);

    if (next)
        return next;
    proc->slice_unknown = true;
    if ((next = runq_pop(proc)))
        return next;
    return take_global(proc);
}

/* In line for the case of most yields: a thread in the ring, and nothing else to look at. */
static inline __attribute__((always_inline)) struct thread *choose_now(struct proc *proc)
{
    uint32_t until = atomic_load_explicit(&proc->until_global, memory_order_relaxed) - 1;
    struct thread *next;

    atomic_store_explicit(&proc->until_global, until, memory_order_relaxed);
    if (unlikely(until == 0 || atomic_load_explicit(&proc->attention, memory_order_relaxed))) {
        next = choose_specially(proc);
        if (next || policy_on || atomic_load_explicit(&proc->retired, memory_order_relaxed))
            return next;
    }
    if (unlikely(sched_shared || atomic_load_explicit(&proc->runnext, memory_order_relaxed)))
        return choose_ordinarily(proc);
    proc->slice_unknown = true;
    next = runq_pop(proc);
    return likely(next != NULL) ? next : take_global(proc);
}

struct thread *choose_ready(struct proc *proc)
{
    return choose_now(proc);
}

struct thread *choose(struct worker *worker)
{
    struct thread *next = choose_ready(worker->proc);

    return next ? next : &worker->own;
}

/*
 * Whom a joiner gives its turn to: to its target, when that has not started.  What goes before the line goes before
 * the target as well: a processor's end, woken threads, and at every GLOBAL_EVERYth dispatch the global queue.
 */
struct thread *choose_target(struct worker *worker, struct thread *target)
{
    struct proc *proc = worker->proc;
    uint32_t until = atomic_load_explicit(&proc->until_global, memory_order_relaxed) - 1;

    if (unlikely(atomic_load_explicit(&proc->retired, memory_order_relaxed) || proc->woken.head ||
                 (until == 0 && global_count() > 0)) || !runq_take_target(proc, target))
        return choose(worker);
    atomic_store_explicit(&proc->until_global, until ? until : GLOBAL_EVERY, memory_order_relaxed);
    if (until == 0)
        count_up(&proc->rounds);
    return target;
}

uint64_t dispatches_of(const struct proc *proc)
{
    return (atomic_load_explicit(&proc->rounds, memory_order_relaxed) + 1) * GLOBAL_EVERY -
           atomic_load_explicit(&proc->until_global, memory_order_relaxed);
}

void after_requeue(struct thread *left, void *arg)
{
    (void)arg;
    atomic_store_explicit(&left->state, THREAD_READY, memory_order_relaxed);
    runq_push(left->worker->proc, left);
}

/* Counted as choose_now() counts. */
static struct thread *choose_by_policy(struct thread *self, struct proc *proc)
{
    const uint32_t until = atomic_load_explicit(&proc->until_global, memory_order_relaxed) - 1;

    atomic_store_explicit(&proc->until_global, until ? until : GLOBAL_EVERY, memory_order_relaxed);
    if (until == 0)
        count_up(&proc->rounds);
    if (!settings.preempt)
        timers_fire(proc);
    struct thread *next = policy_yield(self);
    if (next)
        leave_behind(self->worker, self, policy_after, NULL);
    return next;
}

/* The yields that are not as most: whom to switch to, or NULL. */
static __attribute__((noinline)) struct thread *yield_specially(struct thread *self)
{
    struct proc *proc = self->proc;

    if (!proc) { /* the kernel's scheduler runs it */
        REAL(sched_yield)();
        return NULL;
    }
    if (policy_on)
        return choose_by_policy(self, proc);
    struct thread *next = choose_ready(proc);
    if (!next && atomic_load_explicit(&proc->retired, memory_order_relaxed))
        next = &self->worker->own;
    if (next)
        leave_behind(self->worker, self, after_requeue, NULL);
    return next;
}

/*
 * With one processor nobody else takes from its queue, so the thread may queue itself while it still stands on its
 * stack, and nothing is left to be done after the switch.
 *
 * All switch here: when every GLOBAL_EVERYth did so a call deeper, the returns after it were mispredicted, as the CPU
 * expects them to follow the calls of the thread that left; that made 4 % of all yields' cost.
 */
static inline void yield(struct thread *self)
{
    struct proc *const proc = &first_proc;
    struct thread *next;
    uint32_t until;

    if (unlikely(sched_shared || self->kind != THREAD_MULTIPLEXED ||
                 (until = atomic_load_explicit(&proc->until_global, memory_order_relaxed) - 1) == 0 ||
                 atomic_load_explicit(&proc->attention, memory_order_relaxed) ||
                 atomic_load_explicit(&proc->runnext, memory_order_relaxed) || !runq_rotate(proc, self, &next))) {
        next = yield_specially(self);
        if (!next)
            return;
    } else {
        atomic_store_explicit(&proc->until_global, until, memory_order_relaxed);
        proc->slice_unknown = true;
        atomic_store_explicit(&self->state, THREAD_READY, memory_order_relaxed);
        self->worker->after = NULL;
    }
    switch_now(self, self->worker, next);
}

int green_yield(void)
{
    struct thread *self = enter();

    if (unlikely(!self))
        return 0;
    yield(self);
    leave(self);
    return 0;
}

int green_sched_yield(void)
{
    return green_yield();
}

/*
 * In place of libc's: ordinary code that waits for another thread yields to threads, and, when none is ready, to other
 * kernel threads.  Not where a green thread may not be switched away.
 */
GREEN_API int sched_yield(void)
{
    const struct thread *self = self_thread;

    if (!self || self->kind != THREAD_MULTIPLEXED || self->depth > 0 ||
        !on_own_stack(self, (uintptr_t)__builtin_frame_address(0)))
        return REAL(sched_yield)();
    const struct worker *worker = self->worker;
    const uint64_t switches = atomic_load_explicit(&worker->switches, memory_order_relaxed);
    green_yield();
    if (self->worker == worker && atomic_load_explicit(&worker->switches, memory_order_relaxed) == switches)
        return REAL(sched_yield)();
    return 0;
}

/* The thread is off its stack: whoever finds it now may resume it. */
static void after_park(struct thread *left, void *arg)
{
    struct lock *lock = arg;

    const enum lock_rank rank = left->park_rank;

    if (left->deadline != NEVER)
        timer_add(left->worker->proc, left);
    const bool signal = parked_with_signal(left);
    if (lock)
        lock_release(lock, rank);
    if (unlikely(signal))
        signal_found_parked(left);
}

/*
 * A signal wants the thread, too.  When it has backed off in the meantime, it saw that we were here.
 */
bool park_claim_contended(struct thread *waiter)
{
    uint32_t claim = CLAIM_ASKED;

    return atomic_compare_exchange_strong(&waiter->claim, &claim, CLAIM_WAKER) || claim != CLAIM_SIGNAL;
}

/* By the time of the exchange it may have begun another wait, not parked yet: then that one ends. */
static bool claim_foreign(struct thread *waiter)
{
    uint32_t waiting = WAKE_WAITING;

    return atomic_load(&waiter->state) == THREAD_PARKED && waiter->depth == 1 &&
           atomic_compare_exchange_strong(&waiter->wake, &waiting, WAKE_SIGNAL);
}

/*
 * tests/model/claim.pml checks this.  `wake` is read before `state`: a thread that announces its next wait is not PARKED
 * any more.  In a critical section of the program's its handlers must wait, and so must the signal.
 */
bool park_claim_for_signal(struct thread *waiter)
{
    uint32_t claim = CLAIM_NONE;

    if (waiter->kind == THREAD_FOREIGN)
        return claim_foreign(waiter);
    if (atomic_load(&waiter->wake) != WAKE_WAITING || atomic_load(&waiter->state) != THREAD_PARKED ||
        !atomic_compare_exchange_strong(&waiter->claim, &claim, CLAIM_ASKED))
        return false;
    heavy_barrier();
    const bool parked = atomic_load(&waiter->wake) == WAKE_WAITING && atomic_load(&waiter->state) == THREAD_PARKED &&
                        waiter->depth == 1;
    claim = CLAIM_ASKED;
    return atomic_compare_exchange_strong(&waiter->claim, &claim, parked ? CLAIM_SIGNAL : CLAIM_NONE) && parked;
}

void after_park_marked(struct thread *left, void *arg)
{
    (void)arg;
    signal_found_parked(left);
}

enum wake park(struct thread *self, struct lock *lock, enum lock_rank rank)
{
    ASSERT(self->depth > 0 && (lock || self->deadline != NEVER) && self->kind != THREAD_WORKER);
    if (self->kind == THREAD_FOREIGN)
        return foreign_park(self, lock, rank);
    self->park_rank = (uint8_t)rank;
    switch_to(self, choose(self->worker), after_park, lock);
    if (self->deadline != NEVER)
        timer_cancel(self);
    return park_outcome(self);
}

struct several {
    void (*release)(void *);
    void *arg;
};

/* `several` and the thread's stack are out of reach once the last lock is released. */
static void after_park_on_several(struct thread *left, void *arg)
{
    const struct several several = *(const struct several *)arg;

    if (left->deadline != NEVER)
        timer_add(left->worker->proc, left);
    const bool signal = parked_with_signal(left);
    several.release(several.arg);
    if (unlikely(signal))
        signal_found_parked(left);
}

enum wake park_on_several(struct thread *self, void (*release)(void *), void *arg)
{
    struct several several = {release, arg};

    ASSERT(self->depth > 0 && self->kind != THREAD_WORKER);
    if (self->kind == THREAD_FOREIGN) { /* it may be woken before it sleeps */
        release(arg);
        return foreign_park(self, NULL, RANK_QUEUE);
    }
    switch_to(self, choose(self->worker), after_park_on_several, &several);
    if (self->deadline != NEVER)
        timer_cancel(self);
    return park_outcome(self);
}

void ready_globally(struct thread *thread)
{
    if (thread->kind == THREAD_FOREIGN) {
        foreign_ready(thread);
        return;
    }
    atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
    global_push_one(thread);
    wake_for(NULL);
}

static inline __attribute__((always_inline)) bool ready_elsewhere(struct thread *self, struct thread *thread)
{
    if (thread->kind == THREAD_FOREIGN) {
        foreign_ready(thread);
        return true;
    }
    ASSERT(atomic_load(&thread->wake) != WAKE_WAITING || atomic_load(&thread->claim) == CLAIM_SIGNAL);
    atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
    if (likely(self->worker->proc != NULL && !self->worker->own_safe && !policy_on))
        return false;
    if (policy_on) {
        policy_ready(self, thread);
        return true;
    }
    global_push_one(thread); /* no processor, or that of a worker which sleeps, and may lose it */
    wake_for(NULL);
    return true;
}

void ready(struct thread *self, struct thread *thread)
{
    if (ready_elsewhere(self, thread))
        return;
    runq_push_next(self->worker->proc, thread);
    wake_for(self->worker->proc);
}

void ready_last(struct thread *self, struct thread *thread)
{
    if (ready_elsewhere(self, thread))
        return;
    runq_push(self->worker->proc, thread);
    wake_for(self->worker->proc);
}
