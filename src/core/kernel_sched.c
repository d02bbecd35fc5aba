/*
 * How the kernel schedules a thread that has a kernel thread of its own, bound or the program's: policy, priority and
 * CPUs, while it lives; and its clock.  sync/schedparam.c asks here first; of a multiplexed thread it hears ENOTSUP,
 * and asks the library's policy.
 *
 * The system calls name a kernel thread by its tid, which the kernel gives to another one later.  So a kernel thread
 * that ends says so under the lock, and whoever uses its tid holds the lock.  One lock for all: these calls are rare.
 */
#include "core/foreign.h"

#include <errno.h>
#include <sched.h>

#include "base/futex.h"
#include "core/sched.h"
#include "core/table.h"

static struct lock tids_lock;

void tids_fork_reset(void)
{
    tids_lock.word = 0;
}

void foreign_set_tid(struct foreign *foreign, uint32_t tid)
{
    lock_acquire(&tids_lock, RANK_TIDS);
    atomic_store(&foreign->tid, tid);
    lock_release(&tids_lock, RANK_TIDS);
    if (tid != TID_STARTING)
        futex_wake(&foreign->tid, INT32_MAX);
}

typedef int act_fn(pid_t tid, void *arg);

/* The life is asked for once the tid is known: a tid that is older than the life is gone, or still this thread's. */
static int act_locked(struct thread *thread, green_t id, act_fn *act, void *arg)
{
    uint32_t tid = atomic_load(&foreign_of(thread)->tid);
    int saved_errno = errno;

    if (tid == TID_GONE || thread_id(thread) != id)
        return ESRCH;
    if (tid == TID_STARTING)
        return EAGAIN;
    int error = act((pid_t)tid, arg) < 0 ? errno : 0;
    errno = saved_errno;
    return error;
}

/* 0, an errno of the system call, ESRCH, ENOTSUP, or EAGAIN: it has not begun. */
static int act_once(green_t id, act_fn *act, void *arg, struct thread **found)
{
    struct thread *self = enter();
    int error = ESRCH;

    if (!self)
        return ENOMEM;
    *found = table_find(id);
    if (*found && (*found)->kind != THREAD_FOREIGN) {
        error = ENOTSUP;
    } else if (*found) {
        lock_acquire(&tids_lock, RANK_TIDS);
        error = act_locked(*found, id, act, arg);
        lock_release(&tids_lock, RANK_TIDS);
    }
    leave(self);
    return error;
}

/* The system call on the thread's kernel thread. */
static int act_on(green_t id, act_fn *act, void *arg)
{
    int saved_errno = errno, error;
    struct thread *thread;

    while ((error = act_once(id, act, arg, &thread)) == EAGAIN)
        futex_wait(&foreign_of(thread)->tid, TID_STARTING, NEVER); /* at depth 0: the kernel is about to run it */
    errno = saved_errno;
    return error;
}

static int get_clock(pid_t tid, void *arg)
{
    *(clockid_t *)arg = kernel_clock_of(tid);
    return 0;
}

int kernel_clock(green_t id, clockid_t *clock)
{
    return act_on(id, get_clock, clock);
}

struct scheduling {
    int policy;
    struct sched_param param;
};

static int set_scheduling(pid_t tid, void *arg)
{
    const struct scheduling *scheduling = arg;

    return sched_setscheduler(tid, scheduling->policy, &scheduling->param);
}

static int get_scheduling(pid_t tid, void *arg)
{
    struct scheduling *scheduling = arg;

    scheduling->policy = sched_getscheduler(tid);
    return scheduling->policy < 0 ? -1 : sched_getparam(tid, &scheduling->param);
}

/* Its policy stays what it is. */
static int set_priority(pid_t tid, void *param)
{
    return sched_setparam(tid, param);
}

int kernel_setschedparam(green_t id, int policy, const struct sched_param *param)
{
    return act_on(id, set_scheduling, &(struct scheduling){policy, *param});
}

int kernel_setschedprio(green_t id, int priority)
{
    return act_on(id, set_priority, &(struct sched_param){.sched_priority = priority});
}

int kernel_getschedparam(green_t id, int *policy, struct sched_param *param)
{
    struct scheduling scheduling;
    int error = act_on(id, get_scheduling, &scheduling);

    if (!error) {
        *policy = scheduling.policy;
        *param = scheduling.param;
    }
    return error;
}

int green_sched_get_priority_max(int policy)
{
    return sched_get_priority_max(policy);
}

int green_sched_get_priority_min(int policy)
{
    return sched_get_priority_min(policy);
}

struct affinity {
    size_t bytes;
    cpu_set_t *cpus;
};

static int set_affinity(pid_t tid, void *arg)
{
    const struct affinity *affinity = arg;

    return sched_setaffinity(tid, affinity->bytes, affinity->cpus);
}

static int get_affinity(pid_t tid, void *arg)
{
    const struct affinity *affinity = arg;

    return sched_getaffinity(tid, affinity->bytes, affinity->cpus);
}

int green_setaffinity_np(green_t id, size_t bytes, const cpu_set_t *cpus)
{
    if (!cpus)
        return EINVAL;
    return act_on(id, set_affinity, &(struct affinity){bytes, (cpu_set_t *)(uintptr_t)cpus});
}

int green_getaffinity_np(green_t id, size_t bytes, cpu_set_t *cpus)
{
    if (!cpus)
        return EINVAL;
    return act_on(id, get_affinity, &(struct affinity){bytes, cpus});
}
