/*
 * What preemption costs a program that only computes: two threads beside each other, which the slices make
 * take turns, against the same two one after the other, where nobody waits and no tick is due.
 *
 * Both ways are measured in turn, in one process, and the fastest of each is taken: ticks come in every round,
 * so the minimum keeps their cost and drops what else the machine did.  Time is the clock on the wall: CPU
 * time may leave out what the kernel spends in the interrupt of a tick (IRQ_TIME_ACCOUNTING).
 */
#include <green.h>

#include "bench.h"

#define ROUNDS 13
#define LOOPS 50000000u

struct work {
    uint64_t sum, start_ns, end_ns;
};

static void *compute(void *arg)
{
    struct work *work = arg;

    work->start_ns = bench_now_ns();
    work->sum = bench_compute(work->sum, LOOPS);
    work->end_ns = bench_now_ns();
    return NULL;
}

static uint64_t beside_ns(struct work work[2])
{
    uint64_t start = bench_now_ns();
    green_t a, b;

    bench_must(green_create(&a, NULL, compute, &work[0]), "create");
    bench_must(green_create(&b, NULL, compute, &work[1]), "create");
    green_join(a, NULL);
    green_join(b, NULL);
    bench_must(work[0].start_ns > work[1].end_ns || work[1].start_ns > work[0].end_ns, "preemption");
    return bench_now_ns() - start;
}

static uint64_t after_ns(struct work work[2])
{
    uint64_t start = bench_now_ns();
    green_t thread;

    for (int i = 0; i < 2; i++) {
        bench_must(green_create(&thread, NULL, compute, &work[i]), "create");
        green_join(thread, NULL);
    }
    return bench_now_ns() - start;
}

void bench_tick(void)
{
    struct work work[2] = {{1, 0, 0}, {2, 0, 0}};
    uint64_t beside = UINT64_MAX, after = UINT64_MAX;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t now_beside = beside_ns(work), now_after = after_ns(work);

        beside = now_beside < beside ? now_beside : beside;
        after = now_after < after ? now_after : after;
    }
    bench_report("tick", ((double)beside / (double)after - 1) * 100, "%");
}
