/*
 * GREEN_SA_THREAD: a handler that runs as a thread of its own.
 *
 * A few threads wait for such signals, made when the first action of this kind is set, since none can be made where a
 * signal arrives.  They block every signal, so nobody chooses them for another one, and do not keep the process alive.
 * When all are busy the rest waits in a queue, and when that is full is pending for them, as it would be for a thread:
 * a handler that ran on the thread which the signal is for could wait for a lock that this thread holds, for ever.
 */
#include <errno.h>

#include <green/signal.h>

#include "signal/signal.h"

enum { THREADS = 4, WORK_MAX = 1024 };

struct work {
    siginfo_t info;
    struct sigaction action;
};

/* Guarded by the signal lock. */
static struct work queue[WORK_MAX];
static unsigned first, end;
static _Atomic uint64_t posted_set; /* came when the queue was full */
static struct signal_node *posted;
static struct thread *idle;
static bool wanted, running;

static struct pending pending_of_threads(void)
{
    return (struct pending){&posted_set, &posted};
}

bool signal_threads_post(struct thread *self, const siginfo_t *info, const struct sigaction *action)
{
    struct thread *thread = idle;

    if (!running)
        return false;
    if (end - first < WORK_MAX && !atomic_load(&posted_set))
        queue[end++ % WORK_MAX] = (struct work){*info, *action};
    else if (pending_add(pending_of_threads(), info, true) == COALESCED)
        signal_count(SIGNALS_COALESCED);
    if (thread) {
        idle = thread->next_waiter;
        if (park_claim(thread, WAKE_READY)) /* it blocks every signal: nobody else has */
            signal_ready(self, thread);
    }
    return true;
}

/* Under the lock.  The action may have become another one since the signal came. */
static bool take_work(struct work *work)
{
    if (first != end) {
        *work = queue[first++ % WORK_MAX];
        return true;
    }
    while (pending_take(pending_of_threads(), ~UINT64_C(0), &work->info)) {
        work->action = signal_action(work->info.si_signo);
        if (work->action.sa_handler != SIG_DFL && work->action.sa_handler != SIG_IGN)
            return true;
        signal_count(SIGNALS_DISCARDED);
    }
    return false;
}

static void wait_for_work(struct thread *self, struct work *work)
{
    signals_lock();
    while (!take_work(work)) {
        self->next_waiter = idle;
        idle = self;
        park_prepare(self, NEVER);
        park(self, &signal_lock, RANK_SIGNAL);
        signals_lock();
    }
    signals_unlock();
}

static void *serve(void *arg)
{
    struct thread *self;
    struct work work;
    ucontext_t here;

    for (;;) {
        self = enter();
        wait_for_work(self, &work);
        leave(self);
        getcontext(&here);
        signal_count(SIGNALS_HANDLED);
        if (work.action.sa_flags & SA_SIGINFO)
            work.action.sa_sigaction(work.info.si_signo, &work.info, &here);
        else
            work.action.sa_handler(work.info.si_signo);
    }
    return arg;
}

static int start_one(const green_attr_t *attr, void *(*routine)(void *))
{
    green_t thread;
    int error = green_create(&thread, attr, routine, NULL);

    if (!error)
        thread_is_service();
    return error;
}

/* With every signal blocked, which the new threads inherit. */
int signal_services_start(const char *name, int scope, void *(*routine)(void *), int count)
{
    struct thread *self = self_thread;
    const uint64_t mask = signal_mask(self);
    green_attr_t attr;
    int error = 0;

    green_attr_init(&attr);
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    green_attr_setscope(&attr, scope);
    green_attr_setname_np(&attr, name);
    atomic_store(&self->sigmask, ~SIGNALS_UNBLOCKABLE);
    for (int i = 0; i < count && !error; i++)
        error = start_one(&attr, routine);
    atomic_store(&self->sigmask, mask);
    signal_mask_changed(self, ~UINT64_C(0));
    return error;
}

int signal_threads_start(void)
{
    struct thread *self = enter();

    signals_lock();
    const bool first_time = !wanted;
    wanted = true;
    signals_unlock();
    leave(self);
    if (!first_time)
        return 0;
    int error = signal_services_start("signal handler", GREEN_SCOPE_PROCESS, serve, THREADS);
    running = !error;
    if (error)
        wanted = false;
    return error;
}

void signal_threads_fork_reset(void)
{
    first = end = 0;
    atomic_store(&posted_set, 0);
    posted = NULL;
    idle = NULL;
    running = false;
}

void signal_threads_fork_finish(void)
{
    if (!wanted)
        return;
    wanted = false;
    signal_threads_start();
}
