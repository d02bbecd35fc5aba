/*
 * Mutexes.
 *
 * The state is a few bits.  Lock and unlock are one compare and swap each while nobody waits.
 *   LOCKED
 *   WAITERS  threads are on the queue.  Set before a thread parks and cleared when the queue is found empty, both
 *            under the queue's lock: so no unlock overlooks a waiter.
 *   WOKEN    a thread that an unlock has woken has not come yet.  Set by that unlock; cleared by that thread, once it
 *            has the mutex, or under the queue's lock as it parks again.  Until then unlock only opens the mutex: the
 *            thread on its way does for the others what an unlock would, as its own unlock follows.  Not a bit but a
 *            number, that of the forks between the first process and this one: in a child the thread on its way does
 *            not come.
 *   GIVEN    LOCKED for the thread on its way, as it took too long to come: perhaps it waits for the very processor
 *            of those who pass it.  Set by an unlock, cleared by that thread.
 *   DEAD, LOST  see robust.c
 *
 * Unlock wakes the first waiter and leaves the mutex open: whoever runs may take it, which keeps a busy lock from
 * costing a switch each time.  A waiter that finds it taken goes to the head of the queue.  PATIENCE_NS after it was
 * first woken it is handed the mutex, on the queue or on its way (then at one unlock of LOOK_EVERY, as a look at the
 * clock costs more than an unlock).  Rejected: handing over always (each lock then waits for a switch), never (a
 * waiter may starve), or at the first unlock after a waiter came in vain (threads that lock in a loop then switch
 * every other time); and waking one at each unlock that finds waiters (all come, and all but one in vain).
 *
 * A contended lock spins for a moment, only while its owner runs on another processor: an owner that is preempted or
 * parked needs our processor, or somebody's, before it can unlock.  Those who would take it from each other at each
 * turn let each other go on for a while: see streak.h.
 *
 * With a policy that lends priorities all but the uncontended unlock is inherit.c's.
 *
 * A kind of 0 is a plain mutex; all else, the type, robustness or a protocol, makes it one that knows its owner.
 */
#include "sync/mutex.h"

#include <errno.h>
#include <limits.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "core/fork.h"
#include "core/signals.h"
#include "sync/inherit.h"
#include "sync/robust.h"
#include "sync/shared.h"
#include "sync/waitq.h"

enum { PATIENCE_NS = 100000, LOOK_EVERY = 32, STAMP_SHIFT = 10 };

/* A time that fits in the mutex: about a microsecond each, and round again after an hour. */
static unsigned stamp_of(uint64_t ns)
{
    return (unsigned)(ns >> STAMP_SHIFT);
}

static inline unsigned woken_here(void)
{
    return (fork_count + 1) * MUTEX_WOKEN_ONE;
}

bool mutex_woken(unsigned state)
{
    return (state & ~(MUTEX_WOKEN_ONE - 1U)) == woken_here();
}

struct thread *mutex_owner(const green_mutex_t *mutex)
{
    return (struct thread *)(uintptr_t)__atomic_load_n(&mutex->__owner, __ATOMIC_RELAXED);
}

void mutex_set_owner(green_mutex_t *mutex, const struct thread *owner)
{
    __atomic_store_n(&mutex->__owner, (uintptr_t)owner, __ATOMIC_RELAXED);
}

static inline bool take_open(green_mutex_t *mutex)
{
    unsigned state = mutex_state(mutex);

    return !(state & MUTEX_LOCKED) && mutex_change(mutex, state, state | MUTEX_LOCKED);
}

bool mutex_take(green_mutex_t *mutex)
{
    return take_open(mutex);
}

/* With the queue's lock held: true when the mutex was free after all; else it is known that there is a waiter. */
bool mutex_take_or_announce(green_mutex_t *mutex)
{
    for (;;) {
        unsigned state = mutex_state(mutex);
        if (!(state & MUTEX_LOCKED)) {
            if (mutex_change(mutex, state, state | MUTEX_LOCKED))
                return true;
        } else if ((state & MUTEX_WAITERS) || mutex_change(mutex, state, state | MUTEX_WAITERS)) {
            return false;
        }
    }
}

void mutex_forget_waiters(green_mutex_t *mutex)
{
    __atomic_fetch_and(&mutex->__state, ~(unsigned)MUTEX_WAITERS, __ATOMIC_RELAXED);
}

