/*
 * Signals per thread: masks, what stays pending and in which order it comes out, and actions.
 */
#include "signals.h"

#include <sys/resource.h>
#include <unistd.h>

TestSuite(signal, .timeout = LIMIT);

/* The mask. */

ON_BOTH(signal, mask_blocks_and_opens)
{
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    must(green_kill(green_self(), SIGUSR1) == 0);
    cr_assert_eq(seen.count, 0);
    cr_assert(pends(SIGUSR1));
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1, "handled before the mask's change returns");
    cr_assert(!pends(SIGUSR1));
    cr_assert_eq(seen.thread[0], green_self());
}

ON_BOTH(signal, mask_reports_the_old_one)
{
    sigset_t set = set_of(SIGUSR2), old;
    sigaddset(&set, SIGKILL);
    cr_assert_eq(green_sigmask(SIG_SETMASK, &set, NULL), 0);
    cr_assert_eq(green_sigmask(SIG_BLOCK, NULL, &old), 0);
    cr_assert(sigismember(&old, SIGUSR2) && !sigismember(&old, SIGUSR1) && !sigismember(&old, SIGKILL));
    cr_assert_eq(green_sigmask(4711, &set, NULL), EINVAL);
}

static void *report_mask(void *arg)
{
    must(green_sigmask(SIG_BLOCK, NULL, arg) == 0);
    return NULL;
}

ON_BOTH(signal, mask_is_inherited)
{
    sigset_t mask;
    change(SIG_BLOCK, SIGUSR2);
    join_result(spawn(report_mask, &mask));
    cr_assert(sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGUSR1));
}

static void *block_usr1(void *arg)
{
    change(SIG_BLOCK, SIGUSR1);
    green_yield();
    return arg;
}

ON_BOTH(signal, mask_is_the_thread_s_own)
{
    sigset_t mask;
    green_t thread = spawn(block_usr1, NULL);
    for (int i = 0; i < 1000; i++) {
        green_yield();
        must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0);
        must(!sigismember(&mask, SIGUSR1));
    }
    join_result(thread);
}

static void mask_in_handler(int number, siginfo_t *info, void *context)
{
    sigset_t mask;
    note(number, info, context);
    must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    must(sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGUSR2));
}

ON_BOTH(signal, handler_runs_with_its_mask)
{
    struct sigaction action = {.sa_sigaction = mask_in_handler, .sa_flags = SA_SIGINFO};
    sigset_t mask;
    action.sa_mask = set_of(SIGUSR2);
    cr_assert_eq(green_sigaction(SIGUSR1, &action, NULL), 0);
    green_raise(SIGUSR1);
    cr_assert_eq(seen.count, 1);
    must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    cr_assert(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGUSR2));
}

/* Pending sets. */

ON_BOTH(signal, standard_ones_coalesce)
{
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    uint64_t before = stats_now().signals_coalesced;
    for (int i = 0; i < 5; i++)
        queue(green_self(), SIGUSR1, i);
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.value[0], 0, "the first one's value");
    cr_assert_eq(stats_now().signals_coalesced - before, 4);
}

ON_BOTH(signal, lowest_first_and_real_time_ones_in_order)
{
    const int numbers[] = {SIGRTMIN + 3, SIGUSR2, SIGRTMIN + 1, SIGUSR1, SIGRTMIN + 3, SIGRTMIN + 1};
    const int expected[] = {SIGUSR1, SIGUSR2, SIGRTMIN + 1, SIGRTMIN + 1, SIGRTMIN + 3, SIGRTMIN + 3};
    const int values[] = {3, 1, 2, 5, 0, 4};
    sigset_t all, old;
    sigfillset(&all);
    for (int i = 0; i < 6; i++) {
        struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO, .sa_mask = all};
        must(green_sigaction(numbers[i], &action, NULL) == 0);
    }
    must(green_sigmask(SIG_SETMASK, &all, &old) == 0);
    for (int i = 0; i < 6; i++) {
        if (i % 2)
            queue(green_self(), numbers[i], i);
        else
            must(green_sigqueue(getpid(), numbers[i], (union sigval){.sival_int = i}) == 0);
    }
    must(green_sigmask(SIG_SETMASK, &old, NULL) == 0);
    cr_assert_eq(seen.count, 6);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(seen.number[i], expected[i], "place %d", i);
        if (expected[i] != SIGRTMIN + 1 && expected[i] != SIGRTMIN + 3)
            cr_assert_eq(seen.value[i], values[i], "place %d", i);
    }
    cr_assert_eq(seen.value[2] + seen.value[3], 7);
    cr_assert(seen.value[4] == 0 && seen.value[5] == 4, "first in, first out, by one way or another");
}

ON_BOTH(signal, real_time_values_keep_their_order)
{
    handle(SIGRTMIN + 5);
    change(SIG_BLOCK, SIGRTMIN + 5);
    for (int i = 0; i < 40; i++)
        queue(green_self(), SIGRTMIN + 5, i);
    change(SIG_UNBLOCK, SIGRTMIN + 5);
    cr_assert_eq(seen.count, 40);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(seen.value[i], i);
}

