/*
 * Read-write locks.
 *
 * The state is one word: WRITER, WAITERS, and the number of readers above them.  While WAITERS is clear, locking and
 * unlocking are one compare and swap; it is set and cleared under the queue's lock, and while it is set every change
 * is made under that.  WAITERS is set only while somebody has the lock, and who leaves it last hands it to the head
 * of the queue before the lock is released (admit): so it is never open with a queue, and nobody overtakes.
 *
 * One queue for readers and writers, first come first served: a writer waits for those before it, and readers that
 * arrive after it wait for it.  Rejected: preferring readers (writers starve), preferring writers (readers do), and
 * two queues that take turns, which let a reader pass a writer that came before.
 *
 * A thread that has a read lock already passes the queue, or two reads of its own with a writer in between would wait
 * for each other.  Which lock it has is not looked at, only that it has one (read_locks): a list of them would have
 * to be searched at every lock.  Attributes make a lock whose readers all pass, or none (may_pass).
 *
 * Where the policy lends priorities, the most urgent stands first, and a reader passes writers that are less urgent: else
 * it would wait for them.
 */
#include <errno.h>
#include <string.h>

#include "base/annotate.h"
#include "core/signals.h"
#include "sync/rwlockattr.h"
#include "sync/shared.h"
#include "sync/waitq.h"

enum { WRITER = 1, WAITERS = 2, READER = 4, SPINS = 100 };

/* `__passing`: which readers pass the queue.  0, as in the initialiser: those that hold a read lock. */
enum passing { PASSING_HOLDERS, PASSING_ALL, PASSING_NONE = 2 /* the initialiser's */ };
#define READERS_MAX (UINT32_MAX / READER / 2)

static unsigned state_of(const green_rwlock_t *lock)
{
    return __atomic_load_n(&lock->__state, __ATOMIC_RELAXED);
}

