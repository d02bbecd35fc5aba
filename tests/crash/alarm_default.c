/* expect: signal ALRM, stderr empty */
/*
 * The program's own alarm(), for which it has no handler, ends it, although ticks with the same signal do not.
 */
#include <green.h>
#include <green/sched.h>

#include <unistd.h>

static volatile int over;

static void *hog(void *arg)
{
    while (!over)
        ;
    return arg;
}

int main(void)
{
    struct green_config config = {.procs = 2, .slice_us = 100, .preempt = GREEN_ON};
    struct green_stats stats;
    green_t thread;
    if (green_init(&config))
        return 1;
    for (int i = 0; i < 5; i++)
        green_create(&thread, NULL, hog, NULL);
    do {
        green_usleep(1000);
        green_stats(&stats);
    } while (stats.preemptions < 100);
    alarm(1);
    return green_join(thread, NULL);
}
