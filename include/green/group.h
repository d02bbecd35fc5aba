/*
 * Task groups: start many threads, wait for all of them, and stop the rest when one fails or time is up.
 *
 * Overview.  A group owns the threads, called tasks, that are spawned in it, and the groups that are made under it: none
 * of them outlives it.  A task is a function that returns 0, or a number that says how it failed.  The first failure
 * stops the group: its tasks, and those of all groups under it, are asked to end.  So does its deadline, and
 * green_group_stop().
 *
 * How to use it.
 *
 *     green_group_t *group;
 *     int failure;
 *     green_group_create(&group, NULL);
 *     for (i = 0; i < n; i++)
 *         green_group_spawn(group, NULL, fetch, &pages[i]);
 *     green_group_wait(group, &failure);
 *     green_group_destroy(group);
 *
 * Being asked to end is being cancelled (green_cancel()): a task ends at its next cancellation point.  One that must
 * not end there disables cancellation and looks at green_group_stopped(NULL) now and then, or selects on
 * green_group_stop_chan() beside the channels it waits on.  Waiting for a group always waits for its tasks, stopped or
 * not: what a task uses may lie on the stack of the thread that waits.
 *
 * A group made by a task lies under that task's own group, unless another one is named.  Its deadline is the earliest of
 * those of all the groups it lies under and its own.
 *
 * Any thread may use a group: multiplexed, bound, or a kernel thread of the program's own.  There is no POSIX source.
 */
#ifndef GREEN_GROUP_H
#define GREEN_GROUP_H

#include <green.h>
#include <green/chan.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct green_group green_group_t;

/*
 * Make a group under `parent`; under the group of the calling task when that is null; under none when the caller is no
 * task.  One under a stopped group is stopped.  May block for a moment.  Signal handler: no.
 *   ENOMEM  no memory
 *   EAGAIN  no pthread key is left for the first group of all
 *   EINVAL  a null pointer
 */
GREEN_API int green_group_create(green_group_t **group, green_group_t *parent);

/*
 * Free a group.  May block for a moment.  Signal handler: no.
 *   EBUSY   it has tasks that nobody has waited for, or groups under it
 *   EINVAL  a null pointer
 */
GREEN_API int green_group_destroy(green_group_t *group);

/*
 * Stop the group at an absolute time of CLOCK_REALTIME or CLOCK_MONOTONIC, if tasks still run then.  A time later than
 * one that holds already changes nothing.  It is acted on by whoever sees it first: green_group_wait(),
 * green_group_stopped() and green_group_spawn() of this group, or of one that it lies under and that has it, too.  May
 * block for a moment.  Signal handler: no.
 *   EINVAL  a time that is none, another clock, a null pointer
 */
GREEN_API int green_group_setdeadline(green_group_t *group, clockid_t clock, const struct timespec *abstime);

/*
 * Start a task: a thread that calls task(arg).  attr may be null, and may make it a bound thread, but not a detached one.
 * Another result than 0 is a failure.  A task that ends without returning (green_exit(), green_cancel()) has failed with
 * ECANCELED.  A task may spawn others in its own group.  May block for a moment.  Signal handler: no.
 *   ECANCELED  the group has been stopped, or its deadline has passed
 *   EINVAL     a null group or task; an attribute object that is not initialised, or says detached
 *   ENOMEM, EAGAIN, EPERM, ENOTSUP  as green_create()
 */
GREEN_API int green_group_spawn(green_group_t *group, const green_attr_t *attr, int (*task)(void *), void *arg);

/*
 * Wait until all tasks have ended, their threads' destructors included, and put the first failure into *failure, if
 * that is not null: a task's result, ETIMEDOUT when the deadline stopped the group, ECANCELED when green_group_stop()
 * or the group above it did; 0 when nothing failed.  A group that was not stopped may be used further.  Blocks.  Not a
 * cancellation point.  Signal handler: no.
 *   EDEADLK  the caller is a task of this group or of one under it
 *   EINVAL   a null group
 */
GREEN_API int green_group_wait(green_group_t *group, int *failure);

/*
 * Ask the tasks of the group, and of all under it, to end.  May block for a moment.  Signal handler: no.
 *   EINVAL  a null pointer
 */
GREEN_API int green_group_stop(green_group_t *group);

/*
 * Non-zero when the group has been stopped or its deadline has passed; 0 also for NULL when the caller is no task.
 * NULL is the calling task's own group.  Costs a load, with a deadline a look at the clock as well.  May block for a
 * moment once, when it sees the deadline first.  Signal handler: no.
 */
GREEN_API int green_group_stopped(green_group_t *group);

/*
 * A channel that is closed when the group is stopped, for green_select().  It lives as long as its group.  NULL is the
 * calling task's own group.  Returns the channel; NULL when the caller is no task and names no group.  Does not block.
 * Signal handler: yes for a group that is named.
 */
GREEN_API green_chan_t *green_group_stop_chan(green_group_t *group);

/* The calling task's own group.  Returns NULL when the caller is no task.  Does not block.  Signal handler: no. */
GREEN_API green_group_t *green_group_self(void);

#ifdef __cplusplus
}
#endif

#endif
