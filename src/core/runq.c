/* Run queues: what is not on the fast path.  See runq.h. */
#include "core/runq.h"

#include "core/policy.h"

bool sched_shared;
struct lock sched_lock;

/* Guarded by sched_lock; the count is read without. */
static struct run_list global;
static _Atomic unsigned global_length;

void run_list_append(struct run_list *list, struct thread *thread)
{
    thread->next = NULL;
    if (list->head)
        list->tail->next = thread;
    else
        list->head = thread;
    list->tail = thread;
}

void run_list_prepend(struct run_list *list, struct thread *thread)
{
    thread->next = list->head;
    if (!list->head)
        list->tail = thread;
    list->head = thread;
}

struct thread *run_list_pop(struct run_list *list)
{
    struct thread *thread = list->head;

    if (thread)
        list->head = thread->next;
    return thread;
}

static void append_locked(struct run_list *list, unsigned count)
{
    if (global.head)
        global.tail->next = list->head;
    else
        global.head = list->head;
    global.tail = list->tail;
    atomic_fetch_add_explicit(&global_length, count, memory_order_relaxed);
}

void global_push(struct run_list *list, unsigned count)
{
    if (!list->head)
        return;
    lock_acquire(&sched_lock, RANK_SCHED);
    append_locked(list, count);
    lock_release(&sched_lock, RANK_SCHED);
}

void global_push_locked(struct thread *thread)
{
    struct run_list one = {NULL, NULL};

    if (policy_on) {
        policy_enqueue(thread, GREEN_WOKEN);
        return;
    }
    run_list_append(&one, thread);
    append_locked(&one, 1);
}

/* Who is back from the kernel. */
void global_push_front_locked(struct thread *thread)
{
    if (policy_on) {
        policy_enqueue(thread, GREEN_RETURNED);
        return;
    }
    thread->next = global.head;
    if (!global.head)
        global.tail = thread;
    global.head = thread;
    atomic_fetch_add_explicit(&global_length, 1, memory_order_relaxed);
}

struct thread *global_take_one(void)
{
    lock_acquire(&sched_lock, RANK_SCHED);
    struct thread *thread = run_list_pop(&global);
    if (thread)
        atomic_fetch_sub_explicit(&global_length, 1, memory_order_relaxed);
    lock_release(&sched_lock, RANK_SCHED);
    return thread;
}

void global_push_one(struct thread *thread)
{
    lock_acquire(&sched_lock, RANK_SCHED);
    global_push_locked(thread);
    lock_release(&sched_lock, RANK_SCHED);
}

/* In the child of a fork: whom it held is gone. */
void global_forget(void)
{
    global = (struct run_list){NULL, NULL};
    atomic_store(&global_length, 0);
    sched_lock.word = 0;
}

/* With a policy, all that are ready are counted here. */
void global_count_change(int by)
{
    atomic_fetch_add_explicit(&global_length, (unsigned)by, memory_order_relaxed);
}

unsigned global_count(void)
{
    return atomic_load_explicit(&global_length, memory_order_relaxed);
}

/* The first of a fair share; the rest of the share goes to the processor's ring. */
struct thread *global_take(struct proc *proc)
{
    if (global_count() == 0)
        return NULL;
    lock_acquire(&sched_lock, RANK_SCHED);
    unsigned length = global_count(), share = length / procs_count() + 1;
    if (share > length)
        share = length;
    if (share > RING / 2)
        share = RING / 2;
    struct thread *first = share > 0 ? run_list_pop(&global) : NULL;
    uint32_t tail = atomic_load_explicit(&proc->tail, memory_order_relaxed);
    uint32_t room = RING - (tail - atomic_load_explicit(&proc->head, memory_order_acquire));
    if (share > room + 1)
        share = room + 1;
    for (unsigned i = 1; i < share; i++)
        ring_put(proc, tail++, run_list_pop(&global));
    atomic_fetch_sub_explicit(&global_length, share, memory_order_relaxed);
    lock_release(&sched_lock, RANK_SCHED);
    atomic_store_explicit(&proc->tail, tail, memory_order_release);
    return first;
}

/* The ring is full: half of it and the newcomer go to the global queue.  False when a thief made room meanwhile. */
static bool ring_overflow(struct proc *proc, uint32_t head, struct thread *thread)
{
    struct run_list half = {NULL, NULL};
    struct thread *moved[RING / 2];

    for (uint32_t i = 0; i < RING / 2; i++)
        moved[i] = ring_at(proc, head + i);
    if (!ring_move_head(proc, head, RING / 2))
        return false;
    for (uint32_t i = 0; i < RING / 2; i++)
        run_list_append(&half, moved[i]);
    run_list_append(&half, thread);
    global_push(&half, RING / 2 + 1);
    return true;
}

void runq_push_slow(struct proc *proc, struct thread *thread)
{
    for (;;) {
        uint32_t head = atomic_load_explicit(&proc->head, memory_order_acquire);
        if (atomic_load_explicit(&proc->tail, memory_order_relaxed) - head < RING) {
            runq_push(proc, thread);
            return;
        }
        if (ring_overflow(proc, head, thread))
            return;
    }
}

static void unborn_lock(struct proc *proc)
{
    if (sched_shared)
        lock_acquire(&proc->unborn_lock, RANK_UNBORN);
}

static void unborn_unlock(struct proc *proc)
{
    atomic_store_explicit(&proc->unborn_first, proc->unborn.head, memory_order_release);
    if (sched_shared)
        lock_release(&proc->unborn_lock, RANK_UNBORN);
}

