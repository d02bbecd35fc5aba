/* expect: exit 0, stderr matching ^thread\natexit$ */
/*
 * main() leaves by green_exit(); the process goes on until its last thread ends, and then exits in order with status
 * 0.
 */
#include "common.h"

#include <stdio.h>

static void *run(void *arg)
{
    green_usleep(20000);
    fputs("thread\n", stderr);
    return arg;
}

int main(void)
{
    green_t thread;
    if (say_at_exit() || green_create(&thread, NULL, run, NULL))
        return 1;
    green_exit(NULL);
}
