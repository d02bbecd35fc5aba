/*
 * Joining with a deadline, and without waiting.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

TestSuite(join, .timeout = LIMIT);

static void *echo(void *arg)
{
    return arg;
}

static void *wait_at(void *sem)
{
    must(green_sem_wait(sem) == 0);
    return sem;
}

static struct timespec in_a_while(clockid_t clock)
{
    return time_after(clock, INT64_C(1000000000) * 3600);
}

ON_BOTH(join, try)
{
    green_sem_t gate;
    void *result = NULL;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    cr_assert_eq(green_tryjoin_np(thread, &result), EBUSY);
    cr_assert_eq(green_tryjoin_np(thread, &result), EBUSY);
    cr_assert_null(result);
    green_sem_post(&gate);
    wait_for(green_tryjoin_np(thread, &result) != EBUSY);
    cr_assert_eq(result, &gate);
    cr_assert_eq(green_tryjoin_np(thread, NULL), ESRCH);
    thread = spawn(echo, NULL);
    int error;
    while ((error = green_tryjoin_np(thread, NULL)) == EBUSY)
        green_yield();
    cr_assert_eq(error, 0);
}

ON_BOTH(join, errors_of_all)
{
    const struct timespec good = in_a_while(CLOCK_REALTIME), bad[] = {{0, -1}, {0, 1000000000}};
    const struct timespec *volatile none = NULL;
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate), detached = spawn(wait_at, &gate);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(green_timedjoin_np(thread, NULL, &bad[i]), EINVAL);
        cr_assert_eq(green_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &bad[i]), EINVAL);
    }
    cr_assert_eq(green_timedjoin_np(thread, NULL, none), EINVAL);
    cr_assert_eq(green_clockjoin_np(thread, NULL, CLOCK_PROCESS_CPUTIME_ID, &good), EINVAL);
    cr_assert_eq(green_clockjoin_np(thread, NULL, -1, &good), EINVAL);
    cr_assert_eq(green_timedjoin_np(0, NULL, &good), ESRCH);
    cr_assert_eq(green_tryjoin_np(0, NULL), ESRCH);
    cr_assert_eq(green_timedjoin_np(green_self(), NULL, &good), EDEADLK);
    cr_assert_eq(green_tryjoin_np(green_self(), NULL), EBUSY);
    green_detach(detached);
    cr_assert_eq(green_timedjoin_np(detached, NULL, &good), EINVAL);
    cr_assert_eq(green_tryjoin_np(detached, NULL), EINVAL);
    green_sem_post(&gate);
    green_sem_post(&gate);
    cr_assert_eq(green_timedjoin_np(thread, NULL, &good), 0);
    cr_assert_eq(green_timedjoin_np(thread, NULL, &good), ESRCH);
}

ON_BOTH(join, time_runs_out)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    for (int i = 0; i < 2; i++) {
        struct timespec when = time_after(clocks[i], 5000000);
        cr_assert_eq(green_clockjoin_np(thread, NULL, clocks[i], &when), ETIMEDOUT);
        cr_assert(time_reached(clocks[i], when));
        cr_assert_eq(green_clockjoin_np(thread, NULL, clocks[i], &(struct timespec){0, 0}), ETIMEDOUT);
    }
    struct timespec when = time_after(CLOCK_REALTIME, 5000000);
    cr_assert_eq(green_timedjoin_np(thread, NULL, &when), ETIMEDOUT);
    cr_assert_eq(green_tryjoin_np(thread, NULL), EBUSY);
    green_sem_post(&gate);
    cr_assert_eq(join_result(thread), &gate);
}

ON_BOTH(join, the_thread_ends_first)
{
    struct timespec when = in_a_while(CLOCK_MONOTONIC);
    for (int i = 0; i < 500; i++) {
        void *result;
        green_t thread = spawn(echo, &result);
        cr_assert_eq(green_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &when), 0);
        cr_assert_eq(result, &result);
    }
}

struct pair {
    green_t target;
    green_sem_t begun;
};

static void *join_for_long(void *arg)
{
    struct pair *pair = arg;
    struct timespec when = in_a_while(CLOCK_REALTIME);
    must(green_timedjoin_np(pair->target, NULL, &when) == 0);
    return arg;
}

/* While one waits with a deadline, the others are refused; when it has given up, they are not. */
ON_BOTH(join, second_joiner_is_refused)
{
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    struct pair pair = {.target = spawn(wait_at, &gate)};
    green_t joiner = spawn(join_for_long, &pair);
    struct timespec soon = time_after(CLOCK_REALTIME, 1000000);
    wait_for(green_tryjoin_np(pair.target, NULL) == EINVAL);
    cr_assert_eq(green_timedjoin_np(pair.target, NULL, &soon), EINVAL);
    cr_assert_eq(green_join(pair.target, NULL), EINVAL);
    cr_assert_eq(green_detach(pair.target), EINVAL);
    green_sem_post(&gate);
    join_result(joiner);
    cr_assert_eq(green_join(pair.target, NULL), ESRCH);
}