/* With the lock, as is the next. */
static void unborn_append(struct proc *proc, struct thread *thread)
{
    thread->prev = proc->unborn.head ? proc->unborn.tail : NULL;
    thread->line_place = atomic_load_explicit(&proc->tail, memory_order_relaxed);
    run_list_append(&proc->unborn, thread);
    proc->unborn_count++;
    atomic_store_explicit(&thread->unborn_at, proc, memory_order_relaxed);
}

static void unborn_remove(struct proc *proc, struct thread *thread)
{
    if (thread->prev)
        thread->prev->next = thread->next;
    else
        proc->unborn.head = thread->next;
    if (thread->next)
        thread->next->prev = thread->prev;
    else
        proc->unborn.tail = thread->prev;
    proc->unborn_count--;
    atomic_store_explicit(&thread->unborn_at, NULL, memory_order_relaxed);
}

/* The oldest of the unborn, unless somebody in the ring has stood in line for longer. */
struct thread *runq_pop_unborn(struct proc *proc)
{
    unborn_lock(proc);
    struct thread *oldest = proc->unborn.head;
    uint32_t head = atomic_load_explicit(&proc->head, memory_order_acquire);
    if (oldest && (int32_t)(oldest->line_place - head) <= 0)
        unborn_remove(proc, oldest);
    else
        oldest = NULL;
    unborn_unlock(proc);
    return oldest;
}

/* It may be on its way from one list to another, or running already. */
bool runq_take_unborn(struct thread *thread)
{
    struct proc *proc = atomic_load_explicit(&thread->unborn_at, memory_order_relaxed);

    if (!proc)
        return false;
    unborn_lock(proc);
    bool there = atomic_load_explicit(&thread->unborn_at, memory_order_relaxed) == proc;
    if (there)
        unborn_remove(proc, thread);
    unborn_unlock(proc);
    return there;
}

/* Half of them, the oldest: those with the largest subtrees. */
static void take_half_unborn(struct proc *victim, struct run_list *half)
{
    unborn_lock(victim);
    unsigned count = victim->unborn_count - victim->unborn_count / 2;
    if (count > RING / 2)
        count = RING / 2;
    for (; count > 0; count--) {
        struct thread *thread = victim->unborn.head;
        unborn_remove(victim, thread);
        run_list_append(half, thread);
    }
    unborn_unlock(victim);
}

/* One of them is returned, the rest is in the thief's line.  In between, a joiner finds them nowhere, and parks. */
static struct thread *steal_unborn(struct proc *thief, struct proc *victim)
{
    struct run_list half = {NULL, NULL};
    struct thread *thread;

    take_half_unborn(victim, &half);
    struct thread *oldest = run_list_pop(&half);
    if (!half.head)
        return oldest;
    unborn_lock(thief);
    while ((thread = run_list_pop(&half)))
        unborn_append(thief, thread);
    unborn_unlock(thief);
    return oldest;
}

/* Whoever was in runnext goes to the end of the line. */
void runq_push_next(struct proc *proc, struct thread *thread)
{
    struct thread *displaced = exchange_next(proc, thread);

    if (!displaced)
        return;
    if (!displaced->unborn) {
        runq_push(proc, displaced);
        return;
    }
    unborn_lock(proc);
    unborn_append(proc, displaced);
    unborn_unlock(proc);
}

static struct thread *steal_next(struct proc *victim)
{
    struct thread *thread = atomic_load_explicit(&victim->runnext, memory_order_acquire);

    if (thread && atomic_compare_exchange_strong_explicit(&victim->runnext, &thread, NULL, memory_order_acq_rel,
                                                          memory_order_relaxed))
        return thread;
    return NULL;
}

/* The thief's ring is empty, or it would not steal. */
struct thread *runq_steal(struct proc *thief, struct proc *victim, bool next_too)
{
    uint32_t tail = atomic_load_explicit(&thief->tail, memory_order_relaxed);

    for (;;) {
        uint32_t head = atomic_load_explicit(&victim->head, memory_order_acquire);
        uint32_t waiting = atomic_load_explicit(&victim->tail, memory_order_acquire) - head;
        uint32_t half = waiting - waiting / 2;
        if (waiting == 0) {
            struct thread *unborn = steal_unborn(thief, victim);
            return unborn || !next_too ? unborn : steal_next(victim);
        }
        if (waiting > RING) /* the head moved between the two loads */
            continue;
        for (uint32_t i = 0; i < half; i++)
            ring_put(thief, tail + i, ring_at(victim, head + i));
        if (!ring_move_head(victim, head, half))
            continue;
        struct thread *last = ring_at(thief, tail + half - 1);
        atomic_store_explicit(&thief->tail, tail + half - 1, memory_order_release);
        return last;
    }
}

void runq_drain(struct proc *proc)
{
    struct run_list all = {NULL, NULL};
    struct thread *thread;
    unsigned count = 0;

    if (policy_on) { /* whom it had chosen, and who made way for observers, is no longer to run here */
        policy_runs(proc, NULL);
        while ((thread = run_list_pop(&proc->woken)))
            policy_enqueue(thread, GREEN_DISPLACED);
        return;
    }
    while ((thread = run_list_pop(&proc->woken)) || (thread = runq_take_next(proc)) || (thread = runq_pop(proc))) {
        run_list_append(&all, thread);
        count++;
    }
    global_push(&all, count);
}
