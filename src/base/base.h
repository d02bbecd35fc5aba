/* What every layer uses: assertions, attributes, the clock. */
#ifndef BASE_H
#define BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <arch.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
#define CACHE_ALIGNED __attribute__((aligned(ARCH_CACHE_LINE)))

/* Keeps the compiler from moving accesses to memory: a signal handler on this kernel thread sees them in this order. */
#define compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* One line on standard error, in a signal handler too, and the end of the process. */
void fatal(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The invariants, checked when built with DEBUG=1. */
#ifdef GREEN_DEBUG
#define ASSERT(condition) \
    do { \
        if (unlikely(!(condition))) \
            fatal("%s:%d: %s does not hold", __FILE__, __LINE__, #condition); \
    } while (0)
#else
#define ASSERT(condition) ((void)sizeof(!(condition)))
#endif

#define NS_PER_US UINT64_C(1000)
#define NS_PER_SEC UINT64_C(1000000000)

/* A point in time that never comes, in ns. */
#define NEVER UINT64_MAX

/* CLOCK_MONOTONIC in ns: the clock of every deadline inside the library. */
static inline uint64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static inline struct timespec clock_timespec(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / NS_PER_SEC), (long)(ns % NS_PER_SEC)};
    return time;
}

/*
 * The deadline that an absolute time of a clock stands for: 0, or EINVAL for a time that is none or an unknown clock.
 * A time of CLOCK_REALTIME is converted once, so a later step of that clock does not move the deadline.
 */
int clock_deadline(clockid_t clock, const struct timespec *time, uint64_t *deadline);

#endif
