/* Messages that end the process, and deadlines. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/plain.h"

void fatal(const char *format, ...)
{
    char line[256] = "libgreen: ";
    const size_t prefix = 10;
    va_list args;

    va_start(args, format);
    int length = vsnprintf(line + prefix, sizeof line - prefix - 1, format, args);
    va_end(args);
    size_t bytes = prefix + (length < 0 ? 0 : (size_t)length);
    if (bytes > sizeof line - 1)
        bytes = sizeof line - 1;
    line[bytes++] = '\n';
    if (plain_write(STDERR_FILENO, line, bytes) < 0)
        abort();
    abort();
}

static uint64_t timespec_ns(const struct timespec *time)
{
    if (time->tv_sec < 0)
        return 0;
    if ((uint64_t)time->tv_sec >= NEVER / NS_PER_SEC - 1)
        return NEVER - 1;
    return (uint64_t)time->tv_sec * NS_PER_SEC + (uint64_t)time->tv_nsec;
}

int clock_deadline(clockid_t clock, const struct timespec *time, uint64_t *deadline)
{
    struct timespec now;

    if (!time || time->tv_nsec < 0 || time->tv_nsec >= (long)NS_PER_SEC)
        return EINVAL;
    if (clock == CLOCK_MONOTONIC) {
        *deadline = timespec_ns(time);
        return 0;
    }
    if (clock != CLOCK_REALTIME)
        return EINVAL;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t then = timespec_ns(time), base = timespec_ns(&now), start = clock_now();
    if (then <= base)
        *deadline = 0;
    else
        *deadline = then - base < NEVER - 1 - start ? start + (then - base) : NEVER - 1;
    return 0;
}
