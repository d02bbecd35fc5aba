/* The tick sources.  See tick.h. */
#include "core/tick.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/futex.h"
#include "core/sched.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Its address marks a signal as a tick. */
static char tick_mark;

/* The monitor: told by `changed` that a deadline earlier than the one it sleeps for was set. */
static struct {
    _Atomic uint32_t changed;
    _Atomic uint64_t sleeps_until;
    _Atomic bool running;
} monitor;

bool tick_is_ours(const siginfo_t *info)
{
    return (info->si_code == SI_TIMER || info->si_code == SI_QUEUE) && info->si_value.sival_ptr == &tick_mark;
}

const char *tick_source_name(void)
{
    if (!settings.preempt)
        return "off";
    return settings.monitor ? "monitor" : "timer";
}

void tick_send(struct worker *worker)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = settings.signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_ptr = &tick_mark;
    int saved_errno = errno;
    syscall(SYS_rt_tgsigqueueinfo, info.si_pid, worker->tid, settings.signal, &info);
    errno = saved_errno;
}

/* Signal the workers that are due; the first deadline of the others. */
static uint64_t monitor_round(uint64_t now)
{
    uint64_t first = NEVER;

    for (struct worker *worker = workers_all(); worker; worker = worker->next) {
        uint64_t deadline = atomic_load(&worker->tick_deadline);
        if (deadline <= now) {
            if (atomic_compare_exchange_strong(&worker->tick_deadline, &deadline, NEVER))
                tick_send(worker);
        } else if (deadline < first) {
            first = deadline;
        }
    }
    return first;
}

static void *monitor_run(void *arg)
{
    (void)arg;
    for (;;) {
        uint32_t seen = atomic_load(&monitor.changed);
        atomic_store(&monitor.sleeps_until, 0); /* awake: it will see what is set from here on */
        uint64_t first = monitor_round(clock_now());
        atomic_store(&monitor.sleeps_until, first);
        if (monitor_round(clock_now()) >= first)
            futex_wait(&monitor.changed, seen, first);
    }
    return NULL;
}

int tick_source_start(void)
{
    sigset_t all;
    pthread_attr_t attr;
    pthread_t thread;

    if (!settings.preempt || !settings.monitor || atomic_exchange(&monitor.running, true))
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_attr_setsigmask_np(&attr, &all);
    int error = pthread_create(&thread, &attr, monitor_run, NULL);
    pthread_attr_destroy(&attr);
    if (error)
        atomic_store(&monitor.running, false);
    return error;
}

int tick_worker_start(struct worker *worker)
{
    struct sigevent event;

    atomic_store(&worker->tick_deadline, NEVER);
    if (!settings.preempt || settings.monitor)
        return 0;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = settings.signal;
    event.sigev_value.sival_ptr = &tick_mark;
    event.sigev_notify_thread_id = worker->tid;
    return timer_create(CLOCK_MONOTONIC, &event, &worker->timer) == 0 ? 0 : errno;
}

void tick_set(struct worker *worker, uint64_t deadline)
{
    if (!settings.monitor) {
        struct itimerspec when = {{0, 0}, clock_timespec(deadline ? deadline : 1)};
        int saved_errno = errno;
        timer_settime(worker->timer, TIMER_ABSTIME, &when, NULL);
        errno = saved_errno;
        return;
    }
    atomic_store(&worker->tick_deadline, deadline);
    if (deadline < atomic_load(&monitor.sleeps_until)) {
        atomic_fetch_add(&monitor.changed, 1);
        futex_wake(&monitor.changed, 1);
    }
}

void tick_fork_reset(void)
{
    atomic_store(&monitor.running, false);
}
