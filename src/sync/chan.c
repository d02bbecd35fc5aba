/*
 * Channels: sends and receives, one at a time.  The protocol is in chan.h; several at a time are select.c.
 *
 * Who serves a waiter copies between the two threads' variables, makes it ready to run next in its own slice, and goes
 * on.  Switching to it at once was rejected: a thread that sends twice would switch twice.
 */
#include "sync/chan.h"

#include <stdlib.h>
#include <string.h>

#include "core/cancel.h"
#include "core/park.h"
#include "core/signals.h"
#include "sync/waitq.h"

/* In place of a deadline, which may be as early: do not wait. */
enum { AT_ONCE = 0 };

int green_chan_create(green_chan_t **chan, size_t element_bytes, size_t capacity)
{
    size_t bytes;

    if (!chan || element_bytes > GREEN_CHAN_ELEMENT_MAX)
        return EINVAL;
    if (__builtin_mul_overflow(element_bytes, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct green_chan), &bytes))
        return ENOMEM;
    struct green_chan *made = malloc(bytes);
    if (!made)
        return ENOMEM;
    memset(made, 0, sizeof *made);
    made->element_bytes = element_bytes;
    made->capacity = capacity;
    *chan = made;
    return 0;
}

int green_chan_destroy(green_chan_t *chan)
{
    if (!chan)
        return EINVAL;
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    lock_acquire(&chan->lock, RANK_QUEUE); /* whoever released it last is out of it */
    const bool used = chan_has_waiters(&chan->senders) || chan_has_waiters(&chan->receivers);
    lock_release(&chan->lock, RANK_QUEUE);
    leave(self);
    if (used)
        return EBUSY;
    free(chan);
    return 0;
}

size_t green_chan_len(const green_chan_t *chan)
{
    return chan ? atomic_load_explicit(&chan->count, memory_order_relaxed) : 0;
}

size_t green_chan_cap(const green_chan_t *chan)
{
    return chan ? chan->capacity : 0;
}

static void set_head(struct chan_queue *queue, struct chan_wait *wait)
{
    atomic_store_explicit(&queue->head, wait, memory_order_release);
}

void chan_enqueue(struct chan_queue *queue, struct chan_wait *wait)
{
    wait->queue = queue;
    wait->next = NULL;
    wait->prev = queue->tail;
    if (queue->tail)
        queue->tail->next = wait;
    else
        set_head(queue, wait);
    queue->tail = wait;
}

void chan_dequeue(struct chan_wait *wait)
{
    struct chan_queue *queue = wait->queue;

    if (!queue)
        return;
    wait->queue = NULL;
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        set_head(queue, wait->next);
    if (wait->next)
        wait->next->prev = wait->prev;
    else
        queue->tail = wait->prev;
}

static inline bool claim(const struct chan_wait *wait)
{
    struct thread *thread = wait->thread;

    if (unlikely(atomic_load_explicit(&thread->state, memory_order_relaxed) == THREAD_LOST)) /* at a fork */
        return false;
    return wait->chosen ? park_claim_rivals(thread, WAKE_READY) : park_claim(thread, WAKE_READY);
}

static inline void dequeue_first(struct chan_queue *queue, struct chan_wait *wait)
{
    wait->queue = NULL;
    set_head(queue, wait->next);
    if (wait->next)
        wait->next->prev = NULL;
    else
        queue->tail = NULL;
}

/* Take out and claim the first who still waits, and say how it was served; NULL: there is none. */
static inline __attribute__((always_inline)) struct chan_wait *serve_first(struct chan_queue *queue, int error)
{
    struct chan_wait *wait;

    while ((wait = atomic_load_explicit(&queue->head, memory_order_relaxed))) {
        dequeue_first(queue, wait);
        if (!claim(wait))
            continue;
        wait->error = error;
        if (wait->chosen)
            *wait->chosen = wait;
        return wait;
    }
    return NULL;
}

static inline void copy(const struct green_chan *chan, void *to, const void *from)
{
    if (chan->element_bytes == sizeof(uint64_t) && to)
        memcpy(to, from, sizeof(uint64_t)); /* most of all are one word */
    else if (chan->element_bytes > 0 && to)
        memcpy(to, from, chan->element_bytes);
}

