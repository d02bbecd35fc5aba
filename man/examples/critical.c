#include <green.h>
#include <green/sched.h>
#include <stdio.h>

static int queue[16], length;

/* Not preempted in between: with one processor, a lock. */
static void push(int number)
{
    green_critical_enter();
    if (length < 16)
        queue[length++] = number;
    green_critical_leave();
}

int main(void)
{
    struct green_config config = {.procs = 1};

    if (green_init(&config) != 0)
        return 1;
    push(1);
    printf("%d in the queue\n", length);
    return length != 1;
}
