/*
 * Policies: who runs before whom, and who is displaced.
 */
#include "policy.h"

#include <unistd.h>

TestSuite(policy_order, .timeout = LIMIT);

Test(policy_order, order_is_by_priority_and_of_equals_by_age)
{
    static const char names[] = "abcdefg";
    static const int priorities[] = {2, 9, 2, 70, 9, 0, 70};
    green_t threads[7];
    start_policy("priority", 1, LONG_SLICE_US);
    main_at(99);
    for (int i = 0; i < 7; i++)
        threads[i] = spawn_at(priorities[i], note_arg, (void *)(uintptr_t)&names[i]);
    cr_assert_eq(order_length, 0);
    for (int i = 0; i < 7; i++)
        join_result(threads[i]);
    cr_assert_str_eq(noted(), "dgbeacf");
}

Test(policy_order, a_ready_thread_changes_its_place)
{
    start_policy("priority", 1, LONG_SLICE_US);
    main_at(99);
    green_t a = spawn_at(5, note_arg, "a"), b = spawn_at(4, note_arg, "b");
    cr_assert_eq(green_setschedprio(b, 6), 0);
    cr_assert_eq(order_length, 0);
    cr_assert_eq(green_setschedprio(green_self(), 5), 0); /* which b is above now, and a is not */
    cr_assert_str_eq(noted(), "b");
    join_result(a);
    join_result(b);
    cr_assert_str_eq(noted(), "ba");
}

static void *compute_through_preemptions(void *who)
{
    const uint64_t begun = stats_now().preemptions;
    note(*(const char *)who);
    while (stats_now().preemptions < begun + 20)
        ;
    note(*(const char *)who);
    return NULL;
}

/* Of two equals, which main displaces every millisecond, when many slices have ended. */
static void run_equals(int how)
{
    const struct sched_param param = {.sched_priority = 5};
    green_t threads[2];
    start_policy("priority", 1, TICK_US);
    main_at(SETUP);
    for (int i = 0; i < 2; i++) {
        threads[i] = spawn_at(param.sched_priority, compute_through_preemptions, (void *)(uintptr_t)&"ab"[i]);
        cr_assert_eq(green_setschedparam(threads[i], how, &param), 0);
    }
    while (stats_now().threads_live > 1) /* no atomic that they use: see annotate.h */
        green_usleep(1000);
    for (int i = 0; i < 2; i++)
        join_result(threads[i]);
}

Test(policy_order, equals_of_fifo_go_on_until_they_wait)
{
    run_equals(SCHED_FIFO);
    cr_assert_str_eq(noted(), "aabb");
}

Test(policy_order, equals_of_rr_take_turns)
{
    run_equals(SCHED_RR);
    cr_assert_neq(noted()[0], noted()[1], "%s", noted()); /* who was first may have lost its slice before it noted it */
}

/* Two processors: T1 and T2 compute, T1 at the lowest priority.  T2 wakes T3: it must be T1 that makes room. */
static struct {
    atomic_ulong count[2];
    atomic_bool wake, over;
    green_sem_t gate;
    unsigned long before, after;
} three;

static void *compute(void *index)
{
    int woken = 0;
    while (!atomic_load(&three.over)) {
        atomic_fetch_add(&three.count[(uintptr_t)index], 1);
        if ((uintptr_t)index == 1 && !woken && atomic_load(&three.wake)) {
            woken = 1;
            green_sem_post(&three.gate);
        }
    }
    return NULL;
}

static void *third(void *arg)
{
    green_sem_wait(&three.gate);
    unsigned long beside = atomic_load(&three.count[1]);
    while (atomic_load(&three.count[1]) == beside)
        ;
    three.before = atomic_load(&three.count[0]); /* T2 has a processor, T3 the other */
    beside = atomic_load(&three.count[1]);
    while (atomic_load(&three.count[1]) - beside < 1000000)
        ;
    three.after = atomic_load(&three.count[0]);
    return arg;
}

Test(policy_order, t3_displaces_t1_on_the_other_processor)
{
    struct green_config config = {.procs = 2, .slice_us = LONG_SLICE_US, .preempt = GREEN_ON};
    config.policy = green_policy_by_name("priority");
    config.monitor = GREEN_MONITOR_OFF; /* or, when T2 or T3 meets a page fault, its processor is T1's meanwhile */
    start_config(&config);
    green_sem_init(&three.gate, 0, 0);
    main_at(SETUP);
    green_t t1 = spawn_at(1, compute, (void *)0), t2 = spawn_at(2, compute, (void *)1);
    green_t t3 = spawn_at(3, third, NULL);
    wait_for(atomic_load(&three.count[0]) > 0 && atomic_load(&three.count[1]) > 0);
    atomic_store(&three.wake, true);
    join_result(t3);
    cr_assert_eq(three.after, three.before, "T1 ran beside T3");
    atomic_store(&three.over, true);
    join_result(t1);
    join_result(t2);
}

