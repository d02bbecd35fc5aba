/*
 * Semaphores: values and error numbers, order, and that units are neither lost nor made.
 */
#include "unit.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>

TestSuite(sem, .timeout = LIMIT);

static green_sem_t sem;

static int value_of(green_sem_t *which)
{
    int value = -1;
    must(green_sem_getvalue(which, &value) == 0);
    return value;
}

ON_BOTH(sem, counts)
{
    cr_assert_eq(green_sem_init(&sem, 0, 2), 0);
    cr_assert_eq(value_of(&sem), 2);
    cr_assert_eq(green_sem_wait(&sem), 0);
    cr_assert_eq(green_sem_trywait(&sem), 0);
    cr_assert_eq(value_of(&sem), 0);
    assert_fails(green_sem_trywait(&sem), EAGAIN);
    cr_assert_eq(green_sem_post(&sem), 0);
    cr_assert_eq(value_of(&sem), 1);
    cr_assert_eq(green_sem_destroy(&sem), 0);
}

ON_BOTH(sem, bad_arguments)
{
    green_sem_t *volatile none = NULL;
    const struct timespec *volatile no_time = NULL, late = {0, 1000000000}, early = {0, -1};
    int *volatile no_value = NULL;
    assert_fails(green_sem_init(&sem, 0, (unsigned)GREEN_SEM_VALUE_MAX + 1), EINVAL);
    assert_fails(green_sem_init(none, 0, 0), EINVAL);
    cr_assert_eq(green_sem_init(&sem, 0, 0), 0);
    assert_fails(green_sem_wait(none), EINVAL);
    assert_fails(green_sem_trywait(none), EINVAL);
    assert_fails(green_sem_post(none), EINVAL);
    assert_fails(green_sem_destroy(none), EINVAL);
    assert_fails(green_sem_getvalue(&sem, no_value), EINVAL);
    assert_fails(green_sem_timedwait(&sem, no_time), EINVAL);
    assert_fails(green_sem_timedwait(&sem, &late), EINVAL);
    assert_fails(green_sem_timedwait(&sem, &early), EINVAL);
    assert_fails(green_sem_clockwait(&sem, CLOCK_THREAD_CPUTIME_ID, &early), EINVAL);
}

ON_BOTH(sem, overflow)
{
    cr_assert_eq(green_sem_init(&sem, 0, GREEN_SEM_VALUE_MAX), 0);
    assert_fails(green_sem_post(&sem), EOVERFLOW);
    cr_assert_eq(value_of(&sem), GREEN_SEM_VALUE_MAX);
}

ON_BOTH(sem, timed)
{
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    green_sem_init(&sem, 0, 0);
    struct timespec when = time_after(CLOCK_REALTIME, 3000000);
    assert_fails(green_sem_timedwait(&sem, &when), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_REALTIME, when));
    for (int i = 0; i < 2; i++) {
        when = time_after(clocks[i], 3000000);
        assert_fails(green_sem_clockwait(&sem, clocks[i], &when), ETIMEDOUT);
        cr_assert(time_reached(clocks[i], when));
    }
    green_sem_post(&sem);
    when = time_after(CLOCK_REALTIME, -1000000000);
    cr_assert_eq(green_sem_timedwait(&sem, &when), 0, "one that is there needs no time");
    cr_assert_eq(value_of(&sem), 0);
}

enum { WAITERS = 20 };

static atomic_int arrived, served[WAITERS], places;

static void *wait_in_line(void *arg)
{
    int place = arrived++;
    must(green_sem_wait(&sem) == 0);
    served[places++] = place;
    return arg;
}

Test(sem, first_come_first_served)
{
    green_t threads[WAITERS];
    start_cooperative();
    green_sem_init(&sem, 0, 0);
    for (int i = 0; i < WAITERS; i++)
        threads[i] = spawn(wait_in_line, NULL);
    while (arrived < WAITERS)
        green_yield();
    assert_fails(green_sem_destroy(&sem), EBUSY);
    for (int i = 0; i < WAITERS; i++) {
        green_sem_post(&sem);
        cr_assert_eq(value_of(&sem), 0, "the unit is a waiter's already");
        while (places == i)
            green_yield();
        cr_assert_eq(served[i], i);
    }
    for (int i = 0; i < WAITERS; i++)
        join_result(threads[i]);
}

enum { UNITS = 3 };

static atomic_int holders;

static void hold_step(unsigned index, uint64_t round)
{
    struct timespec soon = time_after(CLOCK_MONOTONIC, (int64_t)((round + index) % 32) * 10000);
    int result = round % 3 == 0   ? green_sem_wait(&sem)
                 : round % 3 == 1 ? green_sem_trywait(&sem)
                                  : green_sem_clockwait(&sem, CLOCK_MONOTONIC, &soon);
    if (result) {
        must(errno == (round % 3 == 1 ? EAGAIN : ETIMEDOUT));
        return;
    }
    must(atomic_fetch_add(&holders, 1) < UNITS);
    if (round % 4 == 0)
        spin_ns(20000);
    atomic_fetch_sub(&holders, 1);
    must(green_sem_post(&sem) == 0);
}

