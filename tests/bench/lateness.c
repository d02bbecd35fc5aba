/*
 * A heartbeat that sleeps for 1 ms at a time beside a hog that computes and never yields, on one processor:
 * how long after its time it runs.
 *
 * Each sleep counts from the moment the one before was served, so that a heartbeat that is late by many
 * milliseconds is counted once, with all of its lateness, and not again for every beat that it missed.
 * Whoever is that late does not make 3,000 beats in the time allowed; how many it made is reported.
 */
#include <green.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "bench.h"

#define BEATS 3000
#define PERIOD_NS 1000000u
#define ALLOWED_NS 10000000000u

static atomic_bool done;
static uint64_t late_ns[BEATS];
static size_t beats;

static void *hog(void *arg)
{
    uint64_t *sum = arg;

    while (!atomic_load_explicit(&done, memory_order_relaxed))
        *sum = bench_compute(*sum, 1000);
    return NULL;
}

static void *heartbeat(void *arg)
{
    uint64_t start = bench_now_ns(), now = start;

    (void)arg;
    while (beats < BEATS && now - start < ALLOWED_NS) {
        uint64_t due = now + PERIOD_NS;
        struct timespec when = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};

        green_clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
        now = bench_now_ns();
        late_ns[beats++] = now - due;
    }
    return NULL;
}

void bench_lateness(void)
{
    uint64_t sum = 1;
    green_t a, b;

    bench_must(green_create(&a, NULL, hog, &sum), "create");
    bench_must(green_create(&b, NULL, heartbeat, NULL), "create");
    green_join(b, NULL);
    atomic_store(&done, 1);
    green_join(a, NULL);
    bench_report_percentiles("late", late_ns, beats);
    bench_report("late_beats", (double)beats, "beats");
}
