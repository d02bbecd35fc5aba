/* Robust mutexes: what mutex.c and the end of a thread need.  See robust.c. */
#ifndef ROBUST_H
#define ROBUST_H

#include "core/sched.h"

/* The mutex is the caller's: 0, or EOWNERDEAD when it is inconsistent. */
int robust_locked(struct thread *self, green_mutex_t *mutex);

/* It is about to be opened. */
void robust_unlocked(struct thread *self, green_mutex_t *mutex);

/* It is unlocked inconsistent, at depth > 0: nobody gets it any more. */
void robust_lose(struct thread *self, green_mutex_t *mutex);

/* For detectors of races: the thread, at depth 0, is about to end. */
void robust_announce(struct thread *self);

/* The thread ends, at depth > 0. */
void robust_abandon(struct thread *self);

/* The same, with whatever else synchronisation keeps in a thread. */
static inline void sync_thread_ends(struct thread *self)
{
    self->read_locks = 0;
    if (unlikely(self->robust != NULL))
        robust_abandon(self);
}

#endif