/* Where the element is that has so many before it in the buffer. */
static void *place(struct green_chan *chan, size_t before)
{
    size_t left = chan->capacity - chan->first; /* up to the end of the buffer: first + before may overflow */

    return chan->buffer + (before < left ? chan->first + before : before - left) * chan->element_bytes;
}

static inline void set_count(struct green_chan *chan, size_t count)
{
    atomic_store_explicit(&chan->count, count, memory_order_release);
}

static inline int try_send(struct green_chan *chan, const void *element, struct thread **served)
{
    struct chan_wait *receiver;
    const size_t count = atomic_load_explicit(&chan->count, memory_order_relaxed);

    if (unlikely(atomic_load_explicit(&chan->closed, memory_order_relaxed)))
        return EPIPE;
    if ((receiver = serve_first(&chan->receivers, 0))) {
        copy(chan, receiver->element, element);
        *served = receiver->thread;
        return 0;
    }
    if (count == chan->capacity)
        return EAGAIN;
    copy(chan, place(chan, count), element);
    set_count(chan, count + 1);
    return 0;
}

/* The first of the buffer; the first sender who waits, as it was full, has its place. */
static inline void take_from_buffer(struct green_chan *chan, size_t count, void *element, struct thread **served)
{
    struct chan_wait *sender = serve_first(&chan->senders, 0);
    void *first = place(chan, 0);

    copy(chan, element, first);
    if (sender) {
        ASSERT(count == chan->capacity);
        copy(chan, first, sender->element);
        *served = sender->thread;
    }
    chan->first = chan->first + 1 == chan->capacity ? 0 : chan->first + 1;
    if (!sender)
        set_count(chan, count - 1);
}

static inline int try_recv(struct green_chan *chan, void *element, struct thread **served)
{
    struct chan_wait *sender;
    const size_t count = atomic_load_explicit(&chan->count, memory_order_relaxed);

    if (count > 0) {
        take_from_buffer(chan, count, element, served);
        return 0;
    }
    if ((sender = serve_first(&chan->senders, 0))) {
        copy(chan, element, sender->element);
        *served = sender->thread;
        return 0;
    }
    return atomic_load_explicit(&chan->closed, memory_order_relaxed) ? EPIPE : EAGAIN;
}

static inline __attribute__((always_inline)) int try_now(struct green_chan *chan, int op, void *element,
                                                         struct thread **served)
{
    return op == GREEN_SEND ? try_send(chan, element, served) : try_recv(chan, element, served);
}

int chan_try(struct green_chan *chan, int op, void *element, struct thread **served)
{
    return try_now(chan, op, element, served);
}

/* With the lock held, which is not afterwards: 0, EPIPE, ETIMEDOUT, or EINTR for a signal that is not handled yet. */
static __attribute__((noinline)) int wait_once(struct thread *self, struct green_chan *chan, int op, void *element,
                                               uint64_t deadline)
{
    struct chan_wait wait; /* `chan` and `op` are a select's */

    wait.thread = self;
    wait.element = element;
    wait.chosen = NULL;
    cancel_point_only(self);
    park_prepare(self, deadline);
    chan_enqueue(chan_queue_of(chan, op), &wait);
    enum wake wake = park_inline(self, &chan->lock, RANK_QUEUE);
    if (wake != WAKE_SIGNAL)
        cancel_point_end(self);
    if (wake == WAKE_READY)
        return wait.error; /* who served us took us out, and is done with the channel */
    lock_acquire(&chan->lock, RANK_QUEUE);
    chan_dequeue(&wait);
    lock_release(&chan->lock, RANK_QUEUE);
    return wake == WAKE_SIGNAL ? EINTR : ETIMEDOUT;
}

static inline __attribute__((always_inline)) int transfer_once(struct thread *self, struct green_chan *chan, int op,
                                                               void *element, uint64_t deadline)
{
    struct thread *served = NULL;

    lock_acquire(&chan->lock, RANK_QUEUE);
    int error = try_now(chan, op, element, &served);
    if (error == EAGAIN && deadline != AT_ONCE)
        return wait_once(self, chan, op, element, deadline);
    lock_release(&chan->lock, RANK_QUEUE);
    if (served)
        chan_ready(self, served);
    return error;
}

