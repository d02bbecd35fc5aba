/* See mixed.h. */
#include "mixed.h"

#include "unit.h"

#include <pthread.h>

struct outsider {
    pthread_t thread;
    void *(*routine)(void *);
    void *arg;
    green_sem_t ended;
};

static void *run_outsider(void *arg)
{
    struct outsider *me = arg;
    me->routine(me->arg);
    must(green_sem_post(&me->ended) == 0);
    return NULL;
}

void run_mixed(void *(*routine)(void *), void *arg)
{
    struct outsider outsiders[MIXED_EACH];
    green_t threads[2 * MIXED_EACH];
    for (int i = 0; i < MIXED_EACH; i++) {
        outsiders[i] = (struct outsider){.routine = routine, .arg = arg};
        must(green_sem_init(&outsiders[i].ended, 0, 0) == 0);
        must(pthread_create(&outsiders[i].thread, NULL, run_outsider, &outsiders[i]) == 0);
        threads[2 * i] = spawn(routine, arg);
        threads[2 * i + 1] = spawn_in(GREEN_SCOPE_SYSTEM, routine, arg);
    }
    for (int i = 0; i < 2 * MIXED_EACH; i++)
        join_result(threads[i]);
    for (int i = 0; i < MIXED_EACH; i++) { /* told by a semaphore first: pthread_join() would keep the processor */
        must(green_sem_wait(&outsiders[i].ended) == 0);
        must(pthread_join(outsiders[i].thread, NULL) == 0);
    }
}
