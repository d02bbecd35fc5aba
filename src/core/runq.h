/*
 * Run queues: a line for each processor, a global list for what does not fit or belongs to nobody.
 *
 * A line is a ring of threads that have run and a list of unborn ones, which have not started.  They are one line,
 * first come first served: an unborn thread remembers the place in the ring before which it comes.  Of the list any
 * thread can be taken from the middle, and a thread that joins an unborn one takes it and switches to it.  A fork-join
 * tree is so gone through depth first: what it holds grows with its depth, not with its breadth.
 *
 * It is as fair as the line alone.  The unborn thread runs in what is left of its joiner's slice, and when that is
 * over stands at the end as the joiner would.  So nobody in line waits for longer than if there were no trees, and each
 * slice that ends in the middle of one leaves at most depth x degree threads behind.
 *
 * Rejected: running the newest first wherever a thread parks, with the tick to turn the line around: no smaller, and
 * of the threads that a server makes the oldest would be served last.  Taking a thread out of the ring itself: its
 * place there outlives it, may come to mean its next life, and a ring of such places has to be swept.  A private list
 * from which the ring is fed, without a lock: while its owner computes nobody can take from it.
 *
 * The ring's owner alone pushes, at the tail, and publishes by a release store; whoever takes (the owner one, a thief
 * half) moves the head by compare and swap.  With one processor nobody else takes, and the owner moves the head
 * plainly: that is what sched_shared says.  It turns true before a second processor first runs, on the first
 * processor itself, so never in the middle of its owner's taking.
 *
 * runnext holds the thread that was readied last.  It runs when the running thread parks, within the same slice, so
 * that two threads that hand work to each other do not wait for everybody else at each exchange, and a chain of such
 * threads is still bounded by one slice.  When that slice ends the thread in runnext has the next one; but not twice
 * in a row, or threads that each make the next one would keep everybody in line from ever running.
 */
#ifndef RUNQ_H
#define RUNQ_H

#include "core/sched.h"

static inline struct thread *ring_at(const struct proc *proc, uint32_t at)
{
    return atomic_load_explicit(&proc->ring[at % RING], memory_order_relaxed);
}

static inline void ring_put(struct proc *proc, uint32_t at, struct thread *thread)
{
    atomic_store_explicit(&proc->ring[at % RING], thread, memory_order_relaxed);
}

static inline bool ring_move_head(struct proc *proc, uint32_t head, uint32_t count)
{
    if (!sched_shared) {
        atomic_store_explicit(&proc->head, head + count, memory_order_relaxed);
        return true;
    }
    return atomic_compare_exchange_strong_explicit(&proc->head, &head, head + count, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

struct thread *runq_pop_unborn(struct proc *proc);
void runq_push_slow(struct proc *proc, struct thread *thread);

/* By the owner: to the tail. */
static inline void runq_push(struct proc *proc, struct thread *thread)
{
    uint32_t tail = atomic_load_explicit(&proc->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&proc->head, memory_order_acquire);

    if (unlikely(tail - head >= RING)) {
        runq_push_slow(proc, thread);
        return;
    }
    ring_put(proc, tail, thread);
    atomic_store_explicit(&proc->tail, tail + 1, memory_order_release);
}

/* By the owner: who has stood in line for longest, in the ring or in the list of the unborn. */
static inline struct thread *runq_pop(struct proc *proc)
{
    for (;;) {
        struct thread *unborn = atomic_load_explicit(&proc->unborn_first, memory_order_relaxed);
        if (unlikely(unborn != NULL) && (unborn = runq_pop_unborn(proc)))
            return unborn;
        uint32_t head = atomic_load_explicit(&proc->head, memory_order_acquire);
        if (head == atomic_load_explicit(&proc->tail, memory_order_relaxed)) {
            if (likely(!atomic_load_explicit(&proc->unborn_first, memory_order_relaxed)))
                return NULL;
            continue; /* a thief took those in the ring that came before the unborn */
        }
        struct thread *thread = ring_at(proc, head);
        if (likely(ring_move_head(proc, head, 1)))
            return thread;
    }
}

/* Both at once, where nobody else takes: false, and nothing done, when the ring is empty or somebody is unborn. */
static inline bool runq_rotate(struct proc *proc, struct thread *last, struct thread **first)
{
    const uint32_t head = atomic_load_explicit(&proc->head, memory_order_relaxed);
    const uint32_t tail = atomic_load_explicit(&proc->tail, memory_order_relaxed);

    if (unlikely(head == tail || atomic_load_explicit(&proc->unborn_first, memory_order_relaxed)))
        return false;
    *first = ring_at(proc, head);
    ring_put(proc, tail, last);
    atomic_store_explicit(&proc->head, head + 1, memory_order_relaxed);
    atomic_store_explicit(&proc->tail, tail + 1, memory_order_relaxed);
    return true;
}

static inline struct thread *exchange_next(struct proc *proc, struct thread *thread)
{
    struct thread *old = atomic_load_explicit(&proc->runnext, memory_order_relaxed);

    if (sched_shared)
        return atomic_exchange_explicit(&proc->runnext, thread, memory_order_acq_rel);
    atomic_store_explicit(&proc->runnext, thread, memory_order_relaxed);
    return old;
}

/* Take an unborn thread out of the line it stands in; false when it is in none. */
bool runq_take_unborn(struct thread *thread);

static inline struct thread *runq_take_next(struct proc *proc)
{
    if (!atomic_load_explicit(&proc->runnext, memory_order_relaxed))
        return NULL;
    return exchange_next(proc, NULL);
}

/* Take a thread that is in runnext, or that is unborn and stands in line.  False when it is neither. */
static inline bool runq_take_target(struct proc *proc, struct thread *target)
{
    if (atomic_load_explicit(&proc->runnext, memory_order_relaxed) == target)
        return exchange_next(proc, NULL) != NULL; /* else it was stolen */
    return runq_take_unborn(target);
}

/* Nobody stands in line. */
static inline bool ring_empty(const struct proc *proc)
{
    return !atomic_load_explicit(&proc->unborn_first, memory_order_acquire) &&
           atomic_load_explicit(&proc->head, memory_order_acquire) ==
           atomic_load_explicit(&proc->tail, memory_order_acquire);
}

static inline bool runq_empty(const struct proc *proc)
{
    return ring_empty(proc) && !atomic_load_explicit(&proc->runnext, memory_order_acquire);
}

/* NULL to leave runnext empty. */
void runq_push_next(struct proc *proc, struct thread *thread);
/* Take half of another's line; one of them is returned, the rest is in the thief's. */
struct thread *runq_steal(struct proc *thief, struct proc *victim, bool next_too);
void run_list_append(struct run_list *list, struct thread *thread);
void run_list_prepend(struct run_list *list, struct thread *thread);
struct thread *run_list_pop(struct run_list *list);
void global_push(struct run_list *list, unsigned count);
void global_push_one(struct thread *thread);
/* With the sched lock held. */
void global_push_locked(struct thread *thread);
void global_push_front_locked(struct thread *thread);
struct thread *global_take_one(void);
void global_forget(void);
struct thread *global_take(struct proc *proc);
unsigned global_count(void);
void global_count_change(int by); /* policy.c's */
/* Everything that waits on a processor goes to the global queue. */
void runq_drain(struct proc *proc);

#endif
