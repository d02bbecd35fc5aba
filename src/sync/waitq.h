/*
 * Wait queues: the threads parked on an object, first come first woken.
 *
 * The queue's lock guards its links and the object's slow path.  A waiter leaves the queue before it is claimed:
 * after the claim it may be running, and waiting on something else.  One whose deadline came first leaves it by
 * itself.
 */
#ifndef WAITQ_H
#define WAITQ_H

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

/* Take a thread off, if it is still on. */
void waitq_remove(struct waitq *queue, struct thread *thread);

/* It was of the process that this one is a fork of: it never comes back. */
bool waitq_lost(const struct thread *thread);

/* Take one off and claim it.  False: its time has come, or a signal, and it is off. */
bool waitq_claim(struct waitq *queue, struct thread *thread);

/* Take off and claim the first thread that is still waiting; NULL when there is none.  The caller makes it ready. */
struct thread *waitq_claim_first(struct waitq *queue);

/* Put the calling thread on the queue, whose lock is held: last, or first when `handoff` says that it has waited. */
void waitq_join(struct waitq *queue, struct thread *self, uint64_t deadline);

/*
 * Park the calling thread, which is on the queue.  The lock is held, and is not afterwards.  0, or ETIMEDOUT or
 * EINTR: it is off; after EINTR, and without a lock, comes signal_interlude().
 */
int waitq_park(struct waitq *queue, struct thread *self, enum lock_rank rank);

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
/* Add to the count, or subtract.  It is of this process: those that were inside at a fork are not in the child. */
void waitq_inside_add(uint64_t *inside, int change);

#endif
