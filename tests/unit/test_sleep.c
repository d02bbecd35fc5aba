/*
 * Sleeping: never too short, in the order of the deadlines, and only the thread sleeps, not its processor.  How late
 * a sleeper may be is a matter of the machine and is not judged here.
 */
#include "unit.h"

#include <stdatomic.h>

#include "base/kernel_signal.h"

TestSuite(sleep, .timeout = LIMIT);

ON_BOTH(sleep, is_not_too_short)
{
    for (int i = 1; i <= 20; i++) {
        uint64_t begin = now_ns();
        cr_assert_eq(green_usleep((unsigned)i * 100), 0);
        cr_assert_geq(now_ns() - begin, (uint64_t)i * 100000);
    }
    uint64_t begin = now_ns();
    cr_assert_eq(green_sleep(1), 0);
    cr_assert_geq(now_ns() - begin, 1000000000);
}

ON_BOTH(sleep, nanosleep)
{
    const struct timespec mark = {-7, -7};
    struct timespec rem = mark;
    uint64_t begin = now_ns();
    cr_assert_eq(green_nanosleep(&(struct timespec){0, 3000001}, &rem), 0);
    cr_assert_geq(now_ns() - begin, 3000001);
    cr_assert_eq(green_nanosleep(&(struct timespec){0, 0}, &rem), 0);
    cr_assert_eq(green_nanosleep(&(struct timespec){0, 1}, NULL), 0);
    cr_assert(rem.tv_sec == mark.tv_sec && rem.tv_nsec == mark.tv_nsec, "rem is never written");
}

ON_BOTH(sleep, absolute_on_both_clocks)
{
    const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        struct timespec when = time_after(clocks[i], 5000000);
        cr_assert_eq(green_clock_nanosleep(clocks[i], TIMER_ABSTIME, &when, NULL), 0);
        cr_assert(time_reached(clocks[i], when));
        when = time_after(clocks[i], -1000000000);
        cr_assert_eq(green_clock_nanosleep(clocks[i], TIMER_ABSTIME, &when, NULL), 0);
        uint64_t begin = now_ns();
        cr_assert_eq(green_clock_nanosleep(clocks[i], 0, &(struct timespec){0, 2000000}, NULL), 0);
        cr_assert_geq(now_ns() - begin, 2000000);
    }
}

static void *has_run(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static void *sleep_cancelled(void *arg)
{
    green_cancel(green_self());
    green_clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, arg, NULL);
    return NULL;
}

Test(sleep, until_the_past_is_no_wait_but_a_cancellation_point)
{
    start_cooperative();
    const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        atomic_int ran = 0;
        struct timespec past = time_after(clocks[i], -1000000);
        green_t other = spawn(has_run, &ran);
        cr_assert_eq(green_clock_nanosleep(clocks[i], TIMER_ABSTIME, &past, NULL), 0);
        cr_assert_eq(atomic_load(&ran), 0, "who catches up does not go to the end of the line");
        join_result(other);
        cr_assert_eq(join_result(spawn(sleep_cancelled, &past)), GREEN_CANCELED);
    }
}

ON_BOTH(sleep, times_that_are_none)
{
    const struct timespec none[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    for (int i = 0; i < 3; i++) {
        errno = 0;
        cr_assert_eq(green_nanosleep(&none[i], NULL), -1);
        cr_assert_eq(errno, EINVAL);
        errno = 0;
        cr_assert_eq(green_clock_nanosleep(CLOCK_MONOTONIC, 0, &none[i], NULL), EINVAL);
        cr_assert_eq(errno, 0, "the error number is returned, errno is left alone");
    }
    cr_assert_eq(green_clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL), EINVAL);
    cr_assert_eq(green_clock_nanosleep(12345, 0, &(struct timespec){0, 1}, NULL), EINVAL);
}

enum { SLEEPERS = 25 };

struct sleeper {
    struct timespec when;
    int place;
};

static atomic_int asleep, awake;

