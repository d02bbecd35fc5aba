/*
 * Cancellation that meets a wake-up, or a signal: a cancelled waiter takes nothing with it.
 */
#include "cancel.h"

#include <green/signal.h>

TestSuite(cancel_race, .timeout = LIMIT);

enum { ROUNDS = 2000 };

static const struct timespec far = {.tv_sec = 4000000000};

static atomic_int taken, tokens_taken;
static int tokens;

static void *take_unit(void *arg)
{
    atomic_fetch_add(&reached, 1);
    if (arg)
        must(green_sem_timedwait(&gate, &far) == 0);
    else
        must(green_sem_wait(&gate) == 0);
    atomic_fetch_add(&taken, 1);
    return arg;
}

static void *post_unit(void *arg)
{
    must(green_sem_post(&gate) == 0);
    return arg;
}

/* A unit comes as the waiter is cancelled: it has it, or the unit is there. */
ON_ALL(cancel_race, a_unit_is_not_lost)
{
    int cancelled = 0;
    int value;
    for (int round = 0; round < (scope == GREEN_SCOPE_SYSTEM ? ROUNDS / 10 : ROUNDS); round++) {
        green_t waiter = spawn_in(scope, take_unit, round % 2 ? &gate : NULL);
        green_t poster = spawn(post_unit, NULL);
        for (int i = 0; i < round % 5; i++)
            green_yield();
        must(green_cancel(waiter) == 0);
        const int lost = join_result(waiter) == GREEN_CANCELED;
        join_result(poster);
        must(green_sem_getvalue(&gate, &value) == 0 && value == lost);
        if (lost)
            must(green_sem_trywait(&gate) == 0);
        cancelled += lost;
        cr_assert_eq(atomic_load(&taken), round + 1 - cancelled);
    }
    cr_assert_eq(green_sem_destroy(&gate), 0);
}

static void *take_token(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    green_cleanup_push(unlock_mutex, NULL);
    atomic_fetch_add(&reached, 1);
    while (tokens == 0)
        green_cond_wait(&cond, &mutex);
    tokens--;
    atomic_fetch_add(&tokens_taken, 1);
    green_cleanup_pop(1);
    return arg;
}

static void *put_token(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    tokens++;
    must(green_mutex_unlock(&mutex) == 0);
    must(green_cond_signal(&cond) == 0);
    return arg;
}

/*
 * Two wait, the first is cancelled, and one signal comes: who is left has the token, unless the cancelled one had it;
 * then one more is for the other.
 */
ON_ALL(cancel_race, a_signal_of_a_condition_is_not_lost)
{
    for (int round = 0; round < (scope == GREEN_SCOPE_SYSTEM ? ROUNDS / 10 : ROUNDS); round++) {
        atomic_store(&reached, 0);
        green_t first = spawn_in(scope, take_token, NULL);
        wait_for(atomic_load(&reached) == 1);
        green_t second = spawn_in(scope, take_token, NULL);
        wait_for(atomic_load(&reached) == 2);
        green_t putter = spawn(put_token, NULL);
        for (int i = 0; i < round % 5; i++)
            green_yield();
        must(green_cancel(first) == 0);
        if (join_result(first) != GREEN_CANCELED)
            put_token(NULL);
        cr_assert_eq(join_result(second), NULL);
        join_result(putter);
        cr_assert_eq(tokens, 0);
        cr_assert_eq(green_cond_destroy(&cond), 0);
    }
}

static void *take_signal(void *arg)
{
    const sigset_t set = usr1();
    int number;

    atomic_fetch_add(&reached, 1);
    must(green_sigwait(&set, &number) == 0 && number == SIGUSR1);
    atomic_fetch_add(&taken, 1);
    return arg;
}

/* A signal to the process comes as the waiter for it is cancelled: another one waits for it then. */
ON_ALL(cancel_race, a_signal_is_not_lost)
{
    const sigset_t set = usr1();
    int number;
    int cancelled = 0;
    must(green_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (int round = 0; round < ROUNDS / 10; round++) {
        green_t waiter = spawn_in(scope, take_signal, NULL);
        wait_for(atomic_load(&reached) == round + 1);
        must(kill(getpid(), SIGUSR1) == 0);
        must(green_cancel(waiter) == 0);
        if (join_result(waiter) == GREEN_CANCELED) {
            must(green_sigwait(&set, &number) == 0 && number == SIGUSR1);
            cancelled++;
        }
        cr_assert_eq(atomic_load(&taken), round + 1 - cancelled);
    }
}

static void *reach_again_and_again(void *arg)
{
    void (*const *point)(void) = arg;

    for (;;)
        (*point)();
    return arg;
}

/* Signals and cancellation claim the same waiters. */
ON_ALL(cancel_race, among_signals)
{
    count_signals(SIGUSR2, SA_RESTART);
    start_target();
    for (int round = 0; round < ROUNDS / 10; round++) {
        green_t waiter = spawn_in(scope, reach_again_and_again, (void *)&points[round % POINTS]);
        interrupt_often(waiter, SIGUSR2, 1);
        must(green_kill(waiter, SIGUSR2) == 0);
        must(green_cancel(waiter) == 0);
        cr_assert_eq(join_result(waiter), GREEN_CANCELED);
    }
    end_target();
}

static atomic_int handled;

/* A handler's own waits are no part of the call that it interrupted. */
static void lock_in_handler(int number)
{
    (void)number;
    must(green_mutex_lock(&mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&handled, 1);
}

ON_ALL(cancel_race, a_handler_waits_for_a_mutex)
{
    struct sigaction action = {.sa_handler = lock_in_handler, .sa_flags = SA_RESTART};
    must(green_sigaction(SIGUSR2, &action, NULL) == 0);
    must(green_mutex_lock(&mutex) == 0);
    green_t thread = spawn_in(scope, reach, (void *)&points[POINT_SEM_WAIT]);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_kill(thread, SIGUSR2) == 0);
    wait_for(mutex.__queue.__head != NULL);
    must(green_cancel(thread) == 0);
    for (int i = 0; i < 100; i++)
        green_yield();
    cr_assert_eq(atomic_load(&handled), 0);
    must(green_mutex_unlock(&mutex) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&handled), 1);
    cr_assert_eq(atomic_load(&passed), 1);
}
