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
#include "core/block.h"
#include "core/hold.h"
#include "core/monitor.h"
#include "core/pool.h"
#include "core/sched.h"

enum { SPARES_MIN = 2 };

/* What locks expect of every kernel thread in the runtime; and for spares_late(), how it is seen. */
static struct worker service;

/* For so long asleep in pthread_create(), it waits for a lock whose holder does not run. */
#define PATIENCE_NS UINT64_C(1000000)

static struct {
    _Atomic uint32_t wanted; /* futex: counts calls for more */
    _Atomic bool failed;     /* the last attempt */
    _Atomic bool creating;   /* it is in pthread_create() */
    _Atomic bool running;
    bool reported;
} spawner;

bool spares_late(uint64_t now)
{
    if (atomic_load(&spawner.failed))
        return true;
    if (!atomic_load(&spawner.creating))
        return false;
    uint64_t since = block_since(&service, now);
    return since != NEVER && now >= since + PATIENCE_NS;
}

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
        int error = worker_spawn(NULL, &spawner.creating);
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
    service.tid = gettid();
    self_thread = &service.own;
    block_open_stat(&service); /* not the ring: who waits for a CPU alone is not late */
    for (;;) {
        uint32_t seen = atomic_load(&spawner.wanted);
        atomic_store(&spawner.failed, make_spares() != 0);
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
    if (atomic_load(&spawner.running))
        block_close(&service);
    memset(&spawner, 0, sizeof spawner);
}
