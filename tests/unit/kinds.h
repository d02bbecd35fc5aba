/*
 * Threads of all three kinds: spawn() of unit.h makes multiplexed ones, these calls bound ones (with a kernel thread
 * of their own) and foreign ones (the kernel threads that the library did not make).  And what they contend for.
 */
#ifndef UNIT_KINDS_H
#define UNIT_KINDS_H

#include "unit.h"

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

green_attr_t bound_attr(void);
green_t spawn_bound(void *(*routine)(void *), void *arg);

/* A green thread that waited in pthread_join would keep its processor: the end is told by a semaphore first. */
struct foreigner {
    pthread_t thread;
    void *(*routine)(void *);
    void *arg;
    green_sem_t ended;
};

/* The routine must return its argument. */
void start_foreigner(struct foreigner *foreigner, void *(*routine)(void *), void *arg);
void end_foreigner(struct foreigner *foreigner);

/*
 * Contention, by threads of whatever kinds: `run` has some call the routine that it is given, which returns its
 * argument, and waits for them.  The objects are made anew by each call, so a child may use them after a fork.
 */
enum { LOCKS_EACH = 3000, MEETINGS = 200 };
typedef void run_contenders(void *(*routine)(void *));

/* Each counts LOCKS_EACH times under a mutex; returns the count. */
long contend_for_mutex(run_contenders *run);

/* Each takes and posts one of two units, over and over, and no third has one; returns how many are left at last. */
int contend_for_sem(run_contenders *run);

/* All so many wait, by a condition, until the last has come, MEETINGS times; returns how often one came. */
long contend_for_cond(run_contenders *run, unsigned threads);

/* Each waits with a deadline for what does not come: a semaphore, a mutex, nothing. */
void contend_in_vain(run_contenders *run);

#ifdef __cplusplus
}
#endif

#endif
