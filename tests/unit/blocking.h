/*
 * What the tests of blocked threads share: the ways to see a block, hogs that count, and threads that block.
 *
 * Each test runs with blocks seen by perf, by /proc, and with perf refused altogether, as in most containers: there
 * the thread that returns is caught by a signal, which may meet its next call.
 */
#ifndef UNIT_BLOCKING_H
#define UNIT_BLOCKING_H

#include "unit.h"

#include <stdatomic.h>

#define WATCHED(suite, name, how, procs)                        \
    Test(suite, name##_by_##how##_on_##procs, .timeout = LIMIT) \
    {                                                           \
        start_watched(#how, procs);                             \
        suite##_##name();                                       \
    }
#define EVERY_WAY(suite, name)        \
    static void suite##_##name(void); \
    WATCHED(suite, name, perf, 1)     \
    WATCHED(suite, name, perf, 2)     \
    WATCHED(suite, name, stat, 1)     \
    WATCHED(suite, name, stat, 2)     \
    WATCHED(suite, name, refused, 1)  \
    WATCHED(suite, name, refused, 2)  \
    static void suite##_##name(void)

/* For what takes long. */
#define BY_PERF(suite, name)          \
    static void suite##_##name(void); \
    WATCHED(suite, name, perf, 1)     \
    WATCHED(suite, name, perf, 2)     \
    static void suite##_##name(void)

/* How: "perf", "stat" or "refused". */
void start_watched(const char *how, unsigned procs);

/*
 * A plain thread is never interrupted here; nor is a green one, where ticks come by perf, but for want of a spare worker:
 * whoever makes one may wait for a lock of libc's or a sanitizer's that a preempted thread holds.
 */
extern bool interruptible;

/* Calls that came back with EINTR where a plain thread's would not have. */
extern atomic_ulong interruptions;

static inline bool interruptions_are_documented(void)
{
    return interruptible || atomic_load(&interruptions) <= stats_now().calls_interrupted;
}

/* Repeat a call that may be interrupted only where that is documented. */
#define uninterrupted(call)                                                  \
    __extension__({                                                          \
        long result;                                                         \
        while ((result = (long)(call)) < 0 && errno == EINTR) {              \
            atomic_fetch_add(&interruptions, 1);                             \
            must(interruptions_are_documented());                            \
        }                                                                    \
        result;                                                              \
    })

/* Sleep in the kernel. */
void nap(long ns);

/* Hogs that keep every processor busy, and count. */
enum { CROWD = 4 };

extern atomic_ulong crowd_counted;

void crowd_start(void);
void crowd_stop(void);

/* Threads that read from a pipe until end_blocked().  start_blocked() returns when each has lost its processor. */
enum { BLOCKED = 6 };

void spawn_blocked(green_t *threads, unsigned count);
void start_blocked(green_t *threads, unsigned count);
void end_blocked(green_t *threads, unsigned count);

#endif
