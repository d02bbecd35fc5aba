/*
 * Channels from inside: what chan.c and select.c share.
 *
 * Invariant.  All of a channel but its sizes is changed under its lock.  Who waits stands in it with a struct chan_wait,
 * which lies on its own stack and stays there until it has been taken out under that lock: by the thread that serves it,
 * which claims it before it copies, or by itself.  Senders wait only while the buffer is full and no receiver waits,
 * receivers only while it is empty and no sender does, nobody once the channel is closed; threads whose wait has ended
 * otherwise (a deadline, a signal, another case of a select) may still stand there, and are passed over, as claiming
 * them fails.  So an element is copied exactly when the wait that it belongs to ends with it: nobody who times out, is
 * interrupted or chose another case has taken or lost one.
 *
 * A select stands in several channels.  It takes the locks of all, in the order of their addresses, looks, enters itself
 * and keeps them until it is off its stack; so nobody can claim it before it can be resumed.  Wakers hold different locks
 * and compete: the compare and swap of its `wake` decides, as between a waker and a deadline (park_claim_rivals()).
 *
 * Rejected: a word of its own in each select, for which wakers compete (Go's selectDone): the claim that parking has
 * anyhow does that, and knows of deadlines and signals, too.  Entering one channel after the other, under its lock alone:
 * a sender may then come between, and find a receiver that has not parked; it would have to hand over to a thread that
 * still runs, a second protocol beside the first.  One lock for all channels, which makes selects simple: everybody
 * would wait for everybody.  Copying through the buffer always: an element twice, and no rendezvous.
 */
#ifndef SYNC_CHAN_H
#define SYNC_CHAN_H

#include <errno.h>

#include <green/chan.h>

#include "base/annotate.h"
#include "core/park.h"
#include "core/sched.h"

struct chan_queue {
    struct chan_wait *_Atomic head; /* written under the channel's lock */
    struct chan_wait *tail;
};

/* A thread that waits on a channel.  Guarded by that one's lock while it is queued, else its thread's own. */
struct chan_wait {
    struct chan_wait *next;
    struct chan_wait *prev;
    struct chan_queue *queue;  /* it stands in; NULL: in none */
    struct thread *thread;
    void *element;             /* to be sent; or where to receive to, NULL: nowhere */
    struct chan_wait **chosen; /* of a select: where to say which case it was.  NULL: it waits here alone */
    struct green_chan *chan;
    int op;                    /* enum green_case_op */
    int error;                 /* how it was served: 0 or EPIPE */
};

struct green_chan {
    struct lock lock;
    _Atomic bool closed;
    size_t element_bytes;      /* constant, as is the next */
    size_t capacity;
    _Atomic size_t count;      /* in the buffer */
    size_t first;
    struct chan_queue senders;
    struct chan_queue receivers;
    unsigned char buffer[] __attribute__((aligned(16)));
};

/* Where those stand who want to do this. */
static inline struct chan_queue *chan_queue_of(struct green_chan *chan, int op)
{
    return op == GREEN_SEND ? &chan->senders : &chan->receivers;
}

/*
 * For detectors of races: what was done before a send happens before what follows its receive; and the other way round,
 * as a receive makes room for a send.
 */
static inline void chan_annotate_begin(struct green_chan *chan, int op)
{
    annotate_release(chan_queue_of(chan, op));
}

static inline void chan_annotate_end(struct green_chan *chan, int op)
{
    annotate_acquire(chan_queue_of(chan, op == GREEN_SEND ? GREEN_RECV : GREEN_SEND));
}

/* Its element was copied, from or to its stack. */
static inline __attribute__((always_inline)) void chan_ready(struct thread *self, struct thread *served)
{
    if (unlikely(annotate_valgrind_races))
        annotate_valgrind_release(served);
    ready_inline(self, served);
}

static inline bool chan_has_waiters(const struct chan_queue *queue)
{
    return atomic_load_explicit(&queue->head, memory_order_acquire) != NULL;
}

/*
 * Nothing can be done, at one moment during the call.  The lock is not needed: as a channel is never opened again, one
 * that is open after it was found empty, or full, was open at that moment.
 */
static inline bool chan_is_stuck(const struct green_chan *chan, int op)
{
    const size_t stuck_at = op == GREEN_SEND ? chan->capacity : 0;

    if (chan->capacity == 0 && chan_has_waiters(op == GREEN_SEND ? &chan->receivers : &chan->senders))
        return false;
    return atomic_load_explicit(&chan->count, memory_order_acquire) == stuck_at &&
           !atomic_load_explicit(&chan->closed, memory_order_acquire);
}

/* With the lock held. */
void chan_enqueue(struct chan_queue *queue, struct chan_wait *wait);
void chan_dequeue(struct chan_wait *wait);

/*
 * Do it now, with the lock held: 0, EPIPE, or EAGAIN.  Who was served, if anybody, is left in *served, to be made ready
 * when all locks have been released.
 */
int chan_try(struct green_chan *chan, int op, void *element, struct thread **served);

#endif
