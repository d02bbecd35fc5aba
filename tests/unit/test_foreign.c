/*
 * Kernel threads that the library did not make: they may call everything, beside green threads.
 */
#include "kinds.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(foreign, .timeout = LIMIT);

enum { FOREIGNERS = 4, GREENS = 4 };

static void run_both_kinds(void *(*routine)(void *))
{
    struct foreigner foreigners[FOREIGNERS];
    green_t greens[GREENS];
    for (int i = 0; i < FOREIGNERS; i++)
        start_foreigner(&foreigners[i], routine, &foreigners[i]);
    for (int i = 0; i < GREENS; i++)
        greens[i] = spawn(routine, &greens[i]);
    for (int i = 0; i < GREENS; i++)
        cr_assert_eq(join_result(greens[i]), &greens[i]);
    for (int i = 0; i < FOREIGNERS; i++)
        end_foreigner(&foreigners[i]);
}

ON_BOTH(foreign, mutex)
{
    cr_assert_eq(contend_for_mutex(run_both_kinds), (FOREIGNERS + GREENS) * LOCKS_EACH);
}

ON_BOTH(foreign, sem)
{
    cr_assert_eq(contend_for_sem(run_both_kinds), 2);
}

ON_BOTH(foreign, cond)
{
    cr_assert_eq(contend_for_cond(run_both_kinds, FOREIGNERS + GREENS), (FOREIGNERS + GREENS) * MEETINGS);
}

ON_BOTH(foreign, timed_waits)
{
    contend_in_vain(run_both_kinds);
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
    run_both_kinds(create_and_join);
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
        start_foreigner(&foreigner, remember_self, &ids[i]);
        end_foreigner(&foreigner);
        cr_assert_neq(ids[i], 0);
        cr_assert(i == 0 || ids[i] != ids[i - 1]);
    }
    wait_for(stats_now().threads_live == 1);
    cr_assert_lt(stats_now().stacks_mapped, 100);
}

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static long counter;

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

static green_sem_t go[GREENS], sem;
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
    start_foreigner(&foreigner, wake_among_hogs, NULL);
    end_foreigner(&foreigner);
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

enum { POSTS = 31 };
static _Atomic uint64_t preemptions_at_post;
static atomic_bool posts_end;

static void *post_when_asked(void *arg)
{
    for (int i = 0; i < POSTS; i++) {
        must(green_sem_wait(&go[0]) == 0);
        atomic_store(&preemptions_at_post, stats_now().preemptions);
        must(green_sem_post(&sem) == 0);
    }
    return arg;
}

static void *beat(void *arg)
{
    while (!atomic_load(&posts_end))
        green_usleep(TICK_US);
    return arg;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A sleeper whose deadline comes with the end of each slice does not keep back who was woken from outside. */
Test(foreign, wakes_a_thread_beside_a_heartbeat)
{
    uint64_t waited[POSTS];
    struct foreigner foreigner;
    start_unwatched(1);
    green_sem_init(&sem, 0, 0);
    green_sem_init(&go[0], 0, 0);
    start_hogs(3);
    green_t heart = spawn(beat, NULL);
    start_foreigner(&foreigner, post_when_asked, NULL);
    for (int i = 0; i < POSTS; i++) {
        must(green_sem_post(&go[0]) == 0);
        must(green_sem_wait(&sem) == 0);
        waited[i] = stats_now().preemptions - atomic_load(&preemptions_at_post);
    }
    atomic_store(&posts_end, true);
    join_result(heart);
    end_foreigner(&foreigner);
    stop_hogs();
    qsort(waited, POSTS, sizeof waited[0], by_size);
    cr_assert_lt(waited[POSTS / 2], 16);
}
