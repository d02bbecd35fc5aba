/*
 * Signals per thread: whom they reach and by which way, what stays pending, in which order it comes out, and what a
 * wait makes of it.
 */
#include "unit.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signal, .timeout = LIMIT);

enum { LOG = 64 };

static struct {
    int number[LOG];
    int value[LOG];
    green_t thread[LOG];
    atomic_int count;
} seen;

static void note(int number, siginfo_t *info, void *context)
{
    must(context != NULL && info->si_signo == number);
    int at = atomic_load(&seen.count);
    must(at < LOG);
    seen.number[at] = number;
    seen.value[at] = info->si_value.sival_int;
    seen.thread[at] = green_self();
    atomic_fetch_add(&seen.count, 1);
}

static void handle_with(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    must(green_sigaction(number, &action, NULL) == 0);
}

static void handle(int number)
{
    handle_with(number, note, 0);
}

static sigset_t set_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static void change(int how, int number)
{
    sigset_t set = set_of(number);
    must(green_sigmask(how, &set, NULL) == 0);
}

static bool pends(int number)
{
    sigset_t set;
    must(green_sigpending(&set) == 0);
    return sigismember(&set, number);
}

static void queue(green_t thread, int number, int value)
{
    must(green_sigqueue_np(thread, number, (union sigval){.sival_int = value}) == 0);
}

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

ON_BOTH(signal, errors)
{
    green_t thread = spawn(report_mask, &(sigset_t){0});
    cr_assert_eq(green_kill(green_self(), 0), 0);
    cr_assert_eq(green_kill(green_self(), 65), EINVAL);
    join_result(thread);
    cr_assert_eq(green_kill(thread, SIGUSR1), ESRCH);
    cr_assert_eq(green_kill(0, SIGUSR1), ESRCH);
}

/* The four ways.  On one processor without ticks who runs is known. */

static void *wait_blocked(void *arg)
{
    change(SIG_BLOCK, SIGUSR1);
    must(green_sem_wait(arg) == 0);
    return NULL;
}

Test(signal, way_1_the_running_thread)
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

Test(signal, way_2_a_ready_thread)
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

Test(signal, way_2_a_parked_thread_fails_with_eintr)
{
    start_cooperative();
    parked_thread_runs_its_handler(0, EINTR);
}

Test(signal, way_2_a_parked_thread_goes_on_waiting)
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

Test(signal, way_3_a_thread_on_another_worker)
{
    running_elsewhere(shoot_process);
}

Test(signal, way_3_directed)
{
    running_elsewhere(shoot_thread);
}

ON_BOTH(signal, way_4_nobody_is_open)
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

ON_BOTH(signal, held_until_another_opens)
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

Test(signal, chosen_thread_closes_its_mask)
{
    chosen_thread_does_not_take_it(yields_then_blocks);
}

Test(signal, chosen_thread_ends)
{
    chosen_thread_does_not_take_it(yields_then_ends);
}

/* Waiting for signals. */

static void *sigwaiter(void *arg)
{
    sigset_t set = set_of(SIGUSR1);
    int number = 0;
    (void)arg;
    must(green_sigwait(&set, &number) == 0);
    return (void *)(intptr_t)number;
}

/* No action was ever set: the default one would end the process. */
ON_BOTH(signal, sigwait_comes_first)
{
    change(SIG_BLOCK, SIGUSR1);
    green_t thread = spawn(sigwaiter, NULL);
    green_yield();
    uint64_t before = stats_now().signals_waited;
    must(kill(getpid(), SIGUSR1) == 0);
    cr_assert_eq((intptr_t)join_result(thread), SIGUSR1);
    cr_assert_eq(stats_now().signals_waited, before + 1);
}

