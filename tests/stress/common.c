/* See common.h. */
#include "common.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include <green.h>
#include <green/sched.h>

static uint64_t end_ns;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void stress_failed(const char *file, int line, const char *condition)
{
    char text[256];
    int length = snprintf(text, sizeof text, "%s:%d: %s does not hold\n", file, line, condition);

    if (length < 0 || write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(3);
    abort();
}

uint32_t stress_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

uint64_t stress_generator(const struct stress *stress, unsigned n)
{
    uint64_t state = stress->seed + n * UINT64_C(0x9e3779b97f4a7c15);

    stress_random(&state);
    return state;
}

bool stress_goes_on(void)
{
    return now_ns() < end_ns;
}

bool stress_under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "vgpreload");
}

static unsigned long option(int argc, char **argv, const char *name, unsigned long otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return strtoul(argv[i + 1], NULL, 10);
    return otherwise;
}

struct stress stress_begin(int argc, char **argv, const char *name)
{
    struct stress stress = {(unsigned)option(argc, argv, "--seconds", 3),
                            option(argc, argv, "--seed", now_ns() & 0xffffffff)};
    const struct green_config config = {.slice_us = getenv("GREEN_SLICE_US") ? 0 : 100};

    CHECK(green_init(&config) == 0);
    printf("%s: %u s, seed %llu, %d processors, tick %s, TLS %s\n", name, stress.seconds,
           (unsigned long long)stress.seed, green_getconcurrency(), green_tick_source(), green_tls_provider());
    fflush(stdout);
    end_ns = now_ns() + stress.seconds * UINT64_C(1000000000);
    return stress;
}

void stress_end(const char *name, uint64_t operations)
{
    struct green_stats stats;

    green_stats(&stats);
    printf("%s: %llu operations, %llu threads, %llu switches, %llu preemptions, %llu deferred ticks, %llu steals\n",
           name, (unsigned long long)operations, (unsigned long long)stats.threads_created,
           (unsigned long long)stats.switches, (unsigned long long)stats.preemptions,
           (unsigned long long)stats.ticks_deferred, (unsigned long long)stats.steals);
}
