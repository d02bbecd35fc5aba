/*
 * The clock, the timing loop and the output of the drivers: see bench.h.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEASURE_NS 400000000u

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* And in *least, what an operation took in the shortest batch. */
static double ns_per_op(bench_batch *batch, unsigned ops, double *least)
{
    uint64_t start, before, elapsed = 0, shortest = UINT64_MAX, done = 0;

    batch(ops);
    start = bench_now_ns();
    do {
        before = elapsed;
        batch(ops);
        done += ops;
        elapsed = bench_now_ns() - start;
        if (elapsed - before < shortest)
            shortest = elapsed - before;
    } while (elapsed < MEASURE_NS);
    *least = (double)shortest / ops;
    return (double)elapsed / (double)done;
}

double bench_ns_per_op(bench_batch *batch, unsigned ops)
{
    double least;

    return ns_per_op(batch, ops, &least);
}

void bench_report_switch(const char *name, bench_batch *batch, unsigned ops)
{
    double least, mean = ns_per_op(batch, ops, &least);

    bench_report(name, mean, "ns");
    printf("%s_least %.6g ns\n", name, least);
    fflush(stdout);
}

void bench_report(const char *name, double value, const char *unit)
{
    printf("%s %.6g %s\n", name, value, unit);
    fflush(stdout);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void bench_report_percentiles(const char *name, uint64_t *values, size_t count)
{
    bench_must(count == 0, name);
    qsort(values, count, sizeof values[0], by_value);
    printf("%s_p50 %.6g us\n", name, (double)values[count / 2] / 1e3);
    printf("%s_p99 %.6g us\n", name, (double)values[count * 99 / 100] / 1e3);
    fflush(stdout);
}

/* The sum of two lines of the process's status that are in kB; the names end in a colon. */
static double status_bytes(const char *a, const char *b)
{
    char line[128];
    double kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");

    bench_must(status == NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status))
        if (strncmp(line, a, strlen(a)) == 0 || strncmp(line, b, strlen(b)) == 0)
            kilobytes += strtod(strchr(line, ':') + 1, NULL);
    fclose(status);
    return kilobytes * 1024;
}

double bench_memory_bytes(void)
{
    return status_bytes("VmRSS:", "VmPTE:");
}

double bench_peak_bytes(void)
{
    return status_bytes("VmHWM:", "VmHWM:");
}

unsigned bench_threads(void)
{
    const char *text = getenv("BENCH_THREADS");
    unsigned threads = text ? (unsigned)strtoul(text, NULL, 10) : 100000;

    bench_must(threads == 0, "BENCH_THREADS");
    return threads;
}

void bench_must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "bench: %s failed (%d)\n", what, error);
    exit(1);
}

uint64_t bench_compute(uint64_t seed, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed;
}