ON_BOTH(signal, sigwaitinfo_takes_what_is_pending)
{
    siginfo_t info;
    sigset_t set = set_of(SIGRTMIN);
    change(SIG_BLOCK, SIGRTMIN);
    for (int i = 0; i < 3; i++)
        queue(green_self(), SIGRTMIN, i);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(green_sigwaitinfo(&set, &info), SIGRTMIN);
        cr_assert_eq(info.si_value.sival_int, i);
        cr_assert_eq(info.si_code, SI_QUEUE);
    }
    struct timespec zero = {0, 0}, soon = {0, 2000000}, bad = {0, -1};
    cr_assert_eq(green_sigtimedwait(&set, &info, &zero), -1);
    cr_assert_eq(errno, EAGAIN);
    uint64_t start = now_ns();
    cr_assert_eq(green_sigtimedwait(&set, &info, &soon), -1);
    cr_assert_eq(errno, EAGAIN);
    cr_assert(now_ns() - start >= 2000000);
    cr_assert_eq(green_sigtimedwait(&set, &info, &bad), -1);
    cr_assert_eq(errno, EINVAL);
}

static void *sigwaitinfo_fails(void *arg)
{
    siginfo_t info;
    sigset_t set = set_of(SIGUSR1);
    (void)arg;
    change(SIG_BLOCK, SIGUSR1);
    must(green_sigwaitinfo(&set, &info) == -1);
    return (void *)(intptr_t)errno;
}

ON_BOTH(signal, handler_interrupts_sigwaitinfo)
{
    handle_with(SIGUSR2, note, SA_RESTART);
    green_t thread = spawn(sigwaitinfo_fails, NULL);
    green_yield();
    must(green_kill(thread, SIGUSR2) == 0);
    cr_assert_eq((intptr_t)join_result(thread), EINTR);
    cr_assert_eq(seen.thread[0], thread);
}

static void *suspends(void *arg)
{
    sigset_t none, mask;
    sigemptyset(&none);
    (void)arg;
    must(green_sigsuspend(&none) == -1 && errno == EINTR);
    must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1));
    return NULL;
}

ON_BOTH(signal, sigsuspend_ends_with_its_handler)
{
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    green_t thread = spawn(suspends, NULL);
    for (int i = 0; i < 10; i++)
        green_yield();
    must(kill(getpid(), SIGUSR1) == 0);
    join_result(thread);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.thread[0], thread);
}

ON_BOTH(signal, sigsuspend_takes_what_is_pending)
{
    sigset_t none;
    sigemptyset(&none);
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    must(green_kill(green_self(), SIGUSR1) == 0);
    cr_assert_eq(green_sigsuspend(&none), -1);
    cr_assert_eq(seen.count, 1);
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1);
}

/* Interrupted waits. */

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static atomic_bool go;

static void *locks(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    must(seen.count == 1);
    must(green_mutex_unlock(&mutex) == 0);
    return arg;
}

ON_BOTH(signal, waiting_for_a_mutex_goes_on)
{
    handle(SIGUSR1);
    must(green_mutex_lock(&mutex) == 0);
    green_t thread = spawn(locks, NULL);
    green_usleep(1000);
    must(green_kill(thread, SIGUSR1) == 0);
    wait_for(atomic_load(&seen.count) == 1);
    cr_assert_eq(seen.thread[0], thread);
    must(green_mutex_unlock(&mutex) == 0);
    join_result(thread);
}

