#include <green.h>
#include <green/chan.h>
#include <stdio.h>

static green_chan_t *numbers, *stop;

static void *work(void *arg)
{
    int number, *sum = arg;
    struct green_case cases[] = {
        {numbers, GREEN_RECV, &number, 0},
        {stop, GREEN_RECV, NULL, 0},
    };

    while (green_select(cases, 2, NULL) == 0)
        *sum += number;
    return NULL; /* the second one was closed */
}

int main(void)
{
    green_t thread;
    int sum = 0;

    if (green_chan_create(&numbers, sizeof(int), 0) != 0 ||
        green_chan_create(&stop, 0, 0) != 0 ||
        green_create(&thread, NULL, work, &sum) != 0)
        return 1;
    for (int i = 1; i <= 10; i++)
        green_chan_send(numbers, &i);
    green_chan_close(stop);
    green_join(thread, NULL);
    green_chan_destroy(numbers);
    green_chan_destroy(stop);
    printf("%d\n", sum);
    return sum != 55;
}
