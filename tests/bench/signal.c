/*
 * Signals: closing and opening the calling thread's mask, and a signal to a thread that computes on another processor,
 * from before it is sent until its handler runs.
 */
#include <green.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench.h"

#define SHOTS 2000

static atomic_bool done;
static _Atomic uint64_t sent_ns, late_ns; /* 0: not yet */

static void batch(unsigned ops)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    for (; ops > 0; ops -= 2) {
        green_sigmask(SIG_BLOCK, &set, NULL);
        green_sigmask(SIG_UNBLOCK, &set, NULL);
    }
}

static void *change_mask(void *arg)
{
    *(double *)arg = bench_ns_per_op(batch, 10000);
    return NULL;
}

void bench_sigmask(void)
{
    double ns = 0;
    green_t thread;

    bench_must(green_create(&thread, NULL, change_mask, &ns), "create");
    green_join(thread, NULL);
    bench_report("sigmask", ns, "ns");
}

static void handle(int number)
{
    (void)number;
    atomic_store(&late_ns, bench_now_ns() - atomic_load(&sent_ns));
}

static void *compute(void *arg)
{
    uint64_t *sum = arg;

    while (!atomic_load_explicit(&done, memory_order_relaxed))
        *sum = bench_compute(*sum, 1000);
    return NULL;
}

/* Both compute all the time, so that neither processor sleeps. */
static uint64_t shoot(green_t thread, uint64_t *sum)
{
    uint64_t late;

    *sum = bench_compute(*sum, 20000);
    atomic_store(&late_ns, 0);
    atomic_store(&sent_ns, bench_now_ns());
    bench_must(green_kill(thread, SIGUSR1), "kill");
    while ((late = atomic_load(&late_ns)) == 0)
        continue;
    return late;
}

void bench_signal(void)
{
    static uint64_t late[SHOTS];
    uint64_t sums[2] = {1, 2};
    struct sigaction action = {.sa_handler = handle};
    green_t thread;

    bench_must(green_sigaction(SIGUSR1, &action, NULL), "sigaction");
    bench_must(green_create(&thread, NULL, compute, &sums[0]), "create");
    for (size_t i = 0; i < SHOTS; i++)
        late[i] = shoot(thread, &sums[1]);
    atomic_store(&done, 1);
    green_join(thread, NULL);
    bench_report_percentiles("signal", late, SHOTS);
}