static void *waits_for_condition(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    while (!atomic_load(&go))
        must(green_cond_wait(&cond, &mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    return arg;
}

ON_BOTH(signal, waiting_for_a_condition_goes_on)
{
    handle(SIGUSR1);
    green_t thread = spawn(waits_for_condition, NULL);
    for (int i = 1; i <= 20; i++) {
        must(green_kill(thread, SIGUSR1) == 0);
        wait_for(atomic_load(&seen.count) == i);
    }
    must(green_mutex_lock(&mutex) == 0);
    atomic_store(&go, true);
    must(green_cond_signal(&cond) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    join_result(thread);
}

static void *joins(void *arg)
{
    return join_result(*(green_t *)arg);
}

ON_BOTH(signal, waiting_for_a_thread_goes_on)
{
    handle(SIGUSR1);
    green_t target = spawn(waits_for_condition, &go), thread = spawn(joins, &target);
    for (int i = 1; i <= 20; i++) {
        must(green_kill(thread, SIGUSR1) == 0);
        wait_for(atomic_load(&seen.count) == i);
        cr_assert_eq(seen.thread[i - 1], thread);
    }
    must(green_mutex_lock(&mutex) == 0);
    atomic_store(&go, true);
    must(green_cond_signal(&cond) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    cr_assert_eq(join_result(thread), &go);
}

static void *sleeps(void *arg)
{
    struct timespec day = {86400, 0};
    must(green_nanosleep(&day, arg) == -1);
    return (void *)(intptr_t)errno;
}

ON_BOTH(signal, sleeping_ends)
{
    struct timespec left = {0, 0};
    handle_with(SIGUSR1, note, SA_RESTART);
    green_t thread = spawn(sleeps, &left);
    green_usleep(1000);
    must(green_kill(thread, SIGUSR1) == 0);
    cr_assert_eq((intptr_t)join_result(thread), EINTR);
    cr_assert(left.tv_sec > 80000 && left.tv_sec < 86400);
}

/* Faults and jumps. */

static sigjmp_buf escape;

static void jump_out(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    siglongjmp(escape, 1);
}

static void fault(void)
{
    *(volatile int *)4096 = 1;
}

static void *faults_again_and_again(void *arg)
{
    char *stack = arg;
    stack_t mine = {.ss_sp = stack, .ss_size = 32768}, old;
    sigset_t mask;
    if (stack)
        must(green_sigaltstack(&mine, NULL) == 0);
    for (volatile int i = 0; i < 5; i++) {
        if (sigsetjmp(escape, 1) == 0) {
            fault();
            must(0);
        }
        must(seen.count == i + 1);
        must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGSEGV));
        must(green_sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_ONSTACK));
        green_yield();
    }
    return arg;
}

ON_BOTH(signal, jump_out_of_a_fault)
{
    handle_with(SIGSEGV, jump_out, 0);
    start_hogs(2);
    join_result(spawn(faults_again_and_again, NULL));
    stop_hogs();
}

ON_BOTH(signal, jump_out_of_a_fault_on_the_alternate_stack)
{
    static char stack[32768];
    handle_with(SIGSEGV, jump_out, SA_ONSTACK);
    start_hogs(2);
    join_result(spawn(faults_again_and_again, stack));
    stop_hogs();
}

ON_BOTH(signal, jump_out_of_a_fault_without_an_alternate_stack)
{
    handle_with(SIGSEGV, jump_out, SA_ONSTACK);
    join_result(spawn(faults_again_and_again, NULL));
}

static char alternate[65536];

static bool on_alternate(const void *address)
{
    return (const char *)address >= alternate && (const char *)address < alternate + sizeof alternate;
}

/* The handler parks and is preempted, and returns behind the instruction. */
static void skip(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    char here;
    must(on_alternate(&here));
    must(info->si_code == ILL_ILLOPN);
    green_usleep(500);
    uint64_t target = stats_now().preemptions + 20;
    while (stats_now().preemptions < target)
        ;
    note(number, info, context);
    interrupted->uc_mcontext.gregs[REG_RIP] += 2;
}

static void *execute_illegally(void *arg)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(green_sigaltstack(&mine, NULL) == 0);
    volatile double kept = 0.1;
    for (int i = 0; i < 5; i++) {
        double x = kept * i;
        __asm__ volatile("ud2" : "+x"(x)); /* held in a vector register across */
        must(x == kept * i);
    }
    return arg;
}

ON_BOTH(signal, return_from_a_fault_on_the_alternate_stack)
{
    handle_with(SIGILL, skip, SA_ONSTACK);
    start_hogs(3);
    join_result(spawn(execute_illegally, NULL));
    stop_hogs();
    cr_assert_eq(seen.count, 5);
}

static void *deep_down(void *arg)
{
    volatile char page[4096];
    page[0] = 1;
    return page[0] ? deep_down((void *)(uintptr_t)page) : arg;
}

static void *overflows(void *arg)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(green_sigaltstack(&mine, NULL) == 0);
    if (sigsetjmp(escape, 1) == 0)
        deep_down(NULL);
    return arg;
}

ON_BOTH(signal, jump_out_of_an_overflow)
{
    handle_with(SIGSEGV, jump_out, SA_ONSTACK);
    join_result(spawn(overflows, NULL));
    cr_assert_eq(seen.count, 1);
    join_result(spawn(overflows, NULL));
    cr_assert_eq(seen.count, 2);
}

