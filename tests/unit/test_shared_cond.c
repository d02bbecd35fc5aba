/*
 * Condition variables shared between processes.
 */
#include "shared.h"

TestSuite(shared_cond, .timeout = LIMIT);

#ifdef SHARED_FORKS
enum { TURNS = 2000 };

static void play(unsigned mine)
{
    must(green_mutex_lock(&page->mutex) == 0);
    for (int i = 0; i < TURNS; i++) {
        while (page->turn != mine)
            must(green_cond_wait(&page->cond, &page->mutex) == 0);
        page->turn = !mine;
        must(green_cond_signal(&page->cond) == 0);
    }
    must(green_mutex_unlock(&page->mutex) == 0);
}

static void ping_pong(void)
{
    pid_t child = fork_mortal();
    play(child != 0);
    if (child == 0)
        _exit(0);
    check_exit_status(child, 0);
    cr_assert_eq(green_cond_destroy(&page->cond), 0);
}

ON_BOTH(shared_cond, cond_takes_turns)
{
    shared_make(GREEN_MUTEX_NORMAL);
    ping_pong();
}

ON_BOTH(shared_cond, cond_releases_recursive_mutex_whole)
{
    shared_make(GREEN_MUTEX_RECURSIVE);
    cr_assert_eq(green_mutex_lock(&page->mutex), 0);
    pid_t child = fork_mortal();
    if (child == 0) {
        play(0);
        _exit(0);
    }
    play(1);
    cr_assert_eq(green_mutex_unlock(&page->mutex), 0);
    cr_assert_eq(green_mutex_unlock(&page->mutex), EPERM);
    check_exit_status(child, 0);
}

static void *await_broadcast(void *arg)
{
    must(green_mutex_lock(&page->mutex) == 0);
    page->count++;
    while (!atomic_load(&page->go))
        must(green_cond_wait(&page->cond, &page->mutex) == 0);
    must(green_mutex_unlock(&page->mutex) == 0);
    return arg;
}

ON_BOTH(shared_cond, broadcast_wakes_both_processes)
{
    shared_make(GREEN_MUTEX_NORMAL);
    pid_t child = fork_mortal();
    if (child == 0) {
        shared_run(await_broadcast);
        _exit(0);
    }
    green_t threads[SHARED_THREADS];
    for (int i = 0; i < SHARED_THREADS; i++)
        threads[i] = spawn(await_broadcast, NULL);
    bool all = false;
    while (!all) {
        must(green_mutex_lock(&page->mutex) == 0);
        all = page->count == 2 * SHARED_THREADS;
        if (all) {
            atomic_store(&page->go, true);
            must(green_cond_broadcast(&page->cond) == 0);
        }
        must(green_mutex_unlock(&page->mutex) == 0);
        green_usleep(200);
    }
    cr_assert_eq(green_cond_destroy(&page->cond), 0, "it waits for those who leave");
    for (int i = 0; i < SHARED_THREADS; i++)
        join_result(threads[i]);
    check_exit_status(child, 0);
}
#endif

static void time_out(clockid_t clock)
{
    shared_make_cond(clock);
    const struct timespec soon = time_after(clock, 2000000);
    struct timespec late = {0, 1000000000};
    cr_assert_eq(green_mutex_lock(&page->mutex), 0);
    int error;
    while ((error = green_cond_timedwait(&page->cond, &page->mutex, &soon)) == 0)
        continue;
    cr_assert_eq(error, ETIMEDOUT);
    cr_assert(time_reached(clock, soon));
    cr_assert_eq(green_cond_timedwait(&page->cond, &page->mutex, &late), EINVAL);
    cr_assert_eq(green_mutex_unlock(&page->mutex), 0, "it is held again");
    cr_assert_eq(green_cond_wait(&page->cond, &page->mutex), EPERM);
    cr_assert_eq(green_cond_destroy(&page->cond), 0);
}

ON_BOTH(shared_cond, cond_times_out)
{
    shared_make(GREEN_MUTEX_ERRORCHECK);
    time_out(CLOCK_REALTIME);
    time_out(CLOCK_MONOTONIC);
}

/* A shared condition variable with a private mutex, and the other way round, within one process. */
static green_mutex_t private_mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t private_cond = GREEN_COND_INITIALIZER;
static green_mutex_t *mixed_mutex;
static green_cond_t *mixed_cond;

static void *mixed_waiter(void *arg)
{
    must(green_mutex_lock(mixed_mutex) == 0);
    while (!page->turn)
        must(green_cond_wait(mixed_cond, mixed_mutex) == 0);
    must(green_mutex_unlock(mixed_mutex) == 0);
    return arg;
}

static void mix(green_cond_t *cond, green_mutex_t *mutex)
{
    mixed_cond = cond;
    mixed_mutex = mutex;
    page->turn = 0;
    green_t waiter = spawn(mixed_waiter, NULL);
    green_usleep(1000);
    must(green_mutex_lock(mutex) == 0);
    page->turn = 1;
    must(green_cond_signal(cond) == 0);
    must(green_mutex_unlock(mutex) == 0);
    join_result(waiter);
}

ON_BOTH(shared_cond, cond_and_mutex_mixed)
{
    shared_make(GREEN_MUTEX_ERRORCHECK);
    for (int i = 0; i < 100; i++) {
        mix(&page->cond, &private_mutex);
        mix(&private_cond, &page->mutex);
    }
}
