/* Priority inheritance through mutexes.  See inherit.c. */
#ifndef INHERIT_H
#define INHERIT_H

#include "core/policy.h"

/* With a policy that lends priorities, in place of the paths of mutex.c; the first without waiting, at any depth. */
int inherit_trylock(green_mutex_t *mutex); /* 0, EBUSY, ENOMEM */
int inherit_lock_until(struct thread *self, green_mutex_t *mutex, uint64_t deadline); /* 0, ETIMEDOUT, ENOTRECOVERABLE */
void inherit_unlock(struct thread *self, green_mutex_t *mutex);
/* It is unlocked and lost: those who wait are told. */
void inherit_lose(struct thread *self, green_mutex_t *mutex);

/* A thread's own policy and priority are others.  False when that life of it is over. */
bool inherit_set_own(struct thread *thread, green_t id, int how, int priority);

#endif
