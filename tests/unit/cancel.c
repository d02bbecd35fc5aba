/*
 * Every cancellation point, and what the tests of cancellation share: see cancel.h.
 */
#include "cancel.h"

#include <green/signal.h>

static const struct timespec far = {.tv_sec = 4000000000};
static const struct timespec long_time = {.tv_sec = 1000000};

atomic_int reached, passed;
green_sem_t never, gate;
green_mutex_t mutex;
green_cond_t cond = GREEN_COND_INITIALIZER;
green_t target;

static void *wait_for_gate(void *arg)
{
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(green_sem_wait(&gate) == 0);
    return arg;
}

void begin(unsigned procs)
{
    green_mutexattr_t attr;

    start(procs);
    must(green_sem_init(&never, 0, 0) == 0 && green_sem_init(&gate, 0, 0) == 0);
    must(green_mutexattr_init(&attr) == 0 && green_mutexattr_settype(&attr, GREEN_MUTEX_ERRORCHECK) == 0);
    must(green_mutex_init(&mutex, &attr) == 0);
}

void start_target(void)
{
    target = spawn(wait_for_gate, NULL);
}

void end_target(void)
{
    must(green_sem_post(&gate) == 0);
    must(join_result(target) == NULL);
}

static void point_join(void)
{
    green_join(target, NULL);
}

void unlock_mutex(void *arg)
{
    must(green_mutex_unlock(&mutex) == 0);
    (void)arg;
}

static void point_cond(int way)
{
    must(green_mutex_lock(&mutex) == 0);
    green_cleanup_push(unlock_mutex, NULL);
    if (way == 0)
        green_cond_wait(&cond, &mutex);
    else if (way == 1)
        green_cond_timedwait(&cond, &mutex, &far);
    else
        green_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &far);
    green_cleanup_pop(1);
}

static void point_cond_wait(void)
{
    point_cond(0);
}

static void point_cond_timedwait(void)
{
    point_cond(1);
}

static void point_cond_clockwait(void)
{
    point_cond(2);
}

static void point_sem_wait(void)
{
    green_sem_wait(&never);
}

static void point_sem_timedwait(void)
{
    green_sem_timedwait(&never, &far);
}

static void point_sem_clockwait(void)
{
    green_sem_clockwait(&never, CLOCK_MONOTONIC, &far);
}

static void point_sleep(void)
{
    green_sleep(1000000);
}

static void point_usleep(void)
{
    green_usleep(4000000000U);
}

static void point_nanosleep(void)
{
    green_nanosleep(&long_time, NULL);
}

static void point_clock_nanosleep(void)
{
    green_clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &far, NULL);
}

sigset_t usr1(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

static void point_sigwait(void)
{
    const sigset_t set = usr1();
    int number;
    green_sigwait(&set, &number);
}

static void point_sigwaitinfo(void)
{
    const sigset_t set = usr1();
    green_sigwaitinfo(&set, NULL);
}

static void point_sigtimedwait(void)
{
    const sigset_t set = usr1();
    green_sigtimedwait(&set, NULL, &long_time);
}

static void mask_is_back(void *arg)
{
    sigset_t now;
    must(green_sigmask(SIG_SETMASK, NULL, &now) == 0);
    must(sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGHUP) == 0);
    (void)arg;
}

static void point_sigsuspend(void)
{
    const sigset_t set = usr1();
    sigset_t meanwhile;

    must(green_sigmask(SIG_SETMASK, &set, NULL) == 0);
    sigemptyset(&meanwhile);
    sigaddset(&meanwhile, SIGHUP);
    green_cleanup_push(mask_is_back, NULL);
    green_sigsuspend(&meanwhile);
    green_cleanup_pop(0);
}

static void point_testcancel(void)
{
    for (;;) {
        green_testcancel();
        green_yield();
    }
}

void (*const points[POINTS])(void) = {
    point_join,          point_cond_wait, point_cond_timedwait, point_cond_clockwait, [POINT_SEM_WAIT] = point_sem_wait,
    point_sem_timedwait, point_sem_clockwait, point_sleep,      point_usleep,         point_nanosleep,
    point_clock_nanosleep, point_sigwait, point_sigwaitinfo,    point_sigtimedwait,   point_sigsuspend,
    [POINT_TESTCANCEL] = point_testcancel,
};

void count_pass(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

void *reach(void *arg)
{
    void (*const *point)(void) = arg;

    green_cleanup_push(count_pass, &passed);
    atomic_fetch_add(&reached, 1);
    (*point)();
    green_cleanup_pop(0);
    return NULL;
}

void *reach_cancelled(void *arg)
{
    must(green_cancel(green_self()) == 0);
    return reach(arg);
}

void *lock_it(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&passed, 1);
    must(green_mutex_unlock(&mutex) == 0);
    green_testcancel();
    return arg;
}

void cancel_in_vain(green_t thread)
{
    must(green_cancel(thread) == 0);
    for (int i = 0; i < 100; i++)
        green_yield();
    cr_assert(is_parked(thread));
}

void check_cancelled(green_t thread)
{
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}
