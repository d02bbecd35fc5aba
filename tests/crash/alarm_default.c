/* expect: signal ALRM, stderr empty */
/*
 * The program's own alarm(), for which it has no handler, ends it, although ticks with the same signal do not.
 */
#include "common.h"

#include <unistd.h>

int main(void)
{
    struct green_stats stats;
    if (start_hogs(2, 5))
        return 1;
    do {
        green_usleep(1000);
        green_stats(&stats);
    } while (stats.preemptions < 100);
    alarm(1);
    green_sleep(100);
    return 1;
}
