/*
 * Mutexes.
 *
 * The state is two bits, LOCKED and WAITERS.  Lock and unlock are one compare and swap each while nobody waits; with
 * WAITERS set, every change is made under the queue's lock.  WAITERS is set before a thread parks and cleared when
 * the queue is found empty, both under that lock: so no unlock overlooks a waiter.
 *
 * Unlock wakes the first waiter and leaves the mutex open: whoever runs may take it, which keeps a busy lock from
 * costing a switch each time.  A waiter that finds it taken goes to the head of the queue and is handed it at the
 * next unlock.  Always handing over was rejected (each lock then waits for a switch), never doing so as well (a
 * waiter may starve).
 *
 * A contended lock spins for a moment, only while its owner runs on another processor: an owner that is preempted or
 * parked needs our processor, or somebody's, before it can unlock.
 *
 * With a policy that lends priorities all but the uncontended unlock is inherit.c's.
 */
#include "sync/mutex.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/signals.h"
#include "sync/inherit.h"
#include "sync/waitq.h"

enum { LOCKED = 1, WAITERS = 2, SPINS = 100 };

static unsigned state_of(const green_mutex_t *mutex)
{
    return __atomic_load_n(&mutex->__state, __ATOMIC_RELAXED);
}

static bool state_change(green_mutex_t *mutex, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&mutex->__state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

struct thread *mutex_owner(const green_mutex_t *mutex)
{
    return (struct thread *)(uintptr_t)__atomic_load_n(&mutex->__owner, __ATOMIC_RELAXED);
}

void mutex_set_owner(green_mutex_t *mutex, const struct thread *owner)
{
    __atomic_store_n(&mutex->__owner, (uintptr_t)owner, __ATOMIC_RELAXED);
}

static bool owner_runs_elsewhere(const green_mutex_t *mutex)
{
    const struct thread *owner = mutex_owner(mutex);

    return sched_shared && owner && atomic_load_explicit(&owner->state, memory_order_relaxed) == THREAD_RUNNING;
}

bool mutex_take(green_mutex_t *mutex)
{
    unsigned state = state_of(mutex);

    return !(state & LOCKED) && state_change(mutex, state, state | LOCKED);
}

static bool spin(green_mutex_t *mutex)
{
    for (int i = 0; i < SPINS && owner_runs_elsewhere(mutex); i++) {
        if (mutex_take(mutex))
            return true;
        arch_pause();
    }
    return false;
}

/* With the queue's lock held: true when the mutex was free after all; else it is known that there is a waiter. */
bool mutex_take_or_announce(green_mutex_t *mutex)
{
    for (;;) {
        unsigned state = state_of(mutex);
        if (!(state & LOCKED)) {
            if (state_change(mutex, state, state | LOCKED))
                return true;
        } else if ((state & WAITERS) || state_change(mutex, state, state | WAITERS)) {
            return false;
        }
    }
}

void mutex_forget_waiters(green_mutex_t *mutex)
{
    __atomic_fetch_and(&mutex->__state, ~(unsigned)WAITERS, __ATOMIC_RELAXED);
}

void mutex_hand_over(green_mutex_t *mutex, bool next, bool waiters)
{
    __atomic_store_n(&mutex->__state, (next ? LOCKED : 0) | (waiters ? WAITERS : 0), __ATOMIC_RELEASE);
}

static void forget_waiters_if_none(green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    lock_acquire(&queue->lock, RANK_QUEUE);
    if (!queue->head)
        mutex_forget_waiters(mutex);
    lock_release(&queue->lock, RANK_QUEUE);
}

/* A signal's handlers run, which may lock other mutexes; the wait goes on, where it was. */
static void interlude(struct thread *self, green_mutex_t *mutex)
{
    bool handoff = self->handoff;

    forget_waiters_if_none(mutex);
    self->handoff = false;
    signal_interlude(self);
    self->handoff = handoff;
    self->granted = false;
}

static int lock_slow(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&mutex->__queue);
    int error = 0;

    if (policy_inherits())
        return inherit_lock_until(self, mutex, deadline);
    self->handoff = self->granted = false;
    if (!spin(mutex)) {
        for (;;) {
            lock_acquire(&queue->lock, RANK_QUEUE);
            if (mutex_take_or_announce(mutex)) {
                lock_release(&queue->lock, RANK_QUEUE);
                break;
            }
            waitq_join(queue, self, deadline);
            error = waitq_park(queue, self, RANK_QUEUE);
            if (error == EINTR) {
                interlude(self, mutex);
                error = 0;
                continue;
            }
            if (error || self->granted)
                break;
            self->handoff = true;
        }
    }
    self->handoff = false;
    if (error)
        forget_waiters_if_none(mutex);
    else
        mutex_set_owner(mutex, self);
    return error;
}

