/*
 * Policies: what lies between the dispatcher and a struct green_policy.
 *
 * All ready threads are the policy's, behind one lock; the queues of runq.h stay empty.  The lock also guards which
 * thread runs on which processor, as far as it was chosen here, so that "does somebody run who should make room?" has
 * one answer.  A queue for each processor with stealing was rejected: strict priority means that the best of all ready
 * threads is known at each choice, and one lock is the simplest thing that knows it.
 *
 * A thread that yields or is preempted is queued while it still stands on its stack; the lock is held until it has left
 * it.  So nobody finds it too early, and a policy that chooses the same thread again costs no switch.
 *
 * Whoever was just queued may find somebody who should make room: policy_displace.c.
 *
 * Lent priorities are inherit.c's affair, which sets them here.
 */
#include "core/policy.h"

#include <errno.h>
#include <string.h>

#include "core/cpu_time.h"
#include "core/policy_displace.h"
#include "core/runq.h"
#include "core/tick.h"

const struct green_policy policy_rr = {.name = "rr"};

bool policy_on;
bool policy_lends;
static const struct green_policy *policy = &policy_rr;
static struct lock policy_lock;
struct lock inherit_lock;

static struct thread *thread_of(struct green_task *task)
{
    return container_of(task, struct thread, task);
}

static void lock_policy(void)
{
    lock_acquire(&policy_lock, RANK_POLICY);
}

static void unlock_policy(void)
{
    lock_release(&policy_lock, RANK_POLICY);
}

const struct green_policy *policy_get(void)
{
    return policy;
}

void policy_set(const struct green_policy *chosen)
{
    policy = chosen;
    policy_on = chosen != &policy_rr;
    policy_lends = chosen->inherit;
    if (policy_on)
        policy->reset();
}

void policy_reset(void)
{
    policy_lock.word = inherit_lock.word = 0;
    policy->reset();
}

const struct green_policy *green_policy_by_name(const char *name)
{
    static const struct green_policy *const known[] = {&policy_rr, &policy_priority, &policy_fair};

    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i]->name, name) == 0)
            return known[i];
    return NULL;
}

const char *green_policy_name(void)
{
    return policy->name;
}

/* To the policy: not while it keeps the thread, whose numbers it may have added to others. */
static void show(struct thread *thread)
{
    thread->task.priority = thread->effective;
    thread->task.weight = thread->weight;
}

void policy_prepare(struct thread *thread, const struct thread *creator, const green_attr_t *attr)
{
    const bool told = attr && attr->__inherit_sched == GREEN_EXPLICIT_SCHED;
    const unsigned weight = attr && attr->__weight ? attr->__weight : creator->weight;

    lock_acquire(&inherit_lock, RANK_INHERIT);
    lock_policy();
    memset(&thread->task, 0, sizeof thread->task);
    thread->task.thread = thread_id(thread);
    atomic_store(&thread->how, told ? attr->__sched_policy : atomic_load(&creator->how));
    thread->priority = told ? attr->__sched_priority : creator->priority;
    thread->effective = thread->priority;
    thread->weight = weight ? weight : GREEN_WEIGHT_DEFAULT;
    show(thread);
    thread->slice_left = 0;
    thread->queued = false;
    thread->waits_for = thread->lends = NULL;
    unlock_policy();
    lock_release(&inherit_lock, RANK_INHERIT);
}

int policy_parameters(int how, int priority)
{
    if (how == SCHED_OTHER)
        return priority == GREEN_PRIORITY_MIN ? 0 : EINVAL;
    if (how != SCHED_RR && how != SCHED_FIFO)
        return how == SCHED_BATCH || how == SCHED_IDLE ? ENOTSUP : EINVAL;
    if (!policy_on || (how == SCHED_FIFO && policy != &policy_priority))
        return ENOTSUP;
    return priority >= GREEN_PRIORITY_MIN && priority <= GREEN_PRIORITY_MAX ? 0 : EINVAL;
}

int policy_attributes(const green_attr_t *attr)
{
    if (attr->__has_cpus || (attr->__weight && !policy_on))
        return ENOTSUP;
    return attr->__inherit_sched == GREEN_EXPLICIT_SCHED
               ? policy_parameters(attr->__sched_policy, attr->__sched_priority) : 0;
}

