/*
 * Semaphores shared between processes.
 *
 * The value's word is that of sem.c with its lowest bit set for ever, so that a post comes here and taking a unit without
 * waiting is the same.  Those who wait are counted in the word behind it.  A post changes both as one: it knows whether
 * somebody waits without touching the semaphore again, which may be gone by then.  A unit belongs to who takes it first;
 * and who was woken looks for one before anything else, so no wake-up is lost with a wait that ends otherwise.  Who is
 * killed in the kernel stays counted: posts then wake nobody, which costs a system call each.
 */
#include "core/cancel.h"
#include "core/signals.h"
#include "sync/shared.h"

enum { WAITERS_SHIFT = 32, ONE = 2, BIT = 1 };

typedef uint64_t __attribute__((may_alias)) both_t; /* the value's word below, the waiters above */

_Static_assert(offsetof(green_sem_t, __noted) == offsetof(green_sem_t, __value) + sizeof(unsigned) &&
                   offsetof(green_sem_t, __value) % sizeof(both_t) == 0 && _Alignof(green_sem_t) >= _Alignof(both_t),
               "the two words of a semaphore change as one");

static both_t *both_of(green_sem_t *sem)
{
    return (both_t *)(void *)&sem->__value;
}

void shared_sem_init(green_sem_t *sem)
{
    sem->__value |= BIT;
    sem->__queue.__head = SHARED_MARK;
}

static bool take(green_sem_t *sem)
{
    both_t word = __atomic_load_n(both_of(sem), __ATOMIC_SEQ_CST);

    while ((uint32_t)word >= ONE)
        if (__atomic_compare_exchange_n(both_of(sem), &word, word - ONE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return true;
    return false;
}

static int take_waiting(struct thread *self, green_sem_t *sem, uint64_t deadline)
{
    int error = EAGAIN;

    while (!take(sem)) {
        if (error && error != EAGAIN)
            return error;
        error = shared_wait(self, &sem->__value, BIT, deadline, SHARED_ENDS_CANCEL | SHARED_ENDS_INTERRUPT);
    }
    return 0;
}

int shared_sem_wait(green_sem_t *sem, uint64_t deadline)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    const bool before = cancel_postpone(self); /* while it is counted */
    leave(self);
    self->handled = HANDLED_NONE;
    __atomic_fetch_add(both_of(sem), UINT64_C(1) << WAITERS_SHIFT, __ATOMIC_SEQ_CST);
    const int error = take_waiting(self, sem, deadline);
    __atomic_fetch_sub(both_of(sem), UINT64_C(1) << WAITERS_SHIFT, __ATOMIC_SEQ_CST);
    enter();
    cancel_postpone_end(self, before);
    leave(self);
    if (error == ECANCELED)
        green_exit(GREEN_CANCELED);
    return error;
}

int shared_sem_post(green_sem_t *sem)
{
    both_t word = __atomic_load_n(both_of(sem), __ATOMIC_RELAXED);

    do
        if ((uint32_t)word / ONE == GREEN_SEM_VALUE_MAX)
            return EOVERFLOW;
    while (!__atomic_compare_exchange_n(both_of(sem), &word, word + ONE, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    if (word >> WAITERS_SHIFT)
        shared_wake(&sem->__value, 1);
    return 0;
}

int shared_sem_destroy(const green_sem_t *sem)
{
    return __atomic_load_n(&sem->__noted, __ATOMIC_RELAXED) ? EBUSY : 0;
}
