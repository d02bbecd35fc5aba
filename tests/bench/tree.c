/*
 * Fork-join trees: time and peak memory.  Once per process, from a cold start, as a program would.
 *
 * skynet: the root has ten children, each of them ten, and so on; a million leaves give their numbers, every inner
 * thread joins its children in the order in which it made them and gives the sum.  fib: a thread for fib(n - 1),
 * fib(n - 2) by a plain call, then the join: 1,346,268 threads, no two of them brothers.
 */
#include <green.h>

#include <stdint.h>

#include "bench.h"

enum { LEAVES = 1000000, ARITY = 10, FIB = 30, FIB_RESULT = 832040 };

struct node {
    long first, leaves;
};

static void *skynet(void *arg)
{
    const struct node *node = arg;
    struct node children[ARITY];
    green_t threads[ARITY];
    intptr_t sum = 0;
    void *part;

    if (node->leaves == 1)
        return (void *)node->first;
    for (int i = 0; i < ARITY; i++) {
        children[i].leaves = node->leaves / ARITY;
        children[i].first = node->first + i * children[i].leaves;
        bench_must(green_create(&threads[i], NULL, skynet, &children[i]), "create");
    }
    for (int i = 0; i < ARITY; i++) {
        bench_must(green_join(threads[i], &part), "join");
        sum += (intptr_t)part;
    }
    return (void *)sum;
}

static void *fib(void *arg)
{
    intptr_t n = (intptr_t)arg, sum;
    green_t thread;
    void *part;

    if (n < 2)
        return arg;
    bench_must(green_create(&thread, NULL, fib, (void *)(n - 1)), "create");
    sum = (intptr_t)fib((void *)(n - 2));
    bench_must(green_join(thread, &part), "join");
    return (void *)(sum + (intptr_t)part);
}

static void report(const char *time_name, const char *peak_name, uint64_t start)
{
    bench_report(time_name, (double)(bench_now_ns() - start) / 1e6, "ms");
    bench_report(peak_name, bench_peak_bytes() / 1e6, "MB");
}

void bench_skynet(void)
{
    struct node root = {0, LEAVES};
    uint64_t start = bench_now_ns();

    bench_must(skynet(&root) != (void *)((intptr_t)LEAVES * (LEAVES - 1) / 2), "skynet's sum");
    report("skynet", "skynet_peak", start);
}

void bench_fib(void)
{
    uint64_t start = bench_now_ns();

    bench_must(fib((void *)FIB) != (void *)FIB_RESULT, "fib's result");
    report("fib", "fib_peak", start);
}
