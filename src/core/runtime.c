/*
 * The start of the library, and its end.
 *
 * The kernel thread that starts it becomes a worker, and what it was running, main(), a green thread on the stack and
 * TLS block that it has.  When another kernel thread than the process's first starts it, that one stays what it is
 * (foreign.c) and the first worker is a new kernel thread: a pthread must end where it began.
 *
 * The end.  exit() runs the program's handlers with ticks going on, since one of them may need a lock that a
 * preempted thread holds.  Ticks stop when the library itself is finished, after all of them.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "core/config.h"
#include "core/cpu_time.h"
#include "core/fault.h"
#include "core/fork.h"
#include "core/kernel_thread.h"
#include "core/observe.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/table.h"
#include "core/tick.h"
#include "mem/tls.h"

static pthread_mutex_t start_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool running;

/* glibc allows 8 malloc arenas a CPU, and each thread settles on one: too many for few workers. */
static void limit_arenas(void)
{
    const int least = 8;

    if (!getenv("MALLOC_ARENA_MAX") && !getenv("GLIBC_TUNABLES"))
        mallopt(M_ARENA_MAX, settings.procs * 2 > (unsigned)least ? (int)settings.procs * 2 : least);
}

/* The stack that main() runs on; its guard is the kernel's. */
static void find_own_stack(struct thread *thread)
{
    pthread_attr_t attr;
    void *low;
    size_t bytes;

    if (kernel_thread_getattr(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &low, &bytes) == 0) {
        thread->stack.low = low;
        thread->stack.bytes = bytes;
    }
    pthread_attr_destroy(&attr);
}

/* Until it has a worker, the thread needs somebody to hold its locks for it. */
static struct worker starting;

static int become_green(void)
{
    int error;
    struct thread *thread = table_new(&error);

    if (!thread)
        return error;
    thread->kind = THREAD_MULTIPLEXED;
    thread->depth = 1;
    thread->worker = &starting;
    thread->context.tls = arch_thread_pointer();
    atomic_store(&thread->state, THREAD_RUNNING);
    strcpy(thread->name, "main");
    signal_thread_begins(NULL, thread);
    find_own_stack(thread);
    life_begin(thread, false);
    self_thread = thread;
    return worker_adopt(proc_at(0), thread);
}

/* Called with self_thread pointing to the starting worker's context. */
static int start_runtime(void)
{
    heavy_barrier_init();
    cpu_time_init();
    if (annotate_valgrind_races)
        atomic_fetch_or(&switch_watch, WATCH_RACES);
    int error = tls_init((enum tls_choice)settings.tls);

    if (!error)
        error = procs_set(1);
    foreign_init();
    if (!error)
        error = preempt_init();
    if (!error)
        error = fault_init();
    if (!error)
        error = fork_init();
    if (!error && kernel_thread_is_first())
        error = become_green();
    if (!error)
        kernel_thread_init();
    return error;
}

static int start(const struct green_config *config)
{
    int error = config_load(config);

    if (error)
        return error;
    limit_arenas();
    starting.own.depth = 1;
    starting.own.worker = &starting;
    starting.kernel_tls = arch_thread_pointer();
    self_thread = &starting.own;
    error = start_runtime();
    if (error || self_thread == &starting.own)
        self_thread = NULL; /* and foreign, if anything */
    else
        leave(self_thread);
    return error;
}

/* With the library running and the caller part of it. */
static int start_procs(void)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = procs_set(settings.procs);
    leave(self);
    if (!error)
        error = procs_start_missing();
    atomic_store(&procs_missing, true); /* the rest when there is a second thread */
    return error ? error : signals_start();
}

int green_init(const struct green_config *config)
{
    int error = EBUSY;

    pthread_mutex_lock(&start_mutex);
    if (!atomic_load(&running)) {
        error = start(config);
        if (!error) {
            atomic_store(&running, true);
            error = start_procs();
        }
    }
    pthread_mutex_unlock(&start_mutex);
    return error;
}

struct thread *enter_slow(void)
{
    int saved_errno = errno;

    if (!atomic_load(&running)) {
        int error = green_init(NULL);
        const bool short_of = error == ENOMEM || error == EAGAIN; /* the call fails, and the next tries again */
        if (error && error != EBUSY && !short_of) {
            if (error != EINVAL) /* that has been told */
                fprintf(stderr, "libgreen: cannot start: %s\n", strerror(error));
            exit(EXIT_FAILURE);
        }
    }
    struct thread *self = self_thread || !atomic_load(&running) ? self_thread : foreign_adopt();
    errno = saved_errno;
    return self;
}

__attribute__((destructor)) static void stop_ticks(void)
{
    preempt_stop();
}
