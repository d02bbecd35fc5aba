/* Cancellation points: children, messages between processes, and signals as the kernel has them. */
#include <mqueue.h>
#include <signal.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "cancel/point.h"

POINT(pid_t, wait, (int *status), (status), SYS_wait4, -1, W(status), 0, 0)
POINT(pid_t, waitpid, (pid_t child, int *status, int options), (child, status, options), SYS_wait4, child, W(status),
      options, 0)
POINT(pid_t, wait3, (int *status, int options, struct rusage *usage), (status, options, usage), SYS_wait4, -1,
      W(status), options, W(usage))
POINT(pid_t, wait4, (pid_t child, int *status, int options, struct rusage *usage), (child, status, options, usage),
      SYS_wait4, child, W(status), options, W(usage))
POINT(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options), SYS_waitid, type,
      id, W(info), options, 0)

POINT(int, msgsnd, (int queue, const void *message, size_t bytes, int flags), (queue, message, bytes, flags),
      SYS_msgsnd, queue, W(message), W(bytes), flags)
POINT(ssize_t, msgrcv, (int queue, void *message, size_t bytes, long type, int flags),
      (queue, message, bytes, type, flags), SYS_msgrcv, queue, W(message), W(bytes), type, flags)

POINT(int, mq_send, (mqd_t queue, const char *message, size_t bytes, unsigned priority),
      (queue, message, bytes, priority), SYS_mq_timedsend, queue, W(message), W(bytes), priority, 0)
POINT(int, mq_timedsend,
      (mqd_t queue, const char *message, size_t bytes, unsigned priority, const struct timespec *until),
      (queue, message, bytes, priority, until), SYS_mq_timedsend, queue, W(message), W(bytes), priority, W(until))
POINT(ssize_t, mq_receive, (mqd_t queue, char *message, size_t bytes, unsigned *priority),
      (queue, message, bytes, priority), SYS_mq_timedreceive, queue, W(message), W(bytes), W(priority), 0)
POINT(ssize_t, mq_timedreceive,
      (mqd_t queue, char *message, size_t bytes, unsigned *priority, const struct timespec *until),
      (queue, message, bytes, priority, until), SYS_mq_timedreceive, queue, W(message), W(bytes), W(priority), W(until))

POINT_LIBC(sigsuspend)

POINT_API int sigsuspend(const sigset_t *mask)
{
    struct thread *self = point_self();
    uint64_t meanwhile;

    if (!self)
        return LIBC(sigsuspend)(mask);
    return (int)point_call(self, CALL(SYS_rt_sigsuspend, W(point_mask(mask, &meanwhile)), KERNEL_SET_BYTES));
}

static int sigwait_in_kernel(struct thread *self, const sigset_t *set, siginfo_t *info, const struct timespec *limit)
{
    const int number =
        (int)point_call(self, CALL(SYS_rt_sigtimedwait, W(set), W(info), W(limit), KERNEL_SET_BYTES));

    if (number > 0 && info && info->si_code == SI_TKILL) /* which libc hides */
        info->si_code = SI_USER;
    return number;
}

POINT_LIBC(sigtimedwait)

POINT_API int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *limit)
{
    struct thread *self = point_self();

    return self ? sigwait_in_kernel(self, set, info, limit) : LIBC(sigtimedwait)(set, info, limit);
}

POINT_LIBC(sigwaitinfo)

POINT_API int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    struct thread *self = point_self();

    return self ? sigwait_in_kernel(self, set, info, NULL) : LIBC(sigwaitinfo)(set, info);
}

POINT_LIBC(sigwait)

POINT_API int sigwait(const sigset_t *set, int *number)
{
    struct thread *self = point_self();
    int saved_errno = errno, error, taken;

    if (!self)
        return LIBC(sigwait)(set, number);
    do
        taken = sigwait_in_kernel(self, set, NULL, NULL);
    while (taken < 0 && errno == EINTR);
    error = taken < 0 ? errno : 0;
    errno = saved_errno;
    if (!error)
        *number = taken;
    return error;
}
