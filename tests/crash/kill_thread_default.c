/* expect: signal USR1, stderr empty */
/*
 * A signal to one thread, without a handler, ends the whole process.
 */
#include <green.h>

static void *park(void *arg)
{
    green_sleep(100);
    return arg;
}

int main(void)
{
    green_t thread;
    if (green_create(&thread, NULL, park, NULL))
        return 1;
    green_yield();
    return green_kill(thread, SIGUSR1) || green_join(thread, NULL);
}
