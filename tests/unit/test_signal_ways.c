/*
 * Signals per thread: whom they reach, and by which way.  On one processor without ticks who runs is known.
 */
#include "signals.h"

#include <unistd.h>

TestSuite(signal_ways, .timeout = LIMIT);

static void *wait_blocked(void *arg)
{
    change(SIG_BLOCK, SIGUSR1);
    must(green_sem_wait(arg) == 0);
    return NULL;
}

Test(signal_ways, way_1_the_running_thread)
{
    start_cooperative();
    handle(SIGUSR1);
    uint64_t before = stats_now().signals_here;
    must(kill(getpid(), SIGUSR1) == 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(stats_now().signals_here, before + 1);
}

static void *yields_until_seen(void *arg)
{
    while (atomic_load(&seen.count) == 0)
        green_yield();
    return arg;
}

Test(signal_ways, way_2_a_ready_thread)
{
    start_cooperative();
    handle(SIGUSR1);
    green_t thread = spawn(yields_until_seen, NULL);
    change(SIG_BLOCK, SIGUSR1);
    struct green_stats before = stats_now();
    must(kill(getpid(), SIGUSR1) == 0);
    cr_assert_eq(seen.count, 0, "it has not been dispatched yet");
    join_result(thread);
    cr_assert_eq(seen.thread[0], thread);
    cr_assert_eq(stats_now().signals_woken, before.signals_woken + 1);
    cr_assert_eq(stats_now().signals_here, before.signals_here);
}

static void *waits(void *arg)
{
    int result = green_sem_wait(arg);
    return result == 0 ? NULL : (void *)(intptr_t)errno;
}

static void parked_thread_runs_its_handler(int flags, int error)
{
    green_sem_t sem;
    must(green_sem_init(&sem, 0, 0) == 0);
    handle_with(SIGUSR1, note, flags);
    green_t thread = spawn(waits, &sem);
    green_yield();
    change(SIG_BLOCK, SIGUSR1);
    struct green_stats before = stats_now();
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(atomic_load(&seen.count) == 1);
    cr_assert_eq(seen.thread[0], thread);
    cr_assert_eq(stats_now().signals_woken, before.signals_woken + 1);
    if (!error)
        green_sem_post(&sem);
    cr_assert_eq((intptr_t)join_result(thread), error);
}

Test(signal_ways, way_2_a_parked_thread_fails_with_eintr)
{
    start_cooperative();
    parked_thread_runs_its_handler(0, EINTR);
}

Test(signal_ways, way_2_a_parked_thread_goes_on_waiting)
{
    start_cooperative();
    parked_thread_runs_its_handler(SA_RESTART, 0);
}

static atomic_bool spinning;

static void *spins_until_seen(void *arg)
{
    atomic_store(&spinning, true);
    while (atomic_load(&seen.count) == 0)
        ;
    return arg;
}

/* It runs in user code only, so nothing but a signal there can make it look. */
static void running_elsewhere(void (*shoot)(green_t))
{
    struct green_config config = {.procs = 2, .preempt = GREEN_OFF};
    start_config(&config);
    handle(SIGUSR1);
    green_t thread = spawn(spins_until_seen, NULL);
    change(SIG_BLOCK, SIGUSR1);
    while (!atomic_load(&spinning))
        ; /* main keeps its processor: the other has the thread */
    struct green_stats before = stats_now();
    shoot(thread);
    while (atomic_load(&seen.count) == 0)
        ;
    cr_assert_eq(seen.thread[0], thread);
    cr_assert_eq(stats_now().signals_directed, before.signals_directed + 1);
    join_result(thread);
}

static void shoot_process(green_t thread)
{
    (void)thread;
    must(kill(getpid(), SIGUSR1) == 0);
}

static void shoot_thread(green_t thread)
{
    must(green_kill(thread, SIGUSR1) == 0);
}

Test(signal_ways, way_3_a_thread_on_another_worker)
{
    running_elsewhere(shoot_process);
}

Test(signal_ways, way_3_directed)
{
    running_elsewhere(shoot_thread);
}

ON_BOTH(signal_ways, way_4_nobody_is_open)
{
    green_sem_t sem;
    must(green_sem_init(&sem, 0, 0) == 0);
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    green_t thread = spawn(wait_blocked, &sem);
    struct green_stats before = stats_now();
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(stats_now().signals_held == before.signals_held + 1);
    cr_assert_eq(seen.count, 0);
    cr_assert(pends(SIGUSR1));
    green_sem_post(&sem);
    join_result(thread);
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.thread[0], green_self());
}

/* What has no thread yet is taken by the first that opens, here a new one. */
static void *opens(void *arg)
{
    change(SIG_UNBLOCK, SIGUSR1);
    must(seen.count == 1);
    return arg;
}

ON_BOTH(signal_ways, held_until_another_opens)
{
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    must(kill(getpid(), SIGUSR1) == 0);
    green_t thread = spawn(opens, NULL);
    join_result(thread);
    cr_assert_eq(seen.thread[0], thread);
}

/* The chosen thread closes its mask, or ends, before it has looked: the signal is there for the next one. */
static void *yields_then_blocks(void *arg)
{
    green_critical_enter();
    green_yield();
    change(SIG_BLOCK, SIGUSR1);
    green_critical_leave();
    return arg;
}

static void *yields_then_ends(void *arg)
{
    green_critical_enter();
    green_yield();
    green_exit(arg);
}

static void chosen_thread_does_not_take_it(void *(*routine)(void *))
{
    start_cooperative();
    handle(SIGUSR1);
    green_t thread = spawn(routine, NULL);
    green_yield(); /* it is ready, in its critical section */
    change(SIG_BLOCK, SIGUSR1);
    uint64_t before = stats_now().signals_woken;
    must(kill(getpid(), SIGUSR1) == 0);
    cr_assert_eq(stats_now().signals_woken, before + 1, "it is the one that was chosen");
    join_result(thread);
    cr_assert(seen.count == 0 && pends(SIGUSR1));
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert(seen.count == 1 && seen.thread[0] == green_self());
}

Test(signal_ways, chosen_thread_closes_its_mask)
{
    chosen_thread_does_not_take_it(yields_then_blocks);
}

Test(signal_ways, chosen_thread_ends)
{
    chosen_thread_does_not_take_it(yields_then_ends);
}

ON_BOTH(signal_ways, alarm_comes_to_who_is_open)
{
    handle(SIGALRM);
    green_t thread = spawn(spins_until_seen, NULL);
    change(SIG_BLOCK, SIGALRM);
    start_hogs(3);
    alarm(1);
    join_result(thread);
    stop_hogs();
    cr_assert_eq(seen.count, 1);
    cr_assert_neq(seen.thread[0], green_self());
}
