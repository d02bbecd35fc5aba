/*
 * Slices: how long a thread may run while others wait, and who runs after it.
 *
 * A slice begins when a thread comes from the ring; threads reached through runnext or `woken` continue it.  As switches
 * do not read the clock, a slice that nobody has timed yet begins at the first tick that sees it.  A thread whose
 * deadline has come runs at once when it has used less of the processor lately than the one it displaces, which then
 * continues its slice.  "Lately": a thread's use is halved every 67 ms.
 *
 * Ticks come only while somebody waits, or for the first deadline.  Rejected: a tick for ever, as kernels once had it,
 * which costs a computing thread a signal each slice for nothing.
 *
 * Deadlines have ticks of their own while they are few: timer.c.  A processor that has nothing to run looks at its
 * deadlines by itself and at once; one that switches has those that have come judged without a tick, now and then, and when
 * more have come than go ahead of everybody at a time, with the last of those.
 */
#include "core/activation.h"
#include "core/hold.h"
#include "core/monitor.h"
#include "core/policy.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/stuck.h"
#include "core/switch.h"
#include "core/tick.h"

/* At the end of a slice the global queue is looked at first more often than at a yield, which comes sooner. */
enum { QUIET_TICKS = 3, USE_HALVES_SHIFT = 26, GLOBAL_EVERY_SLICES = 4, MOMENT_NS = 10000 };
enum { WOKEN_MAX = RING / 2, TURN_NS = 20000 };

uint64_t slice_ns(const struct thread *thread)
{
    unsigned own_us = atomic_load_explicit(&thread->slice_us, memory_order_relaxed);

    return (own_us ? own_us : settings.slice_us) * NS_PER_US;
}

/* What the thread has used of its processor lately, in ns. */
static uint64_t recent_use(struct thread *thread, uint64_t now)
{
    uint64_t epoch = now >> USE_HALVES_SHIFT, past = epoch - thread->used_epoch;

    thread->used_ns = past < 64 ? thread->used_ns >> past : 0;
    thread->used_epoch = epoch;
    return thread->used_ns;
}

void use_charge(struct proc *proc, struct thread *thread, uint64_t now)
{
    recent_use(thread, now);
    if (now > proc->accounted)
        thread->used_ns += now - proc->accounted;
    proc->accounted = now;
}

static void start_ticking(struct proc *proc)
{
    if (atomic_load_explicit(&proc->ticking, memory_order_relaxed))
        return;
    atomic_store_explicit(&proc->ticking, true, memory_order_relaxed);
    monitor_watch(0);
}

bool somebody_waits(const struct proc *proc)
{
    return proc->woken.head || !runq_empty(proc) || global_count() > 0;
}

static struct worker *holder(struct proc *proc)
{
    return atomic_load_explicit(&proc->worker, memory_order_relaxed);
}

/* When the first of those who sleep needs a tick; or NEVER. */
static uint64_t deadline_tick(const struct proc *proc)
{
    const uint64_t first = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed);
    const uint64_t from = atomic_load_explicit(&proc->deadlines_from, memory_order_relaxed);

    return first > from ? first : from;
}

/* A tick, or the worker's losing its processor, for the first of those who sleep. */
void deadline_need(struct proc *proc)
{
    const uint64_t first = deadline_tick(proc);

    if (first == NEVER)
        return;
    tick_need(holder(proc), TICK_DEADLINE, first);
    if (policy_on)
        policy_look(proc);
    monitor_watch(first);
}

void slice_begin(struct proc *proc, const struct thread *thread, uint64_t now)
{
    if (policy_on)
        policy_slice(proc, thread, now);
    else
        proc->slice_end = now + slice_ns(thread);
    proc->slice_unknown = false;
    proc->accounted = now; /* without ticks, nothing was charged for a while */
    if (atomic_load_explicit(&proc->ticking, memory_order_relaxed))
        tick_need(holder(proc), TICK_SLICE, proc->slice_end);
    if (policy_on)
        policy_look(proc);
}

void slice_watch(struct proc *proc, const struct thread *runs)
{
    proc->quiet_ticks = 0;
    start_ticking(proc);
    slice_begin(proc, runs, clock_now());
}