ON_BOTH(sem, units_are_kept_under_ticks)
{
    green_sem_init(&sem, 0, UNITS);
    storm(hold_step);
    cr_assert_eq(value_of(&sem), UNITS);
}

enum { RING = 50, LAPS = 400 };

static green_sem_t ring[RING];

static void *pass_on(void *arg)
{
    intptr_t me = (intptr_t)arg;
    for (int i = 0; i < LAPS; i++) {
        must(green_sem_wait(&ring[me]) == 0);
        must(green_sem_post(&ring[(me + 1) % RING]) == 0);
    }
    return NULL;
}

/* Two tokens chase each other; a lost wake-up stops one, and with it the ring. */
ON_BOTH(sem, ring)
{
    green_t threads[RING];
    for (int i = 0; i < RING; i++)
        green_sem_init(&ring[i], 0, i % (RING / 2) == 0);
    for (intptr_t i = 0; i < RING; i++)
        threads[i] = spawn(pass_on, (void *)i);
    for (int i = 0; i < RING; i++)
        join_result(threads[i]);
    int tokens = 0;
    for (int i = 0; i < RING; i++)
        tokens += value_of(&ring[i]);
    cr_assert_eq(tokens, 2);
}

/*
 * A handler that the library knows nothing of, as libc's own sigaction() sets it, runs wherever the kernel lets it: among the
 * program's instructions, where a worker sleeps, and inside the library, where it may interrupt the very semaphore it
 * posts.  Each post arrives.
 */
enum { POSTS = 20000, POSTERS = 4 };

static green_sem_t mail;
static atomic_long posted;
static atomic_bool sorted;

static void post_mail(int number)
{
    must(number == SIGUSR2);
    if (atomic_fetch_add(&posted, 1) < POSTS)
        must(green_sem_post(&mail) == 0);
}

static void handle_unknown(int number, const struct sigaction *action)
{
    __typeof__(&sigaction) libcs;
    *(void **)&libcs = dlsym(RTLD_NEXT, "sigaction");
    must(libcs && libcs(number, action, NULL) == 0);
}

static void start_alarm(timer_t *timer)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    const struct itimerspec often = {{0, 30000}, {0, 30000}};
    must(timer_create(CLOCK_MONOTONIC, &event, timer) == 0);
    must(timer_settime(*timer, 0, &often, NULL) == 0);
}

static void *take_mail(void *arg)
{
    for (int i = 0; i < POSTS / 2; i++)
        must(green_sem_wait(&mail) == 0);
    return arg;
}

/* In and out of the library all the time, and at the same semaphore. */
static void *keep_busy(void *arg)
{
    for (int i = 0; !atomic_load(&sorted); i++) {
        if (green_sem_trywait(&mail) == 0)
            must(green_sem_post(&mail) == 0);
        must(green_sem_post(&sem) == 0);
        must(green_sem_wait(&sem) == 0);
        if (i % 16 == 0)
            green_yield();
        if (i % 1024 == 0)
            green_usleep(100);
    }
    return arg;
}

ON_BOTH(sem, posts_from_a_handler_of_libcs)
{
    struct sigaction action = {.sa_handler = post_mail, .sa_flags = SA_RESTART};
    green_t takers[2], busy[POSTERS];
    timer_t timer;
    green_sem_init(&mail, 0, 0);
    green_sem_init(&sem, 0, 0);
    handle_unknown(SIGUSR2, &action);
    for (int i = 0; i < 2; i++)
        takers[i] = spawn(take_mail, NULL);
    for (int i = 0; i < POSTERS; i++)
        busy[i] = spawn(keep_busy, NULL);
    start_alarm(&timer);
    for (int i = 0; i < 2; i++)
        join_result(takers[i]);
    must(timer_delete(timer) == 0);
    atomic_store(&sorted, true);
    for (int i = 0; i < POSTERS; i++)
        join_result(busy[i]);
    cr_assert_geq(atomic_load(&posted), POSTS);
    cr_assert_eq(value_of(&mail), 0, "no post is lost, and none doubled");
    cr_assert_eq(green_sem_destroy(&mail), 0);
}

/* Everybody waits, and the handler interrupts a worker that sleeps. */
ON_BOTH(sem, posts_from_a_handler_where_a_worker_sleeps)
{
    struct sigaction action = {.sa_handler = post_mail, .sa_flags = SA_RESTART};
    timer_t timer;
    green_sem_init(&mail, 0, 0);
    handle_unknown(SIGUSR2, &action);
    start_alarm(&timer);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(green_sem_wait(&mail), 0);
    must(timer_delete(timer) == 0);
}

/* In a critical section of its own the caller is not inside the library. */
static atomic_bool has_mail;

static void *wait_for_mail(void *arg)
{
    must(green_sem_wait(&mail) == 0);
    atomic_store(&has_mail, true);
    return arg;
}

Test(sem, post_in_a_critical_section)
{
    start_cooperative();
    green_sem_init(&mail, 0, 0);
    green_t waiter = spawn(wait_for_mail, NULL);
    green_yield();
    green_critical_enter();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(green_sem_post(&mail), 0);
    green_critical_leave();
    join_result(waiter);
    cr_assert_eq(value_of(&mail), 2);
    cr_assert_eq(green_sem_destroy(&mail), 0);
}
