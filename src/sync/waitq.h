/*
 * Wait queues: the threads parked on an object, first come first woken; or the most urgent first, and of equals the
 * first, where the policy lends priorities.  Whoever joins goes to its place, and what is claimed is the head.
 * Rejected: to look for the most urgent at each claim, which takes as long as the queue; so a priority that changes
 * while its thread waits counts from the next wait on, as with the kernel's futexes.
 *
 * The queue's lock guards its links and the object's slow path.  A waiter leaves the queue before it is claimed:
 * after the claim it may be running, and waiting on something else.  One whose deadline came first leaves it by
 * itself.
 */
#ifndef WAITQ_H
#define WAITQ_H

#include "core/fork.h"
#include "core/park.h"
#include "core/policy.h"
#include "core/sched.h"

/* The public struct __green_queue seen from inside. */
struct waitq {
    struct lock lock;
    struct thread *head;
    struct thread *tail;
};

_Static_assert(sizeof(struct waitq) == sizeof(struct __green_queue), "the public type has room for a wait queue");

static inline struct waitq *waitq_of(struct __green_queue *queue)
{
    return (struct waitq *)(void *)queue;
}

/* Without its lock: a hint. */
static inline bool waitq_seems_empty(const struct waitq *queue)
{
    return !__atomic_load_n(&queue->head, __ATOMIC_RELAXED);
}

/* Take a thread off, if it is still on. */
void waitq_remove(struct waitq *queue, struct thread *thread);

/* It was of the process that this one is a fork of: it never comes back. */
static inline bool waitq_lost(const struct thread *thread)
{
    return unlikely(atomic_load_explicit(&thread->state, memory_order_relaxed) == THREAD_LOST);
}

/* Take one off and claim it.  False: its time has come, or a signal, and it is off. */
bool waitq_claim(struct waitq *queue, struct thread *thread);

/* Take off and claim the first thread that is still waiting; NULL when there is none.  The caller makes it ready. */
static inline struct thread *waitq_claim_first(struct waitq *queue)
{
    struct thread *thread;

    while ((thread = queue->head)) {
        if ((queue->head = thread->wait_next))
            queue->head->wait_prev = NULL;
        else
            queue->tail = NULL;
        thread->wait_queued = false;
        if (!waitq_lost(thread) && likely(park_claim(thread, WAKE_READY)))
            return thread;
    }
    return NULL;
}

static inline void waitq_append(struct waitq *queue, struct thread *thread)
{
    thread->wait_next = NULL;
    thread->wait_prev = queue->tail;
    thread->wait_queued = true;
    if (queue->tail)
        queue->tail->wait_next = thread;
    else
        queue->head = thread;
    queue->tail = thread;
}

/* Behind those that are more urgent and, unless `handoff` says that it has waited, behind its equals. */
void waitq_insert(struct waitq *queue, struct thread *thread);

/* Put the calling thread on the queue, whose lock is held. */
static inline void waitq_join(struct waitq *queue, struct thread *self, uint64_t deadline)
{
    park_prepare(self, deadline);
    if (unlikely(self->handoff || policy_inherits()))
        waitq_insert(queue, self);
    else
        waitq_append(queue, self);
}

/* With the lock held: ahead of all that wait, and nobody there is its equal. */
bool waitq_outranks(const struct waitq *queue, const struct thread *thread);

/*
 * Park the calling thread, which is on the queue.  The lock is held, and is not afterwards.  0, or ETIMEDOUT or
 * EINTR: it is off; after EINTR, and without a lock, comes signal_interlude().
 */
int waitq_park(struct waitq *queue, struct thread *self, enum lock_rank rank);

/* The wait has ended otherwise than by a waker. */
int waitq_leave(struct waitq *queue, struct thread *self, enum lock_rank rank, enum wake wake);

static inline __attribute__((always_inline)) int waitq_park_inline(struct waitq *queue, struct thread *self,
                                                                   enum lock_rank rank)
{
    const enum wake wake = park_inline(self, &queue->lock, rank);

    return likely(wake == WAKE_READY) ? 0 : waitq_leave(queue, self, rank, wake);
}

/*
 * Take off and claim everybody, linked by `next`, which no waiter uses; and make them ready, in order, when the lock
 * has been released: the first to run may free the queue.
 */
struct thread *waitq_claim_all(struct waitq *queue);
void waitq_ready_all(struct thread *self, struct thread *first);
int waitq_count(const struct thread *first);

/*
 * Objects that POSIX lets a program destroy as soon as it has woken everybody.  Who is woken by its claim does not
 * touch the object any more; but one whose deadline or a signal came first takes itself off.  So the object counts
 * who is `inside`, the claimer subtracts whom he claims, and the others depart; destroy waits for that, parked on the
 * queue, on which nobody else is by then.  The lock is held, and is not after these two.
 */
void waitq_depart(struct waitq *queue, struct thread *self, uint64_t *inside, enum lock_rank rank);
void waitq_await_departures(struct waitq *queue, struct thread *self, uint64_t *inside, enum lock_rank rank);
/*
 * The count is of another process, of which this one is a fork; or of none, and the object shared (sync/shared.h).  Once
 * it is not so, it stays so, and the count is changed plainly under the lock.  To have it count from 0, at depth > 0:
 */
static inline bool waitq_inside_stale(const uint64_t *inside)
{
    return unlikely(__atomic_load_n(inside, __ATOMIC_RELAXED) >> 32 != fork_count);
}
void waitq_inside_renew(struct waitq *queue, uint64_t *inside, enum lock_rank rank);
/* Add to the count, or subtract.  It is of this process: those that were inside at a fork are not in the child. */
static inline void waitq_inside_add(uint64_t *inside, int change)
{
    if (unlikely(*inside >> 32 != fork_count))
        *inside = (uint64_t)fork_count << 32;
    *inside += (uint64_t)(int64_t)change;
}

#endif
