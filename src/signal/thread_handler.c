/*
 * GREEN_SA_THREAD: a handler that runs as a thread of its own.
 *
 * A few threads wait for such signals, made when the first action of this kind is set, since none can be made where a
 * signal arrives.  They block every signal, so nobody chooses them for another one, and do not keep the process alive.
 * When all are busy the rest waits; when too many wait the handler runs on the thread that the signal is for, as it
 * would without the flag.
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
static struct thread *idle;
static bool wanted, running;

bool signal_threads_post(struct thread *self, const siginfo_t *info, const struct sigaction *action)
{
    struct thread *thread = idle;

    if (!running || end - first == WORK_MAX)
        return false;
    queue[end++ % WORK_MAX] = (struct work){*info, *action};
    if (thread) {
        idle = thread->next_waiter;
        if (park_claim(thread, WAKE_READY)) /* it blocks every signal: nobody else has */
            signal_ready(self, thread);
    }
    return true;
}

static void wait_for_work(struct thread *self, struct work *work)
{
    signals_lock();
    while (first == end) {
        self->next_waiter = idle;
        idle = self;
        park_prepare(self, NEVER);
        park(self, &signal_lock, RANK_SIGNAL);
        signals_lock();
    }
    *work = queue[first++ % WORK_MAX];
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

static int start_one(const green_attr_t *attr)
{
    green_t thread;
    int error = green_create(&thread, attr, serve, NULL);

    if (!error)
        thread_is_service();
    return error;
}

/* With every signal blocked, which the new threads inherit. */
static int start_all(struct thread *self)
{
    const uint64_t mask = signal_mask(self);
    green_attr_t attr;
    int error = 0;

    green_attr_init(&attr);
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    green_attr_setname_np(&attr, "signal handler");
    atomic_store(&self->sigmask, ~SIGNALS_UNBLOCKABLE);
    for (int i = 0; i < THREADS && !error; i++)
        error = start_one(&attr);
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
    int error = start_all(self);
    running = !error;
    if (error)
        wanted = false;
    return error;
}

void signal_threads_fork_reset(void)
{
    first = end = 0;
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
