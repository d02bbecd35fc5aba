/* What a condition variable needs of a mutex. */
#ifndef MUTEX_H
#define MUTEX_H

#include "core/sched.h"

/* Release it whole, at depth > 0: 0 and its lock count, or EPERM. */
int mutex_release(struct thread *self, green_mutex_t *mutex, unsigned *count);

/* Lock it again as it was. */
void mutex_reacquire(struct thread *self, green_mutex_t *mutex, unsigned count);

#endif
