/*
 * Policies: who of those that wait is served first.  One processor: threads run when main is less urgent than they are.
 */
#include "policy.h"

#include <signal.h>

#include <green/signal.h>

TestSuite(policy_wait, .timeout = LIMIT);

static green_sem_t sem;
static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static green_rwlock_t lock = GREEN_RWLOCK_INITIALIZER;

/* Whoever can run does, until it waits. */
static void let_run(void)
{
    main_at(0);
    main_at(SETUP);
}

static void start_setup(void)
{
    start_policy("priority", 1, LONG_SLICE_US);
    main_at(SETUP);
}

/* A thread for each name, which waits before the next is made. */
enum { MAX = 8 };
static green_t threads[MAX];

static void spawn_in_turn(void *(*routine)(void *), const char *names, const int *priorities)
{
    for (int i = 0; names[i]; i++) {
        threads[i] = spawn_at(priorities[i], routine, (void *)(uintptr_t)&names[i]);
        let_run();
    }
    cr_assert_eq(order_length, 0);
}

static void join_all(const char *names)
{
    for (int i = 0; names[i]; i++)
        join_result(threads[i]);
}

static const char four[] = "abcd";
static const int of_four[] = {1, 3, 2, 3};

/* Whoever waits is served when main says so, one at a time. */
static void check_four(void *(*routine)(void *), void (*serve_one)(void))
{
    start_setup();
    must(green_sem_init(&sem, 0, 0) == 0);
    spawn_in_turn(routine, four, of_four);
    for (unsigned i = 1; i <= 4; i++) {
        serve_one();
        let_run();
        cr_assert_eq(order_length, i);
    }
    cr_assert_str_eq(noted(), "bdca");
    join_all(four);
}

static void *take_one(void *who)
{
    must(green_sem_wait(&sem) == 0);
    note(*(const char *)who);
    return NULL;
}

static void post(void)
{
    must(green_sem_post(&sem) == 0);
}

Test(policy_wait, a_post_goes_to_the_most_urgent)
{
    check_four(take_one, post);
}

static void *wait_for_signal(void *who)
{
    must(green_mutex_lock(&mutex) == 0);
    must(green_cond_wait(&cond, &mutex) == 0);
    note(*(const char *)who);
    must(green_mutex_unlock(&mutex) == 0);
    return NULL;
}

static void signal_one(void)
{
    must(green_cond_signal(&cond) == 0);
}

Test(policy_wait, a_signal_goes_to_the_most_urgent)
{
    check_four(wait_for_signal, signal_one);
}

/* Small letters read, capital ones write. */
static void *use_lock(void *who)
{
    const char name = *(const char *)who;
    must((name >= 'a' ? green_rwlock_rdlock(&lock) : green_rwlock_wrlock(&lock)) == 0);
    note(name);
    must(green_rwlock_unlock(&lock) == 0);
    return NULL;
}

Test(policy_wait, a_lock_goes_to_the_most_urgent_and_of_equals_to_writers)
{
    static const char names[] = "aBcDeF";
    static const int priorities[] = {5, 5, 7, 1, 3, 7};
    start_setup();
    must(green_rwlock_wrlock(&lock) == 0);
    spawn_in_turn(use_lock, names, priorities);
    must(green_rwlock_unlock(&lock) == 0);
    let_run();
    cr_assert_str_eq(noted(), "FcBaeD");
    join_all(names);
}

static void *try_to_read(void *result)
{
    if ((*(int *)result = green_rwlock_tryrdlock(&lock)) == 0)
        must(green_rwlock_unlock(&lock) == 0);
    return NULL;
}

static int tryrdlock_at(int priority)
{
    int result;
    join_result(spawn_at(priority, try_to_read, &result));
    return result;
}

Test(policy_wait, a_reader_passes_the_less_urgent_writer)
{
    static const char names[] = "Ba";
    static const int of_writer_and_equal[] = {5, 5}, above = 6;
    start_setup();
    must(green_rwlock_rdlock(&lock) == 0);
    spawn_in_turn(use_lock, names, of_writer_and_equal);
    cr_assert_eq(tryrdlock_at(above), 0);
    cr_assert_eq(tryrdlock_at(5), EBUSY);
    cr_assert_eq(tryrdlock_at(4), EBUSY);
    join_result(spawn_at(above, use_lock, "c"));
    cr_assert_str_eq(noted(), "c");
    must(green_rwlock_unlock(&lock) == 0);
    let_run();
    cr_assert_str_eq(noted(), "cBa");
    join_all(names);
}

static atomic_int handled;

static void handle(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

/* It had come before its equals, and stays so; who is more urgent is before it nevertheless. */
Test(policy_wait, a_signal_costs_nobody_his_place)
{
    static const char names[] = "ABC";
    static const int priorities[] = {5, 5, 7};
    const struct sigaction action = {.sa_handler = handle};
    start_setup();
    must(green_sigaction(SIGUSR1, &action, NULL) == 0);
    must(green_rwlock_wrlock(&lock) == 0);
    spawn_in_turn(use_lock, names, priorities);
    must(green_kill(threads[0], SIGUSR1) == 0);
    let_run();
    cr_assert_eq(atomic_load(&handled), 1);
    must(green_rwlock_unlock(&lock) == 0);
    let_run();
    cr_assert_str_eq(noted(), "CAB");
    join_all(names);
}
