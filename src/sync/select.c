/*
 * Selecting among channels.  The protocol is in chan.h.
 *
 * With the locks of all its channels a select sees them at one moment: it counts what can be done and takes one of that
 * at random, each as likely, in one pass over the cases.  Looking at them in a random order, the other way to be fair,
 * needs as many random numbers as there are cases.  A case that looks as if it could be done may only have waiters that
 * are gone; trying it removes those, and the select looks again.
 */
#include <stdlib.h>

#include "core/cancel.h"
#include "core/signals.h"
#include "sync/chan.h"

enum { ON_STACK = 16 };

/* In place of a deadline, which may be as early: do not wait. */
enum { AT_ONCE = 0 };

struct select {
    struct green_case *cases;
    struct chan_wait *waits;        /* one for each case */
    struct green_chan **channels;   /* each once, by address */
    size_t count;                   /* of cases */
    size_t channel_count;
    struct chan_wait *chosen;       /* written by whoever claims the thread */
};

static int fail(int error)
{
    errno = error;
    return -1;
}

static void lock_all(const struct select *select)
{
    for (size_t i = 0; i < select->channel_count; i++)
        if (i == 0)
            lock_acquire(&select->channels[i]->lock, RANK_QUEUE);
        else
            lock_acquire_next(&select->channels[i]->lock, RANK_QUEUE);
}

/* The select lies on the stack of a thread that needs each of the locks before it goes on: it may go with the last. */
static void unlock_all(void *arg)
{
    const struct select *select = arg;

    for (size_t i = select->channel_count; i-- > 0;)
        if (i > 0)
            lock_release_next(&select->channels[i]->lock, RANK_QUEUE);
        else
            lock_release(&select->channels[i]->lock, RANK_QUEUE);
}

/* A number below `limit`, by xorshift. */
static uint32_t random_below(struct thread *self, uint32_t limit)
{
    uint32_t x = self->random;

    if (x == 0)
        x = (self->index + 1) * UINT32_C(2654435769) | 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    self->random = x;
    return (uint32_t)((uint64_t)x * limit >> 32);
}

/* One of those that look as if they could be done, at random; NULL: there is none. */
static struct chan_wait *pick(struct thread *self, const struct select *select)
{
    struct chan_wait *picked = NULL;
    uint32_t seen = 0;

    for (size_t i = 0; i < select->count; i++) {
        struct chan_wait *wait = &select->waits[i];
        if (!wait->chan || chan_is_stuck(wait->chan, wait->op))
            continue;
        if (++seen == 1 || random_below(self, seen) == 0)
            picked = wait;
    }
    return picked;
}

/* With all locks held: do one; NULL when none can be done. */
static struct chan_wait *try_one(struct thread *self, const struct select *select, struct thread **served)
{
    struct chan_wait *wait;

    while ((wait = pick(self, select))) {
        wait->error = chan_try(wait->chan, wait->op, wait->element, served);
        if (wait->error != EAGAIN)
            return wait;
    }
    return NULL;
}

static void enter_all(struct thread *self, struct select *select)
{
    for (size_t i = 0; i < select->count; i++) {
        struct chan_wait *wait = &select->waits[i];
        wait->thread = self;
        if (wait->chan)
            chan_enqueue(chan_queue_of(wait->chan, wait->op), wait);
    }
}

/* All of them are visited, also those it was taken out of already: that one's lock may still be on its way to release. */
static void withdraw_all(const struct select *select)
{
    for (size_t i = 0; i < select->count; i++) {
        struct chan_wait *wait = &select->waits[i];
        if (!wait->chan)
            continue;
        lock_acquire(&wait->chan->lock, RANK_QUEUE);
        chan_dequeue(wait);
        lock_release(&wait->chan->lock, RANK_QUEUE);
    }
}

/* With all locks held, which are not afterwards.  0: one was chosen; ETIMEDOUT, EINTR. */
static int wait_once(struct thread *self, struct select *select, uint64_t deadline)
{
    select->chosen = NULL;
    cancel_point_only(self);
    park_prepare(self, deadline);
    enter_all(self, select);
    enum wake wake = park_on_several(self, unlock_all, select);
    if (wake != WAKE_SIGNAL)
        cancel_point_end(self);
    withdraw_all(select);
    if (wake == WAKE_READY)
        return 0;
    return wake == WAKE_SIGNAL ? EINTR : ETIMEDOUT;
}

