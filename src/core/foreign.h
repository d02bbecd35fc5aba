/* What foreign.c, bound.c and kernel_sched.c share: a thread with a kernel thread of its own.  See foreign.c. */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <pthread.h>

#include "core/thread.h"

/* In place of a tid. */
enum { TID_STARTING = 0, TID_GONE = 0xffffffffU };

struct foreign {
    struct thread *thread; /* constant, and the thread's worker is always the next */
    struct worker worker;
    struct foreign *next;  /* of those that wait for their next use */
    _Atomic uint32_t tid;  /* futex; while it is a tid, that kernel thread lives.  Written under the lock of tids */
    void *altstack;        /* bound.c's: kept from one use to the next */
    bool program_stack;    /* bound: its stack is the program's, and `kernel_thread` is joinable */
    pthread_t kernel_thread;
};

static inline struct foreign *foreign_of(struct thread *thread)
{
    return container_of(thread->worker, struct foreign, worker);
}

/* A structure to use, its thread in no life.  At depth 0.  NULL with EAGAIN or ENOMEM. */
struct foreign *foreign_take(int *error);

/* By the kernel thread: it is this one from here on. */
void foreign_begin(struct foreign *foreign);

/* The kernel's clock of a kernel thread's CPU time, as libc's pthread_getcpuclockid() makes it. */
static inline clockid_t kernel_clock_of(int tid)
{
    return (clockid_t)(~(unsigned)tid << 3 | 6);
}

/* kernel_sched.c: that of a thread with a kernel thread of its own: 0, ENOMEM, ESRCH, or ENOTSUP: it has none. */
int kernel_clock(green_t id, clockid_t *clock);

/* kernel_sched.c: by the kernel thread, at depth > 0. */
void foreign_set_tid(struct foreign *foreign, uint32_t tid);
/* In the child of a fork. */
void tids_fork_reset(void);

/* What the kernel knows of a thread: 0, ESRCH, EINVAL, EPERM, ENOMEM; ENOTSUP for one that is multiplexed. */
int kernel_setschedparam(green_t id, int policy, const struct sched_param *param);
int kernel_setschedprio(green_t id, int priority);
int kernel_getschedparam(green_t id, int *policy, struct sched_param *param);

#endif