/* By an equal whose turn it would be, until a tick has come. */
static void check_section(void)
{
    for (int i = 0; i < 20; i++) {
        green_t other = spawn(note_arg, "x");
        uint64_t ticks = stats_now().ticks_deferred; /* one that is noted is the last until it is judged */
        green_critical_enter();
        unsigned before = atomic_load(&order_length);
        while (!before && stats_now().ticks_deferred == ticks)
            ;
        must(atomic_load(&order_length) == before);
        green_critical_leave();
        join_result(other);
        atomic_store(&order_length, 0);
    }
}

Test(policy_order, a_critical_section_is_not_displaced_by_priority)
{
    start_policy("priority", 1, TICK_US);
    check_section();
}

Test(policy_order, a_critical_section_is_not_displaced_by_fair)
{
    start_policy("fair", 1, TICK_US);
    check_section();
}

static atomic_bool high_ran;

static void *high(void *gate)
{
    green_sem_wait(gate);
    atomic_store(&high_ran, true);
    return NULL;
}

Test(policy_order, leaving_a_critical_section_makes_room_at_once)
{
    green_sem_t gate;
    start_policy("priority", 1, LONG_SLICE_US);
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_at(9, high, &gate); /* runs, and parks, before main goes on */
    green_critical_enter();
    green_sem_post(&gate);
    spin_ns(2000000);
    must(!atomic_load(&high_ran));
    green_critical_leave();
    cr_assert(atomic_load(&high_ran));
    join_result(thread);
}

static void *sleep_long(void *arg)
{
    must(green_sleep(1000) > 0);
    note('s');
    return arg;
}

Test(policy_order, whom_a_signal_wakes_is_above_who_runs)
{
    start_policy("priority", 1, LONG_SLICE_US);
    count_signals(SIGUSR1, 0);
    green_t sleeper = spawn_at(9, sleep_long, NULL);
    cr_assert_eq(green_kill(sleeper, SIGUSR1), 0);
    cr_assert_str_eq(noted(), "s");
    join_result(sleeper);
}

/* Back from the kernel: the thread whose processor went to another. */
static int ends[2];

static void *read_one(void *arg)
{
    char byte;
    must(read(ends[0], &byte, 1) == 1);
    green_safepoint(); /* beyond which it has a processor */
    note(byte);
    return arg;
}

static void *write_and_compute(void *arg)
{
    must(write(ends[1], "r", 1) == 1);
    while (!atomic_load(&order_length))
        ;
    return arg;
}

Test(policy_order, who_is_back_from_the_kernel_displaces_the_less_urgent)
{
    struct green_config config = {.procs = 1, .slice_us = LONG_SLICE_US, .preempt = GREEN_ON};
    config.policy = green_policy_by_name("priority");
    config.monitor = GREEN_MONITOR_ON;
    start_config(&config);
    must(pipe(ends) == 0);
    green_t reader = spawn_at(9, read_one, NULL); /* blocks, and main goes on */
    green_t writer = spawn_at(5, write_and_compute, NULL);
    join_result(reader);
    join_result(writer);
}

/* Shares. */
static atomic_bool shares_over;
static atomic_ulong shares[2];

static void *share(void *index)
{
    while (!atomic_load(&shares_over))
        atomic_fetch_add_explicit(&shares[(uintptr_t)index], 1, memory_order_relaxed);
    return NULL;
}

Test(policy_order, fair_shares_follow_weights)
{
    start_policy("fair", 1, TICK_US);
    green_t light = spawn(share, (void *)0), heavy = spawn(share, (void *)1);
    green_setweight_np(heavy, 4 * GREEN_WEIGHT_DEFAULT);
    uint64_t until = stats_now().preemptions + 3000;
    wait_for(stats_now().preemptions >= until);
    double ratio = (double)atomic_load(&shares[1]) / (double)atomic_load(&shares[0]);
    atomic_store(&shares_over, true);
    join_result(light);
    join_result(heavy);
    cr_assert(ratio > 2.5 && ratio < 6, "4 to 1 became %.2f to 1", ratio);
}
