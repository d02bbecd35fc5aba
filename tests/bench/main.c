/*
 * The driver of the rows in C, for libgreen and, renamed, for the kernel's threads: `driver row`.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

static const struct row {
    const char *name;
    void (*run)(void);
} rows[] = {
    {"yield", bench_yield},       {"create", bench_create}, {"mutex", bench_mutex},   {"pingpong", bench_pingpong},
    {"channel", bench_channel},   {"lateness", bench_lateness}, {"block", bench_block},
    {"tick", bench_tick},       {"parked", bench_parked},
    {"skynet", bench_skynet},     {"fib", bench_fib},
    {"sigmask", bench_sigmask},   {"signal", bench_signal},
    {"contend", bench_contend},   {"timed", bench_timed},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(argv[1], rows[i].name) == 0) {
            rows[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: %s yield|create|mutex|pingpong|channel|lateness|block|tick|parked|skynet|fib|sigmask|signal|contend|timed\n", argv[0]);
    return 2;
}