void mutex_hand_over(green_mutex_t *mutex, bool next, bool waiters)
{
    const unsigned mark = mutex_state(mutex) & MUTEX_DEAD;

    __atomic_store_n(&mutex->__state, mark | (next ? MUTEX_LOCKED : 0) | (waiters ? MUTEX_WAITERS : 0),
                     __ATOMIC_RELEASE);
}

void mutex_open(green_mutex_t *mutex, unsigned mark, bool woken)
{
    const unsigned waiters = waitq_of(&mutex->__queue)->head ? MUTEX_WAITERS : 0;

    __atomic_store_n(&mutex->__state, mark | waiters | (woken ? woken_here() : 0), __ATOMIC_RELEASE);
}

/* The mutex is the caller's: 0 or EOWNERDEAD. */
static int own(struct thread *self, green_mutex_t *mutex)
{
    mutex_set_owner(mutex, self);
    return unlikely(mutex->__kind & MUTEX_ROBUST) ? robust_locked(self, mutex) : 0;
}

static int lock_slow(struct thread *self, green_mutex_t *mutex, uint64_t deadline)
{
    const int error = mutex_wait(self, mutex, deadline);

    return error ? error : own(self, mutex);
}

/* With the queue's lock held: open the mutex, or hand it to who has lost it for too long.  Whom to make ready. */
static struct thread *open_and_claim(green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);
    struct thread *waiter = waitq_claim_first(queue);
    const uint64_t now = waiter ? clock_now() : 0;

    if (waiter && waiter->handoff && now - waiter->lost_ns >= PATIENCE_NS) {
        waiter->granted = true;
        mutex_set_owner(mutex, waiter);
        mutex_hand_over(mutex, true, queue->head != NULL);
        return waiter;
    }
    if (waiter && !waiter->handoff)
        waiter->lost_ns = now;
    if (waiter)
        mutex->__since = stamp_of(waiter->lost_ns);
    mutex_open(mutex, 0, waiter != NULL);
    return waiter;
}

static bool took_too_long(const green_mutex_t *mutex)
{
    return stamp_of(clock_now()) - mutex->__since >= PATIENCE_NS >> STAMP_SHIFT;
}

static __attribute__((noinline)) bool pass_or_give(struct thread *self, green_mutex_t *mutex)
{
    unsigned state = mutex_state(mutex);

    if (!mutex_woken(state))
        return false;
    const bool give = self && took_too_long(mutex);

    if (give)
        mutex_set_owner(mutex, NULL); /* who runs, and is not to be spun for */
    for (; mutex_woken(state) && !(state & MUTEX_DEAD); state = mutex_state(mutex))
        if (mutex_change(mutex, state, give ? state | MUTEX_GIVEN : state & ~(unsigned)MUTEX_LOCKED))
            return true;
    return false;
}

/*
 * Somebody has been woken and is on the way: the mutex is left open, or given to him when that takes too long, as he
 * may be waiting for this very processor.  False: he has come.  A busy mutex is mostly unlocked here, so what is done
 * each time calls nothing: what a call saves on the stack has to arrive there before the compare and swap.
 */
static inline bool unlock_passing(struct thread *self, green_mutex_t *mutex)
{
    const unsigned state = mutex_state(mutex);

    if (!mutex_woken(state))
        return false;
    if (likely(self && ++self->passes % LOOK_EVERY != 0 && !(state & MUTEX_DEAD)) &&
        mutex_change(mutex, state, state & ~(unsigned)MUTEX_LOCKED))
        return true;
    return pass_or_give(self, mutex);
}

/* Nobody waits, and nobody is on the way.  The look first saves a compare and swap in vain when somebody is. */
static inline bool open_plain(green_mutex_t *mutex)
{
    return mutex_state(mutex) == MUTEX_LOCKED && mutex_change(mutex, MUTEX_LOCKED, 0);
}

