/* What a condition variable needs of a mutex. */
#ifndef MUTEX_H
#define MUTEX_H

#include "core/sched.h"

/* EPERM when the mutex is of a type that knows its owner, and that is somebody else. */
int mutex_check(const struct thread *self, const green_mutex_t *mutex);

/* Release it whole, at depth > 0; its lock count. */
unsigned mutex_release(struct thread *self, green_mutex_t *mutex);

/* Lock it again as it was. */
void mutex_reacquire(struct thread *self, green_mutex_t *mutex, unsigned count);

#endif
