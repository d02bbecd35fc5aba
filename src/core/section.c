/* What a program may say about its preemption: critical and blocking sections, safe points, slices. */
#include <errno.h>

#include "core/cancel.h"
#include "core/hold.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/table.h"

void green_safepoint(void)
{
    struct thread *self = enter();

    if (self)
        leave(self);
}

void green_critical_enter(void)
{
    struct thread *self = enter();

    if (self)
        self->sections++;
}

void green_critical_leave(void)
{
    struct thread *self = self_thread;

    if (!self || self->depth == 0)
        return;
    self->sections--;
    leave(self);
}

/* A signal or a cancellation came while the processor was handed over: nobody tells a thread that blocks once more. */
static bool told_meanwhile(struct thread *self)
{
    return signal_marked(self) || signal_held(self->worker) || cancel_at_once(self);
}

void green_blocking_enter(void)
{
    struct thread *self = enter();

    if (!self)
        return;
    ASSERT(!self->blocking && self->depth == 1);
    self->blocking = true;
    if (self->kind != THREAD_MULTIPLEXED || self->depth > 1 || !somebody_waits(self->worker->proc) ||
        !worker_hand_over(self->worker)) {
        leave(self);
        return;
    }
    compiler_barrier();
    self->depth--; /* without the look at a noted tick: there is no processor to leave */
    compiler_barrier();
    if (unlikely(self->worker->tick_pending) && told_meanwhile(self))
        green_safepoint(); /* with a processor again, which the monitor takes when the thread blocks */
}

void green_blocking_leave(void)
{
    struct thread *self = enter();

    if (!self)
        return;
    ASSERT(self->blocking);
    self->blocking = false;
    leave(self);
}

int green_setslice_np(green_t id, unsigned slice_us)
{
    struct thread *self = enter(), *thread;

    if (!self)
        return ENOMEM;
    int error = 0;
    if (slice_us != 0 && (slice_us < SLICE_MIN_US || slice_us > SLICE_MAX_US))
        error = EINVAL;
    else if (!(thread = table_find(id)))
        error = ESRCH;
    else {
        atomic_store_explicit(&thread->slice_us, slice_us, memory_order_relaxed);
        if (slice_us != 0)
            atomic_fetch_or(&thread->special, SPECIAL_SLICE);
        else
            atomic_fetch_and(&thread->special, ~(uint32_t)SPECIAL_SLICE);
    }
    leave(self);
    return error;
}

int green_getslice_np(green_t id, unsigned *slice_us)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    const struct thread *thread = table_find(id);
    if (thread && slice_us)
        *slice_us = atomic_load_explicit(&thread->slice_us, memory_order_relaxed);
    leave(self);
    return !slice_us ? EINVAL : thread ? 0 : ESRCH;
}
