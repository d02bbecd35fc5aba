/*
 * Start a thread that does nothing and wait for its end, one after the other.
 */
#include <green.h>

#include "bench.h"

static void *nothing(void *arg)
{
    return arg;
}

static void batch(unsigned ops)
{
    green_t thread;

    while (ops-- > 0) {
        bench_must(green_create(&thread, NULL, nothing, NULL), "create");
        green_join(thread, NULL);
    }
}

void bench_create(void)
{
    bench_report("create", bench_ns_per_op(batch, 1000), "ns");
}