/* With waiters: wake the first, and hand the mutex over when it has lost it before. */
static void unlock_slow(struct thread *self, green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    if (policy_inherits()) {
        inherit_unlock(self, mutex);
        return;
    }
    lock_acquire(&queue->lock, RANK_QUEUE);
    struct thread *waiter = waitq_claim_first(queue);
    unsigned waiters = queue->head ? WAITERS : 0;
    if (waiter && waiter->handoff) {
        waiter->granted = true;
        mutex_set_owner(mutex, waiter);
        __atomic_store_n(&mutex->__state, LOCKED | waiters, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&mutex->__state, waiters, __ATOMIC_RELEASE);
    }
    lock_release(&queue->lock, RANK_QUEUE);
    if (waiter)
        ready(self, waiter);
}

/* A type that knows its owner may not lose him before it is open, or a thread in between could not lend him anything. */
static bool owner_must_last(const green_mutex_t *mutex)
{
    return mutex->__kind != GREEN_MUTEX_NORMAL && policy_inherits();
}

static void unlock_at_depth(struct thread *self, green_mutex_t *mutex)
{
    if (owner_must_last(mutex) || !state_change(mutex, LOCKED, 0))
        unlock_slow(self, mutex);
}

/* The calling thread, known to the library: recursive and error-checking mutexes ask who it is. */
static struct thread *identity(void)
{
    struct thread *self = self_thread;

    if (unlikely(!self) && (self = enter()))
        leave(self);
    return self;
}

/* A recursive or error-checking mutex that is the caller's already. */
static int relock(green_mutex_t *mutex)
{
    if (mutex->__kind == GREEN_MUTEX_ERRORCHECK)
        return EDEADLK;
    if (mutex->__count == UINT_MAX)
        return EAGAIN;
    mutex->__count++;
    return 0;
}

/* Lock without waiting: 0, an error, or EBUSY. */
static int lock_fast(green_mutex_t *mutex)
{
    struct thread *self = self_thread;

    if (mutex->__kind != GREEN_MUTEX_NORMAL) {
        self = identity();
        if (!self)
            return ENOMEM;
        if (mutex_owner(mutex) == self)
            return relock(mutex);
    }
    if (policy_inherits())
        return inherit_trylock(mutex);
    if (!state_change(mutex, 0, LOCKED))
        return EBUSY;
    mutex_set_owner(mutex, self);
    return 0;
}

static int lock_until(green_mutex_t *mutex, uint64_t deadline)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = lock_slow(self, mutex, deadline);
    leave(self);
    return error;
}

int green_mutex_lock(green_mutex_t *mutex)
{
    if (unlikely(!mutex))
        return EINVAL;
    int error = lock_fast(mutex);
    return likely(error != EBUSY) ? error : lock_until(mutex, NEVER);
}

int green_mutex_trylock(green_mutex_t *mutex)
{
    if (!mutex)
        return EINVAL;
    int error = lock_fast(mutex);
    if (error == EDEADLK)
        return EBUSY;
    if (error == EBUSY && !policy_inherits() && mutex_take(mutex)) { /* open, with waiters on their way */
        mutex_set_owner(mutex, self_thread);
        return 0;
    }
    return error;
}

