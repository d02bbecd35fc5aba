/* What the tests of objects shared between processes share: a page that a child of fork has, too, and threads on both sides. */
#ifndef UNIT_SHARED_H
#define UNIT_SHARED_H

#include "unit.h"

#include <green/sync.h>
#include <stdatomic.h>
#include <unistd.h>

enum { SHARED_THREADS = 4, SHARED_ROUNDS = 3000, SHARED_MEETINGS = 500 };

struct shared_page {
    green_mutex_t mutex;
    green_cond_t cond;
    green_sem_t sem;
    green_sem_t other;
    green_barrier_t barrier;
    green_rwlock_t lock;
    _Atomic unsigned inside, taken, serial, arrived[SHARED_MEETINGS];
    uint64_t count, twin;
    unsigned turn;
    _Atomic bool go, done;
};

extern struct shared_page *page;

/* The page, with a mutex of that type, a condition variable and two semaphores of 0, all shared. */
void shared_make(int type);
void shared_make_mutex(int type);
void shared_make_cond(clockid_t clock);

/* The same threads, numbered from 0, until they end; and these in this process and in a child. */
void shared_run(void *(*routine)(void *));
void shared_on_both_sides(void *(*routine)(void *));

/*
 * fork() with threads: not with AddressSanitizer, whose malloc's locks stay held in the child when a thread was inside it,
 * nor with ThreadSanitizer, whose own do.
 */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SHARED_FORKS 1
#endif

#endif
