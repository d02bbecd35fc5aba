/*
 * Timed waits of many threads: BENCH_THREADS of them sleep for 1 to 100 ms, each ten times.
 *
 * The figure is the CPU time of the process, the kernel's part included, for each sleep.  First that of the sleeps, from
 * the moment when all threads exist and are let go until the last has slept; then all of it, making and joining them
 * included.  With 100,000 threads two million deadlines pass each second when everything is in time, so most are late
 * and there is always somebody to run: how late is no figure here, see lateness.c.
 */
#include <green.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

#define SLEEPS 10u
#define LEAST_US 1000u
#define SPAN_US 99001u

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t begin = GREEN_COND_INITIALIZER, ended = GREEN_COND_INITIALIZER;
static unsigned ready, left; /* guarded by mutex, as is the next */
static int begun;
static atomic_ullong early;

static double cpu_ns(void)
{
    struct rusage usage;

    bench_must(getrusage(RUSAGE_SELF, &usage), "getrusage");
    return 1e9 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e3 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void count(unsigned *number)
{
    if (--*number == 0)
        green_cond_signal(&ended);
}

static void *sleep_often(void *arg)
{
    uint64_t random = (uint64_t)(size_t)arg;

    green_mutex_lock(&mutex);
    count(&ready);
    while (!begun)
        green_cond_wait(&begin, &mutex);
    green_mutex_unlock(&mutex);
    for (unsigned i = 0; i < SLEEPS; i++) {
        random = bench_compute(random, 1);
        const uint64_t ns = (LEAST_US + (random >> 33) % SPAN_US) * 1000, start = bench_now_ns();
        struct timespec time = {.tv_nsec = (long)ns};
        green_clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
        if (bench_now_ns() - start < ns)
            atomic_fetch_add(&early, 1);
    }
    green_mutex_lock(&mutex);
    count(&left);
    green_mutex_unlock(&mutex);
    return NULL;
}

static void await(const unsigned *number)
{
    while (*number > 0)
        green_cond_wait(&ended, &mutex);
}

void bench_timed(void)
{
    const unsigned threads = bench_threads();
    green_t *names = malloc(threads * sizeof *names);
    const double first = cpu_ns(), sleeps = (double)threads * SLEEPS;

    bench_must(names == NULL, "malloc");
    ready = left = threads;
    for (unsigned i = 0; i < threads; i++)
        bench_must(green_create(&names[i], NULL, sleep_often, (void *)(size_t)(i + 1)), "create");
    green_mutex_lock(&mutex);
    await(&ready);
    const double before = cpu_ns();
    begun = 1;
    green_cond_broadcast(&begin);
    await(&left);
    const double after = cpu_ns();
    green_mutex_unlock(&mutex);
    for (unsigned i = 0; i < threads; i++)
        green_join(names[i], NULL);
    bench_must(early != 0, "sleeping for the whole time");
    bench_report("timed", (after - before) / sleeps, "ns");
    bench_report("timed_all", (cpu_ns() - first) / sleeps, "ns");
    bench_report("timed_count", sleeps, "sleeps");
    free(names);
}