int green_mutex_clocklock(green_mutex_t *mutex, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (!mutex || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
        return EINVAL;
    int error = lock_fast(mutex);
    if (error != EBUSY)
        return error;
    error = clock_deadline(clock, abstime, &deadline);
    return error ? error : lock_until(mutex, deadline);
}

int green_mutex_timedlock(green_mutex_t *mutex, const struct timespec *abstime)
{
    return green_mutex_clocklock(mutex, CLOCK_REALTIME, abstime);
}

/* The checks of an unlock by its type: 0 and whether it is to be opened now, or EPERM. */
static int unlock_check(green_mutex_t *mutex, bool *open)
{
    *open = true;
    if (mutex->__kind == GREEN_MUTEX_NORMAL)
        return 0;
    if (mutex_owner(mutex) != self_thread || !self_thread)
        return EPERM;
    if (mutex->__count > 0) {
        mutex->__count--;
        *open = false;
        return 0;
    }
    if (!owner_must_last(mutex))
        mutex_set_owner(mutex, NULL);
    return 0;
}

int green_mutex_unlock(green_mutex_t *mutex)
{
    bool open;

    if (unlikely(!mutex))
        return EINVAL;
    int error = unlock_check(mutex, &open);
    if (error || !open || (!owner_must_last(mutex) && likely(state_change(mutex, LOCKED, 0))))
        return error;
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    if (state_of(mutex) & LOCKED)
        unlock_at_depth(self, mutex);
    leave(self);
    return 0;
}

int mutex_check(const struct thread *self, const green_mutex_t *mutex)
{
    return mutex->__kind != GREEN_MUTEX_NORMAL && mutex_owner(mutex) != self ? EPERM : 0;
}

unsigned mutex_release(struct thread *self, green_mutex_t *mutex)
{
    unsigned count = mutex->__count;

    mutex->__count = 0;
    if (mutex->__kind != GREEN_MUTEX_NORMAL && !policy_inherits())
        mutex_set_owner(mutex, NULL);
    unlock_at_depth(self, mutex);
    return count;
}

void mutex_reacquire(struct thread *self, green_mutex_t *mutex, unsigned count)
{
    if (!policy_inherits() && state_change(mutex, 0, LOCKED))
        mutex_set_owner(mutex, self);
    else
        lock_slow(self, mutex, NEVER);
    mutex->__count = count;
}

int green_mutexattr_init(green_mutexattr_t *attr)
{
    if (!attr)
        return EINVAL;
    memset(attr, 0, sizeof *attr);
    attr->__kind = GREEN_MUTEX_DEFAULT;
    return 0;
}

int green_mutexattr_destroy(green_mutexattr_t *attr)
{
    return attr ? 0 : EINVAL;
}

int green_mutexattr_settype(green_mutexattr_t *attr, int type)
{
    if (!attr || type < GREEN_MUTEX_NORMAL || type > GREEN_MUTEX_ERRORCHECK)
        return EINVAL;
    attr->__kind = type;
    return 0;
}

int green_mutexattr_gettype(const green_mutexattr_t *attr, int *type)
{
    if (!attr || !type)
        return EINVAL;
    *type = attr->__kind;
    return 0;
}

int green_mutex_init(green_mutex_t *mutex, const green_mutexattr_t *attr)
{
    if (!mutex || (attr && (attr->__kind < GREEN_MUTEX_NORMAL || attr->__kind > GREEN_MUTEX_ERRORCHECK)))
        return EINVAL;
    memset(mutex, 0, sizeof *mutex);
    mutex->__kind = attr ? (unsigned)attr->__kind : GREEN_MUTEX_DEFAULT;
    return 0;
}

int green_mutex_destroy(green_mutex_t *mutex)
{
    if (!mutex)
        return EINVAL;
    return state_of(mutex) ? EBUSY : 0;
}
