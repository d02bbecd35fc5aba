/*
 * What the tests of cancellation share: a stage of objects, and every cancellation point.
 */
#ifndef UNIT_CANCEL_H
#define UNIT_CANCEL_H

#include "doing.h"
#include "unit.h"

#include <stdatomic.h>

/* Multiplexed on one processor and on two, and bound. */
#define ON_ALL(suite, name)                   \
    static void suite##_##name(int scope);    \
    Test(suite, name##_on_1)                  \
    {                                         \
        begin(1);                             \
        suite##_##name(GREEN_SCOPE_PROCESS);  \
    }                                         \
    Test(suite, name##_on_2)                  \
    {                                         \
        begin(2);                             \
        suite##_##name(GREEN_SCOPE_PROCESS);  \
    }                                         \
    Test(suite, name##_bound)                 \
    {                                         \
        begin(2);                             \
        suite##_##name(GREEN_SCOPE_SYSTEM);   \
    }                                         \
    static void suite##_##name(int scope)

/* Start the library, and make the objects. */
void begin(unsigned procs);

extern atomic_int reached, passed;
extern green_sem_t never, gate;   /* nobody posts the former */
extern green_mutex_t mutex;       /* error-checking */
extern green_cond_t cond;
extern green_t target;            /* whom a point joins; start_target() makes it, end_target() sees that it was left alone */

void start_target(void);
void end_target(void);

/* Handlers: unlock `mutex`; add one to an atomic_int. */
void unlock_mutex(void *arg);
void count_pass(void *arg);

/* The points.  None of them comes back. */
enum { POINT_SEM_WAIT = 4, POINT_TESTCANCEL = 15, POINTS = 16 };
extern void (*const points[POINTS])(void);

/* Of a thread: count that it is `reached`, and call the point at `arg`, within a handler that counts who has `passed`. */
void *reach(void *point);

/* The same with a request that is there already. */
void *reach_cancelled(void *point);

/* Lock `mutex` once, count that it has `passed`, and look for a request then. */
void *lock_it(void *arg);

/* Ask a thread that is parked to end: it waits on all the same. */
void cancel_in_vain(green_t thread);

/* It ends, and has counted once by then that it `passed`. */
void check_cancelled(green_t thread);

/* What the tests of signals block and wait for. */
sigset_t usr1(void);

#endif
