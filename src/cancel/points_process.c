/* Cancellation points: children, and messages between processes. */
#include <mqueue.h>
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
