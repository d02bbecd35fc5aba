/* expect: signal SEGV, stderr empty */
/*
 * A write to where nothing is mapped is the program's own affair: its default action, and not a word from us.  (Not
 * through a null pointer, about which UBSan has a word to say.)
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
    return green_create(&thread, NULL, run, (void *)4096) || green_join(thread, NULL);
}
