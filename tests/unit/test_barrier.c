/*
 * Barriers: nobody passes before all are there, one of them is told, and they may be destroyed at once.
 */
#include "mixed.h"
#include "unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

TestSuite(barrier, .timeout = LIMIT);

static green_barrier_t barrier;

ON_BOTH(barrier, bad_arguments)
{
    green_barrier_t *volatile none = NULL;
    green_barrierattr_t attr, *volatile no_attr = NULL;
    int shared = -1, *volatile nowhere = NULL;
    cr_assert_eq(green_barrierattr_init(no_attr), EINVAL);
    cr_assert_eq(green_barrierattr_init(&attr), 0);
    cr_assert_eq(green_barrierattr_getpshared(&attr, &shared), 0);
    cr_assert_eq(shared, GREEN_PROCESS_PRIVATE);
    cr_assert_eq(green_barrierattr_getpshared(&attr, nowhere), EINVAL);
    cr_assert_eq(green_barrierattr_setpshared(&attr, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_barrierattr_setpshared(&attr, -1), EINVAL);
    cr_assert_eq(green_barrierattr_setpshared(&attr, GREEN_PROCESS_PRIVATE), 0);
    cr_assert_eq(green_barrier_init(&barrier, &attr, 0), EINVAL);
    cr_assert_eq(green_barrier_init(none, &attr, 1), EINVAL);
    cr_assert_eq(green_barrier_init(&barrier, &attr, 1), 0);
    cr_assert_eq(green_barrierattr_destroy(&attr), 0);
    cr_assert_eq(green_barrierattr_destroy(no_attr), EINVAL);
    cr_assert_eq(green_barrier_wait(none), EINVAL);
    cr_assert_eq(green_barrier_wait(&barrier), GREEN_BARRIER_SERIAL_THREAD, "alone");
    cr_assert_eq(green_barrier_wait(&barrier), GREEN_BARRIER_SERIAL_THREAD, "and again");
    cr_assert_eq(green_barrier_destroy(none), EINVAL);
    cr_assert_eq(green_barrier_destroy(&barrier), 0);
}

static atomic_int passed;

static void *wait_once(void *arg)
{
    int result = green_barrier_wait(&barrier);
    must(result == 0 || result == GREEN_BARRIER_SERIAL_THREAD);
    atomic_fetch_add(&passed, 1);
    return (void *)(intptr_t)(arg ? result : 0);
}

static unsigned arrived(void)
{
    return __atomic_load_n(&barrier.__arrived, __ATOMIC_RELAXED);
}

ON_BOTH(barrier, busy_while_threads_wait)
{
    green_barrier_init(&barrier, NULL, 3);
    green_t a = spawn(wait_once, NULL), b = spawn(wait_once, NULL);
    wait_for(arrived() == 2);
    cr_assert_eq(green_barrier_destroy(&barrier), EBUSY);
    cr_assert_eq(atomic_load(&passed), 0);
    cr_assert_eq(green_barrier_wait(&barrier), GREEN_BARRIER_SERIAL_THREAD, "the last to come");
    join_result(a);
    join_result(b);
    cr_assert_eq(green_barrier_destroy(&barrier), 0);
}

static atomic_int handled;
static atomic_bool handler_may_return;

static void on_signal(int number)
{
    must(number == SIGUSR1);
    atomic_fetch_add(&handled, 1);
    while (!atomic_load(&handler_may_return))
        green_usleep(100);
}

/* Its round ends while a waiter is in a signal's handler: destroy waits for it. */
static atomic_bool destroyed;

static void *destroy(void *arg)
{
    must(green_barrier_destroy(&barrier) == 0);
    atomic_store(&destroyed, true);
    return arg;
}

ON_BOTH(barrier, destroy_waits_for_who_is_in_a_handler)
{
    struct sigaction action = {.sa_handler = on_signal};
    must(green_sigaction(SIGUSR1, &action, NULL) == 0);
    green_barrier_init(&barrier, NULL, 2);
    green_t waiter = spawn(wait_once, NULL);
    wait_for(arrived() == 1);
    cr_assert_eq(green_kill(waiter, SIGUSR1), 0);
    wait_for(atomic_load(&handled) == 1);
    cr_assert_eq(green_barrier_wait(&barrier), GREEN_BARRIER_SERIAL_THREAD, "who is in a handler has arrived");
    green_t destroyer = spawn(destroy, NULL);
    green_usleep(5000);
    cr_assert_not(atomic_load(&destroyed));
    atomic_store(&handler_may_return, true);
    join_result(waiter);
    join_result(destroyer);
    cr_assert_eq(atomic_load(&passed), 1);
}

/* A handler that returns before the end of the round: the waiter goes on waiting, and is not counted twice. */
ON_BOTH(barrier, a_signal_does_not_end_the_wait)
{
    struct sigaction action = {.sa_handler = on_signal};
    atomic_store(&handler_may_return, true);
    must(green_sigaction(SIGUSR1, &action, NULL) == 0);
    green_barrier_init(&barrier, NULL, 2);
    green_t waiter = spawn(wait_once, NULL);
    wait_for(arrived() == 1);
    for (int i = 1; i <= 10; i++) {
        cr_assert_eq(green_kill(waiter, SIGUSR1), 0);
        wait_for(atomic_load(&handled) == i);
        cr_assert_eq(arrived(), 1);
        cr_assert_eq(atomic_load(&passed), 0);
    }
    cr_assert_eq(green_barrier_wait(&barrier), GREEN_BARRIER_SERIAL_THREAD);
    join_result(waiter);
    cr_assert_eq(green_barrier_destroy(&barrier), 0);
}

enum { ROUNDS = 500 };

static atomic_long steps, serials;

/* Nobody is a round ahead of anybody. */
static void *keep_step(void *arg)
{
    for (long round = 1; round <= ROUNDS; round++) {
        atomic_fetch_add(&steps, 1);
        if (round % 16 == 0)
            spin_ns(20000);
        int result = green_barrier_wait(&barrier);
        must(result == 0 || result == GREEN_BARRIER_SERIAL_THREAD);
        if (result)
            atomic_fetch_add(&serials, 1);
        long seen = atomic_load(&steps);
        must(seen >= round * MIXED && seen < (round + 1) * MIXED);
        green_barrier_wait(&barrier);
    }
    return arg;
}

ON_BOTH(barrier, all_kinds_of_threads_keep_step)
{
    green_barrier_init(&barrier, NULL, MIXED);
    run_mixed(keep_step, NULL);
    cr_assert_eq(atomic_load(&steps), (long)ROUNDS * MIXED);
    cr_assert_eq(atomic_load(&serials), ROUNDS, "one in each round");
    cr_assert_eq(green_barrier_destroy(&barrier), 0);
}

/* Who is told destroys it and gives the memory away, while the others may not have run yet. */
struct gathering {
    green_barrier_t barrier;
};

static void *meet_and_leave(void *arg)
{
    struct gathering *gathering = arg;
    if (green_barrier_wait(&gathering->barrier) == GREEN_BARRIER_SERIAL_THREAD) {
        must(green_barrier_destroy(&gathering->barrier) == 0);
        memset(gathering, 0xff, sizeof *gathering);
        free(gathering);
    }
    return NULL;
}

static void gather(unsigned index, uint64_t round)
{
    green_t threads[4];
    struct gathering *gathering = malloc(sizeof *gathering);
    (void)index;
    (void)round;
    must(gathering && green_barrier_init(&gathering->barrier, NULL, 4) == 0);
    for (int i = 0; i < 4; i++)
        threads[i] = spawn(meet_and_leave, gathering);
    for (int i = 0; i < 4; i++)
        join_result(threads[i]);
}

ON_BOTH(barrier, destroyed_by_who_is_told)
{
    storm_of(4, 500, gather);
}
