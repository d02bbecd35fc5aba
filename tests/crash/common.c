/*
 * What several of the programs do: see common.h.
 */
#include "common.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Never set; no compiler knows. */
static volatile int over, bottom;

static void at_exit(void)
{
    fputs("atexit\n", stderr);
}

int say_at_exit(void)
{
    return atexit(at_exit) != 0;
}

static void *hog(void *arg)
{
    while (!over)
        ;
    return arg;
}

int start_hogs(unsigned procs, unsigned hogs)
{
    struct green_config config = {.procs = procs, .slice_us = 100, .preempt = GREEN_ON};
    green_t thread;
    if (green_init(&config))
        return 1;
    for (; hogs > 0; hogs--)
        if (green_create(&thread, NULL, hog, NULL))
            return 1;
    return 0;
}

static int run_to_its_end(const green_attr_t *attr, void *(*routine)(void *))
{
    green_t thread;
    return green_create(&thread, attr, routine, NULL) || green_join(thread, NULL);
}

int run_scoped(int scope, void *(*routine)(void *))
{
    green_attr_t attr;
    return green_attr_init(&attr) || green_attr_setscope(&attr, scope) || run_to_its_end(&attr, routine);
}

static __attribute__((noinline)) int dig(int depth)
{
    volatile char room[200];
    room[depth % 200] = 1;
    if (bottom)
        return depth;
    return dig(depth + 1) + room[depth % 200];
}

static void *dig_on(void *arg)
{
    return (void *)(intptr_t)dig(arg != NULL);
}

int overflow(int scope)
{
    green_attr_t attr;
    return green_attr_init(&attr) || green_attr_setscope(&attr, scope) || green_attr_setstacksize(&attr, 65536) ||
           green_attr_setname_np(&attr, "digger") || run_to_its_end(&attr, dig_on);
}
