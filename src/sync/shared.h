/*
 * Objects shared between processes.  See shared.c.
 *
 * A private object's fast path must not ask what it is.  So a shared one looks like one that is busy: its queue has
 * SHARED_MARK for a head, its state is such that the fast paths fail, and the slow ones find out.
 */
#ifndef SHARED_H
#define SHARED_H

#include <errno.h>

#include <green/sync.h>

#include "core/sched.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the halves of words are slept on");

/* In place of a thread: no object that has it is ever queued on. */
#define SHARED_MARK ((void *)1)

static inline bool shared_is(const struct __green_queue *queue)
{
    return __atomic_load_n(&queue->__head, __ATOMIC_RELAXED) == SHARED_MARK;
}

static inline bool shared_valid(int shared)
{
    return shared == GREEN_PROCESS_PRIVATE || shared == GREEN_PROCESS_SHARED;
}

/* An attribute's setpshared() and getpshared(), of the field that keeps it. */
int shared_set(int *field, int shared);
int shared_get(const int *field, int *shared);

/* What ends a wait besides a wake-up and the deadline: cancellation; a handler without SA_RESTART; any handler. */
enum shared_ends {
    SHARED_ENDS_NOT = 0,
    SHARED_ENDS_CANCEL = 1,
    SHARED_ENDS_INTERRUPT = 2,
    SHARED_ENDS_HANDLER = 4,
    SHARED_ENDS_BY_HANDLERS = SHARED_ENDS_INTERRUPT | SHARED_ENDS_HANDLER
};

/* Who the calling thread is, among all processes. */
uint64_t shared_identity(const struct thread *self);

/*
 * Sleep while the 32 bits at `word` are `value`, in the kernel, at the caller's depth with no lock held.  0: woken, by a
 * wake-up that nobody else got; or without one, EAGAIN: look again; ETIMEDOUT; ECANCELED: a request is to be taken;
 * EINTR: such a handler has run since the caller cleared self->handled.
 */
int shared_wait(struct thread *self, void *word, uint32_t value, uint64_t deadline, enum shared_ends ends);
void shared_wake(void *word, int count);

/* Those who may still touch an object that is about to be destroyed: each comes, and leaves; destroy awaits them. */
void shared_come(uint64_t *inside);
void shared_leave(uint64_t *inside);
bool shared_inside(const uint64_t *inside);
void shared_await(struct thread *self, uint64_t *inside);

/* The objects, each of the kind that it is known to be. */
void shared_mutex_init(green_mutex_t *mutex);
int shared_mutex_lock(green_mutex_t *mutex, uint64_t deadline); /* 0, EDEADLK, EAGAIN, ETIMEDOUT, ENOMEM */
int shared_mutex_trylock(green_mutex_t *mutex);                 /* 0, EBUSY, EAGAIN, ENOMEM */
int shared_mutex_unlock(green_mutex_t *mutex);                  /* 0, EPERM */
int shared_mutex_destroy(green_mutex_t *mutex);                 /* 0, EBUSY */
/* For condition variables, at depth 1: 0 or EPERM; and to unlock it, and lock it again, for whom it has the count of. */
int shared_mutex_check(const struct thread *self, const green_mutex_t *mutex);
void shared_mutex_release(green_mutex_t *mutex);
int shared_mutex_relock(struct thread *self, green_mutex_t *mutex);

void shared_cond_init(green_cond_t *cond);
int shared_cond_wait(struct thread *self, green_cond_t *cond, green_mutex_t *mutex, uint64_t deadline);
void shared_cond_wake(green_cond_t *cond, bool all);
int shared_cond_destroy(green_cond_t *cond);

void shared_sem_init(green_sem_t *sem);
int shared_sem_wait(green_sem_t *sem, uint64_t deadline); /* 0, ETIMEDOUT, EINTR, ENOMEM */
int shared_sem_post(green_sem_t *sem);                    /* 0, EOVERFLOW */
int shared_sem_destroy(const green_sem_t *sem);           /* 0, EBUSY */

void shared_barrier_init(green_barrier_t *barrier);
int shared_barrier_wait(green_barrier_t *barrier);
int shared_barrier_destroy(green_barrier_t *barrier);

void shared_rwlock_init(green_rwlock_t *lock);
int shared_rwlock_lock(green_rwlock_t *lock, bool writes, uint64_t deadline);
int shared_rwlock_trylock(green_rwlock_t *lock, bool writes); /* 0, EBUSY, EAGAIN */
int shared_rwlock_unlock(green_rwlock_t *lock);
int shared_rwlock_destroy(green_rwlock_t *lock);

#endif
