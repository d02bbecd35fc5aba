/*
 * Threads of all three kinds, and what they contend for: see kinds.h.
 */
#include "kinds.h"

#include <stdatomic.h>

static green_mutex_t mutex;
static green_cond_t cond;
static green_sem_t sem;
static long counter, party;
static atomic_long holders;

green_attr_t bound_attr(void)
{
    green_attr_t attr;
    must(green_attr_init(&attr) == 0);
    must(green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM) == 0);
    return attr;
}

green_t spawn_bound(void *(*routine)(void *), void *arg)
{
    return spawn_in(GREEN_SCOPE_SYSTEM, routine, arg);
}

static void *run_foreigner(void *arg)
{
    struct foreigner *me = arg;
    must(me->routine(me->arg) == me->arg);
    must(green_sem_post(&me->ended) == 0);
    return NULL;
}

void start_foreigner(struct foreigner *foreigner, void *(*routine)(void *), void *arg)
{
    *foreigner = (struct foreigner){.routine = routine, .arg = arg};
    must(green_sem_init(&foreigner->ended, 0, 0) == 0);
    must(pthread_create(&foreigner->thread, NULL, run_foreigner, foreigner) == 0);
}

void end_foreigner(struct foreigner *foreigner)
{
    must(green_sem_wait(&foreigner->ended) == 0);
    must(pthread_join(foreigner->thread, NULL) == 0);
}

static void make_anew(unsigned units)
{
    counter = 0;
    must(green_mutex_init(&mutex, NULL) == 0);
    must(green_cond_init(&cond, NULL) == 0);
    must(green_sem_init(&sem, 0, units) == 0);
}

static void *lock_often(void *arg)
{
    for (int i = 0; i < LOCKS_EACH; i++) {
        must(green_mutex_lock(&mutex) == 0);
        long before = counter;
        spin_ns(i % 64 ? 100 : 5000);
        counter = before + 1;
        must(green_mutex_unlock(&mutex) == 0);
    }
    return arg;
}

long contend_for_mutex(run_contenders *run)
{
    make_anew(0);
    run(lock_often);
    return counter;
}

static void *hold_a_unit(void *arg)
{
    for (int i = 0; i < LOCKS_EACH; i++) {
        must(green_sem_wait(&sem) == 0);
        must(atomic_fetch_add(&holders, 1) < 2);
        atomic_fetch_sub(&holders, 1);
        must(green_sem_post(&sem) == 0);
    }
    return arg;
}

int contend_for_sem(run_contenders *run)
{
    int value;
    make_anew(2);
    run(hold_a_unit);
    must(green_sem_getvalue(&sem, &value) == 0);
    return value;
}

/* Everybody waits for the count to reach the next multiple. */
static void *meet_often(void *arg)
{
    for (int i = 1; i <= MEETINGS; i++) {
        must(green_mutex_lock(&mutex) == 0);
        if (++counter == i * party)
            must(green_cond_broadcast(&cond) == 0);
        while (counter < i * party)
            must(green_cond_wait(&cond, &mutex) == 0);
        must(green_mutex_unlock(&mutex) == 0);
    }
    return arg;
}

long contend_for_cond(run_contenders *run, unsigned threads)
{
    make_anew(0);
    party = threads;
    run(meet_often);
    return counter;
}

static void *wait_too_long(void *arg)
{
    struct timespec soon = time_after(CLOCK_REALTIME, 3000000);
    must(green_sem_timedwait(&sem, &soon) == -1 && errno == ETIMEDOUT);
    must(time_reached(CLOCK_REALTIME, soon));
    soon = time_after(CLOCK_REALTIME, 3000000);
    must(green_mutex_timedlock(&mutex, &soon) == ETIMEDOUT);
    must(time_reached(CLOCK_REALTIME, soon));
    uint64_t begin = now_ns();
    must(green_usleep(3000) == 0);
    must(now_ns() - begin >= 3000000);
    return arg;
}

void contend_in_vain(run_contenders *run)
{
    make_anew(0);
    must(green_mutex_lock(&mutex) == 0);
    run(wait_too_long);
    must(green_mutex_unlock(&mutex) == 0);
}
