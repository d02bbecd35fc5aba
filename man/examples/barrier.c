#include <green.h>
#include <stdio.h>

enum { THREADS = 4, STEPS = 3 };

static green_barrier_t barrier;

static void *simulate(void *arg)
{
    for (int step = 1; step <= STEPS; step++) {
        /* ... this thread's part of the step ... */
        if (green_barrier_wait(&barrier) == GREEN_BARRIER_SERIAL_THREAD)
            printf("step %d is done\n", step);
    }
    return arg;
}

int main(void)
{
    green_t threads[THREADS];

    if (green_barrier_init(&barrier, NULL, THREADS) != 0)
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (green_create(&threads[i], NULL, simulate, NULL) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        green_join(threads[i], NULL);
    return green_barrier_destroy(&barrier);
}