static void on_stack(int number, siginfo_t *info, void *context)
{
    char here;
    stack_t old;
    must(on_alternate(&here));
    must(green_sigaltstack(NULL, &old) == 0 && old.ss_flags & SS_ONSTACK);
    must(green_sigaltstack(&old, NULL) == -1 && errno == EPERM);
    note(number, info, context);
}

ON_BOTH(signal, handler_on_the_alternate_stack)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate}, small = {.ss_sp = alternate, .ss_size = 100};
    cr_assert_eq(green_sigaltstack(&small, NULL), -1);
    cr_assert_eq(errno, ENOMEM);
    cr_assert_eq(green_sigaltstack(&mine, NULL), 0);
    handle_with(SIGUSR1, on_stack, SA_ONSTACK);
    green_raise(SIGUSR1);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(seen.count == 2);
}

/* Handlers as threads. */

static atomic_bool locked_there;

static void lock_it(int number, siginfo_t *info, void *context)
{
    must(green_mutex_lock(&mutex) == 0);
    atomic_store(&locked_there, true);
    must(green_mutex_unlock(&mutex) == 0);
    note(number, info, context);
}

ON_BOTH(signal, handler_as_a_thread_may_lock)
{
    handle_with(SIGUSR1, lock_it, GREEN_SA_THREAD);
    must(green_mutex_lock(&mutex) == 0);
    must(green_raise(SIGUSR1) == 0); /* a plain handler would wait for us for ever */
    must(kill(getpid(), SIGUSR1) == 0);
    green_usleep(1000);
    cr_assert(!atomic_load(&locked_there));
    must(green_mutex_unlock(&mutex) == 0);
    wait_for(atomic_load(&seen.count) == 2);
    cr_assert_neq(seen.thread[0], green_self());
}

/* Elsewhere. */

ON_BOTH(signal, alarm_comes_to_who_is_open)
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

ON_BOTH(signal, child_has_the_mask_and_nothing_pending)
{
    int status;
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    must(green_kill(green_self(), SIGUSR1) == 0);
    pid_t child = fork();
    if (child == 0) {
        sigset_t mask;
        must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1));
        must(!pends(SIGUSR1));
        must(green_kill(green_self(), SIGUSR1) == 0 && seen.count == 0);
        change(SIG_UNBLOCK, SIGUSR1);
        _exit(seen.count == 1 ? 7 : 8);
    }
    must(waitpid(child, &status, 0) == child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1);
}