static atomic_int handled;

static void note(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled, 1);
}

/* A handler runs, and the wait goes on. */
ON_BOTH(join, signals_meanwhile)
{
    enum { SIGNALS = 50 };
    struct sigaction action = {.sa_handler = note};
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_sigaction(SIGUSR1, &action, NULL);
    struct pair pair = {.target = spawn(wait_at, &gate)};
    green_t joiner = spawn(join_for_long, &pair);
    for (int i = 0; i < SIGNALS; i++) {
        cr_assert_eq(green_kill(joiner, SIGUSR1), 0);
        wait_for(atomic_load(&handled) == i + 1);
    }
    green_sem_post(&gate);
    join_result(joiner);
    cr_assert_eq(handled, SIGNALS);
}

static void *bound_joiner(void *arg)
{
    join_for_long(arg);
    return arg;
}

/* Multiplexed, bound and foreign joiners of multiplexed and bound threads. */
ON_BOTH(join, every_kind_of_thread)
{
    for (int round = 0; round < 20; round++)
        for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
            struct timespec soon = time_after(CLOCK_REALTIME, 100000);
            green_sem_t gate;
            green_attr_t attr;
            struct pair pair;
            green_t joiner;
            pthread_t foreign;
            green_sem_init(&gate, 0, 0);
            green_attr_init(&attr);
            green_attr_setscope(&attr, scope);
            cr_assert_eq(green_create(&pair.target, &attr, wait_at, &gate), 0);
            cr_assert_eq(green_timedjoin_np(pair.target, NULL, &soon), ETIMEDOUT);
            if (round % 2) {
                cr_assert_eq(pthread_create(&foreign, NULL, bound_joiner, &pair), 0);
                green_sem_post(&gate);
                cr_assert_eq(pthread_join(foreign, NULL), 0);
            } else {
                green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
                cr_assert_eq(green_create(&joiner, &attr, bound_joiner, &pair), 0);
                green_sem_post(&gate);
                cr_assert_eq(join_result(joiner), &pair);
            }
        }
}

/*
 * Deadlines that come about when the thread ends: each ends once, is joined once, and nobody is woken for somebody
 * else's join.
 */
static void *sleep_a_moment(void *arg)
{
    green_usleep((unsigned)(uintptr_t)arg);
    return arg;
}

static atomic_uint in_time, too_late;

static void race(unsigned index, uint64_t round)
{
    void *const arg = (void *)(uintptr_t)((index * 7 + round * 13) % 120);
    void *result = NULL;
    green_t thread = spawn(sleep_a_moment, arg);
    struct timespec when = time_after(CLOCK_MONOTONIC, (int64_t)(round % 100) * 2000);
    int error = green_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &when);
    must(error == 0 || error == ETIMEDOUT);
    if (error) {
        must(time_reached(CLOCK_MONOTONIC, when));
        must(green_join(thread, &result) == 0);
    }
    must(result == arg);
    must(green_join(thread, NULL) == ESRCH);
    atomic_fetch_add(error ? &too_late : &in_time, 1);
}

ON_BOTH(join, deadlines_race_with_ends)
{
    storm(race);
    cr_assert_gt(in_time, 0);
    cr_assert_gt(too_late, 0);
}