/*
 * Nobody waits: no more ticks.  A kernel thread that pushes to the global queue looks at `ticking` after its push, we at
 * the queue after our store; one of the two sees the other.
 */
static void stop_ticking(struct proc *proc)
{
    atomic_store(&proc->ticking, false);
    atomic_thread_fence(memory_order_seq_cst);
    if (global_count() > 0)
        start_ticking(proc);
}

/* Set the next tick, for the slice of the thread that runs from now on and for the deadlines of those who sleep. */
static void set_next_tick(struct proc *proc, const struct thread *runs, bool waits, uint64_t now)
{
    if (waits) {
        proc->quiet_ticks = 0;
        start_ticking(proc);
    } else if (atomic_load_explicit(&proc->ticking, memory_order_relaxed) && ++proc->quiet_ticks >= QUIET_TICKS) {
        stop_ticking(proc);
    }
    if (atomic_load_explicit(&proc->ticking, memory_order_relaxed)) {
        if (slice_ended(proc, now))
            proc->slice_end = now + slice_ns(runs);
        if (proc->slice_end <= deadline_tick(proc))
            tick_need(holder(proc), TICK_SLICE, proc->slice_end);
    } else if (atomic_load_explicit(&proc->first_deadline, memory_order_relaxed) == NEVER) {
        tick_stop(holder(proc));
    }
    deadline_need(proc);
}

static void slice_begin_unless_timed(struct proc *proc, const struct thread *next)
{
    const uint64_t now = clock_now(), slice = slice_ns(next);

    if (!tick_comes_by(holder(proc), now + slice + slice / 16))
        slice_begin(proc, next, now);
}

void ticks_prepare(struct proc *proc, const struct thread *next)
{
    if (!settings.preempt)
        return;
    if (somebody_waits(proc))
        start_ticking(proc);
    else if (proc->taken) /* the last who waited is the one that runs now: nothing to watch while the other is blocked */
        stop_ticking(proc);
    proc->taken = false;
    if (atomic_load_explicit(&proc->ticking, memory_order_relaxed))
        monitor_watch(0); /* which does not see a processor that is idle, ticking or not */
    if (atomic_load_explicit(&proc->ticking, memory_order_relaxed))
        slice_begin_unless_timed(proc, next);
    deadline_need(proc);
}

void ticks_restart(void)
{
    struct thread *self = enter();

    if (!self)
        return;
    if (self->worker->proc) {
        tick_clear(self->worker);
        ticks_prepare(self->worker->proc, self);
    }
    leave(self);
}

/* Threads that were to run at once lose that right: to the ring, in order. */
static void flush_woken(struct proc *proc, struct run_list *woken)
{
    struct thread *thread;

    while ((thread = run_list_pop(woken)))
        runq_push(proc, thread);
}

/* The slice is over that displaced threads were to continue. */
static void demote_displaced(struct proc *proc)
{
    struct run_list all = proc->woken;
    struct thread *thread;

    proc->woken.head = NULL;
    while ((thread = run_list_pop(&all))) {
        if (thread->displaced)
            runq_push(proc, thread);
        else
            run_list_append(&proc->woken, thread);
    }
}

/* It goes ahead of everybody. */
static void woken_append(struct proc *proc, struct thread *thread, bool displaced)
{
    thread->displaced = displaced;
    run_list_append(&proc->woken, thread);
    atomic_store_explicit(&proc->attention, true, memory_order_relaxed);
}

/* It goes ahead of those, and continues the slice. */
static void woken_prepend(struct proc *proc, struct thread *thread)
{
    thread->displaced = true;
    run_list_prepend(&proc->woken, thread);
    atomic_store_explicit(&proc->attention, true, memory_order_relaxed);
}

/* The thread that made room for woken ones goes on after them, or on another processor that has nothing to do. */
static void after_displaced(struct thread *left, void *arg)
{
    struct proc *proc = left->worker->proc;

    (void)arg;
    atomic_store_explicit(&left->state, THREAD_READY, memory_order_relaxed);
    if (sched_shared && procs_idle())
        runq_push(proc, left);
    else
        woken_append(proc, left, true);
    wake_for(proc);
}

/*
 * A thread that has had its slice goes to the end of the line: of all processors', when there are several.  Else a
 * thread that shares its processor with many would have less than one that shares it with few, for as long as none
 * of them parks.
 */
