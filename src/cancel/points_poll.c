/*
 * Cancellation points: waiting for files.
 *
 * The kernel writes into the time limits of some of these, which the program's are not to show.
 */
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "cancel/point.h"

POINT_LIBC(poll)

POINT_API int poll(struct pollfd *files, nfds_t count, int limit_ms)
{
    struct thread *self = point_self();
    struct timespec limit = {.tv_sec = limit_ms / 1000, .tv_nsec = limit_ms % 1000 * 1000000L};

    if (!self)
        return LIBC(poll)(files, count, limit_ms);
    return (int)point_call(self,
                           CALL(SYS_ppoll, W(files), W(count), W(limit_ms < 0 ? NULL : &limit), 0, KERNEL_SET_BYTES));
}

POINT_LIBC(ppoll)

POINT_API int ppoll(struct pollfd *files, nfds_t count, const struct timespec *limit, const sigset_t *mask)
{
    struct thread *self = point_self();
    struct timespec left;
    uint64_t meanwhile;

    if (!self)
        return LIBC(ppoll)(files, count, limit, mask);
    if (limit)
        left = *limit;
    return (int)point_call(self, CALL(SYS_ppoll, W(files), W(count), W(limit ? &left : NULL),
                                      W(point_mask(mask, &meanwhile)), KERNEL_SET_BYTES));
}

/* As libc does it, microseconds may be more than a second of them. */
static struct timespec timespec_of(const struct timeval *time)
{
    const long seconds = time->tv_usec / 1000000;

    if (time->tv_sec > INT64_MAX - seconds)
        return (struct timespec){INT64_MAX, 999999999};
    return (struct timespec){time->tv_sec + seconds, time->tv_usec % 1000000 * 1000};
}

POINT_LIBC(select)

POINT_API int select(int count, fd_set *reading, fd_set *writing, fd_set *urgent, struct timeval *limit)
{
    struct thread *self = point_self();
    struct timespec left = {0, 0};

    if (!self || (limit && (limit->tv_sec < 0 || limit->tv_usec < 0)))
        return LIBC(select)(count, reading, writing, urgent, limit);
    if (limit)
        left = timespec_of(limit);
    int ready =
        (int)point_call(self, CALL(SYS_pselect6, count, W(reading), W(writing), W(urgent), W(limit ? &left : NULL), 0));
    if (limit)
        *limit = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
    return ready;
}

POINT_LIBC(pselect)

POINT_API int pselect(int count, fd_set *reading, fd_set *writing, fd_set *urgent, const struct timespec *limit,
                      const sigset_t *mask)
{
    struct thread *self = point_self();
    struct timespec left;
    uint64_t meanwhile;

    if (!self)
        return LIBC(pselect)(count, reading, writing, urgent, limit, mask);
    if (limit)
        left = *limit;
    const long sized_mask[] = {W(point_mask(mask, &meanwhile)), KERNEL_SET_BYTES};
    return (int)point_call(self, CALL(SYS_pselect6, count, W(reading), W(writing), W(urgent), W(limit ? &left : NULL),
                                      W(sized_mask)));
}

POINT(int, epoll_wait, (int fd, struct epoll_event *events, int count, int limit_ms), (fd, events, count, limit_ms),
      SYS_epoll_pwait, fd, W(events), count, limit_ms, 0, KERNEL_SET_BYTES)

POINT_LIBC(epoll_pwait)

POINT_API int epoll_pwait(int fd, struct epoll_event *events, int count, int limit_ms, const sigset_t *mask)
{
    struct thread *self = point_self();
    uint64_t meanwhile;

    if (!self)
        return LIBC(epoll_pwait)(fd, events, count, limit_ms, mask);
    return (int)point_call(self, CALL(SYS_epoll_pwait, fd, W(events), count, limit_ms, W(point_mask(mask, &meanwhile)),
                                      KERNEL_SET_BYTES));
}