/*
 * What the worker's kernel thread has had of a CPU since the last time.  By its own clock: what the kernel gave to other
 * processes meanwhile is not our thread's, and on a busy machine shares would follow that.  A system call, so only for
 * policies that want to know.
 */
static uint64_t used(struct worker *worker)
{
    if (!policy->ran)
        return 0;
    uint64_t now = kernel_time(worker->tid), before = worker->cpu_seen;
    worker->cpu_seen = now;
    return before ? now - before : 0;
}

/* What follows is done with the lock held, up to the next such line. */

static void set_running(struct proc *proc, struct thread *thread)
{
    atomic_store_explicit(&proc->running, thread, memory_order_relaxed);
    atomic_store_explicit(&proc->displace, DISPLACE_NO, memory_order_relaxed);
}

static void enqueue(struct thread *thread, enum green_why why)
{
    struct green_task *task = &thread->task;

    if (why != GREEN_DISPLACED && why != GREEN_CHANGED)
        thread->slice_left = 0;
    ASSERT(!thread->queued);
    thread->queued = true;
    atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
    policy->enqueue(task, why);
    global_count_change(1);
}

static void charge(struct thread *thread, uint64_t ns)
{
    if (thread->kind != THREAD_MULTIPLEXED || ns == 0)
        return;
    thread->task.ran_ns += ns;
    policy->ran(&thread->task, ns);
}

static uint64_t whole_slice(const struct thread *thread)
{
    const unsigned us = policy->slice_us ? policy->slice_us(&thread->task) : 0;

    return us ? us * NS_PER_US : slice_ns(thread);
}

static void begin_slice(struct proc *proc, struct thread *thread, uint64_t now)
{
    const uint64_t ns = thread->slice_left ? thread->slice_left : whole_slice(thread);

    thread->slice_left = 0;
    proc->slice_unknown = false;
    proc->slice_end = now + ns;
    proc->slice_short = ns < settings.slice_us * NS_PER_US;
}

static struct thread *pick(struct proc *proc, uint64_t now)
{
    struct thread *next = NULL;

    if (global_count() > 0 && !atomic_load_explicit(&proc->retired, memory_order_relaxed)) {
        next = thread_of(policy->pick(proc->index));
        ASSERT(next->queued);
        next->queued = false;
        global_count_change(-1);
        show(next);
        begin_slice(proc, next, now);
    }
    set_running(proc, next);
    return next;
}

/* The thread goes back to the ready ones, and the best of them comes. */
static struct thread *exchange(struct thread *self, enum green_why why, uint64_t now)
{
    struct proc *proc = self->worker->proc;

    enqueue(self, why);
    struct thread *next = pick(proc, now);
    if (next == self)
        atomic_store_explicit(&self->state, THREAD_RUNNING, memory_order_relaxed);
    else
        displace_for(&self->task);
    return next ? next : &self->worker->own;
}

/* From here on, the lock is taken where it is needed. */

void policy_enqueue(struct thread *thread, enum green_why why)
{
    uint64_t ns = why == GREEN_RETURNED ? used(self_thread->worker) : 0; /* which it has left just now */

    lock_policy();
    charge(thread, ns);
    enqueue(thread, why);
    displace_for(&thread->task);
    unlock_policy();
}

void policy_ready(struct thread *self, struct thread *thread)
{
    policy_enqueue(thread, thread->unborn ? GREEN_CREATED : GREEN_WOKEN);
    wake_for(self->worker->own_safe ? NULL : self->worker->proc); /* that of one that sleeps may be taken */
}

/* Ticks come by the program's slice: one that ends sooner wants its own. */
static void watch_short_slice(struct proc *proc)
{
    if (likely(!proc->slice_short))
        return;
    proc->slice_short = false;
    if (!atomic_load_explicit(&proc->ticking, memory_order_relaxed))
        return;
    tick_need(atomic_load_explicit(&proc->worker, memory_order_relaxed), TICK_SLICE, proc->slice_end);
    policy_look(proc);
}

struct thread *policy_take(struct proc *proc)
{
    uint64_t now = clock_now(), ns = used(self_thread->worker);

    lock_policy();
    charge(self_thread, ns);
    struct thread *next = pick(proc, now);
    unlock_policy();
    watch_short_slice(proc);
    return next;
}

