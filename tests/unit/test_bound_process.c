/*
 * Forks by bound threads, and by others beside them.
 *
 * Not under AddressSanitizer: its malloc takes no care of its locks at a fork, and a bound thread that was joined a
 * moment ago may still be in it.
 */
#ifndef __SANITIZE_ADDRESS__
#include "bound.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(bound_process, .timeout = LIMIT);

static void run_both_kinds(void *(*routine)(void *))
{
    green_t threads[] = {spawn(routine, NULL), spawn_bound(routine, NULL), spawn(routine, NULL)};
    green_usleep(500);
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
}

/* What a child does: threads of both kinds, from nothing. */
static int use_threads_afresh(void)
{
    cpu_set_t cpus;
    must(stats_now().threads_live == 1);
    must(green_getaffinity_np(green_self(), sizeof cpus, &cpus) == 0); /* it is still bound, to another tid */
    return contend_for_mutex(run_both_kinds) == 3 * LOCKS_EACH ? 42 : 1;
}

static void *fork_and_wait(void *arg)
{
    pid_t child = fork_mortal();
    if (child == 0)
        exit(use_threads_afresh());
    check_exit_status(child, 42);
    return arg;
}

ON_BOTH(bound_process, fork)
{
    start_hogs(2);
    for (int i = 0; i < 5; i++)
        join_result(spawn_bound(fork_and_wait, NULL));
    stop_hogs();
}

static void *fork_and_return(void *arg)
{
    pid_t child = fork_mortal();
    if (child > 0)
        check_exit_status(child, 0);
    else if (arg)
        join_result(spawn(nothing, NULL)); /* so that it is not the only kernel thread there */
    return arg;
}

/* It is the child's last thread: with it the child ends. */
ON_BOTH(bound_process, returns_in_the_child)
{
    pid_t parent = getpid();
    for (int i = 0; i < 5; i++) {
        join_result(spawn_bound(fork_and_return, NULL));
        join_result(spawn_bound(fork_and_return, &parent));
        must(getpid() == parent);
    }
}

static void *fork_a_child_that_binds(void *arg)
{
    pid_t child = fork_mortal();
    if (child == 0)
        _exit(join_result(spawn_bound(nothing, &gate)) == &gate ? 42 : 1);
    check_exit_status(child, 42);
    return arg;
}

ON_BOTH(bound_process, child_of_a_multiplexed_thread)
{
    green_sem_init(&gate, 0, 0);
    green_t waits = spawn_bound(wait_at_gate, NULL);
    join_result(spawn(fork_a_child_that_binds, NULL));
    green_sem_post(&gate);
    join_result(waits);
}

#endif