static void after_slice(struct thread *left, void *arg)
{
    struct proc *proc = left->worker->proc; /* once it is queued, it may be running elsewhere */

    if (!sched_shared) {
        after_requeue(left, arg);
        wake_for(proc);
        return;
    }
    atomic_store_explicit(&left->state, THREAD_READY, memory_order_relaxed);
    global_push_one(left);
    wake_for(NULL); /* a processor with one thread does not watch its slice: now it must */
}

/*
 * Is the running thread's slice over?  When the slice that ends is that of a thread which this one displaced a moment
 * ago, it is the displaced one that goes to the end of the queue.
 */
static bool slice_is_over(struct proc *proc, const struct thread *self, uint64_t now)
{
    if (proc->slice_unknown) {
        proc->slice_unknown = false;
        proc->slice_passed_on = false;
        proc->slice_end = now + slice_ns(self);
    }
    if (!slice_ended(proc, now))
        return false;
    demote_displaced(proc);
    if (now >= self->woken_ns + slice_ns(self))
        return true;
    proc->slice_end = self->woken_ns + slice_ns(self);
    return false;
}

/*
 * The threads whose deadlines have come: the first runs at once if the slice is over or it has used less than the thread
 * that runs, and the others after it; else to the ring.  True when it shall run at once.
 */
static bool place_woken(struct proc *proc, struct thread *self, uint64_t now, struct run_list *woken, bool slice_over)
{
    struct thread *thread;
    const bool urgent = woken->head && (slice_over || recent_use(woken->head, now) < recent_use(self, now));

    if (urgent)
        woken_append(proc, run_list_pop(woken), false);
    if (woken->head && sched_shared && procs_idle())
        flush_woken(proc, woken); /* others have time for them */
    while ((thread = run_list_pop(woken)))
        if (urgent)
            woken_append(proc, thread, false);
        else
            runq_push(proc, thread);
    return urgent;
}

/* Somebody waits, and the slice is over. */
static struct thread *elect_next_slice(struct proc *proc, uint64_t now)
{
    struct thread *next = NULL;

    if (proc->slice_passed_on)
        runq_push_next(proc, NULL);
    proc->slice_passed_on = false;
    if (proc->slices_ended++ % GLOBAL_EVERY_SLICES == 0)
        next = global_take(proc);
    if (next && proc->woken.head) { /* its turn comes after theirs */
        woken_append(proc, next, false);
        next = NULL;
    }
    if (next)
        count_up(&proc->count.elected);
    else if ((next = choose_ready(proc)))
        proc->slice_passed_on = !proc->slice_unknown;
    proc->slice_unknown = false;
    if (next)
        proc->slice_end = now + slice_ns(next);
    return next;
}

/*
 * The first whose deadline came, unless that was earlier and the running thread has hardly had its turn since.  Who was
 * displaced goes on when those park, not when some tick comes.
 */
static struct thread *take_woken(struct proc *proc, struct thread *self, uint64_t now, bool urgent)
{
    struct run_list ahead = {NULL, NULL};
    struct thread *thread;

    while ((thread = run_list_pop(&proc->woken)) && thread->displaced)
        run_list_append(&ahead, thread);
    if (thread && !urgent && recent_use(thread, now) + TURN_NS >= recent_use(self, now)) {
        run_list_append(&ahead, thread);
        thread = NULL;
    }
    if (ahead.head) {
        ahead.tail->next = proc->woken.head;
        if (!proc->woken.head)
            proc->woken.tail = ahead.tail;
        proc->woken.head = ahead.head;
    }
    return thread;
}

/* Whose turn it is: NULL for the thread that runs. */
static struct thread *elect(struct proc *proc, struct thread *self, uint64_t now, struct run_list *woken,
                            bool *slice_over)
{
    *slice_over = slice_is_over(proc, self, now);
    if (atomic_load_explicit(&proc->retired, memory_order_relaxed)) {
        flush_woken(proc, woken);
        *slice_over = true;
        return &self->worker->own;
    }
    const bool urgent = place_woken(proc, self, now, woken, *slice_over);
    if (*slice_over && somebody_waits(proc))
        return elect_next_slice(proc, now);
    struct thread *next = take_woken(proc, self, now, urgent);
    if (next) {
        count_up(&proc->count.elected);
        next->woken_ns = now;
    }
    return next;
}

