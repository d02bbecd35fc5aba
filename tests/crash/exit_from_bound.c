/* expect: exit 7, stderr matching ^atexit$ */
/*
 * exit() from a bound thread while others hog the processors and main() waits for it.
 */
#include <green.h>
#include <green/sched.h>

#include <stdio.h>
#include <stdlib.h>

static void at_exit(void)
{
    fputs("atexit\n", stderr);
}

static volatile int over;

static void *hog(void *arg)
{
    while (!over)
        ;
    return arg;
}

static void *run(void *arg)
{
    green_usleep(20000);
    exit(arg ? 1 : 7);
}

int main(void)
{
    struct green_config config = {.procs = 2, .slice_us = 100, .preempt = GREEN_ON};
    green_attr_t attr;
    green_t thread;
    if (atexit(at_exit) || green_init(&config) || green_attr_init(&attr) ||
        green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM))
        return 1;
    for (int i = 0; i < 4; i++)
        green_create(&thread, NULL, hog, NULL);
    return green_create(&thread, &attr, run, NULL) || green_join(thread, NULL);
}
