/* Wait queues.  See waitq.h. */
#include "sync/waitq.h"

#include <errno.h>

#include "core/fork.h"
#include "core/signals.h"

static void prepend(struct waitq *queue, struct thread *thread)
{
    thread->wait_prev = NULL;
    thread->wait_next = queue->head;
    thread->wait_queued = true;
    if (queue->head)
        queue->head->wait_prev = thread;
    else
        queue->tail = thread;
    queue->head = thread;
}

static void append(struct waitq *queue, struct thread *thread)
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

bool waitq_lost(const struct thread *thread)
{
    return atomic_load_explicit(&thread->state, memory_order_relaxed) == THREAD_LOST;
}

bool waitq_claim(struct waitq *queue, struct thread *thread)
{
    waitq_remove(queue, thread);
    return !waitq_lost(thread) && park_claim(thread, WAKE_READY);
}

struct thread *waitq_claim_first(struct waitq *queue)
{
    struct thread *thread;

    while ((thread = queue->head))
        if (waitq_claim(queue, thread))
            return thread;
    return NULL;
}

void waitq_join(struct waitq *queue, struct thread *self, uint64_t deadline)
{
    park_prepare(self, deadline);
    if (self->handoff)
        prepend(queue, self);
    else
        append(queue, self);
}

int waitq_park(struct waitq *queue, struct thread *self, enum lock_rank rank)
{
    enum wake wake = park(self, &queue->lock, rank);

    if (wake == WAKE_READY)
        return 0;
    lock_acquire(&queue->lock, rank);
    waitq_remove(queue, self);
    lock_release(&queue->lock, rank);
    return wake == WAKE_SIGNAL ? EINTR : ETIMEDOUT;
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

static uint32_t inside_now(const uint64_t *inside)
{
    return *inside >> 32 == fork_count ? (uint32_t)*inside : 0;
}

void waitq_inside_add(uint64_t *inside, int change)
{
    *inside = (uint64_t)fork_count << 32 | (inside_now(inside) + (uint32_t)change);
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
