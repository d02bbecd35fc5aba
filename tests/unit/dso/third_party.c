/*
 * A library of somebody else's: it locks with the system's mutex and knows nothing of green threads.
 */
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long entries;

long third_party_call(void (*inside)(void));

/* Call back with the lock held; how many have called. */
long third_party_call(void (*inside)(void))
{
    pthread_mutex_lock(&mutex);
    long mine = ++entries;
    if (inside)
        inside();
    pthread_mutex_unlock(&mutex);
    return mine;
}
