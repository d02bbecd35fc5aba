#include <green.h>
#include <stdio.h>

/* The kernel schedules this one, beside the processors. */
static void *audio(void *arg)
{
    puts("I have a kernel thread of my own");
    return arg;
}

int main(void)
{
    green_attr_t attr;
    green_t thread;

    if (green_attr_init(&attr) != 0 ||
        green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM) != 0 ||
        green_create(&thread, &attr, audio, NULL) != 0)
        return 1;
    green_attr_destroy(&attr);
    return green_join(thread, NULL);
}
