/*
 * Lock and unlock a mutex nobody else wants.
 *
 * In a thread, not in main(): while a process has one thread only, glibc leaves the atomic instruction out, which no
 * program with threads would see.
 */
#include <green.h>

#include "bench.h"

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;

static void batch(unsigned ops)
{
    while (ops-- > 0) {
        green_mutex_lock(&mutex);
        green_mutex_unlock(&mutex);
    }
}

static void *locker(void *arg)
{
    *(double *)arg = bench_ns_per_op(batch, 100000);
    return NULL;
}

void bench_mutex(void)
{
    double ns = 0;
    green_t thread;

    bench_must(green_create(&thread, NULL, locker, &ns), "create");
    green_join(thread, NULL);
    bench_report("mutex", ns, "ns");
}
