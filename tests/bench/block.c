/*
 * A thread that blocks in the kernel, by a call that nobody wrapped, beside one that computes, on one processor: how
 * long after it began to block the other one runs, and how long after the end of its block it has a processor again.
 *
 * The one that blocks computes before it does so again: back from a block it may go on for a moment beside the other one,
 * on a CPU and without the processor.  A block that nobody used counts with its whole time, and more.
 */
#include <green.h>
#include <green/sched.h>

#include <stdatomic.h>
#include <time.h>

#include "bench.h"

#define BLOCKS 1000
#define BLOCK_NS 5000000
#define WORK_NS 200000u

static atomic_bool done;
static _Atomic uint64_t blocked_at; /* until the other one has seen it */
static uint64_t gap_ns[BLOCKS], back_ns[BLOCKS];
static size_t blocks;

static void *compute(void *arg)
{
    uint64_t *sum = arg;

    while (!atomic_load(&done)) {
        uint64_t begin = atomic_load(&blocked_at);
        if (begin) {
            gap_ns[blocks++] = bench_now_ns() - begin;
            atomic_store(&blocked_at, 0);
        }
        *sum = bench_compute(*sum, 100);
    }
    return NULL;
}

static void work(uint64_t *sum)
{
    for (uint64_t begin = bench_now_ns(); bench_now_ns() - begin < WORK_NS;)
        *sum = bench_compute(*sum, 1000);
}

static void *block(void *arg)
{
    const struct timespec time = {.tv_nsec = BLOCK_NS};

    for (unsigned i = 0; i < BLOCKS; i++) {
        work(arg);
        uint64_t begin = bench_now_ns();
        atomic_store(&blocked_at, begin);
        nanosleep(&time, NULL);
        green_safepoint();
        back_ns[i] = bench_now_ns() - begin - BLOCK_NS;
        while (atomic_load(&blocked_at))
            green_yield();
    }
    return NULL;
}

void bench_block(void)
{
    uint64_t sum[] = {1, 1};
    green_t a, b;

    bench_must(green_create(&a, NULL, compute, &sum[0]), "create");
    bench_must(green_create(&b, NULL, block, &sum[1]), "create");
    green_join(b, NULL);
    atomic_store(&done, 1);
    green_join(a, NULL);
    bench_report_percentiles("block", gap_ns, blocks);
    bench_report_percentiles("back", back_ns, BLOCKS);
}
