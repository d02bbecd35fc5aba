#include <green.h>
#include <green/sched.h>
#include <stdio.h>

int main(void)
{
    struct green_config config = {.procs = 2, .slice_us = 1000};
    int error = green_init(&config);

    if (error)
        return 1; /* a line on standard error says why */
    printf("%d processors\n", green_getconcurrency());
    return green_getconcurrency() != 2;
}
