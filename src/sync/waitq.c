/* Wait queues.  See waitq.h. */
#include "sync/waitq.h"

#include <errno.h>

#include "core/signals.h"

/* Of writers and readers of one priority the writers are first, as POSIX has it; without priorities all are equal. */
static int urgency(const struct thread *thread)
{
    return policy_inherits() ? 2 * __atomic_load_n(&thread->effective, __ATOMIC_RELAXED) + thread->wait_writes : 0;
}

void waitq_insert(struct waitq *queue, struct thread *thread)
{
    const int above = urgency(thread) + (thread->handoff ? 1 : 0);
    struct thread *before = queue->tail;

    while (before && urgency(before) < above)
        before = before->wait_prev;
    struct thread **link = before ? &before->wait_next : &queue->head;
    thread->wait_prev = before;
    thread->wait_next = *link;
    thread->wait_queued = true;
    if (thread->wait_next)
        thread->wait_next->wait_prev = thread;
    else
        queue->tail = thread;
    *link = thread;
}

bool waitq_outranks(const struct waitq *queue, const struct thread *thread)
{
    return policy_inherits() && (!queue->head || urgency(thread) / 2 > urgency(queue->head) / 2);
}

void waitq_remove(struct waitq *queue, struct thread *thread)
{
    if (!thread->wait_queued)
        return;
    thread->wait_queued = false;
    if (thread->wait_prev)
        thread->wait_prev->wait_next = thread->wait_next;
    else
        queue->head = thread->wait_next;
    if (thread->wait_next)
        thread->wait_next->wait_prev = thread->wait_prev;
    else
        queue->tail = thread->wait_prev;
}

bool waitq_claim(struct waitq *queue, struct thread *thread)
{
    waitq_remove(queue, thread);
    return !waitq_lost(thread) && park_claim(thread, WAKE_READY);
}

int waitq_leave(struct waitq *queue, struct thread *self, enum lock_rank rank, enum wake wake)
{
    lock_acquire(&queue->lock, rank);
    waitq_remove(queue, self);
    lock_release(&queue->lock, rank);
    return wake == WAKE_SIGNAL ? EINTR : ETIMEDOUT;
}

int waitq_park(struct waitq *queue, struct thread *self, enum lock_rank rank)
{
    return waitq_park_inline(queue, self, rank);
}

struct thread *waitq_claim_all(struct waitq *queue)
{
    struct thread *first = NULL, **last = &first, *thread;

    while ((thread = waitq_claim_first(queue))) {
        *last = thread;
        last = &thread->next;
    }
    *last = NULL;
    return first;
}

int waitq_count(const struct thread *first)
{
    int count = 0;

    for (; first; first = first->next)
        count++;
    return count;
}

void waitq_inside_renew(struct waitq *queue, uint64_t *inside, enum lock_rank rank)
{
    lock_acquire(&queue->lock, rank);
    waitq_inside_add(inside, 0);
    lock_release(&queue->lock, rank);
}

static uint32_t inside_now(const uint64_t *inside)
{
    return *inside >> 32 == fork_count ? (uint32_t)*inside : 0;
}

void waitq_depart(struct waitq *queue, struct thread *self, uint64_t *inside, enum lock_rank rank)
{
    waitq_inside_add(inside, -1);
    struct thread *destroyers = inside_now(inside) == 0 ? waitq_claim_all(queue) : NULL;

    lock_release(&queue->lock, rank);
    waitq_ready_all(self, destroyers);
}

void waitq_await_departures(struct waitq *queue, struct thread *self, uint64_t *inside, enum lock_rank rank)
{
    while (inside_now(inside) > 0) {
        waitq_join(queue, self, NEVER);
        if (waitq_park(queue, self, rank) == EINTR)
            signal_interlude(self);
        lock_acquire(&queue->lock, rank);
    }
    lock_release(&queue->lock, rank);
}

void waitq_ready_all(struct thread *self, struct thread *first)
{
    while (first) {
        struct thread *next = first->next;
        ready_last(self, first);
        first = next;
    }
}