static bool state_change(green_rwlock_t *lock, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&lock->__state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static struct thread *owner_of(const green_rwlock_t *lock)
{
    return (struct thread *)(uintptr_t)__atomic_load_n(&lock->__owner, __ATOMIC_RELAXED);
}

static void set_owner(green_rwlock_t *lock, const struct thread *owner)
{
    __atomic_store_n(&lock->__owner, (uintptr_t)owner, __ATOMIC_RELAXED);
}

static const enum passing passing_of_kind[] = {
    [GREEN_RWLOCK_PREFER_READER_NP] = PASSING_ALL,
    [GREEN_RWLOCK_PREFER_WRITER_NP] = PASSING_HOLDERS,
    [GREEN_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP] = PASSING_NONE,
};

int green_rwlock_init(green_rwlock_t *lock, const green_rwlockattr_t *attr)
{
    if (!lock || (attr && !rwlockattr_valid(attr)))
        return EINVAL;
    memset(lock, 0, sizeof *lock);
    lock->__passing = passing_of_kind[attr ? attr->__kind : GREEN_RWLOCK_DEFAULT_NP];
    if (attr && attr->__shared)
        shared_rwlock_init(lock);
    return 0;
}

/* A reader, with the queue's lock held. */
static bool may_pass(const struct thread *self, green_rwlock_t *lock)
{
    const enum passing passing = (enum passing)lock->__passing;

    return passing == PASSING_ALL || (passing == PASSING_HOLDERS && self->read_locks > 0) ||
           waitq_outranks(waitq_of(&lock->__queue), self);
}

int green_rwlock_destroy(green_rwlock_t *lock)
{
    if (!lock)
        return EINVAL;
    if (shared_is(&lock->__queue))
        return shared_rwlock_destroy(lock);
    if (state_of(lock))
        return EBUSY;
    annotate_lock_gone(lock);
    return 0;
}

/* The state with the lock taken to read or write, or 0 when it cannot be taken now. */
static unsigned taken(unsigned state, bool writes)
{
    if (state & WRITER || (writes && state >= READER))
        return 0;
    return writes ? state | WRITER : state + READER;
}

/* The books of a lock that the thread has just been given. */
static void note_locked(struct thread *thread, green_rwlock_t *lock, bool writes)
{
    if (writes)
        set_owner(lock, thread);
    else
        thread->read_locks++;
}

/* By the thread itself, once it has it. */
static int locked(green_rwlock_t *lock, bool writes, int error)
{
    if (!error)
        annotate_locked(lock, !writes);
    return error;
}

/* With the queue's lock held: give it to as many from the head on as can have it.  They are linked by `next`. */
static struct thread *admit(green_rwlock_t *lock)
{
    struct waitq *queue = waitq_of(&lock->__queue);
    struct thread *first = NULL, **last = &first, *waiter;

    while ((waiter = queue->head)) {
        const bool writes = waiter->wait_writes;
        const unsigned next = taken(state_of(lock) & ~(unsigned)WAITERS, writes);
        if (!next && !waitq_lost(waiter))
            break;
        if (!waitq_claim(queue, waiter))
            continue;
        __atomic_store_n(&lock->__state, next | WAITERS, __ATOMIC_RELEASE);
        if (writes)
            set_owner(lock, waiter);
        *last = waiter;
        last = &waiter->next;
    }
    *last = NULL;
    if (!queue->head)
        __atomic_fetch_and(&lock->__state, ~(unsigned)WAITERS, __ATOMIC_RELEASE);
    return first;
}

/* With the queue's lock held: 0 when it is the caller's, EAGAIN; or EBUSY, and it is known that somebody waits. */
static int take_or_announce(struct thread *self, green_rwlock_t *lock, bool writes)
{
    for (;;) {
        const unsigned state = state_of(lock);
        const bool passes = !(state & WAITERS) || (!writes && may_pass(self, lock));
        const unsigned next = passes ? taken(state, writes) : 0;
        if (!writes && state / READER >= READERS_MAX)
            return EAGAIN;
        if (state_change(lock, state, next ? next : state | WAITERS))
            return next ? 0 : EBUSY;
    }
}

/* A waiter has gone, who may have been what the others waited for. */
static void let_pass(struct thread *self, green_rwlock_t *lock)
{
    struct waitq *queue = waitq_of(&lock->__queue);

    lock_acquire(&queue->lock, RANK_QUEUE);
    struct thread *admitted = state_of(lock) & WAITERS ? admit(lock) : NULL;
    lock_release(&queue->lock, RANK_QUEUE);
    waitq_ready_all(self, admitted);
}

/* Once: 0 when it is the caller's, EAGAIN, ETIMEDOUT, or EINTR for a signal that has not been handled yet. */
static int wait_once(struct thread *self, green_rwlock_t *lock, bool writes, uint64_t deadline)
{
    struct waitq *queue = waitq_of(&lock->__queue);

    lock_acquire(&queue->lock, RANK_QUEUE);
    int error = take_or_announce(self, lock, writes);
    if (error != EBUSY) {
        lock_release(&queue->lock, RANK_QUEUE);
        return error;
    }
    self->wait_writes = writes;
    waitq_join(queue, self, deadline);
    error = waitq_park(queue, self, RANK_QUEUE);
    if (error)
        let_pass(self, lock);
    return error;
}

static bool writer_runs_elsewhere(const green_rwlock_t *lock)
{
    const struct thread *owner = owner_of(lock);

    return sched_shared && owner && atomic_load_explicit(&owner->state, memory_order_relaxed) == THREAD_RUNNING;
}

/* Without waiting: 0, EBUSY, EAGAIN, EDEADLK. */
static int try_lock(struct thread *self, green_rwlock_t *lock, bool writes)
{
    unsigned state, next;

    if (owner_of(lock) == self)
        return EDEADLK;
    do {
        state = state_of(lock);
        if (!writes && state / READER >= READERS_MAX)
            return EAGAIN;
        if (state & WAITERS || !(next = taken(state, writes)))
            return EBUSY;
    } while (!state_change(lock, state, next));
    return 0;
}

static int lock_waiting(struct thread *self, green_rwlock_t *lock, bool writes, uint64_t deadline)
{
    int error = EBUSY;

    for (int i = 0; i < SPINS && writer_runs_elsewhere(lock) && error == EBUSY; i++) {
        arch_pause();
        error = try_lock(self, lock, writes);
    }
    if (error != EBUSY)
        return error;
    self->handoff = false;
    while ((error = wait_once(self, lock, writes, deadline)) == EINTR) {
        self->handoff = self->wait_writes = false; /* the handlers have waits of their own */
        signal_interlude(self);
        self->handoff = true; /* it stood in line before: it comes back at the head */
    }
    self->handoff = self->wait_writes = false;
    return error;
}

static int lock_until(green_rwlock_t *lock, bool writes, uint64_t deadline)
{
    if (unlikely(shared_is(&lock->__queue)))
        return shared_rwlock_lock(lock, writes, deadline);
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = lock_waiting(self, lock, writes, deadline);
    if (!error)
        note_locked(self, lock, writes);
    leave(self);
    return locked(lock, writes, error);
}

static int lock_fast(green_rwlock_t *lock, bool writes)
{
    struct thread *self = lock ? known_self() : NULL;

    if (unlikely(!self))
        return lock ? ENOMEM : EINVAL;
    int error = try_lock(self, lock, writes);
    if (likely(!error))
        note_locked(self, lock, writes);
    return locked(lock, writes, error);
}

static int lock_for_ever(green_rwlock_t *lock, bool writes)
{
    int error = lock_fast(lock, writes);

    return error == EBUSY ? lock_until(lock, writes, NEVER) : error;
}

static int lock_clock(green_rwlock_t *lock, bool writes, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    int error = lock_fast(lock, writes);
    if (error == EBUSY && shared_is(&lock->__queue))
        error = shared_rwlock_trylock(lock, writes);
    if (error != EBUSY)
        return error;
    error = clock_deadline(clock, abstime, &deadline);
    return error ? error : lock_until(lock, writes, deadline);
}

/* A reader with waiters before it, which it may pass. */
static int try_passing(green_rwlock_t *lock)
{
    struct waitq *queue = waitq_of(&lock->__queue);
    struct thread *self = enter();
    int error = EBUSY;

    lock_acquire(&queue->lock, RANK_QUEUE);
    const unsigned state = state_of(lock), next = state & WAITERS && may_pass(self, lock) ? taken(state, false) : 0;
    if (next && state_change(lock, state, next))
        error = 0;
    lock_release(&queue->lock, RANK_QUEUE);
    if (!error)
        note_locked(self, lock, false);
    leave(self);
    return locked(lock, false, error);
}

int green_rwlock_tryrdlock(green_rwlock_t *lock)
{
    int error = lock_fast(lock, false);

    if (error == EBUSY && shared_is(&lock->__queue))
        return shared_rwlock_trylock(lock, false);
    if (error == EBUSY && state_of(lock) & WAITERS)
        return try_passing(lock);
    return error == EDEADLK ? EBUSY : error;
}

int green_rwlock_trywrlock(green_rwlock_t *lock)
{
    int error = lock_fast(lock, true);

    if (error == EBUSY && shared_is(&lock->__queue))
        return shared_rwlock_trylock(lock, true);
    return error == EDEADLK ? EBUSY : error;
}

int green_rwlock_rdlock(green_rwlock_t *lock)
{
    return lock_for_ever(lock, false);
}

int green_rwlock_wrlock(green_rwlock_t *lock)
{
    return lock_for_ever(lock, true);
}

int green_rwlock_clockrdlock(green_rwlock_t *lock, clockid_t clock, const struct timespec *abstime)
{
    return lock_clock(lock, false, clock, abstime);
}

int green_rwlock_clockwrlock(green_rwlock_t *lock, clockid_t clock, const struct timespec *abstime)
{
    return lock_clock(lock, true, clock, abstime);
}

int green_rwlock_timedrdlock(green_rwlock_t *lock, const struct timespec *abstime)
{
    return lock_clock(lock, false, CLOCK_REALTIME, abstime);
}

int green_rwlock_timedwrlock(green_rwlock_t *lock, const struct timespec *abstime)
{
    return lock_clock(lock, true, CLOCK_REALTIME, abstime);
}

static unsigned released(unsigned state)
{
    return state & WRITER ? state & ~(unsigned)WRITER : state - READER;
}

/* Somebody waits, or did a moment ago. */
static void unlock_slow(struct thread *self, green_rwlock_t *lock)
{
    struct waitq *queue = waitq_of(&lock->__queue);
    struct thread *admitted = NULL;
    unsigned state;

    lock_acquire(&queue->lock, RANK_QUEUE);
    do
        state = state_of(lock);
    while (!state_change(lock, state, released(state)));
    if (state & WAITERS)
        admitted = admit(lock);
    lock_release(&queue->lock, RANK_QUEUE);
    waitq_ready_all(self, admitted);
}

static int unlock_check(green_rwlock_t *lock)
{
    struct thread *self = known_self();

    if (!self)
        return ENOMEM;
    const unsigned state = state_of(lock);
    if (state & WRITER) {
        if (owner_of(lock) != self)
            return EPERM;
        set_owner(lock, NULL);
        annotate_unlocks(lock, false);
        return 0;
    } else if (state < READER) {
        return EPERM;
    } else if (self->read_locks > 0) { /* none: somebody else's, which POSIX leaves undefined */
        self->read_locks--;
    }
    annotate_unlocks(lock, true);
    return 0;
}

int green_rwlock_unlock(green_rwlock_t *lock)
{
    int error = lock ? unlock_check(lock) : EINVAL;
    unsigned state;

    if (error)
        return error == EPERM && shared_is(&lock->__queue) ? shared_rwlock_unlock(lock) : error;
    while (!((state = state_of(lock)) & WAITERS))
        if (state_change(lock, state, released(state)))
            return 0;
    struct thread *self = enter();
    unlock_slow(self, lock);
    leave(self);
    return 0;
}
