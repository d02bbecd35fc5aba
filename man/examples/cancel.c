#include <green.h>
#include <stdio.h>

static void *sleeper(void *arg)
{
    green_sleep(3600); /* a cancellation point */
    return arg;
}

int main(void)
{
    green_t thread;
    void *result;

    if (green_create(&thread, NULL, sleeper, NULL) != 0 ||
        green_cancel(thread) != 0 || green_join(thread, &result) != 0)
        return 1;
    puts(result == GREEN_CANCELED ? "cancelled" : "woke up");
    return result != GREEN_CANCELED;
}
