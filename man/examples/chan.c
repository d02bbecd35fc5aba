#include <green.h>
#include <green/chan.h>
#include <stdio.h>

static void *produce(void *arg)
{
    green_chan_t *numbers = arg;

    for (int i = 1; i <= 100; i++)
        green_chan_send(numbers, &i);
    green_chan_close(numbers);
    return NULL;
}

int main(void)
{
    green_chan_t *numbers;
    green_t thread;
    int number, sum = 0;

    if (green_chan_create(&numbers, sizeof number, 16) != 0 ||
        green_create(&thread, NULL, produce, numbers) != 0)
        return 1;
    while (green_chan_recv(numbers, &number) == 0)
        sum += number;
    green_join(thread, NULL);
    green_chan_destroy(numbers);
    printf("%d\n", sum);
    return sum != 5050;
}
