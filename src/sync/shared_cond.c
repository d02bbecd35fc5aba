/*
 * Condition variables shared between processes.
 *
 * A number, the low half of `__inside`, that each signal and broadcast makes another, and that is slept on.  A waiter
 * reads it before it releases the mutex, so whoever locks the mutex next and signals is not missed, short of 2^32 signals
 * before it sleeps.  The high half is that of no process's number of forks: so cond.c sees that it is shared where it
 * looks at that anyway.
 *
 * The kernel wakes in the order of sleeping, but real-time threads first: one that came after a signal may get its
 * wake-up.  It sees that the number is what it was, wakes another, and returns as if for a signal, which POSIX allows; if
 * it slept again, two of them could pass a wake-up to each other for ever.
 *
 * A waiter touches the condition variable after its wake-up, to see whether there was one, so destroy waits for those
 * inside.  The dead of another process count among them.
 */
#include <limits.h>

#include "core/cancel.h"
#include "core/signals.h"
#include "sync/mutex.h"
#include "sync/shared.h"

void shared_cond_init(green_cond_t *cond)
{
    cond->__queue.__head = SHARED_MARK;
    cond->__inside = UINT64_C(0xffffffff) << 32;
}

static uint32_t *number_word(green_cond_t *cond)
{
    return (uint32_t *)(void *)&cond->__inside;
}

static uint32_t number_of(green_cond_t *cond)
{
    return __atomic_load_n(number_word(cond), __ATOMIC_SEQ_CST);
}

/* 0 also when there was no signal; ETIMEDOUT, EINTR. */
static int await_change(struct thread *self, green_cond_t *cond, uint32_t number, uint64_t deadline)
{
    const int error = shared_wait(self, number_word(cond), number, deadline, SHARED_ENDS_CANCEL | SHARED_ENDS_HANDLER);
    const bool changed = number_of(cond) != number;

    if (error == 0 && !changed)
        shared_wake(number_word(cond), 1);
    if (error == 0 || error == EAGAIN || (error == ETIMEDOUT && changed))
        return 0;
    return error == ECANCELED ? EINTR : error;
}

/* At depth 1, as the caller is again, and cancellable. */
int shared_cond_wait(struct thread *self, green_cond_t *cond, green_mutex_t *mutex, uint64_t deadline)
{
    const bool before = cancel_postpone(self); /* until it has the mutex again, and is counted no more */

    cancel_point_end(self); /* the sleep says so itself */
    self->handled = HANDLED_NONE;
    shared_come(&cond->__reserved[0]);
    const uint32_t number = number_of(cond);
    const unsigned count = mutex_release(self, mutex);
    leave(self);
    const int error = await_change(self, cond, number, deadline);
    enter();
    shared_leave(&cond->__reserved[0]);
    const int owner_error = mutex_reacquire(self, mutex, count);
    cancel_postpone_end(self, before);
    return owner_error ? owner_error : error;
}

void shared_cond_wake(green_cond_t *cond, bool all)
{
    if (!shared_inside(&cond->__reserved[0]))
        return;
    __atomic_fetch_add(number_word(cond), 1, __ATOMIC_SEQ_CST);
    shared_wake(number_word(cond), all ? INT_MAX : 1);
}

int shared_cond_destroy(green_cond_t *cond)
{
    struct thread *self = known_self();

    if (!self)
        return ENOMEM;
    shared_await(self, &cond->__reserved[0]);
    return 0;
}
