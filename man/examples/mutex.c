#include <green.h>
#include <stdio.h>

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static int counter;

static void *count(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        green_mutex_lock(&mutex);
        counter++;
        green_mutex_unlock(&mutex);
    }
    return arg;
}

int main(void)
{
    green_t threads[8];

    for (int i = 0; i < 8; i++)
        if (green_create(&threads[i], NULL, count, NULL) != 0)
            return 1;
    for (int i = 0; i < 8; i++)
        green_join(threads[i], NULL);
    printf("%d\n", counter);
    return counter != 8000;
}
