/* expect: signal SEGV, stderr empty */
/*
 * A write through a null pointer is the program's own affair: its default action, and not a word from us.
 */
#include <green.h>

static void *run(void *arg)
{
    *(volatile int *)arg = 1;
    return arg;
}

int main(void)
{
    green_t thread;
    return green_create(&thread, NULL, run, NULL) || green_join(thread, NULL);
}
