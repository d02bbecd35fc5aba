/*
 * Scheduler activations: the program's observers and what they are told.
 *
 * Events are recorded where they happen (hold.c, preempt.c, procs.c) in one buffer under one lock, so they have one
 * order, which is that of the sched lock for those that happen under it.  A worker tells them in its own context,
 * where no thread is held up in the middle of anything.  One worker does so at a time (`telling`), until the buffer is
 * empty: the others leave it to that one, so calls do not overlap and nothing is overtaken.
 *
 * Nothing waits for long: whoever records an event is about to pass through an own context.  A worker that is given a
 * processor begins there; one that retires it, and a thread that comes back to no processor, end there; a thread that
 * takes an idle one notes a tick, and a tick's judgement goes through the own context while something waits.
 *
 * When the buffer is full, events are counted.  The count becomes an event of its own, LOST, at its place in the order:
 * before the first that finds room again, or at the end.
 *
 * Rejected: telling at once where it happens (under the sched lock, on a thread's stack, or by the monitor, which must
 * not wait for anybody); a buffer for each processor, which needs a merge to have an order; and a green thread that
 * tells, which is itself subject to what it is to tell.
 */
#include "core/activation.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/futex.h"
#include "core/sched.h"

enum { OBSERVERS = GREEN_ACTIVATION_OBSERVERS, KEPT = GREEN_ACTIVATION_KEPT, BULK = GREEN_ACTIVATION_BULK };

_Atomic uint32_t activation_kinds;
_Atomic bool activation_waits;

struct observer {
    green_activation_fn *call; /* NULL: free */
    void *arg;
    uint32_t kinds;
    uint32_t generation; /* of its slot */
    uint64_t first;      /* the number of the first event that it is told */
};

struct bulk {
    struct green_activation_event events[BULK];
    size_t count;
    uint64_t first; /* the number of the first event */
    struct observer observers[OBSERVERS];
};

static struct {
    struct lock lock;
    struct observer observers[OBSERVERS];
    struct green_activation_event kept[KEPT]; /* event n at n % KEPT */
    uint64_t taken, recorded;                 /* events: those in between are kept */
    uint64_t lost;                            /* after the last one that is kept */
    bool telling;                             /* a worker is between two looks at what is kept */
    _Atomic uint64_t lost_ever;
    _Atomic uint32_t told; /* futex: counts bulks */
    _Atomic uint32_t waiting; /* for that */
} acts;

static void keep(enum green_activation_kind kind, green_t thread, int proc, uint64_t count)
{
    acts.kept[acts.recorded++ % KEPT] = (struct green_activation_event){clock_now(), thread, count, kind, proc};
}

/* Room for two is needed, as LOST may go before. */
void activation_record(enum green_activation_kind kind, const struct thread *thread, int proc)
{
    lock_acquire(&acts.lock, RANK_ACTIVATION);
    if (acts.recorded - acts.taken > KEPT - 2) {
        acts.lost++;
        atomic_fetch_add(&acts.lost_ever, 1);
    } else {
        if (acts.lost > 0)
            keep(GREEN_ACTIVATION_LOST, 0, -1, acts.lost);
        acts.lost = 0;
        keep(kind, thread ? thread_id(thread) : 0, proc, 1);
    }
    atomic_store(&activation_waits, true);
    lock_release(&acts.lock, RANK_ACTIVATION);
}

/* With the lock held; false: there are none. */
static bool take_bulk(struct bulk *bulk)
{
    if (acts.taken == acts.recorded && acts.lost > 0) {
        keep(GREEN_ACTIVATION_LOST, 0, -1, acts.lost);
        acts.lost = 0;
    }
    bulk->first = acts.taken;
    for (bulk->count = 0; bulk->count < BULK && acts.taken < acts.recorded; bulk->count++)
        bulk->events[bulk->count] = acts.kept[acts.taken++ % KEPT];
    if (acts.taken == acts.recorded && acts.lost == 0)
        atomic_store(&activation_waits, false);
    memcpy(bulk->observers, acts.observers, sizeof acts.observers);
    return bulk->count > 0;
}

static void tell(const struct observer *observer, const struct bulk *bulk)
{
    struct green_activation_event chosen[BULK];
    size_t count = 0;

    for (size_t i = 0; i < bulk->count; i++)
        if (bulk->first + i >= observer->first && (bulk->events[i].kind & (observer->kinds | GREEN_ACTIVATION_LOST)))
            chosen[count++] = bulk->events[i];
    if (count > 0)
        observer->call(chosen, count, observer->arg);
    ASSERT(self_thread->depth == 1);
}

