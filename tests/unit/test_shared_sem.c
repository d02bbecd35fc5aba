/*
 * Semaphores shared between processes.
 */
#include "shared.h"

#include <signal.h>
#include <sys/wait.h>

TestSuite(shared_sem, .timeout = LIMIT);

#ifdef SHARED_FORKS
static void *pass_tokens(void *arg)
{
    const bool back = (intptr_t)arg % 2;
    for (int i = 0; i < SHARED_ROUNDS; i++) {
        must(green_sem_wait(back ? &page->other : &page->sem) == 0);
        atomic_fetch_add(&page->taken, 1);
        must(green_sem_post(back ? &page->sem : &page->other) == 0);
    }
    return arg;
}

ON_BOTH(shared_sem, semaphores_keep_their_tokens)
{
    int here = -1, there = -1;
    shared_make(GREEN_MUTEX_NORMAL);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(green_sem_post(&page->sem), 0);
    shared_on_both_sides(pass_tokens);
    cr_assert_eq(atomic_load(&page->taken), 2 * SHARED_THREADS * SHARED_ROUNDS);
    cr_assert_eq(green_sem_getvalue(&page->sem, &here), 0);
    cr_assert_eq(green_sem_getvalue(&page->other, &there), 0);
    cr_assert_eq(here + there, 3);
    cr_assert_eq(green_sem_destroy(&page->sem), 0);
}

static _Atomic unsigned events;

static void *tell(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        atomic_fetch_add(&events, 1);
        green_yield();
    }
    must(green_sem_post(&page->sem) == 0);
    return arg;
}

/* The main thread waits for a child that waits for another thread of this process. */
ON_BOTH(shared_sem, others_run_meanwhile)
{
    shared_make(GREEN_MUTEX_NORMAL);
    pid_t child = fork_mortal();
    if (child == 0)
        _exit(green_sem_wait(&page->sem) == 0 && green_sem_post(&page->other) == 0 ? 0 : 1);
    start_hogs(2);
    green_t teller = spawn(tell, NULL);
    cr_assert_eq(green_sem_wait(&page->other), 0);
    cr_assert_eq(atomic_load(&events), 1000);
    stop_hogs();
    join_result(teller);
    check_exit_status(child, 0);
}

static void *wait_and_die(void *arg)
{
    atomic_store(&page->go, true);
    must(green_sem_wait(&page->sem) == 0);
    return arg;
}

/* It may have been killed in the wait, or before. */
ON_BOTH(shared_sem, survives_who_is_killed)
{
    int value = -1;
    shared_make(GREEN_MUTEX_NORMAL);
    for (int i = 0; i < 20; i++) {
        atomic_store(&page->go, false);
        pid_t child = fork_mortal();
        if (child == 0) {
            join_result(spawn(wait_and_die, NULL));
            _exit(0);
        }
        wait_for(atomic_load(&page->go));
        if (i % 2)
            green_usleep(1000);
        must(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        cr_assert_eq(green_sem_post(&page->sem), 0);
        cr_assert_eq(green_sem_getvalue(&page->sem, &value), 0);
        cr_assert_eq(value, 1);
        cr_assert_eq(green_sem_wait(&page->sem), 0);
    }
}
#endif

ON_BOTH(shared_sem, errors)
{
    shared_make(GREEN_MUTEX_NORMAL);
    const struct timespec soon = time_after(CLOCK_REALTIME, 2000000);
    assert_fails(green_sem_trywait(&page->sem), EAGAIN);
    assert_fails(green_sem_timedwait(&page->sem, &soon), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_REALTIME, soon));
    cr_assert_eq(green_sem_init(&page->sem, 1, GREEN_SEM_VALUE_MAX), 0);
    assert_fails(green_sem_post(&page->sem), EOVERFLOW);
    cr_assert_eq(green_sem_trywait(&page->sem), 0);
    cr_assert_eq(green_sem_post(&page->sem), 0);
    cr_assert_eq(green_sem_destroy(&page->sem), 0);
}
