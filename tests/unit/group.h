/*
 * What the tests of task groups share: short forms of the calls, and tasks.
 */
#ifndef UNIT_GROUP_H
#define UNIT_GROUP_H

#include "unit.h"

#include <green/group.h>
#include <stdatomic.h>

static inline green_group_t *make_group(green_group_t *parent)
{
    green_group_t *made = NULL;
    must(green_group_create(&made, parent) == 0);
    return made;
}

static inline void spawn_task(green_group_t *group, int (*task)(void *), void *arg)
{
    must(green_group_spawn(group, NULL, task, arg) == 0);
}

static inline int wait_for_group(green_group_t *group)
{
    int failure = -1;
    must(green_group_wait(group, &failure) == 0);
    return failure;
}

static inline void set_deadline(green_group_t *group, int64_t after_ns)
{
    struct timespec when = time_after(CLOCK_MONOTONIC, after_ns);
    must(green_group_setdeadline(group, CLOCK_MONOTONIC, &when) == 0);
}

#define FOR_EVER_NS INT64_C(3600000000000)

static inline int succeed(void *arg)
{
    if (arg)
        atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static inline int fail_with(void *arg)
{
    return (int)(intptr_t)arg;
}

/* Until the group is stopped, which it notices by looking. */
static inline int stay(void *arg)
{
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    while (!green_group_stopped(NULL))
        green_yield();
    return succeed(arg);
}

/* The same by waiting. */
static inline int stay_on_channel(void *arg)
{
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(green_chan_recv(green_group_stop_chan(NULL), NULL) == EPIPE);
    must(green_group_stopped(NULL));
    return succeed(arg);
}

/* So many of both, in turn. */
static inline void spawn_stayers(green_group_t *group, int count, atomic_int *stopped)
{
    for (int i = 0; i < count; i++)
        spawn_task(group, i % 2 ? stay : stay_on_channel, stopped);
}

/* Its tasks have ended, with that as the first failure; and it goes. */
static inline void end_group(green_group_t *group, int failure)
{
    cr_assert_eq(wait_for_group(group), failure);
    cr_assert_eq(green_group_destroy(group), 0);
}

#endif
