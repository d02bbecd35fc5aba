/* expect: signal ABRT, stderr empty */
/*
 * abort() on a green thread while others run.
 */
#include <green.h>

#include <stdlib.h>

static void *run(void *arg)
{
    green_yield();
    if (!arg)
        abort();
    return arg;
}

int main(void)
{
    green_t thread;
    return green_create(&thread, NULL, run, NULL) || green_join(thread, NULL);
}