void activation_tell(void)
{
    struct bulk bulk;

    ASSERT(self_thread->kind == THREAD_WORKER && self_thread->depth == 1);
    lock_acquire(&acts.lock, RANK_ACTIVATION);
    if (acts.telling) {
        lock_release(&acts.lock, RANK_ACTIVATION);
        return;
    }
    acts.telling = true;
    while (take_bulk(&bulk)) {
        lock_release(&acts.lock, RANK_ACTIVATION);
        __atomic_store_n(&self_thread->worker->tells, true, __ATOMIC_RELEASE); /* it may wait for a foreign thread */
        for (unsigned i = 0; i < OBSERVERS; i++)
            if (bulk.observers[i].call)
                tell(&bulk.observers[i], &bulk);
        __atomic_store_n(&self_thread->worker->tells, false, __ATOMIC_RELEASE);
        lock_acquire(&acts.lock, RANK_ACTIVATION);
        atomic_fetch_add(&acts.told, 1);
        if (atomic_load(&acts.waiting) > 0)
            futex_wake(&acts.told, INT_MAX);
    }
    acts.telling = false;
    lock_release(&acts.lock, RANK_ACTIVATION);
}

/* With the lock held. */
static void count_kinds(void)
{
    uint32_t kinds = 0;

    for (unsigned i = 0; i < OBSERVERS; i++)
        if (acts.observers[i].call)
            kinds |= acts.observers[i].kinds;
    atomic_store(&activation_kinds, kinds);
}

static int observer_add(green_activation_t *registration, const struct observer *observer)
{
    unsigned slot = 0;

    while (slot < OBSERVERS && acts.observers[slot].call)
        slot++;
    if (slot == OBSERVERS)
        return EAGAIN;
    const uint32_t generation = acts.observers[slot].generation + 1;
    acts.observers[slot] = *observer;
    acts.observers[slot].generation = generation;
    acts.observers[slot].first = acts.recorded;
    *registration = (uint64_t)generation << 32 | slot;
    count_kinds();
    return 0;
}

int green_activation_register(green_activation_t *registration, unsigned kinds, green_activation_fn *call, void *arg)
{
    const struct observer observer = {.call = call, .arg = arg, .kinds = kinds};
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = EINVAL;
    if (registration && call && kinds != 0 && !(kinds & ~(unsigned)GREEN_ACTIVATION_ALL)) {
        lock_acquire(&acts.lock, RANK_ACTIVATION);
        error = observer_add(registration, &observer);
        lock_release(&acts.lock, RANK_ACTIVATION);
    }
    leave(self);
    return error;
}

/* With the lock held. */
static int observer_remove(green_activation_t registration)
{
    const uint32_t slot = (uint32_t)registration;

    if (slot >= OBSERVERS || !acts.observers[slot].call || acts.observers[slot].generation != registration >> 32)
        return ESRCH;
    acts.observers[slot].call = NULL;
    count_kinds();
    return 0;
}

/* A call that is under way belongs to the bulk that was taken before we had the lock: it has been told at `told`. */
int green_activation_unregister(green_activation_t registration)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    if (self->kind == THREAD_WORKER) {
        leave(self);
        return EDEADLK;
    }
    lock_acquire(&acts.lock, RANK_ACTIVATION);
    int error = observer_remove(registration);
    const bool wait = !error && acts.telling;
    const uint32_t told = atomic_load(&acts.told);
    if (wait)
        atomic_fetch_add(&acts.waiting, 1);
    lock_release(&acts.lock, RANK_ACTIVATION);
    leave(self);
    while (wait && atomic_load(&acts.told) == told)
        futex_wait(&acts.told, told, NEVER);
    if (wait)
        atomic_fetch_sub(&acts.waiting, 1);
    return error;
}

uint64_t green_activation_lost(void)
{
    return atomic_load(&acts.lost_ever);
}

/* Its processors are others: who counted them would be wrong.  A registration of the parent's stays unknown. */
void activation_fork_reset(void)
{
    for (unsigned i = 0; i < OBSERVERS; i++)
        acts.observers[i].call = NULL;
    acts.lock.word = 0;
    acts.taken = acts.recorded;
    acts.lost = 0;
    acts.telling = false;
    atomic_store(&acts.waiting, 0);
    atomic_store(&activation_waits, false);
    atomic_store(&activation_kinds, 0);
}