/* Its own copy for either operation. */
static inline __attribute__((always_inline)) int transfer(struct green_chan *chan, int op, void *element,
                                                          uint64_t deadline)
{
    int error;

    chan_annotate_begin(chan, op);
    struct thread *self = enter();
    if (unlikely(!self))
        return ENOMEM;
    if (unlikely(cancel_marked(self)) && deadline != AT_ONCE)
        cancel_take_inside(self);
    while (unlikely((error = transfer_once(self, chan, op, element, deadline)) == EINTR)) {
        signal_interlude(self); /* where it is cancelled, too */
        cancel_point_end(self);
    }
    leave(self);
    if (!error || error == EPIPE)
        chan_annotate_end(chan, op);
    return error;
}

static bool can_send(const green_chan_t *chan, const void *element)
{
    return chan && (element || chan->element_bytes == 0);
}

static int send_until(green_chan_t *chan, const void *element, uint64_t deadline)
{
    return transfer(chan, GREEN_SEND, (void *)(uintptr_t)element, deadline);
}

static int recv_until(green_chan_t *chan, void *element, uint64_t deadline)
{
    return transfer(chan, GREEN_RECV, element, deadline);
}

int green_chan_send(green_chan_t *chan, const void *element)
{
    return likely(can_send(chan, element)) ? send_until(chan, element, NEVER) : EINVAL;
}

int green_chan_recv(green_chan_t *chan, void *element)
{
    return likely(chan != NULL) ? recv_until(chan, element, NEVER) : EINVAL;
}

int green_chan_trysend(green_chan_t *chan, const void *element)
{
    if (!can_send(chan, element))
        return EINVAL;
    return chan_is_stuck(chan, GREEN_SEND) ? EAGAIN : send_until(chan, element, AT_ONCE);
}

int green_chan_tryrecv(green_chan_t *chan, void *element)
{
    if (!chan)
        return EINVAL;
    return chan_is_stuck(chan, GREEN_RECV) ? EAGAIN : recv_until(chan, element, AT_ONCE);
}

int green_chan_clocksend(green_chan_t *chan, const void *element, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;
    int error = green_chan_trysend(chan, element);

    if (error != EAGAIN)
        return error;
    error = clock_deadline(clock, abstime, &deadline);
    if (error)
        return error;
    error = send_until(chan, element, deadline);
    return error == EAGAIN ? ETIMEDOUT : error;
}

int green_chan_clockrecv(green_chan_t *chan, void *element, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;
    int error = green_chan_tryrecv(chan, element);

    if (error != EAGAIN)
        return error;
    error = clock_deadline(clock, abstime, &deadline);
    if (error)
        return error;
    error = recv_until(chan, element, deadline);
    return error == EAGAIN ? ETIMEDOUT : error;
}

int green_chan_timedsend(green_chan_t *chan, const void *element, const struct timespec *abstime)
{
    return green_chan_clocksend(chan, element, CLOCK_REALTIME, abstime);
}

int green_chan_timedrecv(green_chan_t *chan, void *element, const struct timespec *abstime)
{
    return green_chan_clockrecv(chan, element, CLOCK_REALTIME, abstime);
}

/* Claim everybody, linked by `next`, which no waiter uses. */
static struct thread **serve_all(struct chan_queue *queue, struct thread **last)
{
    struct chan_wait *wait;

    while ((wait = serve_first(queue, EPIPE))) {
        *last = wait->thread;
        last = &wait->thread->next;
    }
    return last;
}

static int close_locked(struct green_chan *chan, struct thread **served)
{
    *served = NULL;
    if (atomic_load_explicit(&chan->closed, memory_order_relaxed))
        return EPIPE;
    atomic_store_explicit(&chan->closed, true, memory_order_release);
    struct thread **last = serve_all(&chan->receivers, served);
    *serve_all(&chan->senders, last) = NULL;
    return 0;
}

int green_chan_close(green_chan_t *chan)
{
    struct thread *served;

    if (!chan)
        return EINVAL;
    chan_annotate_begin(chan, GREEN_SEND); /* a receive that finds it closed follows, as does a send */
    chan_annotate_begin(chan, GREEN_RECV);
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    lock_acquire(&chan->lock, RANK_QUEUE);
    int error = close_locked(chan, &served);
    lock_release(&chan->lock, RANK_QUEUE);
    waitq_ready_all(self, served);
    leave(self);
    return error;
}
