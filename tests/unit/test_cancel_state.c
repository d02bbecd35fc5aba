/*
 * Cancellation: states and types, and error numbers.
 */
#include "cancel.h"

#include "core/table.h"

TestSuite(cancel_state, .timeout = LIMIT);

static void *disabled(void *arg)
{
    int before = -1;

    must(green_setcancelstate(GREEN_CANCEL_DISABLE, &before) == 0 && before == GREEN_CANCEL_ENABLE);
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, &before) == 0 && before == GREEN_CANCEL_DISABLE);
    must(green_setcancelstate(2, &before) == EINVAL && green_setcancelstate(-1, &before) == EINVAL);
    must(green_setcanceltype(2, &before) == EINVAL && green_setcanceltype(-1, &before) == EINVAL);
    must(before == GREEN_CANCEL_DISABLE);
    atomic_fetch_add(&reached, 1);
    must(green_sem_wait(&gate) == 0); /* cancelled in here */
    green_testcancel();
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, &before) == 0 && before == GREEN_CANCEL_DEFERRED);
    must(green_setcanceltype(GREEN_CANCEL_DEFERRED, &before) == 0 && before == GREEN_CANCEL_ASYNCHRONOUS);
    must(green_usleep(1) == 0);
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    atomic_fetch_add(&passed, 1);
    green_testcancel();
    return arg;
}

ON_ALL(cancel_state, disabled_it_waits)
{
    green_t thread = spawn_in(scope, disabled, NULL);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_cancel(thread) == 0);
    cancel_in_vain(thread);
    must(green_sem_post(&gate) == 0);
    check_cancelled(thread);
}

static void *asynchronous_hog(void *arg)
{
    green_cleanup_push(count_pass, &passed);
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    for (;;)
        continue;
    green_cleanup_pop(0);
    return arg;
}

ON_ALL(cancel_state, asynchronous_in_a_loop)
{
    for (int round = 1; round <= 200; round++) {
        green_t thread = spawn_in(scope, asynchronous_hog, NULL);
        if (round % 2)
            wait_for(atomic_load(&reached) > 0);
        else
            green_yield();
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), round);
        atomic_store(&reached, 0);
    }
}

static void *asynchronous_at_once(void *arg)
{
    const long way = (long)arg;

    green_cleanup_push(count_pass, &passed);
    if (way == 0) { /* its own */
        must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
        green_cancel(green_self());
    } else if (way == 1) { /* pending, the type comes */
        must(green_cancel(green_self()) == 0);
        green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL);
    } else { /* pending, the state comes */
        must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
        must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
        must(green_cancel(green_self()) == 0);
        green_setcancelstate(GREEN_CANCEL_ENABLE, NULL);
    }
    must(0);
    green_cleanup_pop(0);
    return NULL;
}

ON_ALL(cancel_state, asynchronous_at_once)
{
    for (long way = 0; way < 3; way++) {
        cr_assert_eq(join_result(spawn_in(scope, asynchronous_at_once, (void *)way)), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), way + 1);
    }
}

/* Errors. */

static void *nothing(void *arg)
{
    return arg;
}

ON_ALL(cancel_state, who_has_ended)
{
    green_t thread = spawn_in(scope, nothing, &gate);
    wait_for(atomic_load(&table_find(thread)->state) == THREAD_EXITED);
    cr_assert_eq(green_cancel(thread), 0);
    cr_assert_eq(join_result(thread), &gate);
    cr_assert_eq(green_cancel(thread), ESRCH);
    cr_assert_eq(green_cancel(0), ESRCH);
    cr_assert_eq(green_cancel(~(green_t)0), ESRCH);
    for (int i = 0; i < 20; i++) { /* in the same structure, likely; none of them is meant */
        green_t next = spawn_in(scope, reach_cancelled, (void *)&points[POINT_TESTCANCEL]);
        cr_assert_eq(green_cancel(thread), ESRCH);
        cr_assert_eq(join_result(next), GREEN_CANCELED);
        cr_assert_eq(join_result(spawn_in(scope, lock_it, &mutex)), &mutex);
    }
}
