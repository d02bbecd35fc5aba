#include <green.h>
#include <stdio.h>

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_sem_t begun;

static void unlock(void *arg)
{
    green_mutex_unlock(arg);
}

/* However the block is left, the mutex is unlocked. */
static void *holder(void *arg)
{
    green_mutex_lock(&mutex);
    green_cleanup_push(unlock, &mutex);
    green_sem_post(&begun);
    green_sleep(3600);
    green_cleanup_pop(1);
    return arg;
}

int main(void)
{
    green_t thread;

    if (green_sem_init(&begun, 0, 0) != 0 ||
        green_create(&thread, NULL, holder, NULL) != 0)
        return 1;
    green_sem_wait(&begun);
    green_cancel(thread);
    green_mutex_lock(&mutex);
    puts("the mutex is open again");
    green_mutex_unlock(&mutex);
    return green_join(thread, NULL);
}
