/*
 * What every unit test shares: see unit.h.
 */
#include "unit.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/annotate.h"

/* How long a storm's thread works between two sleeps. */
#define STRETCH_NS 2000000

#define THREADS_MAX 64

struct storm {
    void (*step)(unsigned, uint64_t);
    atomic_bool over;
};

struct stormer {
    struct storm *storm;
    unsigned index;
};

static struct {
    atomic_bool over;
    unsigned count;
    green_t threads[THREADS_MAX];
} hogs;

static atomic_int signals;

unsigned unit_slowness(void)
{
#ifdef __SANITIZE_THREAD__
    return 4;
#else
    return annotate_under_valgrind() ? 20 : 1;
#endif
}

void unit_fail(const char *condition, const char *file, int line)
{
    /* Not abort(): that would leave a core for each failure, and Criterion reports the exit just as well. */
    dprintf(STDERR_FILENO, "%s:%d: does not hold: %s\n", file, line, condition);
    _exit(99);
}

void start_config(const struct green_config *config)
{
    int error = green_init(config);
    cr_assert_eq(error, 0, "green_init: %s", strerror(error));
}

void start(unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON};
    start_config(&config);
}

void start_unwatched(unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON};
    config.monitor = GREEN_MONITOR_OFF;
    start_config(&config);
}

void start_cooperative(void)
{
    struct green_config config = {.procs = 1, .preempt = GREEN_OFF};
    start_config(&config);
}

green_t spawn(void *(*routine)(void *), void *arg)
{
    green_t thread;
    must(green_create(&thread, NULL, routine, arg) == 0);
    return thread;
}

green_t spawn_in(int scope, void *(*routine)(void *), void *arg)
{
    green_attr_t attr;
    green_t thread;
    must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, scope) == 0);
    must(green_create(&thread, &attr, routine, arg) == 0);
    return thread;
}

green_t spawn_at(int priority, void *(*routine)(void *), void *arg)
{
    const struct sched_param param = {.sched_priority = priority};
    green_attr_t attr;
    green_t thread;
    must(green_attr_init(&attr) == 0);
    must(green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED) == 0);
    must(green_attr_setschedpolicy(&attr, SCHED_RR) == 0);
    must(green_attr_setschedparam(&attr, &param) == 0);
    must(green_create(&thread, &attr, routine, arg) == 0);
    return thread;
}

void *join_result(green_t thread)
{
    void *result;
    must(green_join(thread, &result) == 0);
    return result;
}

static void *hog(void *arg)
{
    while (!atomic_load(&hogs.over))
        ;
    return arg;
}

void start_hogs(unsigned count)
{
    must(count <= THREADS_MAX);
    hogs.count = count;
    atomic_store(&hogs.over, false);
    for (unsigned i = 0; i < count; i++)
        hogs.threads[i] = spawn(hog, NULL);
}

void stop_hogs(void)
{
    atomic_store(&hogs.over, true);
    for (unsigned i = 0; i < hogs.count; i++)
        join_result(hogs.threads[i]);
}

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

void count_signals(int number, int flags)
{
    const struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    must(green_sigaction(number, &action, NULL) == 0);
}

int signals_counted(void)
{
    return atomic_load(&signals);
}

void interrupt_often(green_t thread, int number, int times)
{
    for (int i = 0; i < times; i++) {
        const int before = signals_counted();
        must(green_kill(thread, number) == 0);
        wait_for(signals_counted() > before);
    }
}

struct green_stats stats_now(void)
{
    struct green_stats stats;
    green_stats(&stats);
    return stats;
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void spin_ns(uint64_t duration_ns)
{
    uint64_t end = now_ns() + duration_ns;
    while (now_ns() < end)
        ;
}

struct timespec time_after(clockid_t clock, int64_t duration_ns)
{
    struct timespec when;
    clock_gettime(clock, &when);
    int64_t ns = when.tv_sec * 1000000000 + when.tv_nsec + duration_ns;
    when.tv_sec = ns / 1000000000;
    when.tv_nsec = ns % 1000000000;
    return when;
}

int time_reached(clockid_t clock, struct timespec when)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec > when.tv_sec || (now.tv_sec == when.tv_sec && now.tv_nsec >= when.tv_nsec);
}

pid_t fork_mortal(void)
{
    pid_t child = fork();
    must(child >= 0);
    if (child == 0)
        must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    return child;
}

void check_exit_status(pid_t child, int expected)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    must(ended == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == expected);
}

unsigned count_entries(const char *folder)
{
    unsigned count = 0;
    DIR *entries = opendir(folder);
    must(entries);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count - 2;
}

unsigned kernel_threads(void)
{
    return count_entries("/proc/self/task");
}

static void *run_stormer(void *arg)
{
    struct stormer *me = arg;
    uint64_t slept = now_ns();
    uint64_t round = 0;
    do {
        me->storm->step(me->index, round++);
        if (now_ns() - slept > STRETCH_NS) {
            green_usleep(100);
            slept = now_ns();
        }
    } while (!atomic_load(&me->storm->over));
    return NULL;
}

void storm_of(unsigned threads, uint64_t preemptions, void (*step)(unsigned, uint64_t))
{
    struct storm storm = {.step = step};
    struct stormer stormers[THREADS_MAX];
    green_t ids[THREADS_MAX];
    must(threads <= THREADS_MAX);
    uint64_t target = stats_now().preemptions + preemptions;
    for (unsigned i = 0; i < threads; i++) {
        stormers[i] = (struct stormer){&storm, i};
        ids[i] = spawn(run_stormer, &stormers[i]);
    }
    while (stats_now().preemptions < target)
        green_usleep(1000);
    atomic_store(&storm.over, true);
    for (unsigned i = 0; i < threads; i++)
        join_result(ids[i]);
}

void storm(void (*step)(unsigned, uint64_t))
{
    storm_of(STORM_THREADS, STORM_PREEMPTIONS, step);
}
