/*
 * A mutex that everybody wants.
 *
 * Eight threads lock and unlock it for half a second, with an addition in between: the time from one lock to the next,
 * whoever's; the CPU time of each, spinning and waking included, which other programs on the machine disturb less; and
 * how many times as many the first has done as the last.  Then 64 threads do, with a microsecond of work inside: the
 * longest that any of them had to wait for it.
 */
#include <green.h>

#include <stdatomic.h>
#include <time.h>

#include "bench.h"

#define THREADS_MAX 64
#define SECTION_ROUNDS 1000u /* about a microsecond */

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static uint64_t shared; /* guarded by mutex */
static atomic_bool go, over;

struct contender {
    uint64_t operations, longest_ns;
} __attribute__((aligned(64)));

static void wait_for_go(void)
{
    while (!atomic_load(&go))
        green_yield();
}

static void *contend(void *arg)
{
    struct contender *me = arg;

    wait_for_go();
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        green_mutex_lock(&mutex);
        shared++;
        green_mutex_unlock(&mutex);
        me->operations++;
    }
    return NULL;
}

static void *contend_long(void *arg)
{
    struct contender *me = arg;

    wait_for_go();
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        uint64_t since = bench_now_ns();
        green_mutex_lock(&mutex);
        uint64_t waited = bench_now_ns() - since;
        shared = bench_compute(shared, SECTION_ROUNDS);
        green_mutex_unlock(&mutex);
        if (waited > me->longest_ns)
            me->longest_ns = waited;
        me->operations++;
    }
    return NULL;
}

static uint64_t cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Nanoseconds that they ran. */
static uint64_t race(void *(*run)(void *), struct contender *contenders, unsigned count, long ns)
{
    green_t threads[THREADS_MAX];
    struct timespec duration = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    atomic_store(&go, 0);
    atomic_store(&over, 0);
    for (unsigned i = 0; i < count; i++)
        bench_must(green_create(&threads[i], NULL, run, &contenders[i]), "create");
    uint64_t start = bench_now_ns();
    atomic_store(&go, 1);
    green_clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, NULL);
    atomic_store(&over, 1);
    uint64_t elapsed = bench_now_ns() - start;
    for (unsigned i = 0; i < count; i++)
        green_join(threads[i], NULL);
    return elapsed;
}

void bench_contend(void)
{
    static struct contender few[8], many[THREADS_MAX];
    uint64_t sum = 0, most = 0, least = UINT64_MAX, longest = 0;

    uint64_t used = cpu_ns(), elapsed = race(contend, few, 8, 500000000);
    used = cpu_ns() - used;
    for (unsigned i = 0; i < 8; i++) {
        sum += few[i].operations;
        most = few[i].operations > most ? few[i].operations : most;
        least = few[i].operations < least ? few[i].operations : least;
    }
    bench_must(sum != shared, "exclusion");
    bench_report("contend", (double)elapsed / (double)sum, "ns");
    bench_report("contend_cpu", (double)used / (double)sum, "ns");
    bench_report("contend_behind", (double)most / (double)(least ? least : 1), "x");
    race(contend_long, many, THREADS_MAX, 2000000000);
    for (unsigned i = 0; i < THREADS_MAX; i++)
        longest = many[i].longest_ns > longest ? many[i].longest_ns : longest;
    bench_report("contend_longest", (double)longest / 1e6, "ms");
}
