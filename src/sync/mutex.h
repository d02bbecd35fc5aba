/* What condition variables, robustness and priority inheritance need of a mutex.  See mutex.c. */
#ifndef MUTEX_H
#define MUTEX_H

#include "core/sched.h"

/* __state; from MUTEX_WOKEN_ONE on it is a number. */
enum { MUTEX_LOCKED = 1, MUTEX_WAITERS = 2, MUTEX_GIVEN = 4, MUTEX_DEAD = 8, MUTEX_LOST = 16, MUTEX_WOKEN_ONE = 256 };

/* __kind: a type, these, and above them the ceiling of a MUTEX_PROTECT one. */
enum { MUTEX_TYPE = 3, MUTEX_ROBUST = 4, MUTEX_INHERIT = 8, MUTEX_PROTECT = 16, MUTEX_SHARED = 32,
       MUTEX_CEILING_SHIFT = 8 };

/* In that state, a thread that has been woken is on its way. */
bool mutex_woken(unsigned state);

/* EPERM when the mutex is of a type that knows its owner, and that is somebody else. */
int mutex_check(const struct thread *self, const green_mutex_t *mutex);

/* Release it whole, at depth > 0; its lock count. */
unsigned mutex_release(struct thread *self, green_mutex_t *mutex);

/*
 * The same by who parks next: whoever is about to run and was woken from a wait with this mutex gets it at once, its
 * `relocks` then NULL.
 */
unsigned mutex_release_to_next(struct thread *self, green_mutex_t *mutex);

/* Lock it again as it was: 0, or, when it is robust, EOWNERDEAD or ENOTRECOVERABLE. */
int mutex_reacquire(struct thread *self, green_mutex_t *mutex, unsigned count);

/* A recursive or error-checking one that is the caller's already: 0, EAGAIN, EDEADLK. */
int mutex_relock(green_mutex_t *mutex);

/* Until it is the caller's, who is not noted as its owner yet: 0, or ETIMEDOUT, or ENOTRECOVERABLE. */
int mutex_wait(struct thread *self, green_mutex_t *mutex, uint64_t deadline);

struct thread *mutex_owner(const green_mutex_t *mutex);
void mutex_set_owner(green_mutex_t *mutex, const struct thread *owner);

/* The state word. */
static inline unsigned mutex_state(const green_mutex_t *mutex)
{
    return __atomic_load_n(&mutex->__state, __ATOMIC_RELAXED);
}

static inline bool mutex_change(green_mutex_t *mutex, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&mutex->__state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Take it if it is free: false when it is not; and then it is known that there is a waiter. */
bool mutex_take(green_mutex_t *mutex);
bool mutex_take_or_announce(green_mutex_t *mutex);
void mutex_forget_waiters(green_mutex_t *mutex);
/* With the queue's lock held, by whom has it: open it, so marked, and with somebody woken or not. */
void mutex_open(green_mutex_t *mutex, unsigned mark, bool woken);
/* The priority that its owner has at least, if it is of GREEN_PRIO_PROTECT; else 0. */
static inline int mutex_ceiling(const green_mutex_t *mutex)
{
    return (int)(__atomic_load_n(&mutex->__kind, __ATOMIC_RELAXED) >> MUTEX_CEILING_SHIFT);
}

/* Nobody gets it any more: see robust.c. */
bool mutex_lost(const green_mutex_t *mutex);
/* By whom has it: to the next, if there is one. */
void mutex_hand_over(green_mutex_t *mutex, bool next, bool waiters);

#endif
