/* What a condition variable needs of a mutex, and what priority inheritance does. */
#ifndef MUTEX_H
#define MUTEX_H

#include "core/sched.h"

/* EPERM when the mutex is of a type that knows its owner, and that is somebody else. */
int mutex_check(const struct thread *self, const green_mutex_t *mutex);

/* Release it whole, at depth > 0; its lock count. */
unsigned mutex_release(struct thread *self, green_mutex_t *mutex);

/* Lock it again as it was. */
void mutex_reacquire(struct thread *self, green_mutex_t *mutex, unsigned count);

struct thread *mutex_owner(const green_mutex_t *mutex);
void mutex_set_owner(green_mutex_t *mutex, const struct thread *owner);

/* The state word.  Take it if it is free: false when it is not; and then it is known that there is a waiter. */
bool mutex_take(green_mutex_t *mutex);
bool mutex_take_or_announce(green_mutex_t *mutex);
void mutex_forget_waiters(green_mutex_t *mutex);
/* By whom has it: to the next, if there is one. */
void mutex_hand_over(green_mutex_t *mutex, bool next, bool waiters);

#endif
