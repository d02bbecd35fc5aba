#include <errno.h>
#include <green.h>
#include <stdio.h>

static green_mutex_t mutex;

static void *forgetful(void *arg)
{
    green_mutex_lock(&mutex);
    return arg; /* and does not unlock */
}

int main(void)
{
    green_mutexattr_t attr;
    green_t thread;

    green_mutexattr_init(&attr);
    green_mutexattr_setrobust(&attr, GREEN_MUTEX_ROBUST);
    if (green_mutex_init(&mutex, &attr) != 0 ||
        green_create(&thread, NULL, forgetful, NULL) != 0)
        return 1;
    green_join(thread, NULL);

    int error = green_mutex_lock(&mutex);
    if (error == EOWNERDEAD) {
        puts("its owner has ended; mending what it guards");
        error = green_mutex_consistent(&mutex);
    }
    return error || green_mutex_unlock(&mutex);
}