Test(signal, beyond_the_limit_is_eagain)
{
    struct rlimit limit = {10, 10};
    cr_assert_eq(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    start_cooperative();
    handle(SIGRTMIN);
    change(SIG_BLOCK, SIGRTMIN);
    for (int i = 0; i < 10; i++)
        queue(green_self(), SIGRTMIN, i);
    cr_assert_eq(green_sigqueue_np(green_self(), SIGRTMIN, (union sigval){.sival_int = 10}), EAGAIN);
    cr_assert_eq(green_sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 10}), -1);
    cr_assert_eq(errno, EAGAIN);
    handle(SIGUSR1);
    must(green_kill(green_self(), SIGUSR1) == 0);
    cr_assert_eq(seen.count, 1, "a standard signal needs no room");
    change(SIG_UNBLOCK, SIGRTMIN);
    cr_assert_eq(seen.count, 11);
}

/* More than a worker can note in a critical section: the kernel keeps the rest. */
static void send_in_critical_section(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    action.sa_mask = set_of(SIGRTMIN + 2);
    must(green_sigaction(SIGRTMIN + 2, &action, NULL) == 0);
    atomic_store(&seen.count, 0);
    green_critical_enter();
    for (int i = 0; i < 50; i++)
        must(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = i}) == 0);
    green_critical_leave();
    wait_for(atomic_load(&seen.count) == 50);
}

ON_BOTH(signal, critical_section_loses_none)
{
    uint64_t values = 0;
    for (int round = 0; round < 20; round++, values = 0) {
        send_in_critical_section();
        for (int i = 0; i < 50; i++)
            values |= UINT64_C(1) << seen.value[i];
        cr_assert_eq(values, (UINT64_C(1) << 50) - 1);
    }
}

/* With one kernel thread there is nobody who could overtake. */
Test(signal, critical_section_keeps_their_order)
{
    struct green_config config = {.procs = 1, .slice_us = TICK_US, .monitor = GREEN_MONITOR_OFF};
    start_config(&config);
    for (int round = 0; round < 20; round++) {
        send_in_critical_section();
        for (int i = 0; i < 50; i++)
            cr_assert_eq(seen.value[i], i, "round %d: %d at place %d", round, seen.value[i], i);
    }
}

/* Actions. */

ON_BOTH(signal, action_is_reported_and_reset)
{
    struct sigaction old;
    handle_with(SIGUSR1, note, (int)(SA_RESETHAND | SA_NODEFER));
    cr_assert_eq(green_sigaction(SIGUSR1, NULL, &old), 0);
    cr_assert(old.sa_sigaction == note && old.sa_flags & SA_NODEFER);
    green_raise(SIGUSR1);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(sigaction(SIGUSR1, NULL, &old), 0, "libc's means the same");
    cr_assert_eq(old.sa_handler, SIG_DFL);
    cr_assert_eq(green_sigaction(SIGKILL, &old, NULL), -1);
    cr_assert_eq(errno, EINVAL);
    cr_assert_eq(green_sigaction(65, NULL, &old), -1);
}

ON_BOTH(signal, ignored_ones_do_not_stay_pending)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    must(green_kill(green_self(), SIGUSR1) == 0);
    cr_assert_eq(green_sigaction(SIGUSR1, &ignore, NULL), 0);
    cr_assert(!pends(SIGUSR1));
    change(SIG_UNBLOCK, SIGUSR1);
    must(green_kill(green_self(), SIGUSR1) == 0);
    must(kill(getpid(), SIGUSR1) == 0);
    cr_assert_eq(seen.count, 0);
}

static void again(int number, siginfo_t *info, void *context)
{
    static int nested;
    note(number, info, context);
    if (nested++ == 0) {
        must(green_raise(number) == 0);
        must(seen.count == 2); /* SA_NODEFER: inside */
    }
}

ON_BOTH(signal, nodefer_nests)
{
    handle_with(SIGUSR1, again, SA_NODEFER);
    green_raise(SIGUSR1);
    cr_assert_eq(seen.count, 2);
}

/* Plain sigaction() and signal() for a number that is in the table. */
ON_BOTH(signal, libc_s_names_mean_the_same)
{
    handle(SIGUSR1);
    cr_assert_neq(signal(SIGUSR1, SIG_IGN), SIG_ERR);
    must(kill(getpid(), SIGUSR1) == 0);
    must(raise(SIGUSR1) == 0);
    cr_assert_eq(seen.count, 0);
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    must(raise(SIGUSR1) == 0);
    cr_assert_eq(seen.count, 1);
}

/* An action that libc's sigaction() has set counts from the first green_kill() on. */
ON_BOTH(signal, action_set_by_libc)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    must(sigaction(SIGUSR2, &action, NULL) == 0);
    must(green_raise(SIGUSR2) == 0);
    must(kill(getpid(), SIGUSR2) == 0);
    wait_for(atomic_load(&seen.count) == 2);
}

ON_BOTH(signal, errors)
{
    green_t thread = spawn(report_mask, &(sigset_t){0});
    cr_assert_eq(green_kill(green_self(), 0), 0);
    cr_assert_eq(green_kill(green_self(), 65), EINVAL);
    join_result(thread);
    cr_assert_eq(green_kill(thread, SIGUSR1), ESRCH);
    cr_assert_eq(green_kill(0, SIGUSR1), ESRCH);
}