/* 0, EAGAIN when nothing could be done at once, ETIMEDOUT, EINTR. */
static int select_once(struct thread *self, struct select *select, uint64_t deadline)
{
    struct thread *served = NULL;

    lock_all(select);
    select->chosen = try_one(self, select, &served);
    if (!select->chosen && deadline != AT_ONCE)
        return wait_once(self, select, deadline);
    unlock_all(select);
    if (served)
        chan_ready(self, served);
    return select->chosen ? 0 : EAGAIN;
}

static void annotate_begin(const struct select *select)
{
    for (size_t i = 0; i < select->count; i++)
        if (select->waits[i].chan)
            chan_annotate_begin(select->waits[i].chan, select->waits[i].op);
}

static int select_until(struct select *select, uint64_t deadline)
{
    int error;

    annotate_begin(select);
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    if (unlikely(cancel_marked(self)) && deadline != AT_ONCE)
        cancel_take_inside(self);
    while ((error = select_once(self, select, deadline)) == EINTR) {
        signal_interlude(self); /* where it is cancelled, too */
        cancel_point_end(self);
    }
    leave(self);
    if (!error)
        chan_annotate_end(select->chosen->chan, select->chosen->op);
    return error;
}

static bool case_valid(const struct green_case *one)
{
    if (one->op != GREEN_SEND && one->op != GREEN_RECV)
        return false;
    return !one->chan || one->op == GREEN_RECV || one->element || one->chan->element_bytes == 0;
}

/* By insertion: selects are short, and a program writes its cases down in the same order each time. */
static void add_channel(struct select *select, struct green_chan *chan)
{
    size_t at = select->channel_count;

    while (at > 0 && (uintptr_t)select->channels[at - 1] > (uintptr_t)chan)
        at--;
    if (at > 0 && select->channels[at - 1] == chan)
        return;
    for (size_t i = select->channel_count++; i > at; i--)
        select->channels[i] = select->channels[i - 1];
    select->channels[at] = chan;
}

/* 0 or EINVAL. */
static int prepare(struct select *select)
{
    for (size_t i = 0; i < select->count; i++) {
        const struct green_case *one = &select->cases[i];
        if (!case_valid(one))
            return EINVAL;
        select->waits[i] = (struct chan_wait){
            .chan = one->chan, .op = one->op, .element = one->element, .chosen = &select->chosen};
        if (one->chan)
            add_channel(select, one->chan);
    }
    return 0;
}

/* `late`: the error when nothing could be done in time. */
static int run(struct select *select, uint64_t deadline, int late)
{
    int error = prepare(select);

    if (!error && deadline == NEVER && select->channel_count == 0)
        error = EDEADLK;
    if (!error)
        error = select_until(select, deadline);
    if (error)
        return fail(error == EAGAIN || error == ETIMEDOUT ? late : error);
    const size_t index = (size_t)(select->chosen - select->waits);
    select->cases[index].error = select->chosen->error;
    return (int)index;
}

static int run_on_stack(struct green_case *cases, size_t count, uint64_t deadline, int late)
{
    struct chan_wait waits[ON_STACK];
    struct green_chan *channels[ON_STACK];

    return run(&(struct select){.cases = cases, .waits = waits, .channels = channels, .count = count}, deadline, late);
}

static void free_memory(void **memory)
{
    free(*memory);
}

/* Freed also when the thread is unwound meanwhile. */
static int run_on_heap(struct green_case *cases, size_t count, uint64_t deadline, int late)
{
    void *memory __attribute__((cleanup(free_memory))) =
        malloc(count * (sizeof(struct chan_wait) + sizeof(struct green_chan *)));
    struct chan_wait *waits = memory;

    if (!memory)
        return fail(ENOMEM);
    return run(&(struct select){.cases = cases, .waits = waits, .channels = (void *)(waits + count), .count = count},
               deadline, late);
}

static int select_until_time(struct green_case *cases, size_t count, uint64_t deadline, int late)
{
    if ((!cases && count > 0) || count > GREEN_SELECT_MAX)
        return fail(EINVAL);
    return count <= ON_STACK ? run_on_stack(cases, count, deadline, late) : run_on_heap(cases, count, deadline, late);
}

int green_clockselect(struct green_case *cases, size_t count, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline = NEVER;

    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return fail(EINVAL);
    if (abstime && clock_deadline(clock, abstime, &deadline) != 0)
        return fail(EINVAL);
    return select_until_time(cases, count, deadline, ETIMEDOUT);
}

int green_select(struct green_case *cases, size_t count, const struct timespec *abstime)
{
    return green_clockselect(cases, count, CLOCK_REALTIME, abstime);
}

int green_tryselect(struct green_case *cases, size_t count)
{
    return select_until_time(cases, count, AT_ONCE, EAGAIN);
}
