/*
 * Cancellation of the asynchronous type that meets what its thread waits for: a lock that is opened, a barrier's last, a
 * condition's signal.  Whatever came first, nothing is lost.
 */
#include "cancel.h"

TestSuite(cancel_async_race, .timeout = LIMIT);

enum { ROUNDS = 1000, BOUND_ROUNDS = 200 };

static green_rwlock_t rwlock = GREEN_RWLOCK_INITIALIZER;
static green_barrier_t barrier;
static atomic_int taken, holds, go;

static void *hold_until_go(void *arg)
{
    must(green_mutex_lock(&mutex) == 0 && green_rwlock_wrlock(&rwlock) == 0);
    atomic_store(&holds, 1);
    while (!atomic_load(&go))
        green_yield();
    must(green_mutex_unlock(&mutex) == 0 && green_rwlock_unlock(&rwlock) == 0);
    return arg;
}

/* Who ends with the lock gives it back. */
static void unlock_if_had(void *arg)
{
    int error = arg ? green_rwlock_unlock(&rwlock) : green_mutex_unlock(&mutex);
    must(error == 0 || error == EPERM);
}

static void *lock_asynchronously(void *writes)
{
    green_cleanup_push(unlock_if_had, writes);
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    if (writes)
        green_rwlock_wrlock(&rwlock);
    else
        green_mutex_lock(&mutex);
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    atomic_fetch_add(&taken, 1);
    green_cleanup_pop(1);
    return NULL;
}

static void *lock_plainly(void *writes)
{
    must((writes ? green_rwlock_wrlock(&rwlock) : green_mutex_lock(&mutex)) == 0);
    atomic_fetch_add(&passed, 1);
    must((writes ? green_rwlock_unlock(&rwlock) : green_mutex_unlock(&mutex)) == 0);
    return NULL;
}

static int rounds_of(int scope)
{
    return scope == GREEN_SCOPE_SYSTEM ? BOUND_ROUNDS : ROUNDS;
}

static void yield_some(int round)
{
    for (int i = 0; i < round % 5; i++)
        green_yield();
}

/* A lock is opened as the first who waits is cancelled: the second has it in the end, and the first has had it or not. */
static void race_for_lock(int scope, void *writes)
{
    int cancelled = 0;
    for (int round = 1; round <= rounds_of(scope); round++) {
        atomic_store(&holds, 0);
        atomic_store(&go, 0);
        green_t holder = spawn(hold_until_go, NULL);
        wait_for(atomic_load(&holds));
        green_t first = spawn_in(scope, lock_asynchronously, writes);
        wait_for(atomic_load(&reached) == round && is_parked(first));
        green_t second = spawn_in(scope, lock_plainly, writes);
        atomic_store(&go, 1);
        yield_some(round);
        must(green_cancel(first) == 0);
        cancelled += join_result(first) == GREEN_CANCELED;
        must(join_result(second) == NULL && join_result(holder) == NULL);
        cr_assert_eq(atomic_load(&passed), round);
        cr_assert(atomic_load(&taken) >= round - cancelled);
    }
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
    cr_assert_eq(green_rwlock_destroy(&rwlock), 0);
}

ON_ALL(cancel_async_race, a_mutex_goes_on)
{
    race_for_lock(scope, NULL);
}

ON_ALL(cancel_async_race, a_write_lock_goes_on)
{
    race_for_lock(scope, &rwlock);
}

static void *arrive_asynchronously(void *arg)
{
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    green_barrier_wait(&barrier);
    for (;;)
        continue;
    return arg;
}

static void *arrive_plainly(void *arg)
{
    green_barrier_wait(&barrier);
    atomic_fetch_add(&passed, 1);
    return arg;
}

/* Of two that meet the first is cancelled: the other has met it, or waits for the next. */
ON_ALL(cancel_async_race, a_barrier_counts_right)
{
    must(green_barrier_init(&barrier, NULL, 2) == 0);
    for (int round = 1; round <= rounds_of(scope); round++) {
        green_t first = spawn_in(scope, arrive_asynchronously, NULL);
        wait_for(atomic_load(&reached) == round && is_parked(first));
        green_t second = spawn_in(scope, arrive_plainly, NULL);
        yield_some(round);
        must(green_cancel(first) == 0);
        cr_assert_eq(join_result(first), GREEN_CANCELED);
        wait_for(atomic_load(&passed) == round || is_parked(second));
        if (atomic_load(&passed) < round && barrier.__arrived == 1)
            green_barrier_wait(&barrier);
        join_result(second);
        cr_assert_eq(atomic_load(&passed), round);
    }
    cr_assert_eq(green_barrier_destroy(&barrier), 0);
}

/* A condition's mutex: whoever ends in the wait has it. */

static int tokens;

static void pass_token_on(void *arg)
{
    if (tokens > 0)
        must(green_cond_signal(&cond) == 0);
    unlock_mutex(arg);
}

static void *take_token(void *type)
{
    must(green_mutex_lock(&mutex) == 0);
    green_cleanup_push(pass_token_on, NULL);
    atomic_fetch_add(&reached, 1);
    must(green_setcanceltype(type ? GREEN_CANCEL_ASYNCHRONOUS : GREEN_CANCEL_DEFERRED, NULL) == 0);
    while (tokens == 0)
        green_cond_wait(&cond, &mutex);
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    tokens--;
    green_cleanup_pop(1);
    return NULL;
}

static void *put_token(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    tokens++;
    must(green_cond_signal(&cond) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    return arg;
}

ON_ALL(cancel_async_race, a_condition_goes_on)
{
    for (int round = 1; round <= rounds_of(scope); round++) {
        atomic_store(&reached, 0);
        green_t first = spawn_in(scope, take_token, &tokens);
        wait_for(atomic_load(&reached) == 1 && is_parked(first));
        green_t second = spawn_in(scope, take_token, NULL);
        green_t putter = spawn(put_token, NULL);
        yield_some(round);
        must(green_cancel(first) == 0);
        if (join_result(first) != GREEN_CANCELED)
            put_token(NULL);
        must(join_result(second) == NULL && join_result(putter) == NULL);
        cr_assert_eq(tokens, 0);
    }
    cr_assert_eq(green_cond_destroy(&cond), 0);
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}

/* The condition is signalled, or the wait for it is cancelled; its mutex is not free until long after. */
static void relock(int scope, bool signalled)
{
    green_t thread = spawn_in(scope, take_token, &tokens);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_mutex_lock(&mutex) == 0);
    if (signalled) {
        must(green_cond_signal(&cond) == 0);
        wait_for(mutex.__queue.__head != NULL);
    }
    must(green_cancel(thread) == 0);
    wait_for(mutex.__queue.__head != NULL && is_parked(thread));
    for (int i = 0; i < 100; i++)
        green_yield();
    cr_assert(is_parked(thread));
    must(green_mutex_unlock(&mutex) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}

ON_ALL(cancel_async_race, locks_the_mutex_again)
{
    relock(scope, false);
}

ON_ALL(cancel_async_race, waits_for_the_mutex_once_signalled)
{
    relock(scope, true);
}
