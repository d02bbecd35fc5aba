/*
 * Workers while threads are blocked and have lost their processors: fork, exit, other numbers of processors; how many
 * kernel threads there are; and the end of one behind the library's back.
 */
#include "blocking.h"
#include "core/sched.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(blocking_workers, .timeout = LIMIT);

/* In a child of its own, with its own threads that block, and a crowd. */
static int child_works(void)
{
    green_t threads[BLOCKED];
    crowd_start();
    start_blocked(threads, BLOCKED);
    end_blocked(threads, BLOCKED);
    crowd_stop();
    return 7;
}

EVERY_WAY(blocking_workers, fork_while_others_are_blocked)
{
    green_t threads[BLOCKED];
    int status;
    crowd_start();
    start_blocked(threads, BLOCKED);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        cr_assert_eq(stats_now().workers_blocked, 0);
        _exit(child_works());
    }
    cr_assert_eq(uninterrupted(waitpid(child, &status, 0)), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);
    end_blocked(threads, BLOCKED);
    crowd_stop();
}

EVERY_WAY(blocking_workers, exit_while_others_are_blocked)
{
    green_t threads[BLOCKED];
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        crowd_start();
        start_blocked(threads, BLOCKED);
        exit(3);
    }
    cr_assert_eq(uninterrupted(waitpid(child, &status, 0)), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %x", (unsigned)status);
}

EVERY_WAY(blocking_workers, setconcurrency_while_others_are_blocked)
{
    static const int levels[] = {1, 4, 2, 8, 1, 3};
    green_t threads[BLOCKED];
    crowd_start();
    for (unsigned round = 0; round < 12; round++) {
        cr_assert_eq(green_setconcurrency(1), 0); /* where nobody waits, nobody's processor is taken */
        start_blocked(threads, BLOCKED);
        int level = levels[round % (sizeof levels / sizeof *levels)];
        cr_assert_eq(green_setconcurrency(level), 0);
        struct green_stats stats = stats_now();
        cr_assert_eq(stats.procs, (uint64_t)level);
        if (level <= 4) /* there are more to run than processors */
            wait_for((stats = stats_now(), stats.procs_idle == 0));
        else
            wait_for((stats = stats_now(), stats.procs_idle > 0));
        cr_assert_eq(stats.procs_idle + stats.procs_running + stats.procs_blocked, (uint64_t)level);
        if (round % 2)
            cr_assert_eq(green_setconcurrency(1), 0);
        cr_assert_eq(stats_now().workers_blocked, BLOCKED);
        end_blocked(threads, BLOCKED);
        cr_assert_eq(stats_now().threads_live, CROWD + 1);
    }
    crowd_stop();
    cr_assert_eq(green_setconcurrency(1), 0);
    wait_for(stats_now().procs_retired == 7);
    cr_assert_eq(stats_now().threads_live, 1);
}

/* Kernel threads come on demand, and go again. */

extern uint64_t spares_quiet_ns; /* the library's own: src/core/monitor.h */

EVERY_WAY(blocking_workers, surplus_workers_end_and_come_again)
{
    enum { BURST = 40 };
    green_t threads[BURST];
    unsigned files = 0;
    spares_quiet_ns = 20000000;
    crowd_start();
    for (int round = 0; round < 8; round++) {
        start_blocked(threads, BURST);
        cr_assert_geq(stats_now().workers, BURST);
        cr_assert_geq(kernel_threads(), BURST);
        end_blocked(threads, BURST);
        wait_for(stats_now().workers <= 12 && kernel_threads() <= 12 + 4);
        if (round == 0)
            files = count_entries("/proc/self/fd");
        wait_for(count_entries("/proc/self/fd") <= files + 2 * 12);
    }
    crowd_stop();
}

/* Nobody is lost at the limit: blocked threads take turns, by signal; and it is said, once. */
Test(blocking_workers, limit_of_workers_is_reported, .timeout = LIMIT)
{
    struct green_config config = {.procs = 1, .slice_us = 1000, .preempt = GREEN_ON, .max_workers = 3};
    char text[400];
    int report[2], error = dup(STDERR_FILENO);
    cr_assert(pipe(report) == 0 && dup2(report[1], STDERR_FILENO) >= 0);
    start_config(&config);
    interruptible = true;
    crowd_start();
    green_t threads[BLOCKED];
    spawn_blocked(threads, BLOCKED);
    unsigned long counted = atomic_load(&crowd_counted);
    wait_for(atomic_load(&crowd_counted) > counted + 100000);
    ssize_t bytes = read(report[0], text, sizeof text - 1); /* blocks until it is there */
    cr_assert_gt(bytes, 0);
    text[bytes] = 0;
    end_blocked(threads, BLOCKED);
    cr_assert_leq(stats_now().workers, 3);
    crowd_stop();
    dup2(error, STDERR_FILENO);
    close(report[1]);
    cr_assert_eq(read(report[0], text + bytes, sizeof text - (size_t)bytes), 0, "once: %s", text);
    cr_assert_str_eq(text, "libgreen: no more workers for blocked threads: GREEN_MAX_WORKERS is reached\n");
}

