/*
 * Preemption: nobody can hog, what holds a tick off does, what was interrupted is as it was.
 */
#include "unit.h"

#include <fenv.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/kernel_signal.h"
#include "core/sched.h"

TestSuite(preempt, .timeout = LIMIT);

static atomic_bool over;
static atomic_ulong count;

static atomic_int started;

static void *hog(void *arg)
{
    atomic_fetch_add(&started, 1);
    while (!atomic_load(&over))
        ;
    return arg;
}

static void *counting_hog(void *counter)
{
    while (!atomic_load(&over))
        atomic_fetch_add((atomic_ulong *)counter, 1);
    return NULL;
}

/* A hog itself until all the others have started, which takes ticks whatever the order. */
static void *end_hogs(void *others)
{
    while (atomic_load(&started) < (intptr_t)others)
        ;
    atomic_store(&over, true);
    return NULL;
}

static void *end_it(void *arg)
{
    atomic_store(&over, true);
    return arg;
}

/* More hogs than processors, and one that wants to end them. */
static void hogs_do_not_stop_others(void)
{
    green_t threads[6];
    for (int i = 0; i < 5; i++)
        threads[i] = spawn(hog, NULL);
    threads[5] = spawn(end_hogs, (void *)5);
    for (int i = 0; i < 6; i++)
        join_result(threads[i]);
    struct green_stats stats = stats_now();
    cr_assert_geq(stats.preemptions, 1);
    cr_assert_geq(stats.ticks, stats.preemptions);
}

ON_BOTH(preempt, timer_ends_a_hogs_slice)
{
    hogs_do_not_stop_others();
}

static void start_monitor(unsigned procs)
{
    struct green_config config = {
        .procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON, .tick = GREEN_TICK_MONITOR};
    start_config(&config);
}

Test(preempt, monitor_ends_a_hogs_slice_on_1)
{
    start_monitor(1);
    hogs_do_not_stop_others();
}

Test(preempt, monitor_ends_a_hogs_slice_on_2)
{
    start_monitor(2);
    hogs_do_not_stop_others();
}

/* main is a thread like any other. */
ON_BOTH(preempt, main_may_hog_too)
{
    green_t threads[4];
    for (int i = 0; i < 3; i++)
        threads[i] = spawn(hog, NULL);
    threads[3] = spawn(end_hogs, (void *)3);
    while (!atomic_load(&over))
        ;
    for (int i = 0; i < 4; i++)
        join_result(threads[i]);
}

Test(preempt, off_lets_a_hog_stop_others)
{
    start_cooperative();
    green_t thread = spawn(end_it, NULL);
    spin_ns(100000000);
    cr_assert(!atomic_load(&over));
    cr_assert_eq(stats_now().ticks, 0);
    cr_assert_str_eq(green_tick_source(), "off");
    while (!atomic_load(&over))
        cr_assert_eq(green_yield(), 0);
    join_result(thread);
    cr_assert_eq(stats_now().preemptions, 0);
}

/* In a section: spin until a tick is noted, then for two slices more, so that it will still be due when it is judged anew. */
static void spin_past_a_tick(void)
{
    while (!__atomic_load_n(&self_thread->worker->tick_pending, __ATOMIC_RELAXED))
        ;
    spin_ns(3 * TICK_US * 1000);
}

/* Without the monitor: a hog that it had taken for blocked would go on for a moment, on a kernel thread of its own. */
Test(preempt, critical_section_holds_ticks_off)
{
    setenv("GREEN_MONITOR", "off", 1);
    start(1);
    green_t thread = spawn(counting_hog, &count);
    wait_for(atomic_load(&count) > 0);
    for (int i = 0; i < 50; i++) {
        green_critical_enter();
        green_critical_enter();
        unsigned long before = atomic_load(&count);
        uint64_t preempted = stats_now().preemptions;
        spin_past_a_tick();
        green_safepoint();
        cr_assert_eq(atomic_load(&count), before, "held off");
        green_critical_leave();
        spin_ns(TICK_US * 1000);
        green_safepoint();
        cr_assert_eq(atomic_load(&count), before, "one section is still open");
        cr_assert_eq(stats_now().preemptions, preempted);
        green_critical_leave();
        cr_assert_gt(stats_now().preemptions, preempted, "the noted tick is taken at the last leave");
    }
    atomic_store(&over, true);
    join_result(thread);
}

ON_BOTH(preempt, safepoint_alone_does_nothing)
{
    for (int i = 0; i < 1000; i++)
        green_safepoint();
    green_critical_enter();
    green_critical_leave();
    cr_assert_eq(stats_now().threads_live, 1);
}

