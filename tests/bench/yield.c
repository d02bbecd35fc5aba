/*
 * Two threads on one processor that do nothing but yield to each other.
 */
#include <green.h>

#include "bench.h"

/* Held until both exist, or the first would yield to nobody. */
static green_mutex_t gate = GREEN_MUTEX_INITIALIZER;

static void *yielder(void *arg)
{
    unsigned times = *(const unsigned *)arg;

    green_mutex_lock(&gate);
    green_mutex_unlock(&gate);
    while (times-- > 0)
        green_yield();
    return NULL;
}

static void batch(unsigned ops)
{
    unsigned each = ops / 2;
    green_t a, b;

    green_mutex_lock(&gate);
    bench_must(green_create(&a, NULL, yielder, &each), "create");
    bench_must(green_create(&b, NULL, yielder, &each), "create");
    green_mutex_unlock(&gate);
    green_join(a, NULL);
    green_join(b, NULL);
}

void bench_yield(void)
{
    bench_report_switch("yield", batch, 100000);
}
