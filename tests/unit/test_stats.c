/*
 * The counters: zero before the start, exact where nothing else moves them, consistent under load.
 */
#include "unit.h"

#include <signal.h>

TestSuite(stats, .timeout = LIMIT);

Test(stats, all_zero_before_the_start)
{
    struct green_stats stats, zero;
    memset(&stats, 0xff, sizeof stats);
    memset(&zero, 0, sizeof zero);
    green_stats(&stats);
    cr_assert_arr_eq(&stats, &zero, sizeof zero);
}

static void *wait_at(void *sem)
{
    green_sem_wait(sem);
    return NULL;
}

ON_BOTH(stats, threads)
{
    enum { COUNT = 10 };
    green_t threads[COUNT];
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    uint64_t created = stats_now().threads_created;
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(wait_at, &gate);
    struct green_stats stats = stats_now();
    cr_assert_eq(stats.threads_created, created + COUNT);
    cr_assert_eq(stats.threads_live, COUNT + 1);
    cr_assert_geq(stats.stacks_mapped, COUNT);
    cr_assert_geq(stats.workers, 1);
    for (int i = 0; i < COUNT; i++)
        green_sem_post(&gate);
    for (int i = 0; i < COUNT; i++)
        join_result(threads[i]);
    cr_assert_eq(stats_now().threads_live, 1);
    cr_assert_eq(stats_now().threads_created, created + COUNT);
}

static void *yield_often(void *arg)
{
    for (int i = 0; i < 1000; i++)
        green_yield();
    return arg;
}

Test(stats, switches)
{
    start_cooperative();
    uint64_t before = stats_now().switches;
    green_t a = spawn(yield_often, NULL), b = spawn(yield_often, NULL);
    join_result(a);
    join_result(b);
    struct green_stats stats = stats_now();
    cr_assert_geq(stats.switches, before + 2000, "two threads that yield to each other");
    cr_assert_eq(stats.preemptions, 0);
    cr_assert_eq(stats.ticks, 0);
}

static void spin_step(unsigned index, uint64_t round)
{
    spin_ns(1000 + index * 10 + round % 7);
}

ON_BOTH(stats, parts_are_not_more_than_the_whole)
{
    storm(spin_step);
    struct green_stats stats = stats_now();
    cr_assert_geq(stats.preemptions, STORM_PREEMPTIONS);
    cr_assert_leq(stats.wakeup_preemptions, stats.preemptions);
    cr_assert_leq(stats.preemptions, stats.switches);
    cr_assert_leq(stats.ticks_deferred, stats.ticks);
    cr_assert_eq(stats.procs, (uint64_t)green_getconcurrency());
}

static struct green_stats handled;

static void on_signal(int signal)
{
    (void)signal;
    green_stats(&handled);
}

ON_BOTH(stats, from_a_signal_handler)
{
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    cr_assert_eq(handled.threads_live, 1);
}

static void *go_idle(void *arg)
{
    green_usleep(1000);
    return arg;
}

ON_BOTH(stats, idling_is_counted)
{
    uint64_t before = stats_now().idles;
    for (int i = 0; i < 20; i++)
        join_result(spawn(go_idle, NULL));
    cr_assert_gt(stats_now().idles, before);
}
