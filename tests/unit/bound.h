/*
 * What the tests of bound threads share.  Each file has its own.
 */
#ifndef UNIT_BOUND_H
#define UNIT_BOUND_H

#include "kinds.h"

static inline void *nothing(void *arg)
{
    return arg;
}

static inline void *echo(void *arg)
{
    spin_ns(20000);
    return arg;
}

static inline int create_error(const green_attr_t *attr, void *(*routine)(void *))
{
    green_t thread;
    int error = green_create(&thread, attr, routine, NULL);
    if (!error)
        join_result(thread);
    return error;
}

static green_sem_t gate;

static inline void *wait_at_gate(void *arg)
{
    must(green_sem_wait(&gate) == 0);
    return arg;
}

#endif
