/*
 * Asking for a thread's cancellation, and the thread's say in it.  core/cancel.h has the protocol, core/unwind.c what
 * follows.
 */
#include <errno.h>

#include <green/cancel.h>

#include "base/barrier.h"
#include "core/cancel.h"
#include "core/kernel_thread.h"
#include "core/table.h"
#include "core/tick.h"
#include "signal/signal.h"

/* True for the first request to the thread of that id; ESRCH when its life is over. */
static int request(struct thread *thread, green_t id, bool *first)
{
    uint64_t word = atomic_load(&thread->cancel);

    do
        if (word >> 32 != id >> 32)
            return ESRCH;
    while (!atomic_compare_exchange_weak(&thread->cancel, &word, word | CANCEL_REQUESTED));
    *first = !(word & CANCEL_REQUESTED);
    return 0;
}

/* It runs, or sleeps in the kernel. */
static void interrupt(const struct thread *thread)
{
    if (cancel_at_once(thread) || cancel_ends_wait(thread))
        tick_send(thread->worker);
}

/* Under the signal lock, as a signal might want the same thread. */
static void wake(struct thread *self, struct thread *thread)
{
    signals_lock();
    if (cancel_unparks(thread) && park_claim_for_signal(thread))
        signal_resume(self, thread);
    else if (atomic_load(&thread->state) == THREAD_RUNNING)
        interrupt(thread);
    signals_unlock();
}

static int cancel(struct thread *self, struct thread *thread, green_t id)
{
    bool first;
    int error = request(thread, id, &first);

    if (error || !first)
        return error;
    atomic_fetch_or(&thread->special, SPECIAL_CANCEL);
    if (thread == self) {
        self->worker->tick_pending = true; /* for the asynchronous type, on the way out */
        return 0;
    }
    heavy_barrier();
    wake(self, thread);
    return 0;
}

int green_cancel(green_t id)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    struct thread *thread = table_find(id);
    int error = thread ? cancel(self, thread, id) : ESRCH;
    leave(self);
    return error;
}

/* Set or clear a bit of the caller's; whether it was set goes to *before, if that is not NULL. */
static int change(uint32_t bit, bool set, int *before)
{
    struct thread *self = known_self();
    uint64_t word;

    if (!self)
        return ENOMEM;
    if (set)
        word = atomic_fetch_or(&self->cancel, bit);
    else
        word = atomic_fetch_and(&self->cancel, ~(uint64_t)bit);
    if (before)
        *before = (word & bit) != 0;
    if (cancel_at_once(self))
        cancel_take(self);
    return 0;
}

int green_setcancelstate(int state, int *before)
{
    if (state != GREEN_CANCEL_ENABLE && state != GREEN_CANCEL_DISABLE)
        return EINVAL;
    return change(CANCEL_DISABLED, state == GREEN_CANCEL_DISABLE, before);
}

int green_setcanceltype(int type, int *before)
{
    if (type != GREEN_CANCEL_DEFERRED && type != GREEN_CANCEL_ASYNCHRONOUS)
        return EINVAL;
    return change(CANCEL_ASYNCHRONOUS, type == GREEN_CANCEL_ASYNCHRONOUS, before);
}

void green_testcancel(void)
{
    cancel_point();
}

void cancel_take(struct thread *self)
{
    if (self->depth == 0 && cancel_wanted(self))
        green_exit(GREEN_CANCELED);
}

void cancel_take_inside(struct thread *self)
{
    if (self->depth != 1 || !cancel_wanted(self))
        return;
    leave(self);
    cancel_take(self);
    enter();
}