/* The new program is a shell that sends itself what it should have blocked. */
ON_BOTH(signal, executed_program_has_the_mask)
{
    int status;
    change(SIG_BLOCK, SIGUSR1);
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "kill -USR1 $$; grep SigBlk /proc/$$/status | grep -q '0000000200$'; exit $?",
              (char *)NULL);
        _exit(99);
    }
    must(waitpid(child, &status, 0) == child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* Kernel threads of the program's own: one that has called us waits as a green one does. */
static green_t foreign;

static void *foreign_waits(void *arg)
{
    foreign = green_self();
    atomic_store(&go, true);
    for (int i = 1; i <= 20; i++) {
        must(green_sem_wait(arg) == -1 && errno == EINTR);
        must(atomic_load(&seen.count) >= 1);
    }
    return NULL;
}

ON_BOTH(signal, foreign_thread_is_woken)
{
    pthread_t thread;
    green_sem_t sem;
    must(green_sem_init(&sem, 0, 0) == 0);
    handle(SIGUSR1);
    must(pthread_create(&thread, NULL, foreign_waits, &sem) == 0);
    wait_for(atomic_load(&go));
    for (int i = 1; i <= 20; i++) {
        must(green_kill(foreign, SIGUSR1) == 0);
        wait_for(atomic_load(&seen.count) == i);
        cr_assert_eq(seen.thread[i - 1], foreign);
    }
    while (pthread_tryjoin_np(thread, NULL) != 0) { /* what came between two waits has interrupted none */
        green_kill(foreign, SIGUSR1);
        green_usleep(1000);
        atomic_store(&seen.count, 20);
    }
}

/* One that never has, and is sent a signal by the kernel. */
static pthread_t handled_on;

static void note_pthread(int number)
{
    (void)number;
    handled_on = pthread_self();
    atomic_store(&seen.count, 1);
}

static void *waits_in_the_kernel(void *arg)
{
    while (atomic_load(&seen.count) == 0)
        usleep(1000);
    return arg;
}

ON_BOTH(signal, unknown_thread_runs_the_handler)
{
    struct sigaction action = {.sa_handler = note_pthread};
    pthread_t thread;
    must(green_sigaction(SIGUSR1, &action, NULL) == 0);
    must(pthread_create(&thread, NULL, waits_in_the_kernel, NULL) == 0);
    must(pthread_kill(thread, SIGUSR1) == 0);
    wait_for(atomic_load(&seen.count) == 1);
    cr_assert(pthread_equal(handled_on, thread));
    must(pthread_join(thread, NULL) == 0);
}

/* Blocked in a call that nobody wrapped, its processor gone: the call fails, or goes on, as the action says. */
static int ends[2];

static void *reads(void *arg)
{
    char byte;
    atomic_store(&go, true);
    ssize_t got = read(ends[0], &byte, 1);
    *(int *)arg = got < 0 ? errno : (int)got;
    return NULL;
}

static void blocked_in_the_kernel(int flags, int result)
{
    int found = 0;
    must(pipe(ends) == 0);
    handle_with(SIGUSR1, note, flags);
    start_hogs(2);
    uint64_t before = stats_now().retakes;
    green_t thread = spawn(reads, &found);
    wait_for(atomic_load(&go));
    if (strcmp(green_monitor_source(), "off") != 0)
        wait_for(stats_now().retakes > before);
    must(green_kill(thread, SIGUSR1) == 0);
    wait_for(atomic_load(&seen.count) == 1);
    cr_assert_eq(seen.thread[0], thread);
    must(result == EINTR || write(ends[1], "x", 1) == 1);
    join_result(thread);
    cr_assert_eq(found, result);
    stop_hogs();
}

ON_BOTH(signal, blocking_call_fails_with_eintr)
{
    blocked_in_the_kernel(0, EINTR);
}

ON_BOTH(signal, blocking_call_is_restarted)
{
    blocked_in_the_kernel(SA_RESTART, 1);
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

/* A handler may sleep, and be preempted meanwhile. */
static void sleeps_in_handler(int number, siginfo_t *info, void *context)
{
    green_usleep(2000);
    uint64_t target = stats_now().preemptions + 5;
    while (stats_now().preemptions < target)
        ;
    note(number, info, context);
}

ON_BOTH(signal, handler_parks_and_is_preempted)
{
    handle_with(SIGUSR1, sleeps_in_handler, 0);
    start_hogs(2);
    for (int i = 0; i < 10; i++) {
        must((i % 2 ? green_raise(SIGUSR1) : kill(getpid(), SIGUSR1)) == 0);
        wait_for(atomic_load(&seen.count) == i + 1);
    }
    stop_hogs();
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

/* An action that libc's sigaction() has set counts from the first green_kill() on. */
ON_BOTH(signal, action_set_by_libc)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    must(sigaction(SIGUSR2, &action, NULL) == 0);
    must(green_raise(SIGUSR2) == 0);
    must(kill(getpid(), SIGUSR2) == 0);
    wait_for(atomic_load(&seen.count) == 2);
}

/* A jump within a handler on the alternate stack leaves no handler. */
static void jumps_within(int number, siginfo_t *info, void *context)
{
    sigjmp_buf here;
    sigset_t mask;
    note(number, info, context);
    if (sigsetjmp(here, 1) == 0)
        siglongjmp(here, 1);
    must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, number));
}

ON_BOTH(signal, jump_within_a_handler)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(green_sigaltstack(&mine, NULL) == 0);
    handle_with(SIGUSR1, jumps_within, SA_ONSTACK);
    green_raise(SIGUSR1);
    handle_with(SIGUSR1, jumps_within, 0);
    green_raise(SIGUSR1);
    cr_assert_eq(seen.count, 2);
}

ON_BOTH(signal, sigwait_for_a_child)
{
    int number, status;
    sigset_t set = set_of(SIGCHLD);
    change(SIG_BLOCK, SIGCHLD);
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(i);
        must(green_sigwait(&set, &number) == 0 && number == SIGCHLD);
        must(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == i);
    }
}
