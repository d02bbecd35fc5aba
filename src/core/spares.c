/*
 * Workers on demand: a kernel thread that makes the spare workers which take over the processors of blocked ones.  It
 * is the reaper of stacks as well (pool.h).
 *
 * It is one of its own because pthread_create() takes locks of libc's, whose holder may be a thread that waits for a
 * processor: nobody who must not wait for such a thread may make a worker.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/futex.h"
#include "core/hold.h"
#include "core/monitor.h"
#include "core/pool.h"
#include "core/sched.h"

enum { SPARES_MIN = 2 };

/* What locks expect of every kernel thread in the runtime. */
static struct worker service;

static struct {
    _Atomic uint32_t wanted; /* futex: counts calls for more */
    _Atomic bool running;
    bool reported;
} spawner;

void spares_want(void)
{
    atomic_fetch_add(&spawner.wanted, 1);
    futex_wake(&spawner.wanted, 1);
}

/* Once: from then on a blocked thread may keep its processor until its slice ends. */
static void report_limit(const char *why)
{
    static const char text[] = "libgreen: no more workers for blocked threads: ";

    if (spawner.reported)
        return;
    spawner.reported = true;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0 || write(STDERR_FILENO, why, strlen(why)) < 0)
        return;
}

static int make_spares(void)
{
    while (spares() < SPARES_MIN) {
        if (workers_count() >= settings.max_workers) {
            report_limit("GREEN_MAX_WORKERS is reached\n");
            return EAGAIN;
        }
        int error = worker_spawn(NULL);
        if (error) {
            report_limit("the system has none\n");
            return error;
        }
    }
    return 0;
}

static void *spawner_run(void *arg)
{
    (void)arg;
    service.own = (struct thread){.kind = THREAD_WORKER, .depth = 1, .worker = &service, .deadline = NEVER};
    service.kernel_tls = arch_thread_pointer();
    self_thread = &service.own;
    for (;;) {
        uint32_t seen = atomic_load(&spawner.wanted);
        make_spares();
        futex_wait(&spawner.wanted, seen, pool_reap(clock_now()));
    }
    return NULL;
}

int spares_start(void)
{
    if (atomic_exchange(&spawner.running, true))
        return 0;
    int error = service_start(spawner_run);
    if (error)
        atomic_store(&spawner.running, false);
    return error;
}

void spares_fork_reset(void)
{
    memset(&spawner, 0, sizeof spawner);
}