void policy_after(struct thread *left, void *arg)
{
    struct proc *proc = self_thread->worker->proc;

    (void)left; /* once the lock is free, it may be running elsewhere */
    (void)arg;
    unlock_policy();
    watch_short_slice(proc);
    wake_for(proc);
}

struct thread *policy_yield(struct thread *self)
{
    struct proc *proc = self->worker->proc;
    if (global_count() == 0 && !atomic_load_explicit(&proc->retired, memory_order_relaxed))
        return NULL;
    uint64_t now = clock_now(), ns = used(self->worker);
    lock_policy();
    charge(self, ns);
    struct thread *next = exchange(self, GREEN_YIELDED, now);
    if (next != self)
        return next;
    unlock_policy();
    return NULL;
}

/* How its time ends, if it does.  SCHED_FIFO's does not: one slice follows the other. */
static bool must_leave(const struct proc *proc, struct thread *self, uint64_t now, enum green_why *why)
{
    const bool ended = slice_ended(proc, now), over = ended && atomic_load(&self->how) != SCHED_FIFO;

    *why = over ? GREEN_SLICE_OVER : GREEN_DISPLACED;
    self->slice_left = ended ? 0 : proc->slice_end - now;
    if (atomic_load_explicit(&proc->retired, memory_order_relaxed))
        return true;
    return global_count() > 0 && (over || atomic_load(&proc->displace) != DISPLACE_NO);
}

struct thread *policy_judge(struct thread *self, uint64_t now, struct run_list *woken, bool *slice_over)
{
    struct proc *proc = self->worker->proc;
    struct thread *next = self, *thread;
    enum green_why why;
    uint64_t ns = used(self->worker);

    lock_policy();
    charge(self, ns);
    while ((thread = run_list_pop(woken))) {
        enqueue(thread, GREEN_WOKEN);
        displace_for(&thread->task);
    }
    if (must_leave(proc, self, now, &why)) {
        next = exchange(self, why, now);
    } else {
        self->slice_left = 0;
        atomic_store(&proc->displace, DISPLACE_NO);
        if (slice_ended(proc, now))
            begin_slice(proc, self, now);
    }
    *slice_over = why == GREEN_SLICE_OVER;
    if (next != self) {
        count_up(&proc->count.elected);
        return next;
    }
    unlock_policy();
    return NULL;
}

void policy_runs(struct proc *proc, struct thread *thread)
{
    lock_policy();
    if (thread && !thread->task.thread) { /* main, which nobody created */
        thread->task.thread = thread_id(thread);
        thread->weight = thread->weight ? thread->weight : GREEN_WEIGHT_DEFAULT;
        show(thread);
        used(thread->worker); /* what it had before there was a library */
    }
    set_running(proc, thread);
    if (thread)
        begin_slice(proc, thread, clock_now());
    unlock_policy();
}

void policy_slice(struct proc *proc, const struct thread *thread, uint64_t now)
{
    if (proc->slice_end > now)
        return;
    lock_policy();
    proc->slice_end = now + whole_slice(thread);
    unlock_policy();
}

/* One that is ready is queued anew, or keeps its place until it is chosen; one that runs, and is less urgent, is judged. */
static void change(struct thread *thread, int priority, unsigned weight)
{
    const bool lost = atomic_load_explicit(&thread->state, memory_order_relaxed) == THREAD_LOST; /* at a fork */
    const bool requeue = thread->queued && policy->remove && !lost, less = priority < thread->effective;

    thread->effective = priority;
    thread->weight = weight;
    if (requeue) {
        policy->remove(&thread->task);
        thread->queued = false;
        global_count_change(-1);
    }
    if (!thread->queued)
        show(thread);
    if (requeue) {
        enqueue(thread, GREEN_CHANGED);
        displace_for(&thread->task);
    }
    if (less)
        displace_thread(thread);
}

void policy_set_priority(struct thread *thread, int priority)
{
    lock_policy();
    change(thread, priority, thread->weight);
    unlock_policy();
}

bool policy_set_weight(struct thread *thread, green_t id, unsigned weight)
{
    lock_policy();
    const bool same = thread_id(thread) == id;
    if (same)
        change(thread, thread->effective, weight);
    unlock_policy();
    return same;
}
