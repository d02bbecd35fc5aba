/* Cancellation points: sleep() and its kin. */
#include <time.h>
#include <unistd.h>

#include "cancel/point.h"

POINT(int, nanosleep, (const struct timespec *duration, struct timespec *left), (duration, left), SYS_nanosleep,
      W(duration), W(left))

POINT_LIBC(clock_nanosleep)

/* It has no errno. */
POINT_API int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    struct thread *self = point_self();
    int saved_errno = errno;

    if (!self || clock == CLOCK_THREAD_CPUTIME_ID)
        return LIBC(clock_nanosleep)(clock, flags, time, left);
    int error = point_call(self, CALL(SYS_clock_nanosleep, clock, flags, W(time), W(left))) < 0 ? errno : 0;
    errno = saved_errno;
    return error;
}

POINT_LIBC(sleep)

POINT_API unsigned sleep(unsigned seconds)
{
    struct thread *self = point_self();
    struct timespec left = {.tv_sec = seconds};

    if (!self)
        return LIBC(sleep)(seconds);
    return point_call(self, CALL(SYS_nanosleep, W(&left), W(&left))) < 0 ? (unsigned)left.tv_sec : 0;
}

POINT_LIBC(usleep)

POINT_API int usleep(useconds_t duration)
{
    struct thread *self = point_self();
    const struct timespec time = {.tv_sec = duration / 1000000, .tv_nsec = duration % 1000000 * 1000};

    if (!self)
        return LIBC(usleep)(duration);
    return (int)point_call(self, CALL(SYS_nanosleep, W(&time), 0));
}

/* Not every kernel has the call of that name. */
POINT(int, pause, (void), (), SYS_ppoll, 0, 0, 0, 0, KERNEL_SET_BYTES)
