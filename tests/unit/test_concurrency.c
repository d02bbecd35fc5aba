/*
 * The number of processors at run time: up and down under load, and that it is really that many.
 */
#include "unit.h"

#include <stdatomic.h>
#include <unistd.h>

TestSuite(concurrency, .timeout = LIMIT);

enum { HOGS = 6 };

static atomic_ulong count;
static atomic_bool over;
static green_t hogs[HOGS];

static void *counting_hog(void *arg)
{
    while (!atomic_load(&over))
        atomic_fetch_add(&count, 1);
    return arg;
}

static void start_counting(void)
{
    for (int i = 0; i < HOGS; i++)
        hogs[i] = spawn(counting_hog, NULL);
}

static void stop_counting(void)
{
    atomic_store(&over, true);
    for (int i = 0; i < HOGS; i++)
        join_result(hogs[i]);
}

/* Whether somebody else ran while this thread kept its processor. */
static int others_run_beside(void)
{
    green_critical_enter();
    unsigned long before = atomic_load(&count);
    spin_ns(5 * TICK_US * 1000);
    int ran = atomic_load(&count) != before;
    green_critical_leave();
    return ran;
}

ON_BOTH(concurrency, bounds)
{
    int before = green_getconcurrency();
    cr_assert_eq(before, (int)stats_now().procs);
    cr_assert_eq(green_setconcurrency(-1), EINVAL);
    cr_assert_eq(green_setconcurrency(1025), EAGAIN);
    cr_assert_eq(green_getconcurrency(), before);
    cr_assert_eq(green_setconcurrency(4), 0);
    cr_assert_eq(green_getconcurrency(), 4);
    cr_assert_eq(stats_now().procs, 4);
    cr_assert_eq(green_setconcurrency(0), 0);
    cr_assert_eq(green_getconcurrency(), before);
}

Test(concurrency, growth_lets_threads_run_beside)
{
    start_unwatched(1);
    start_counting();
    for (int i = 0; i < 20; i++)
        cr_assert(!others_run_beside(), "one processor");
    cr_assert_eq(green_setconcurrency(2), 0);
    wait_for(others_run_beside());
    stop_counting();
}

Test(concurrency, shrinking_takes_processors_away)
{
    start(3);
    start_counting();
    wait_for(others_run_beside());
    cr_assert_eq(green_setconcurrency(1), 0);
    for (int quiet = 0; quiet < 20; green_usleep(300))
        quiet = others_run_beside() ? 0 : quiet + 1;
    stop_counting();
}

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static uint64_t plain;
static atomic_ulong locked;

static void work_step(unsigned index, uint64_t round)
{
    static const int levels[] = {1, 3, 2, 5, 1, 8, 4};
    if (index == 0 && round % 16 == 0)
        must(green_setconcurrency(levels[round / 16 % 7]) == 0);
    green_mutex_lock(&mutex);
    plain++;
    green_mutex_unlock(&mutex);
    atomic_fetch_add(&locked, 1);
    if (round % 8 == index)
        green_usleep(50);
    spin_ns(10000);
}

ON_BOTH(concurrency, up_and_down_under_load)
{
    storm_of(12, STORM_PREEMPTIONS, work_step);
    cr_assert_eq(plain, atomic_load(&locked));
    cr_assert_eq(green_setconcurrency(1), 0);
    cr_assert_eq(stats_now().procs, 1);
}

static atomic_int shrunk_on, runs_on;

/* Whether the caller runs on this kernel thread; if it does it also makes room there. */
static int on(pid_t kernel_thread)
{
    if (gettid() != kernel_thread)
        return 0;
    green_usleep(300);
    return 1;
}

/* Alone on the second processor for a while, so that no tick is under way there; then take that away. */
static void *shrink_from_the_second(void *first)
{
    pid_t here = 0;
    for (int alone = 0; alone < 10; alone++) {
        spin_ns(TICK_US * 1000);
        if (gettid() != here || on(*(pid_t *)first))
            alone = 0;
        here = gettid();
    }
    must(green_setconcurrency(1) == 0);
    atomic_store(&shrunk_on, here);
    while (!atomic_load(&over))
        atomic_store(&runs_on, gettid());
    return first;
}

/* It leaves the processor, though it does nothing that the library would see. */
Test(concurrency, shrinking_takes_the_callers_processor_away)
{
    start_unwatched(2);
    for (int round = 0; round < 10; round++) {
        pid_t first = gettid();
        atomic_store(&shrunk_on, 0);
        atomic_store(&runs_on, 0);
        atomic_store(&over, false);
        cr_assert_eq(green_setconcurrency(2), 0);
        green_t thread = spawn(shrink_from_the_second, &first);
        while (atomic_load(&runs_on) != first)
            if (gettid() != first) /* the thread wants that place */
                green_usleep(300);
        cr_assert_neq(atomic_load(&shrunk_on), first);
        for (int i = 0; i < 20; i++) {
            spin_ns(TICK_US * 1000);
            cr_assert_eq(atomic_load(&runs_on), first);
        }
        atomic_store(&over, true);
        join_result(thread);
        cr_assert_eq(gettid(), first);
    }
}
