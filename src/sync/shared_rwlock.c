/*
 * Read-write locks shared between processes.
 *
 * The word, in the place of `__reserved_word`, has WRITER, WAITERS, and the number of readers above them.  WAITERS says that
 * somebody sleeps: then the last to leave clears the word and wakes everybody, who try again.  There is no line:
 * a reader passes writers who wait, as it may be one that reads already, and no process knows what those of another read.
 * So readers that never end starve writers.  The writer is an identity (shared.c) in the reserved part.
 */
#include <limits.h>

#include "base/annotate.h"
#include "sync/shared.h"

enum { WRITER = 1, WAITERS = 2, READER = 4 };
#define READERS_MAX (UINT32_MAX / READER / 2)

void shared_rwlock_init(green_rwlock_t *lock)
{
    lock->__state = WAITERS; /* the private one's */
    lock->__queue.__head = SHARED_MARK;
}

static unsigned word_of(const green_rwlock_t *lock)
{
    return __atomic_load_n(&lock->__reserved_word, __ATOMIC_RELAXED);
}

static bool word_change(green_rwlock_t *lock, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&lock->__reserved_word, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static uint64_t writer_of(const green_rwlock_t *lock)
{
    return __atomic_load_n(&lock->__reserved[0], __ATOMIC_RELAXED);
}

static void set_writer(green_rwlock_t *lock, uint64_t writer)
{
    __atomic_store_n(&lock->__reserved[0], writer, __ATOMIC_RELAXED);
}

/* 0, EAGAIN, or EBUSY and the word that says so. */
static int take(green_rwlock_t *lock, bool writes, unsigned *word)
{
    unsigned next;

    do {
        *word = word_of(lock);
        if (!writes && *word / READER >= READERS_MAX)
            return EAGAIN;
        if (*word & WRITER || (writes && *word >= READER))
            return EBUSY;
        next = writes ? *word | WRITER : *word + READER;
    } while (!word_change(lock, *word, next));
    return 0;
}

static int take_waiting(struct thread *self, green_rwlock_t *lock, bool writes, uint64_t deadline)
{
    unsigned word;
    int error;

    while ((error = take(lock, writes, &word)) == EBUSY) {
        if (!(word & WAITERS) && !word_change(lock, word, word | WAITERS))
            continue;
        if (shared_wait(self, &lock->__reserved_word, word | WAITERS, deadline, SHARED_ENDS_NOT) == ETIMEDOUT)
            return ETIMEDOUT;
    }
    return error;
}

static int lock_as(green_rwlock_t *lock, bool writes, bool waits, uint64_t deadline)
{
    struct thread *self = known_self();
    unsigned word;

    if (!self)
        return ENOMEM;
    const uint64_t identity = shared_identity(self);
    if (writer_of(lock) == identity)
        return EDEADLK;
    const int error = waits ? take_waiting(self, lock, writes, deadline) : take(lock, writes, &word);
    if (!error && writes)
        set_writer(lock, identity);
    if (!error)
        annotate_locked(lock, !writes);
    return error;
}

int shared_rwlock_lock(green_rwlock_t *lock, bool writes, uint64_t deadline)
{
    return lock_as(lock, writes, true, deadline);
}

int shared_rwlock_trylock(green_rwlock_t *lock, bool writes)
{
    const int error = lock_as(lock, writes, false, NEVER);

    return error == EDEADLK ? EBUSY : error;
}

/* The word when one has left. */
static unsigned left(unsigned word)
{
    if (word & WRITER || word < 2 * READER)
        return 0;
    return word - READER;
}

int shared_rwlock_unlock(green_rwlock_t *lock)
{
    const struct thread *self = known_self();
    unsigned word = word_of(lock);

    if (!self)
        return ENOMEM;
    if (word & WRITER ? writer_of(lock) != shared_identity(self) : word < READER)
        return EPERM;
    annotate_unlocks(lock, !(word & WRITER));
    if (word & WRITER)
        set_writer(lock, 0);
    do
        word = word_of(lock);
    while (!word_change(lock, word, left(word)));
    if (left(word) == 0 && word & WAITERS)
        shared_wake(&lock->__reserved_word, INT_MAX);
    return 0;
}

int shared_rwlock_destroy(green_rwlock_t *lock)
{
    if (word_of(lock))
        return EBUSY;
    annotate_lock_gone(lock);
    return 0;
}
