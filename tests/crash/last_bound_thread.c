/* expect: exit 0, stderr matching ^bound\natexit$ */
/*
 * main() leaves by pthread_exit(); the process goes on until its last thread ends, a bound one, and exits in order.
 */
#include "common.h"

#include <pthread.h>
#include <stdio.h>

static void *run(void *arg)
{
    green_usleep(20000);
    fputs("bound\n", stderr);
    return arg;
}

int main(void)
{
    green_attr_t attr;
    green_t thread;
    if (say_at_exit() || green_attr_init(&attr) || green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM) ||
        green_create(&thread, &attr, run, NULL))
        return 1;
    pthread_exit(NULL);
}
