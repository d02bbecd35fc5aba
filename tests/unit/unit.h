/*
 * What every unit test shares.
 *
 * Criterion runs each test in a process of its own, so each starts the library with the settings it wants: by
 * ON_BOTH, which makes two tests of one body (N:1 and M:N, ticks every 100 us), or by start().  Two ways to check:
 * cr_assert*() on the main thread, and must() anywhere, as Criterion leaves a failed test by longjmp, which only the
 * stack that entered it can take.  Nothing waits for time to pass where it could wait for an event: a test that
 * should meet preemption runs until the counter says that it did.
 */
#ifndef UNIT_H
#define UNIT_H

#include <criterion/criterion.h>
#include <errno.h>
#include <green.h>
#include <green/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds.  Against hanging only. */
#define LIMIT 180.0

#define TICK_US (100 * unit_slowness())

/* Threads of a storm, and the preemptions it should meet; fewer where each step is slow, as the other builds have them. */
#define STORM_THREADS 8
#ifdef __SANITIZE_ADDRESS__
#define STORM_PREEMPTIONS 1000
#else
#define STORM_PREEMPTIONS (2000 / unit_slowness())
#endif

#define ON_BOTH(suite, name)                   \
    static void suite##_##name(void);          \
    Test(suite, name##_on_1, .timeout = LIMIT) \
    {                                          \
        start(1);                              \
        suite##_##name();                      \
    }                                          \
    Test(suite, name##_on_2, .timeout = LIMIT) \
    {                                          \
        start(2);                              \
        suite##_##name();                      \
    }                                          \
    static void suite##_##name(void)

#define must(condition) ((condition) ? (void)0 : unit_fail(#condition, __FILE__, __LINE__))

/* Of a call that tells by errno. */
#define assert_fails_as(call, failed, number) \
    do {                                      \
        errno = 0;                            \
        cr_assert_eq((call), (failed));       \
        cr_assert_eq(errno, (number));        \
    } while (0)
#define assert_fails(call, number) assert_fails_as(call, -1, number)

/* For what no call announces: look again a little later. */
#define wait_for(condition)    \
    do {                       \
        while (!(condition))   \
            green_usleep(200); \
    } while (0)

/* How much less there is to do, and at how much longer intervals, under Valgrind and ThreadSanitizer; otherwise 1. */
unsigned unit_slowness(void);

void unit_fail(const char *condition, const char *file, int line) __attribute__((noreturn));

/* green_init() with ticks every TICK_US on so many processors; start_config() with settings of one's own. */
void start(unsigned procs);
void start_config(const struct green_config *config);

/* Without the monitor: processors stay with their kernel threads, also when these wait for memory. */
void start_unwatched(unsigned procs);

/* One processor and no ticks: a thread runs until it parks or yields, so that an order can be asserted. */
void start_cooperative(void);

green_t spawn(void *(*routine)(void *), void *arg);

/* The same in a scope, GREEN_SCOPE_PROCESS or GREEN_SCOPE_SYSTEM; and at a priority, where a policy has such. */
green_t spawn_in(int scope, void *(*routine)(void *), void *arg);
green_t spawn_at(int priority, void *(*routine)(void *), void *arg);

void *join_result(green_t thread);

/* Threads that never yield, and their end. */
void start_hogs(unsigned count);
void stop_hogs(void);

/* Handle a signal by counting; and send it so many times, each when the handler has run for the one before. */
void count_signals(int number, int flags);
int signals_counted(void);
void interrupt_often(green_t thread, int number, int times);

struct green_stats stats_now(void);
uint64_t now_ns(void);
void spin_ns(uint64_t duration_ns);
struct timespec time_after(clockid_t clock, int64_t duration_ns);

/* Whether the clock has reached a time that a call was told to wait for. */
int time_reached(clockid_t clock, struct timespec when);

/* fork(), of a child that a hang cannot let outlive its test, and keep whoever reads its output waiting. */
pid_t fork_mortal(void);

/* Wait for a child, which must exit with that status. */
void check_exit_status(pid_t child, int expected);

/* Entries of a folder, . and .. aside; and those of /proc/self/task. */
unsigned count_entries(const char *folder);
unsigned kernel_threads(void);

/*
 * Call step(index, round) over and over on so many threads until they have been preempted so many times.  Every
 * thread calls it at least once, with rounds from 0, and now and then sleeps, so that threads change processors.
 */
void storm_of(unsigned threads, uint64_t preemptions, void (*step)(unsigned index, uint64_t round));
void storm(void (*step)(unsigned index, uint64_t round));

#ifdef __cplusplus
}
#endif

#endif