/* With waiters, or on the way: see at the top. */
static void unlock_slow(struct thread *self, green_mutex_t *mutex)
{
    struct waitq *queue = waitq_of(&mutex->__queue);

    if (unlikely(mutex_state(mutex) & MUTEX_DEAD)) {
        robust_lose(self, mutex);
        return;
    }
    if (policy_inherits()) {
        inherit_unlock(self, mutex);
        return;
    }
    if (unlock_passing(self, mutex))
        return;
    lock_acquire(&queue->lock, RANK_QUEUE);
    struct thread *waiter = open_and_claim(mutex);
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
    if (owner_must_last(mutex) || !open_plain(mutex))
        unlock_slow(self, mutex);
}

int mutex_relock(green_mutex_t *mutex)
{
    if ((mutex->__kind & MUTEX_TYPE) == GREEN_MUTEX_ERRORCHECK)
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
    int error = 0;

    if (mutex->__kind != GREEN_MUTEX_NORMAL) {
        self = known_self(); /* recursive and error-checking mutexes ask who it is */
        if (!self)
            return ENOMEM;
        if (mutex_owner(mutex) == self && mutex->__kind & MUTEX_TYPE)
            return mutex_relock(mutex);
        if (policy_inherits() && mutex->__kind & MUTEX_PROTECT && self->priority > mutex_ceiling(mutex))
            return EINVAL;
    }
    if (policy_inherits())
        error = inherit_trylock(mutex);
    else if (!take_open(mutex))
        error = EBUSY;
    return likely(!error) ? own(self, mutex) : error;
}

/* For detectors of races, the outermost lock of a recursive one. */
static inline int locked(green_mutex_t *mutex, int error)
{
    if (annotate_finds_races() && (!error || error == EOWNERDEAD) && mutex->__count == 0)
        annotate_locked(mutex, false);
    return error;
}

static int lock_until(green_mutex_t *mutex, uint64_t deadline)
{
    if (unlikely(mutex->__kind & MUTEX_SHARED))
        return shared_mutex_lock(mutex, deadline);
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = lock_slow(self, mutex, deadline);
    leave(self);
    return error;
}

static __attribute__((noinline)) int lock_generally(green_mutex_t *mutex)
{
    int error = lock_fast(mutex);

    return locked(mutex, likely(error != EBUSY) ? error : lock_until(mutex, NEVER));
}

/*
 * Neither its type nor anything else asks for more than a compare and swap, and as far as one sees nobody waits, so that
 * one is tried without looking at the state before: a look at the word that the last one wrote makes 22 ns of 16 for a
 * lock and an unlock.  With waiters one that fails takes the cache line from the owner (54 ns each under contention, not
 * 30); their queue is on another word.
 */
static inline bool is_plain(green_mutex_t *mutex)
{
    return mutex->__kind == GREEN_MUTEX_NORMAL && !policy_inherits() && !annotate_finds_races() &&
           waitq_seems_empty(waitq_of(&mutex->__queue));
}

/* The common case is a leaf: what a function saves on the stack has to arrive there before the compare and swap. */
int green_mutex_lock(green_mutex_t *mutex)
{
    if (unlikely(!mutex))
        return EINVAL;
    if (unlikely(!is_plain(mutex) || !mutex_change(mutex, 0, MUTEX_LOCKED)))
        return lock_generally(mutex);
    mutex_set_owner(mutex, self_thread);
    return 0;
}

int green_mutex_trylock(green_mutex_t *mutex)
{
    if (!mutex)
        return EINVAL;
    int error = lock_fast(mutex);
    if (error == EDEADLK)
        return EBUSY;
    if (error == EBUSY && mutex->__kind & MUTEX_SHARED)
        return locked(mutex, shared_mutex_trylock(mutex));
    return locked(mutex, error == EBUSY && mutex_lost(mutex) ? ENOTRECOVERABLE : error);
}

