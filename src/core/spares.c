/*
 * Workers on demand: a kernel thread that makes the spare workers which take over the processors of blocked ones.  It
 * is the reaper of stacks as well (pool.h).
 *
 * It is one of its own because pthread_create() takes locks of libc's, whose holder may be a thread that waits for a
 * processor: nobody who must not wait for such a thread may make a worker.
 *
 * It also ends those that nobody has needed for a while, but for a few: a burst of blocked threads is often followed
 * by the next, and a kernel thread costs 20 us to make.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/futex.h"
#include "core/block.h"
#include "core/hold.h"
#include "core/monitor.h"
#include "core/pool.h"
#include "core/sched.h"

enum { SPARES_MIN = 2 };

/*
 * After so much asleep in pthread_create(), it waits for a lock whose holder does not run.  So may the new kernel thread,
 * where a sanitizer has it take one before it is ours.  Either may as well wait for somebody who waits for a CPU: so what
 * counts is the time that one of those would have had of a CPU by then.  By the clock alone, a full machine (8 tests at
 * once) had EINTR where no plain thread has it.
 */
#define PATIENCE_NS UINT64_C(10000000)
#define START_PATIENCE_NS UINT64_C(100000000)
#define SHARE_STEP_NS UINT64_C(1000000) /* how full the machine is, is looked at so often */
/* ThreadSanitizer spins for a lock that may be such a one: it is not seen to be asleep then. */
#define SPIN_PATIENCE_NS UINT64_C(1000000000)

uint64_t spares_quiet_ns = UINT64_C(10000000000);

/*
 * A fork waits for a worker that is being made for so long at most: what its maker waits for may be the forking thread's.
 * And a worker's making waits for forks for so long at most: who forks may be a thread that waits for a processor.
 */
#define FORK_PATIENCE_NS UINT64_C(100000000)
#define FORKS_PATIENCE_NS UINT64_C(10000000)

/* What a thread that is ready has had of a CPU, about, while something lasts: since, counted until, and how much; ns. */
struct share {
    uint64_t since, until, had;
};

static struct {
    _Atomic uint32_t wanted; /* futex: counts calls for more */
    _Atomic bool failed;     /* the last attempt */
    _Atomic uint32_t step;   /* futex: enum spawn_step */
    _Atomic uint32_t forks;  /* futex: under way; a worker's making is not begun at once */
    _Atomic uint64_t begun;  /* ns; the worker's making */
    _Atomic bool asleep;     /* until there is a surplus, too */
    struct worker service;   /* for block_since(), and what locks expect */
    struct share making;     /* the monitor's, of a worker's making */
    struct share blocked;    /* and of the maker's being asleep in it */
    _Atomic bool started;    /* its start was begun */
    _Atomic uint32_t running; /* futex: 1 from its first look on */
    bool reported;
} spawner;

/*
 * Those on a CPU or waiting for one, of all processes: "0.20 0.18 0.12 1/80 11206".  0: not known.  By system calls, as
 * libc's may be a sanitizer's, who waits for locks there.
 */
static unsigned runnable(void)
{
    char text[64];
    const long fd = syscall(SYS_openat, AT_FDCWD, "/proc/loadavg", O_RDONLY | O_CLOEXEC);
    const long bytes = fd < 0 ? 0 : syscall(SYS_read, fd, text, sizeof text - 1);

    if (fd >= 0)
        syscall(SYS_close, fd);
    text[bytes > 0 ? bytes : 0] = '\0';
    for (char *at = strchr(text, '/'); at && at > text; at--)
        if (at[-1] == ' ')
            return (unsigned)strtoul(at, NULL, 10);
    return 0;
}

static uint64_t share_had(struct share *share, uint64_t since, uint64_t now)
{
    if (share->since != since)
        *share = (struct share){since, since, 0};
    if (now >= share->until + SHARE_STEP_NS) {
        const unsigned ready = runnable();
        share->had += (now - share->until) * settings.cpus / (ready > settings.cpus ? ready : settings.cpus);
        share->until = now;
    }
    return share->had;
}

bool spares_late(uint64_t now)
{
    if (atomic_load(&spawner.failed))
        return true;
    const uint32_t step = atomic_load(&spawner.step);
    if (step == SPAWN_NOT)
        return false;
    if (annotate_create_awaits() && share_had(&spawner.making, atomic_load(&spawner.begun), now) >= SPIN_PATIENCE_NS)
        return true;
    const bool begins = step != SPAWN_CREATES || annotate_create_awaits();
    uint64_t since = block_since(&spawner.service, now);
    return since != NEVER && share_had(&spawner.blocked, since, now) >= (begins ? START_PATIENCE_NS : PATIENCE_NS);
}