/* The kernel thread under a worker ends behind the library's back: its processor goes on, its thread is lost. */

/* Not on the process's first, of which remains are kept; and the tick may not move the thread meanwhile. */
static void leave_first(void)
{
    for (;;) {
        green_critical_enter();
        if (gettid() != getpid())
            return;
        green_critical_leave();
        nap(2000000);
    }
}

static void *end_kernel_thread(void *arg)
{
    leave_first();
    atomic_fetch_add((atomic_int *)arg, 1);
    syscall(SYS_exit, 0);
    return NULL;
}

EVERY_WAY(blocking_workers, death_of_a_kernel_thread)
{
    enum { DEATHS = 5 };
    atomic_int deaths = 0;
    crowd_start();
    for (int i = 0; i < DEATHS; i++)
        spawn(end_kernel_thread, &deaths);
    wait_for(atomic_load(&deaths) == DEATHS);
    for (int i = 0; i < 20; i++) { /* everybody else goes on, on as many processors */
        unsigned long before = atomic_load(&crowd_counted);
        wait_for(atomic_load(&crowd_counted) > before + 1000);
    }
    cr_assert_eq(green_setconcurrency(3), 0);
    wait_for(stats_now().procs_idle == 0);
    crowd_stop();
    cr_assert_eq(stats_now().threads_live, 1 + DEATHS, "the lost ones never ended");
    wait_for(kernel_threads() <= stats_now().workers + 4);
}

/*
 * More nap at a time than there may be workers, so that every spare one is needed: else the first kernel thread's may stand
 * last in their line for ever.  Not while main makes them: with that kernel thread the kernel clears main's number in
 * libc's block, and a lock that main holds there, as for a new thread's TLS, would be another's when it is to be released.
 */
enum { CANDIDATES = 8, WORKERS = CANDIDATES - 2 };
static atomic_bool all_made, first_is_over;

static void *end_first_kernel_thread(void *arg)
{
    const struct timespec a_while = {0, 2000000};

    while (!atomic_load(&first_is_over)) {
        green_critical_enter();
        if (gettid() == getpid() && atomic_load(&all_made)) {
            atomic_store(&first_is_over, true);
            green_sem_post(arg);
            syscall(SYS_exit, 0);
        }
        green_critical_leave();
        nanosleep(&a_while, NULL); /* may be interrupted, as there are no more workers */
    }
    return NULL;
}

static void live_without_the_first(void)
{
    green_sem_t dying;
    const unsigned workers = settings.max_workers;
    green_sem_init(&dying, 0, 0);
    settings.max_workers = WORKERS;
    for (int i = 0; i < CANDIDATES; i++)
        must(green_detach(spawn(end_first_kernel_thread, &dying)) == 0);
    atomic_store(&all_made, true);
    green_sem_wait(&dying);
    settings.max_workers = workers;
    crowd_start();
    for (int i = 0; i < 20; i++) {
        unsigned long before = atomic_load(&crowd_counted);
        wait_for(atomic_load(&crowd_counted) > before + 1000);
    }
    must(green_setconcurrency(3) == 0);
    wait_for(stats_now().procs_idle == 0);
    crowd_stop();
    wait_for(stats_now().threads_live <= 2);
    must(stats_now().threads_live == 2); /* the lost one never ended */
}

/* The first's remains look alive.  In a child, as Criterion, too, watches the first. */
EVERY_WAY(blocking_workers, death_of_the_first_kernel_thread)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        alarm((unsigned)LIMIT);
        live_without_the_first();
        _exit(7);
    }
    cr_assert_eq(uninterrupted(waitpid(pid, &status, 0)), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
}

static void *end_second_kernel_thread(void *arg)
{
    leave_first();
    green_sem_post(arg);
    syscall(SYS_exit, 0);
    return NULL;
}

static void *post_in_a_while(void *sem)
{
    struct timespec time = {0, 50000000};
    nanosleep(&time, NULL);
    green_sem_post(sem);
    return NULL;
}

/* The only processor's worker dies while nobody is ready: who sleeps, and whom a kernel thread wakes, must run. */
EVERY_WAY(blocking_workers, death_while_others_sleep)
{
    green_sem_t dying, post;
    pthread_t kernel_thread;
    green_sem_init(&dying, 0, 0);
    green_sem_init(&post, 0, 0);
    crowd_start();
    spawn(end_second_kernel_thread, &dying);
    green_sem_wait(&dying);
    crowd_stop();
    for (int i = 0; i < 3; i++)
        green_usleep(3000);
    cr_assert_eq(pthread_create(&kernel_thread, NULL, post_in_a_while, &post), 0);
    green_sem_wait(&post);
    cr_assert_eq(pthread_join(kernel_thread, NULL), 0);
}
