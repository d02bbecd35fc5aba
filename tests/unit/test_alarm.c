/*
 * The program's own SIGALRM beside the library's: each one that it asked for arrives, once, and no tick is taken for
 * one.
 */
#include "unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

TestSuite(alarm, .timeout = LIMIT);

enum { SHOTS = 30, HOGS = 4, MARK = 4711 };

static atomic_int arrived;
static atomic_int code, value;

static void count_alarm(int signal)
{
    must(signal == SIGALRM);
    atomic_fetch_add(&arrived, 1);
}

static void count_alarm_info(int signal, siginfo_t *info, void *context)
{
    must(context != NULL);
    atomic_store(&code, info->si_code);
    atomic_store(&value, info->si_value.sival_int);
    count_alarm(signal);
}

static void handle(void)
{
    struct sigaction action = {.sa_handler = count_alarm}, old;
    sigemptyset(&action.sa_mask);
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(sigaction(SIGALRM, NULL, &old), 0);
    cr_assert_eq(old.sa_handler, count_alarm, "the program sees its own handler");
}

/* Call shoot() again and again among preempted hogs, each time waiting for the alarm that it brings. */
static void expect_each(void (*shoot)(void))
{
    start_hogs(HOGS);
    for (int i = 0; i < SHOTS; i++) {
        cr_assert_eq(atomic_load(&arrived), i);
        shoot();
        wait_for(atomic_load(&arrived) > i);
    }
    uint64_t target = stats_now().preemptions + 200;
    wait_for(stats_now().preemptions >= target);
    cr_assert_eq(atomic_load(&arrived), SHOTS, "no more than were asked for");
    stop_hogs();
}

static void shoot_itimer(void)
{
    struct itimerval once = {.it_value = {0, 3000}};
    cr_assert_eq(setitimer(ITIMER_REAL, &once, NULL), 0);
}

static void shoot_kill(void)
{
    cr_assert_eq(kill(getpid(), SIGALRM), 0);
}

/* Comes from this process by tgkill, as a tick of the monitor may. */
static void shoot_raise(void)
{
    cr_assert_eq(raise(SIGALRM), 0);
}

static timer_t timer;

static void shoot_timer(void)
{
    struct itimerspec once = {.it_value = {0, 3000000}};
    cr_assert_eq(timer_settime(timer, 0, &once, NULL), 0);
}

ON_BOTH(alarm, setitimer)
{
    handle();
    expect_each(shoot_itimer);
}

ON_BOTH(alarm, kill)
{
    handle();
    expect_each(shoot_kill);
}

ON_BOTH(alarm, raise)
{
    handle();
    expect_each(shoot_raise);
}

static void start_monitor(void)
{
    struct green_config config = {.procs = 2, .slice_us = TICK_US, .preempt = GREEN_ON, .tick = GREEN_TICK_MONITOR};
    start_config(&config);
}

Test(alarm, raise_beside_the_monitor)
{
    start_monitor();
    handle();
    expect_each(shoot_raise);
}

Test(alarm, setitimer_beside_the_monitor)
{
    start_monitor();
    handle();
    expect_each(shoot_itimer);
}

ON_BOTH(alarm, handler_set_by_signal)
{
    cr_assert_neq(signal(SIGALRM, count_alarm), SIG_ERR);
    expect_each(shoot_itimer);
}

Test(alarm, handler_set_before_the_start)
{
    handle();
    start(1);
    expect_each(shoot_itimer);
}

/* A timer of the program looks like the library's own, but for its value. */
ON_BOTH(alarm, timer_create)
{
    struct sigaction action = {.sa_sigaction = count_alarm_info, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    event.sigev_value.sival_int = MARK;
    sigemptyset(&action.sa_mask);
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    expect_each(shoot_timer);
    cr_assert_eq(code, SI_TIMER);
    cr_assert_eq(value, MARK);
}

ON_BOTH(alarm, alarm)
{
    handle();
    start_hogs(HOGS);
    alarm(1);
    wait_for(atomic_load(&arrived) > 0);
    stop_hogs();
    cr_assert_eq(atomic_load(&arrived), 1);
}

/* What the program says about SIGALRM does not stop the ticks. */
ON_BOTH(alarm, ignoring_it_keeps_the_ticks)
{
    cr_assert_neq(signal(SIGALRM, SIG_IGN), SIG_ERR);
    start_hogs(HOGS);
    raise(SIGALRM);
    uint64_t target = stats_now().preemptions + 200;
    wait_for(stats_now().preemptions >= target);
    stop_hogs();
}

/* The default action is not to end the process: whoever asks for it must not take the ticks away. */
static void raise_what_is_ignored(unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON, .signal = SIGURG};
    start_config(&config);
    start_hogs(HOGS);
    for (int i = 0; i < SHOTS; i++) {
        cr_assert_eq(raise(SIGURG), 0);
        uint64_t target = stats_now().preemptions + 20;
        wait_for(stats_now().preemptions >= target);
    }
    stop_hogs();
}

Test(alarm, raise_of_an_ignored_signal_keeps_the_ticks_on_1)
{
    raise_what_is_ignored(1);
}

Test(alarm, raise_of_an_ignored_signal_keeps_the_ticks_on_2)
{
    raise_what_is_ignored(2);
}
