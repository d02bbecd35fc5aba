/*
 * Mutexes shared between processes.
 */
#include "policy.h"
#include "shared.h"

TestSuite(shared_mutex, .timeout = LIMIT);

static void *count_under_mutex(void *arg)
{
    for (int i = 0; i < SHARED_ROUNDS; i++) {
        must(green_mutex_lock(&page->mutex) == 0);
        must(atomic_fetch_add(&page->inside, 1) == 0);
        page->count++;
        must(atomic_fetch_sub(&page->inside, 1) == 1);
        must(green_mutex_unlock(&page->mutex) == 0);
    }
    return arg;
}

#ifdef SHARED_FORKS
static void exclude(int type)
{
    shared_make(type);
    shared_on_both_sides(count_under_mutex);
    cr_assert_eq(page->count, 2 * SHARED_THREADS * SHARED_ROUNDS);
    cr_assert_eq(green_mutex_destroy(&page->mutex), 0);
}

ON_BOTH(shared_mutex, mutex_excludes)
{
    exclude(GREEN_MUTEX_NORMAL);
}

ON_BOTH(shared_mutex, recursive_mutex_excludes)
{
    exclude(GREEN_MUTEX_RECURSIVE);
}

ON_BOTH(shared_mutex, errorcheck_mutex_excludes)
{
    exclude(GREEN_MUTEX_ERRORCHECK);
}

static void *not_the_owner(void *arg)
{
    must(green_mutex_unlock(&page->mutex) == EPERM);
    must(green_mutex_trylock(&page->mutex) == EBUSY);
    struct timespec soon = time_after(CLOCK_MONOTONIC, 2000000);
    must(green_mutex_clocklock(&page->mutex, CLOCK_MONOTONIC, &soon) == ETIMEDOUT);
    must(time_reached(CLOCK_MONOTONIC, soon));
    return arg;
}

static void try_as_others(void)
{
    pid_t child = fork_mortal();
    not_the_owner(NULL);
    if (child == 0) {
        join_result(spawn(not_the_owner, NULL));
        _exit(0);
    }
    check_exit_status(child, 0);
}

static void *hold_and_let_try(void *arg)
{
    must(green_mutex_lock(&page->mutex) == 0);
    atomic_store(&page->go, true);
    wait_for(atomic_load(&page->done));
    must(green_mutex_unlock(&page->mutex) == 0);
    return arg;
}

ON_BOTH(shared_mutex, owner_is_one_thread_of_one_process)
{
    shared_make(GREEN_MUTEX_ERRORCHECK);
    green_t holder = spawn(hold_and_let_try, NULL);
    wait_for(atomic_load(&page->go));
    try_as_others();
    atomic_store(&page->done, true);
    join_result(holder);
    cr_assert_eq(green_mutex_unlock(&page->mutex), EPERM);
    cr_assert_eq(green_mutex_lock(&page->mutex), 0);
    cr_assert_eq(green_mutex_lock(&page->mutex), EDEADLK);
    cr_assert_eq(green_mutex_trylock(&page->mutex), EBUSY);
    cr_assert_eq(green_mutex_destroy(&page->mutex), EBUSY);
    pid_t child = fork_mortal();
    if (child == 0)
        _exit(green_mutex_unlock(&page->mutex) == EPERM && green_mutex_trylock(&page->mutex) == EBUSY ? 0 : 1);
    check_exit_status(child, 0);
    cr_assert_eq(green_mutex_unlock(&page->mutex), 0);
    shared_make_mutex(GREEN_MUTEX_RECURSIVE);
    cr_assert_eq(green_mutex_lock(&page->mutex), 0);
    cr_assert_eq(green_mutex_trylock(&page->mutex), 0);
    cr_assert_eq(green_mutex_unlock(&page->mutex), 0);
    cr_assert_eq(green_mutex_destroy(&page->mutex), EBUSY);
    cr_assert_eq(green_mutex_unlock(&page->mutex), 0);
    cr_assert_eq(green_mutex_unlock(&page->mutex), EPERM);
    cr_assert_eq(green_mutex_destroy(&page->mutex), 0);
}
#endif

Test(shared_mutex, robust_and_protocols_are_refused)
{
    green_mutex_t mutex;
    green_mutexattr_t attr;
    must(green_mutexattr_init(&attr) == 0);
    must(green_mutexattr_setpshared(&attr, GREEN_PROCESS_SHARED) == 0);
    must(green_mutexattr_setrobust(&attr, GREEN_MUTEX_ROBUST) == 0);
    cr_assert_eq(green_mutex_init(&mutex, &attr), ENOTSUP);
    must(green_mutexattr_setrobust(&attr, GREEN_MUTEX_STALLED) == 0);
    must(green_mutexattr_setprotocol(&attr, GREEN_PRIO_INHERIT) == 0);
    cr_assert_eq(green_mutex_init(&mutex, &attr), ENOTSUP);
    must(green_mutexattr_setprotocol(&attr, GREEN_PRIO_NONE) == 0);
    cr_assert_eq(green_mutex_init(&mutex, &attr), 0);
}

/* A policy that lends priorities locks all others in a way of its own. */
Test(shared_mutex, excludes_under_a_policy_that_lends, .timeout = LIMIT)
{
    start_policy("priority", 2, TICK_US);
    shared_make(GREEN_MUTEX_RECURSIVE);
    shared_run(count_under_mutex);
    cr_assert_eq(page->count, SHARED_THREADS * SHARED_ROUNDS);
    cr_assert_eq(green_mutex_destroy(&page->mutex), 0);
}
