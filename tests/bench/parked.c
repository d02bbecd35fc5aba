/*
 * Memory of threads that wait, the time to make them, and the time to wake and join them all: BENCH_THREADS of them,
 * each parked on a condition variable from its first function on.  Stacks are 256 KiB with a guard page, libgreen's
 * default.
 *
 * The array of names and the first thread come before the measurement, so that neither that array nor the
 * library's own start is counted.  What the kernel keeps for a thread of its own is in no figure of the process:
 * see the footnote of the table.
 */
#include <green.h>

#include <stdlib.h>

#include "bench.h"

#define STACK_BYTES 262144

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t one_more = GREEN_COND_INITIALIZER, leave = GREEN_COND_INITIALIZER;
static unsigned parked, wanted;
static int leaving;

static void *park(void *arg)
{
    (void)arg;
    green_mutex_lock(&mutex);
    if (++parked == wanted)
        green_cond_signal(&one_more);
    while (!leaving)
        green_cond_wait(&leave, &mutex);
    green_mutex_unlock(&mutex);
    return NULL;
}

static void make(green_t *threads, unsigned from, unsigned to, const green_attr_t *attr)
{
    wanted = to;
    for (unsigned i = from; i < to; i++)
        bench_must(green_create(&threads[i], attr, park, NULL), "create");
    green_mutex_lock(&mutex);
    while (parked < wanted)
        green_cond_wait(&one_more, &mutex);
    green_mutex_unlock(&mutex);
}

void bench_parked(void)
{
    unsigned count = bench_threads();
    green_t *threads = malloc((count + 1) * sizeof *threads);
    green_attr_t attr;
    double before, bytes, start, seconds;

    bench_must(threads == NULL, "malloc");
    for (unsigned i = 0; i <= count; i++)
        threads[i] = 0;
    green_attr_init(&attr);
    green_attr_setstacksize(&attr, STACK_BYTES);
    make(threads, 0, 1, &attr);
    before = bench_memory_bytes();
    start = (double)bench_now_ns();
    make(threads, 1, count + 1, &attr);
    seconds = ((double)bench_now_ns() - start) / 1e9;
    bytes = (bench_memory_bytes() - before) / count;
    bench_report("park_bytes", bytes, "bytes");
    bench_report("park_ns", seconds * 1e9 / count, "ns");
    bench_report("park_count", count, "threads");

    start = (double)bench_now_ns();
    green_mutex_lock(&mutex);
    leaving = 1;
    green_cond_broadcast(&leave);
    green_mutex_unlock(&mutex);
    for (unsigned i = 0; i <= count; i++)
        green_join(threads[i], NULL);
    bench_report("park_leave_ns", ((double)bench_now_ns() - start) / count, "ns");
    free(threads);
}
