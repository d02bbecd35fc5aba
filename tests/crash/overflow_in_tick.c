/* expect: signal SEGV, stderr matching ^[^\n]*brinkman[^\n]*[67][0-9]{4}[^\n]*$ */
/*
 * Recursion so slow that ticks come all along the way: near its guard the thread has no room for a signal frame,
 * which the kernel reports with neither an address nor the usual code.  It must still be named.
 */
#include "common.h"

#include <stdint.h>

static volatile int bottom;

/* A frame is a thirtieth of a signal frame, and takes half a slice. */
static void linger(void)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 50000);
}

static __attribute__((noinline)) int dig(int depth)
{
    volatile char room[16];
    room[depth % 16] = 1;
    linger();
    if (bottom)
        return depth;
    return dig(depth + 1) + room[depth % 16];
}

static void *run(void *arg)
{
    return (void *)(intptr_t)dig(arg != NULL);
}

int main(void)
{
    green_attr_t attr;
    green_t thread;
    if (start_hogs(1, 1))
        return 1;
    green_attr_init(&attr);
    green_attr_setstacksize(&attr, 65536);
    green_attr_setname_np(&attr, "brinkman");
    return green_create(&thread, &attr, run, NULL) || green_join(thread, NULL);
}
