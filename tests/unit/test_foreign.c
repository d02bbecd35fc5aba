/*
 * Kernel threads that the library did not make: they may call everything, beside green threads.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

TestSuite(foreign, .timeout = LIMIT);

enum { FOREIGNERS = 4, GREENS = 4, ROUNDS = 3000 };

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static green_sem_t sem;
static long counter;
static atomic_long holders;

/* A green thread that waited in pthread_join would keep its processor: tell the end by a semaphore first. */
struct foreigner {
    pthread_t thread;
    void *(*routine)(void *);
    void *arg;
    green_sem_t ended;
};

static void *run_foreigner(void *arg)
{
    struct foreigner *me = arg;
    must(me->routine(me->arg) == me->arg);
    must(green_sem_post(&me->ended) == 0);
    return NULL;
}

static void start_one(struct foreigner *foreigner, void *(*routine)(void *), void *arg)
{
    *foreigner = (struct foreigner){.routine = routine, .arg = arg};
    must(green_sem_init(&foreigner->ended, 0, 0) == 0);
    must(pthread_create(&foreigner->thread, NULL, run_foreigner, foreigner) == 0);
}

static void end_one(struct foreigner *foreigner)
{
    must(green_sem_wait(&foreigner->ended) == 0);
    must(pthread_join(foreigner->thread, NULL) == 0);
}

static void run_both_kinds(void *(*routine)(void *), void *arg)
{
    struct foreigner foreigners[FOREIGNERS];
    green_t greens[GREENS];
    for (int i = 0; i < FOREIGNERS; i++)
        start_one(&foreigners[i], routine, arg);
    for (int i = 0; i < GREENS; i++)
        greens[i] = spawn(routine, arg);
    for (int i = 0; i < GREENS; i++)
        cr_assert_eq(join_result(greens[i]), arg);
    for (int i = 0; i < FOREIGNERS; i++)
        end_one(&foreigners[i]);
}

static void *lock_often(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        must(green_mutex_lock(&mutex) == 0);
        long before = counter;
        spin_ns(i % 64 ? 100 : 5000);
        counter = before + 1;
        must(green_mutex_unlock(&mutex) == 0);
    }
    return arg;
}

ON_BOTH(foreign, mutex)
{
    run_both_kinds(lock_often, NULL);
    cr_assert_eq(counter, (FOREIGNERS + GREENS) * ROUNDS);
}

static void *hold_a_unit(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        must(green_sem_wait(&sem) == 0);
        must(atomic_fetch_add(&holders, 1) < 2);
        atomic_fetch_sub(&holders, 1);
        must(green_sem_post(&sem) == 0);
    }
    return arg;
}

ON_BOTH(foreign, sem)
{
    int value;
    green_sem_init(&sem, 0, 2);
    run_both_kinds(hold_a_unit, NULL);
    green_sem_getvalue(&sem, &value);
    cr_assert_eq(value, 2);
}

/* Everybody waits for the count to reach the next multiple: a barrier of both kinds. */
static void *meet_often(void *arg)
{
    for (int i = 1; i <= 200; i++) {
        green_mutex_lock(&mutex);
        if (++counter == (long)i * (FOREIGNERS + GREENS))
            green_cond_broadcast(&cond);
        while (counter < (long)i * (FOREIGNERS + GREENS))
            must(green_cond_wait(&cond, &mutex) == 0);
        green_mutex_unlock(&mutex);
    }
    return arg;
}

ON_BOTH(foreign, cond)
{
    run_both_kinds(meet_often, &counter);
    cr_assert_eq(counter, 200 * (FOREIGNERS + GREENS));
}

static void *wait_too_long(void *arg)
{
    struct timespec soon = time_after(CLOCK_REALTIME, 3000000);
    must(green_sem_timedwait(&sem, &soon) == -1 && errno == ETIMEDOUT);
    must(time_reached(CLOCK_REALTIME, soon));
    uint64_t begin = now_ns();
    must(green_usleep(3000) == 0);
    must(now_ns() - begin >= 3000000);
    return arg;
}

ON_BOTH(foreign, timed_waits)
{
    green_sem_init(&sem, 0, 0);
    run_both_kinds(wait_too_long, NULL);
}

static void *echo(void *arg)
{
    spin_ns(20000);
    return arg;
}

static void *create_and_join(void *arg)
{
    must(green_self() != 0);
    for (int i = 0; i < 50; i++)
        must(join_result(spawn(echo, &i)) == &i);
    must(green_join(green_self(), NULL) == EDEADLK);
    return arg;
}

ON_BOTH(foreign, create_and_join)
{
    run_both_kinds(create_and_join, &counter);
}

static void *remember_self(void *id)
{
    *(green_t *)id = green_self();
    return id;
}

/* One after another: what a foreigner joined with must be given back when it ends. */
ON_BOTH(foreign, come_and_go)
{
    green_t ids[300];
    for (int i = 0; i < 300; i++) {
        struct foreigner foreigner;
        start_one(&foreigner, remember_self, &ids[i]);
        end_one(&foreigner);
        cr_assert_neq(ids[i], 0);
        cr_assert(i == 0 || ids[i] != ids[i - 1]);
    }
    wait_for(stats_now().threads_live == 1);
    cr_assert_lt(stats_now().stacks_mapped, 100);
}

static void *first_call(void *arg)
{
    must(green_self() != 0);
    must(green_mutex_lock(&mutex) == 0);
    counter++;
    must(green_mutex_unlock(&mutex) == 0);
    return arg;
}

/* The first call of all may come from a thread that then ends. */
Test(foreign, starts_the_library)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, first_call, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(green_init(NULL), EBUSY);
    first_call(NULL);
    cr_assert_eq(counter, 2);
}

static green_sem_t go[GREENS];
static atomic_int stretch;

/* Becomes a hog each time it is woken, until all the others have been. */
static void *hog_when_woken(void *gate)
{
    for (int i = 0; i < 50; i++) {
        must(green_sem_wait(gate) == 0);
        must(green_sem_post(&sem) == 0);
        while (atomic_load(&stretch) <= i)
            ;
    }
    return gate;
}

/* With a pause in which the processors find that nobody waits, and stop their ticks. */
static void *wake_among_hogs(void *arg)
{
    green_t threads[GREENS];
    for (int i = 0; i < GREENS; i++)
        threads[i] = spawn(hog_when_woken, &go[i]);
    for (int i = 0; i < 50; i++) {
        usleep(20 * TICK_US);
        for (int j = 0; j < GREENS; j++)
            must(green_sem_post(&go[j]) == 0);
        for (int j = 0; j < GREENS; j++)
            must(green_sem_wait(&sem) == 0);
        atomic_fetch_add(&stretch, 1);
        join_result(spawn(echo, NULL));
    }
    for (int i = 0; i < GREENS; i++)
        join_result(threads[i]);
    return arg;
}

static void wake_on_busy_processors(unsigned hogs)
{
    struct foreigner foreigner;
    start(2);
    green_sem_init(&sem, 0, 0);
    for (int i = 0; i < GREENS; i++)
        green_sem_init(&go[i], 0, 0);
    start_hogs(hogs);
    start_one(&foreigner, wake_among_hogs, NULL);
    end_one(&foreigner);
    stop_hogs();
}

/* Each processor has one thread, and watches no slice. */
Test(foreign, wakes_threads_among_2_hogs)
{
    wake_on_busy_processors(2);
}

/* One has two, and does. */
Test(foreign, wakes_threads_among_3_hogs)
{
    wake_on_busy_processors(3);
}