void spares_want(void)
{
    atomic_fetch_add(&spawner.wanted, 1);
    futex_wake(&spawner.wanted, 1);
}

void spares_surplus(void)
{
    bool asleep = true;

    if (atomic_compare_exchange_strong(&spawner.asleep, &asleep, false))
        spares_want();
}

/* Once: from then on a blocked thread may keep its processor until its slice ends. */
static void report_limit(const char *why)
{
    static const char text[] = "libgreen: no more workers for blocked threads: ";
    const struct iovec parts[] = {{(void *)text, sizeof text - 1}, {(void *)why, strlen(why)}};

    if (spawner.reported)
        return;
    spawner.reported = true;
    if (writev(STDERR_FILENO, parts, 2) < 0)
        return;
}

static void spawn_end(void)
{
    atomic_store(&spawner.step, SPAWN_NOT);
    if (atomic_load(&spawner.forks) > 0)
        futex_wake(&spawner.step, INT_MAX);
}

/* It is said, and then looked whether there is a fork; who forks says that, and then looks for this. */
static void spawn_begin(void)
{
    const uint64_t until = clock_now() + FORKS_PATIENCE_NS;

    for (;;) {
        atomic_store(&spawner.begun, clock_now());
        atomic_fetch_add(&spawner.service.switches, 1); /* a block that was seen while the last one was made is over */
        atomic_store(&spawner.step, SPAWN_CREATES);
        const uint32_t forks = atomic_load(&spawner.forks);
        if (forks == 0 || clock_now() >= until)
            return;
        spawn_end();
        futex_wait(&spawner.forks, forks, until);
    }
}

static int make_spares(void)
{
    while (spares() < SPARES_MIN) {
        if (workers_count() >= settings.max_workers) {
            report_limit("GREEN_MAX_WORKERS is reached\n");
            return EAGAIN;
        }
        spawn_begin();
        int error = worker_spawn(NULL, &spawner.step);
        spawn_end();
        if (error) {
            report_limit("the system has none\n");
            return error;
        }
    }
    return 0;
}

/* End those that have not been used for so long; when to do it again. */
static uint64_t end_surplus(void)
{
    struct worker *worker;
    uint64_t next;

    do {
        lock_acquire(&sched_lock, RANK_SCHED);
        worker = spare_surplus(clock_now(), spares_quiet_ns, &next);
        atomic_store(&spawner.asleep, next == NEVER);
        lock_release(&sched_lock, RANK_SCHED);
        if (worker) {
            atomic_store(&worker->ending, true);
            atomic_store(&worker->wake, 1);
            futex_wake(&worker->wake, 1);
        }
    } while (worker);
    return next;
}

static void *spawner_run(void *arg)
{
    (void)arg;
    spawner.service.own =
        (struct thread){.kind = THREAD_WORKER, .depth = 1, .worker = &spawner.service, .deadline = NEVER};
    self_thread = &spawner.service.own;
    spawner.service.kernel_tls = arch_thread_pointer();
    spawner.service.tid = gettid();
    block_open_stat(&spawner.service); /* not the ring: who waits for a CPU alone is not late */
    atomic_store(&spawner.running, 1);
    futex_wake(&spawner.running, INT_MAX);
    for (;;) {
        uint32_t seen = atomic_load(&spawner.wanted);
        atomic_store(&spawner.failed, make_spares() != 0);
        uint64_t surplus = end_surplus(), reap = pool_reap(clock_now());
        futex_wait(&spawner.wanted, seen, surplus < reap ? surplus : reap);
    }
    return NULL;
}

int spares_start(void)
{
    if (atomic_exchange(&spawner.started, true))
        return 0;
    int error = service_start(spawner_run);
    if (error)
        atomic_store(&spawner.started, false);
    while (!error && atomic_load(&spawner.running) == 0) /* a fork may follow */
        futex_wait(&spawner.running, 0, NEVER);
    return error;
}

/* Libc's locks, and an allocator's, that are taken to make a kernel thread, stay locked in the child. */
void spares_fork_prepare(void)
{
    const uint64_t until = clock_now() + FORK_PATIENCE_NS;
    uint32_t step;

    atomic_fetch_add(&spawner.forks, 1);
    while ((step = atomic_load(&spawner.step)) != SPAWN_NOT && clock_now() < until)
        futex_wait(&spawner.step, step, until);
}

void spares_fork_parent(void)
{
    if (atomic_fetch_sub(&spawner.forks, 1) == 1)
        futex_wake(&spawner.forks, INT_MAX);
}

void spares_fork_reset(void)
{
    if (atomic_load(&spawner.running) != 0)
        block_close(&spawner.service);
    memset(&spawner, 0, sizeof spawner);
}
