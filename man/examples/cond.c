#include <green.h>
#include <stdbool.h>
#include <stdio.h>

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t changed = GREEN_COND_INITIALIZER;
static bool ready;

static void *prepare(void *arg)
{
    green_mutex_lock(&mutex);
    ready = true;
    green_cond_signal(&changed);
    green_mutex_unlock(&mutex);
    return arg;
}

int main(void)
{
    green_t thread;

    if (green_create(&thread, NULL, prepare, NULL) != 0)
        return 1;
    green_mutex_lock(&mutex);
    while (!ready)
        green_cond_wait(&changed, &mutex);
    green_mutex_unlock(&mutex);
    puts("ready");
    return green_join(thread, NULL);
}