Test(preempt, slices_are_a_threads_own)
{
    static atomic_ulong of_long, of_short;
    start(1);
    green_t long_one = spawn(counting_hog, &of_long), short_one = spawn(counting_hog, &of_short);
    cr_assert_eq(green_setslice_np(long_one, 10000), 0);
    uint64_t target = stats_now().preemptions + 300;
    atomic_store(&of_long, 0);
    atomic_store(&of_short, 0);
    while (stats_now().preemptions < target)
        green_yield();
    atomic_store(&over, true);
    join_result(long_one);
    join_result(short_one);
    cr_assert_gt(atomic_load(&of_long), 3 * atomic_load(&of_short), "a slice a hundred times as long");
}

ON_BOTH(preempt, slice_bounds)
{
    unsigned slice = 0, *volatile none = NULL;
    cr_assert_eq(green_setslice_np(green_self(), 99), EINVAL);
    cr_assert_eq(green_setslice_np(green_self(), 10000001), EINVAL);
    cr_assert_eq(green_setslice_np(green_self(), 100), 0);
    cr_assert_eq(green_setslice_np(green_self(), 10000000), 0);
    cr_assert_eq(green_getslice_np(green_self(), &slice), 0);
    cr_assert_eq(slice, 10000000);
    cr_assert_eq(green_setslice_np(green_self(), 0), 0);
    cr_assert_eq(green_getslice_np(green_self(), none), EINVAL);
}

/* With nobody waiting, some stretch of twenty slices must pass without a tick. */
ON_BOTH(preempt, ticks_stop_when_nobody_waits)
{
    join_result(spawn(end_it, NULL));
    uint64_t before, after = stats_now().ticks;
    do {
        before = after;
        spin_ns(20 * TICK_US * 1000);
        after = stats_now().ticks;
    } while (after != before);
}

static void *sleep_often(void *arg)
{
    for (int i = 0; i < 100; i++)
        green_usleep(500);
    atomic_store(&over, true);
    return arg;
}

/* The hog's slice is ten seconds: a hundred sleeps would take it a quarter of an hour. */
Test(preempt, sleeper_need_not_wait_for_the_slice)
{
    struct green_config config = {.procs = 1, .slice_us = 10000000, .preempt = GREEN_ON};
    start_config(&config);
    green_t sleeper = spawn(sleep_often, NULL), busy = spawn(hog, NULL);
    join_result(sleeper);
    join_result(busy);
    cr_assert_geq(stats_now().wakeup_preemptions, 50);
}

/* Integer, floating-point and vector registers all live across a tick; a changed one changes the result. */
static uint64_t scramble(uint64_t seed)
{
    typedef double vector __attribute__((vector_size(64)));
    vector v = {1, 2, 3, 4, 5, 6, 7, 8}, w = v;
    uint64_t a = seed, b = seed * 3 + 1, c = ~seed;
    long double x87 = 1.0L + (long double)seed;
    double sum = 0;
    for (int i = 0; i < 2000; i++) {
        a = (a << 13 ^ a >> 7) + b;
        b = (b << 17 ^ c >> 3) + a;
        c += a ^ b;
        v = v * 1.000001 + w;
        x87 = x87 * 1.00001L + 1.0L;
    }
    for (int i = 0; i < 8; i++)
        sum += v[i];
    return a ^ b ^ c ^ (uint64_t)sum ^ (uint64_t)x87;
}

static uint64_t expected[STORM_THREADS];

static void scramble_step(unsigned index, uint64_t round)
{
    (void)round;
    must(scramble(index) == expected[index]);
}

static void scramble_storm(void)
{
    for (unsigned i = 0; i < STORM_THREADS; i++)
        expected[i] = scramble(i);
    storm(scramble_step);
}

ON_BOTH(preempt, registers_survive)
{
    scramble_storm();
}

Test(preempt, registers_survive_the_monitors_ticks)
{
    start_monitor(2);
    scramble_storm();
}

static void rounding_step(unsigned index, uint64_t round)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    if (round == 0)
        must(fesetround(modes[index % 4]) == 0);
    must(fegetround() == modes[index % 4]);
    if (round % 8 == 0)
        green_yield();
}

ON_BOTH(preempt, rounding_mode_is_a_threads_own)
{
    storm(rounding_step);
    cr_assert_eq(fegetround(), FE_TONEAREST);
}

static void mask_step(unsigned index, uint64_t round)
{
    sigset_t mask;
    must(kernel_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    must(!sigismember(&mask, SIGALRM));
    if ((index + round) % 64 == 0)
        green_yield();
}

/* The handler runs with its signal blocked; no thread may go on like that, or it would never be preempted again. */
ON_BOTH(preempt, tick_is_never_left_blocked)
{
    storm(mask_step);
}
