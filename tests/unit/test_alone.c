/*
 * One processor alone with the wait queues, whose locks are then not taken, and what ends that while they are in use:
 * a kernel thread of the program's, a bound thread, a second processor.
 *
 * Each arrival needs a process of its own that has not seen one, so the tests fork before they start the library.
 */
#include "kinds.h"

#include <green/chan.h>
#include <stdatomic.h>
#include <unistd.h>

TestSuite(alone, .timeout = LIMIT);

/* Each turn of a kernel thread that came later is a wake-up by the kernel, which takes milliseconds on a busy machine. */
enum { CHILDREN = 25, GREENS = 4, LATER = 2, TURNS = 1500, LATER_TURNS = 50 };

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t freed = GREEN_COND_INITIALIZER;
static bool taken;    /* guarded by mutex */
static long turns;    /* of who has taken it */
static green_chan_t *basket;
static atomic_long passed, turns_seen;

static void take_a_turn(void)
{
    must(green_mutex_lock(&mutex) == 0);
    while (taken)
        must(green_cond_wait(&freed, &mutex) == 0);
    taken = true;
    must(green_mutex_unlock(&mutex) == 0);
    atomic_store(&turns_seen, ++turns);
    must(green_mutex_lock(&mutex) == 0);
    taken = false;
    must(green_cond_signal(&freed) == 0);
    must(green_mutex_unlock(&mutex) == 0);
}

/* There is one token: somebody always waits to receive it. */
static void pass_a_token(void)
{
    long token;

    must(green_chan_recv(basket, &token) == 0);
    must(green_chan_send(basket, &token) == 0);
    atomic_fetch_add(&passed, 1);
}

static void use_both_often(int times)
{
    while (times-- > 0) {
        take_a_turn();
        pass_a_token();
    }
}

static void *use_both(void *arg)
{
    use_both_often(TURNS);
    return arg;
}

static void *use_both_later(void *arg)
{
    use_both_often(LATER_TURNS);
    return arg;
}

static void start_threads(green_t *greens)
{
    const long token = 1;

    start(1);
    must(green_chan_create(&basket, sizeof(long), 1) == 0);
    must(green_chan_send(basket, &token) == 0);
    for (int i = 0; i < GREENS; i++)
        greens[i] = spawn(use_both, &greens[i]);
}

static void end_threads(green_t *greens, int later)
{
    const long all = GREENS * TURNS + later * LATER_TURNS;

    for (int i = 0; i < GREENS; i++)
        must(join_result(greens[i]) == &greens[i]);
    must(turns == all);
    must(atomic_load(&passed) == all);
    must(green_chan_len(basket) == 1);
    must(green_chan_destroy(basket) == 0);
    must(green_cond_destroy(&freed) == 0);
    must(green_mutex_destroy(&mutex) == 0);
}

/* Each time at another moment. */
static void await_turns(int child)
{
    while (atomic_load(&turns_seen) < 20 + child * 97)
        green_yield();
}

static void foreigners_arrive(int child)
{
    struct foreigner foreigners[LATER];
    green_t greens[GREENS];

    start_threads(greens);
    await_turns(child);
    for (int i = 0; i < LATER; i++)
        start_foreigner(&foreigners[i], use_both_later, &foreigners[i]);
    for (int i = 0; i < LATER; i++)
        end_foreigner(&foreigners[i]);
    end_threads(greens, LATER);
}

static void bound_arrive(int child)
{
    green_t greens[GREENS], bound[LATER];

    start_threads(greens);
    await_turns(child);
    for (int i = 0; i < LATER; i++)
        bound[i] = spawn_bound(use_both_later, &bound[i]);
    for (int i = 0; i < LATER; i++)
        must(join_result(bound[i]) == &bound[i]);
    end_threads(greens, LATER);
}

static void processor_arrives(int child)
{
    green_t greens[GREENS];

    start_threads(greens);
    await_turns(child);
    must(green_setconcurrency(2) == 0);
    end_threads(greens, 0);
}

static void in_children(void (*arrive)(int child))
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork_mortal();
        if (child == 0) {
            arrive(i);
            _exit(0);
        }
        check_exit_status(child, 0);
    }
}

Test(alone, until_foreigners_arrive)
{
    in_children(foreigners_arrive);
}

Test(alone, until_bound_threads_arrive)
{
    in_children(bound_arrive);
}

Test(alone, until_a_processor_arrives)
{
    in_children(processor_arrives);
}

/* A thread that arrives while one stays in a critical section of the program's is not kept waiting. */
static atomic_bool called;

static void *call_once(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    atomic_store(&called, true);
    return arg;
}

Test(alone, a_critical_section_keeps_nobody_out)
{
    pthread_t thread;

    start(1);
    green_critical_enter();
    must(pthread_create(&thread, NULL, call_once, NULL) == 0);
    while (!atomic_load(&called))
        ;
    green_critical_leave();
    must(pthread_join(thread, NULL) == 0);
}

/*
 * The thread that was signalled runs next, and has the mutex by then.  One whose deadline has come runs before it: it
 * must wait for the mutex, and get it.
 */
static green_cond_t turn = GREEN_COND_INITIALIZER, slept = GREEN_COND_INITIALIZER;
static int order[2], ran;
static bool awake; /* the sleeper, which on a slow machine may never have slept */

static void *wait_for_turn(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    must(green_cond_wait(&turn, &mutex) == 0);
    must(green_mutex_trylock(&mutex) == EBUSY);
    order[ran++] = 1;
    must(green_mutex_unlock(&mutex) == 0);
    return arg;
}

static void *sleep_and_lock(void *when)
{
    must(green_clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, when, NULL) == 0);
    must(green_mutex_lock(&mutex) == 0);
    order[ran++] = 2;
    awake = true;
    must(green_cond_signal(&slept) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    return when;
}

Test(alone, a_sleeper_comes_before_who_got_the_mutex)
{
    start_cooperative();
    struct timespec when = time_after(CLOCK_MONOTONIC, 20000000);
    green_t waiter = spawn(wait_for_turn, &when), sleeper = spawn(sleep_and_lock, &when);
    green_yield();
    must(green_mutex_lock(&mutex) == 0);
    must(green_cond_signal(&turn) == 0);
    while (!time_reached(CLOCK_MONOTONIC, when))
        continue;
    while (!awake)
        must(green_cond_wait(&slept, &mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    join_result(waiter);
    join_result(sleeper);
    cr_assert_eq(ran, 2);
    cr_assert_eq(order[0] + order[1], 3);
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}