/* Who comes back from a blocking call is treated as who comes back from sleep. */
static void take_returned(struct proc *proc, struct run_list *woken)
{
    if (likely(!atomic_load_explicit(&proc->returned, memory_order_relaxed)))
        return;
    atomic_store(&proc->returned, false);
    struct thread *thread = global_take_one();
    if (thread)
        run_list_append(woken, thread);
}

/* The time; a tick that comes a moment before the deadline that it was aimed at waits for it. */
static uint64_t just_after_deadline(const struct proc *proc)
{
    const uint64_t deadline = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed);
    uint64_t now = clock_now();

    if (deadline > now && deadline - now <= MOMENT_NS)
        while ((now = clock_now()) < deadline)
            arch_pause();
    return now;
}

/*
 * So many more may go ahead of everybody.  Whose deadline has come, too, waits on the heap: the list is gone through at
 * the end of a slice, and with all of a hundred thousand sleepers on it that took longer than the next slice.
 */
static unsigned woken_room(const struct proc *proc)
{
    unsigned room = WOKEN_MAX;

    for (const struct thread *thread = proc->woken.head; thread && room > 0; thread = thread->next)
        room--;
    return room;
}

/* Those whose deadlines have come. */
static void take_expired(struct proc *proc, uint64_t now, struct run_list *woken)
{
    if (atomic_load_explicit(&proc->first_deadline, memory_order_relaxed) > now)
        return;
    timers_expire(proc, now, woken_room(proc), woken);
    proc->more_woken = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed) <= now;
}

/* It was displaced for a moment, and runs next. */
static void after_detour(struct thread *left, void *arg)
{
    struct proc *proc = left->worker->proc;

    (void)arg;
    atomic_store_explicit(&left->state, THREAD_READY, memory_order_relaxed);
    woken_prepend(proc, left);
}

/* The observers are told by the worker's own context: that runs first, and finds the elected thread ahead of all. */
static struct thread *by_way_of_own(struct worker *worker, struct thread *next)
{
    if (likely(!activation_pending()) || next == &worker->own)
        return next;
    woken_prepend(worker->proc, next);
    return &worker->own;
}

/* At a safe point within a handler that the kernel calls, perhaps. */
static void switch_in_any_handler(struct thread *self, struct thread *next, after_fn *after)
{
    const uint64_t mask = preempt_mask_leave(self);

    switch_to(self, next, after, NULL);
    preempt_mask_arrive(self, mask);
}

void slice_judge(struct thread *self)
{
    struct worker *worker = self->worker;
    struct proc *proc = worker->proc;
    struct run_list woken = {NULL, NULL};
    bool slice_over;

    worker->tick_pending = false;
    if (!proc || !settings.preempt)
        return;
    tick_came(worker);
    uint64_t now = just_after_deadline(proc);
    use_charge(proc, self, now);
    if (unlikely(stuck_taken(self))) {
        timers_fire(proc);
        set_next_tick(proc, self, true, now);
        count_up(&proc->count.preemptions);
        activation_event(GREEN_ACTIVATION_PREEMPTED, self, (int)proc->index);
        stuck_give_way(self);
        return;
    }
    take_expired(proc, now, &woken);
    take_returned(proc, &woken);
    struct thread *next = policy_on ? policy_judge(self, now, &woken, &slice_over)
                                    : elect(proc, self, now, &woken, &slice_over);
    bool waits = next || somebody_waits(proc);
    set_next_tick(proc, next ? next : self, waits, now);
    if (!next) {
        if (policy_on)
            policy_look(proc);
        if (waits) /* here, while other processors may be idle */
            wake_for(proc);
        if (activation_pending())
            switch_in_any_handler(self, &worker->own, after_detour);
        return;
    }
    count_up(&proc->count.preemptions);
    activation_event(GREEN_ACTIVATION_PREEMPTED, self, (int)proc->index);
    if (!slice_over)
        count_up(&proc->count.wakeup_preemptions);
    switch_in_any_handler(self, by_way_of_own(worker, next),
                          policy_on ? policy_after : slice_over ? after_slice : after_displaced);
}
