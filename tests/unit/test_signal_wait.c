/*
 * Waiting for signals, what a signal makes of other waits, and whom it reaches outside: children, foreign kernel threads,
 * threads that are blocked in the kernel.
 */
#include "doing.h"
#include "signals.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signal_wait, .timeout = LIMIT);

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
ON_BOTH(signal_wait, sigwait_comes_first)
{
    change(SIG_BLOCK, SIGUSR1);
    green_t thread = spawn(sigwaiter, NULL);
    green_yield();
    uint64_t before = stats_now().signals_waited;
    must(kill(getpid(), SIGUSR1) == 0);
    cr_assert_eq((intptr_t)join_result(thread), SIGUSR1);
    cr_assert_eq(stats_now().signals_waited, before + 1);
}

ON_BOTH(signal_wait, sigwaitinfo_takes_what_is_pending)
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

/* Before its wait a thread runs the handler, and waits: the signal is sent until it has ended the wait. */
static atomic_bool ended;

static void *interrupt(green_t thread, int number)
{
    while (!atomic_load(&ended)) {
        green_kill(thread, number);
        green_usleep(1000);
    }
    return join_result(thread);
}

static void *sigwaitinfo_fails(void *arg)
{
    siginfo_t info;
    sigset_t set = set_of(SIGUSR1);
    (void)arg;
    change(SIG_BLOCK, SIGUSR1);
    must(green_sigwaitinfo(&set, &info) == -1);
    atomic_store(&ended, true);
    return (void *)(intptr_t)errno;
}

ON_BOTH(signal_wait, handler_interrupts_sigwaitinfo)
{
    handle_with(SIGUSR2, note, SA_RESTART);
    green_t thread = spawn(sigwaitinfo_fails, NULL);
    cr_assert_eq((intptr_t)interrupt(thread, SIGUSR2), EINTR);
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

ON_BOTH(signal_wait, sigsuspend_ends_with_its_handler)
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

ON_BOTH(signal_wait, sigsuspend_takes_what_is_pending)
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

ON_BOTH(signal_wait, waiting_for_a_mutex_goes_on)
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

ON_BOTH(signal_wait, waiting_for_a_condition_goes_on)
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

ON_BOTH(signal_wait, waiting_for_a_thread_goes_on)
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
    atomic_store(&ended, true);
    return (void *)(intptr_t)errno;
}

ON_BOTH(signal_wait, sleeping_ends)
{
    struct timespec left = {0, 0};
    handle_with(SIGUSR1, note, SA_RESTART);
    green_t thread = spawn(sleeps, &left);
    cr_assert_eq((intptr_t)interrupt(thread, SIGUSR1), EINTR);
    cr_assert(left.tv_sec > 80000 && left.tv_sec < 86400);
}

ON_BOTH(signal_wait, child_has_the_mask_and_nothing_pending)
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
ON_BOTH(signal_wait, executed_program_has_the_mask)
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

ON_BOTH(signal_wait, foreign_thread_is_woken)
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

ON_BOTH(signal_wait, unknown_thread_runs_the_handler)
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
    if (strcmp(green_monitor_source(), "off") != 0) /* its processor, it may be, or another's */
        wait_for(stats_now().retakes > before && is_reading(thread, ends[0]));
    must(green_kill(thread, SIGUSR1) == 0);
    wait_for(atomic_load(&seen.count) == 1);
    cr_assert_eq(seen.thread[0], thread);
    must(result == EINTR || write(ends[1], "x", 1) == 1);
    join_result(thread);
    cr_assert_eq(found, result);
    stop_hogs();
}

ON_BOTH(signal_wait, blocking_call_fails_with_eintr)
{
    blocked_in_the_kernel(0, EINTR);
}

ON_BOTH(signal_wait, blocking_call_is_restarted)
{
    blocked_in_the_kernel(SA_RESTART, 1);
}

ON_BOTH(signal_wait, sigwait_for_a_child)
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

/* A bound thread has its creator's mask and handles what is sent to it, before it has begun and while it waits. */
static void *bound_waits(void *arg)
{
    sigset_t mask;
    must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGUSR1));
    while (atomic_load(&seen.count) < 20)
        must(green_sem_wait(arg) == 0 || errno == EINTR);
    return NULL;
}

ON_BOTH(signal_wait, bound_thread)
{
    green_attr_t attr;
    green_sem_t sem;
    green_t thread;
    must(green_sem_init(&sem, 0, 0) == 0);
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR2);
    must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM) == 0);
    must(green_create(&thread, &attr, bound_waits, &sem) == 0);
    for (int i = 1; i <= 20; i++) {
        must(green_kill(thread, SIGUSR1) == 0);
        wait_for(atomic_load(&seen.count) == i);
        cr_assert_eq(seen.thread[i - 1], thread);
    }
    green_sem_post(&sem);
    join_result(thread);
}
