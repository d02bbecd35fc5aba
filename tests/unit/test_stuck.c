/*
 * Threads that are blocked when there are no more workers: they let those run that are less urgent, of whom one may have
 * what they wait for.
 */
#include "policy.h"

#include <pthread.h>
#include <string.h>

TestSuite(stuck, .timeout = LIMIT);

enum { WAITERS = 5 };

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER; /* libc's, in which the kernel thread waits */
static atomic_bool taken;
static atomic_uint waiting;
static unsigned long counted;

static void *hold(void *arg)
{
    must(pthread_mutex_lock(&held) == 0);
    atomic_store(&taken, true);
    while (atomic_load(&waiting) < WAITERS)
        ;
    must(pthread_mutex_unlock(&held) == 0);
    return arg;
}

static void *wait_for_holder(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    must(pthread_mutex_lock(&held) == 0);
    counted++;
    must(pthread_mutex_unlock(&held) == 0);
    return arg;
}

/* Where the policy has priorities: those who wait are more urgent than the holder, and main is until all are there. */
enum { HOLDER = 1, WAITER = 2 };

static bool has_priorities(void)
{
    return strcmp(green_policy_name(), "priority") == 0;
}

static green_t spawn_urgent(int priority, void *(*routine)(void *))
{
    return has_priorities() ? spawn_at(priority, routine, NULL) : spawn(routine, NULL);
}

static void check(const char *policy, unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON, .max_workers = procs + 1,
                                  .policy = green_policy_by_name(policy)};
    green_t threads[WAITERS];
    start_config(&config);
    join_result(spawn(wait_for_holder, NULL)); /* which starts the monitor */
    atomic_store(&waiting, 0);
    if (strcmp(green_monitor_source(), "off") == 0)
        cr_skip_test("nobody sees that a thread is blocked");
    if (has_priorities())
        main_at(SETUP);
    green_t holder = spawn_urgent(HOLDER, hold);
    while (!atomic_load(&taken))
        green_usleep(100);
    for (unsigned i = 0; i < WAITERS; i++)
        threads[i] = spawn_urgent(WAITER, wait_for_holder);
    for (unsigned i = 0; i < WAITERS; i++)
        join_result(threads[i]);
    join_result(holder);
    cr_assert_eq(counted, 1 + WAITERS);
    if (strcmp(green_tick_source(), "perf") == 0) /* another tick ends a blocked thread's slice by itself */
        cr_assert_gt(stats_now().calls_interrupted, 0);
}

#define STUCK(policy, procs)               \
    Test(stuck, policy##_on_##procs)       \
    {                                      \
        check(#policy, procs);             \
    }
STUCK(rr, 1)
STUCK(rr, 2)
STUCK(priority, 1)
STUCK(priority, 2)
STUCK(fair, 1)
STUCK(fair, 2)