int green_mutex_clocklock(green_mutex_t *mutex, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (!mutex || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
        return EINVAL;
    int error = lock_fast(mutex);
    if (error == EBUSY && mutex->__kind & MUTEX_SHARED)
        error = shared_mutex_trylock(mutex);
    if (error != EBUSY)
        return locked(mutex, error);
    error = clock_deadline(clock, abstime, &deadline);
    return locked(mutex, error ? error : lock_until(mutex, deadline));
}

int green_mutex_timedlock(green_mutex_t *mutex, const struct timespec *abstime)
{
    return green_mutex_clocklock(mutex, CLOCK_REALTIME, abstime);
}

/* The caller is about to open a mutex that knows its owner. */
static void disown(struct thread *self, green_mutex_t *mutex)
{
    if (mutex->__kind & MUTEX_ROBUST)
        robust_unlocked(self, mutex);
    if (!owner_must_last(mutex))
        mutex_set_owner(mutex, NULL);
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
    disown(self_thread, mutex);
    return 0;
}

static __attribute__((noinline)) int unlock_generally(green_mutex_t *mutex)
{
    bool open;
    int error = unlock_check(mutex, &open);
    if (error)
        return mutex->__kind & MUTEX_SHARED ? shared_mutex_unlock(mutex) : error;
    if (!open)
        return 0;
    annotate_unlocks(mutex, false);
    if (!owner_must_last(mutex) && (likely(open_plain(mutex)) || unlock_passing(self_thread, mutex)))
        return 0;
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    if (mutex_state(mutex) & MUTEX_LOCKED)
        unlock_at_depth(self, mutex);
    leave(self);
    return 0;
}

int green_mutex_unlock(green_mutex_t *mutex)
{
    if (unlikely(!mutex))
        return EINVAL;
    return likely(is_plain(mutex) && mutex_change(mutex, MUTEX_LOCKED, 0)) ? 0 : unlock_generally(mutex);
}

int mutex_check(const struct thread *self, const green_mutex_t *mutex)
{
    if (mutex->__kind == GREEN_MUTEX_NORMAL || mutex_owner(mutex) == self)
        return 0;
    return mutex->__kind & MUTEX_SHARED ? shared_mutex_check(self, mutex) : EPERM;
}

unsigned mutex_release(struct thread *self, green_mutex_t *mutex)
{
    unsigned count = mutex->__count;

    mutex->__count = 0;
    if (mutex->__kind != GREEN_MUTEX_NORMAL) {
        if (mutex->__kind & MUTEX_SHARED) {
            shared_mutex_release(mutex);
            return count;
        }
        disown(self, mutex);
    }
    unlock_at_depth(self, mutex);
    return count;
}

/*
 * On a processor that is alone, with nobody else in between: opened here, it would be locked by the next thread before
 * anybody sees it.  (Should another run first, by a deadline or out of its turn, it waits for the mutex as if its owner
 * had been preempted.)
 */
static inline bool pass_on(const struct thread *self, green_mutex_t *mutex)
{
    if (!lock_is_idle(RANK_QUEUE) || mutex->__kind != GREEN_MUTEX_NORMAL || mutex_state(mutex) != MUTEX_LOCKED)
        return false;
    struct thread *next = atomic_load_explicit(&self->proc->runnext, memory_order_relaxed);
    if (!next || next->relocks != mutex || park_outcome(next) != WAKE_READY)
        return false;
    next->relocks = NULL;
    mutex_set_owner(mutex, next);
    return true;
}

unsigned mutex_release_to_next(struct thread *self, green_mutex_t *mutex)
{
    return pass_on(self, mutex) ? 0 : mutex_release(self, mutex);
}

/* It is not cancelled before it has it. */
static int relock_slow(struct thread *self, green_mutex_t *mutex)
{
    const bool before = cancel_postpone(self);
    const int error = mutex->__kind & MUTEX_SHARED ? shared_mutex_relock(self, mutex) : lock_slow(self, mutex, NEVER);

    cancel_postpone_end(self, before);
    return error;
}

int mutex_reacquire(struct thread *self, green_mutex_t *mutex, unsigned count)
{
    const bool taken = !policy_inherits() && mutex_change(mutex, 0, MUTEX_LOCKED);
    const int error = taken ? own(self, mutex) : relock_slow(self, mutex);

    if (!error || error == EOWNERDEAD)
        mutex->__count = count;
    return error;
}

bool mutex_lost(const green_mutex_t *mutex)
{
    return mutex_state(mutex) & MUTEX_LOST;
}

int green_mutex_destroy(green_mutex_t *mutex)
{
    if (!mutex)
        return EINVAL;
    if (mutex->__kind & MUTEX_SHARED)
        return shared_mutex_destroy(mutex);
    const unsigned state = mutex_state(mutex);
    if (!(state & MUTEX_LOST) && (state & (MUTEX_LOCKED | MUTEX_WAITERS) || mutex_woken(state)))
        return EBUSY;
    annotate_lock_gone(mutex);
    return 0;
}
