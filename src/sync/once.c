/*
 * green_once: new -> running -> done, and back to new when the routine does not return.
 *
 * Leaving by an exception runs the cleanup of the frame below (the file is compiled with unwind tables for it);
 * leaving by green_exit() does not unwind, so the frames are also on a list of the thread's.
 */
#include "sync/once.h"

#include <errno.h>

#include "base/annotate.h"
#include "core/signals.h"
#include "sync/waitq.h"

enum { ONCE_NEW, ONCE_RUNNING, ONCE_DONE };

struct once_frame {
    green_once_t *once;
    struct once_frame *below;
    unsigned outcome; /* what the state becomes */
};

static void once_finish(green_once_t *once, unsigned state)
{
    struct waitq *queue = waitq_of(&once->__queue);

    annotate_release(once);
    struct thread *self = enter();
    lock_acquire(&queue->lock, RANK_QUEUE);
    __atomic_store_n(&once->__state, state, __ATOMIC_RELEASE);
    struct thread *waiters = waitq_claim_all(queue);
    lock_release(&queue->lock, RANK_QUEUE);
    waitq_ready_all(self, waiters);
    leave(self);
}

static void frame_end(struct once_frame *frame)
{
    self_thread->once = frame->below;
    once_finish(frame->once, frame->outcome);
}

void once_abandon(struct thread *self)
{
    for (struct once_frame *frame = self->once; frame; frame = frame->below)
        once_finish(frame->once, ONCE_NEW);
    self->once = NULL;
}

static void run(green_once_t *once, void (*routine)(void))
{
    struct once_frame frame __attribute__((cleanup(frame_end))) = {once, self_thread->once, ONCE_NEW};

    self_thread->once = &frame;
    routine();
    frame.outcome = ONCE_DONE;
}

/* True when the caller shall run the routine; false when somebody else has. */
static bool begin_or_wait(green_once_t *once, struct thread *self)
{
    struct waitq *queue = waitq_of(&once->__queue);

    for (;;) {
        lock_acquire(&queue->lock, RANK_QUEUE);
        unsigned state = __atomic_load_n(&once->__state, __ATOMIC_ACQUIRE);
        if (state == ONCE_RUNNING) {
            waitq_join(queue, self, NEVER);
            if (waitq_park(queue, self, RANK_QUEUE) == EINTR)
                signal_interlude(self);
            continue;
        }
        if (state == ONCE_NEW)
            __atomic_store_n(&once->__state, ONCE_RUNNING, __ATOMIC_RELAXED);
        lock_release(&queue->lock, RANK_QUEUE);
        return state == ONCE_NEW;
    }
}

int green_once(green_once_t *once, void (*routine)(void))
{
    if (!once || !routine)
        return EINVAL;
    if (__atomic_load_n(&once->__state, __ATOMIC_ACQUIRE) == ONCE_DONE) {
        annotate_acquire(once);
        return 0;
    }
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    bool mine = begin_or_wait(once, self);
    leave(self);
    annotate_acquire(once);
    if (mine)
        run(once, routine);
    return 0;
}