static void *sleep_until(void *arg)
{
    struct sleeper *me = arg;
    asleep++;
    must(green_clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &me->when, NULL) == 0);
    me->place = awake++;
    return NULL;
}

/* True if the last sleeper was asleep before the first one's time came: else their order says nothing. */
static int sleep_in_order(int64_t margin_ns)
{
    struct sleeper sleepers[SLEEPERS];
    green_t threads[SLEEPERS];
    struct timespec first = time_after(CLOCK_MONOTONIC, margin_ns);
    asleep = awake = 0;
    for (int i = 0; i < SLEEPERS; i++) {
        int rank = i * 7 % SLEEPERS;
        sleepers[rank].when = first;
        sleepers[rank].when.tv_sec += (first.tv_nsec + rank * 50000) / 1000000000;
        sleepers[rank].when.tv_nsec = (first.tv_nsec + rank * 50000) % 1000000000;
        threads[rank] = spawn(sleep_until, &sleepers[rank]);
    }
    while (asleep < SLEEPERS)
        green_yield();
    int in_time = !time_reached(CLOCK_MONOTONIC, first);
    for (int i = 0; i < SLEEPERS; i++)
        join_result(threads[i]);
    for (int i = 0; in_time && i < SLEEPERS; i++)
        cr_assert_eq(sleepers[i].place, i);
    return in_time;
}

Test(sleep, order_of_deadlines)
{
    start_cooperative();
    int64_t margin_ns = 20000000;
    while (!sleep_in_order(margin_ns))
        margin_ns *= 2;
}

static void *sleep_one_second(void *arg)
{
    green_sleep(1);
    return arg;
}

/* One after another they would need 50 minutes. */
ON_BOTH(sleep, together)
{
    enum { COUNT = 3000 };
    static green_t threads[COUNT];
    uint64_t begin = now_ns();
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(sleep_one_second, NULL);
    for (int i = 0; i < COUNT; i++)
        join_result(threads[i]);
    cr_assert_geq(now_ns() - begin, 1000000000);
}

static void *sleep_for_a_day(void *arg)
{
    green_sleep(86400);
    return arg;
}

ON_BOTH(sleep, nobody_waits_for_a_long_sleeper)
{
    for (int i = 0; i < 100; i++)
        cr_assert_eq(green_detach(spawn(sleep_for_a_day, NULL)), 0);
    cr_assert_eq(green_usleep(1000), 0);
    cr_assert_eq(stats_now().threads_live, 101);
}

static atomic_ulong sleeps;

static void short_sleep(unsigned index, uint64_t round)
{
    if (round % 2)
        spin_ns(50000);
    uint64_t begin = now_ns();
    unsigned us = 20 + (unsigned)(round * 7 + index) % 150;
    must(green_usleep(us) == 0);
    must(now_ns() - begin >= us * 1000ULL);
    atomic_fetch_add(&sleeps, 1);
}

ON_BOTH(sleep, storm)
{
    storm_of(32, 1000, short_sleep);
    cr_assert_gt(atomic_load(&sleeps), 32);
}

static atomic_bool slept;

static void *sleep_once(void *arg)
{
    green_usleep(1000);
    atomic_store(&slept, true);
    return arg;
}

static void *yield_until_slept(void *arg)
{
    while (!atomic_load(&slept))
        green_yield();
    return arg;
}

/* No tick comes here, and the processor always has a thread to run. */
Test(sleep, ends_where_others_yield_all_the_time)
{
    const struct green_config config = {.procs = 1, .preempt = GREEN_ON, .monitor = GREEN_MONITOR_OFF};
    sigset_t tick, old;
    start_config(&config);
    sigemptyset(&tick);
    sigaddset(&tick, SIGALRM);
    green_t sleeper = spawn(sleep_once, NULL), yielder = spawn(yield_until_slept, NULL);
    must(kernel_sigmask(SIG_BLOCK, &tick, &old) == 0);
    yield_until_slept(NULL);
    must(kernel_sigmask(SIG_SETMASK, &old, NULL) == 0);
    join_result(sleeper);
    join_result(yielder);
}
