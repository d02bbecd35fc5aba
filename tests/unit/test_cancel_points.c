/*
 * Cancellation points: every one of them, before it waits and while it does, on multiplexed and on bound threads; and
 * what is none.
 */
#include "cancel.h"

TestSuite(cancel_points, .timeout = LIMIT);

static void each_point(int scope, void *(*routine)(void *), int parked)
{
    start_target();
    for (int i = 0; i < POINTS; i++) {
        atomic_store(&reached, 0);
        atomic_store(&passed, 0);
        green_t thread = spawn_in(scope, routine, (void *)&points[i]);
        if (parked) {
            wait_for(atomic_load(&reached) == 1 && (i == POINT_TESTCANCEL || is_parked(thread)));
            must(green_cancel(thread) == 0);
        }
        cr_assert_eq(join_result(thread), GREEN_CANCELED, "point %d", i);
        cr_assert_eq(atomic_load(&passed), 1, "point %d", i);
        cr_assert_eq(green_cancel(thread), ESRCH);
    }
    must(green_mutex_lock(&mutex) == 0); /* by nobody held */
    must(green_mutex_unlock(&mutex) == 0);
    end_target(); /* is joinable still */
}

ON_ALL(cancel_points, parked_at_a_point)
{
    each_point(scope, reach, 1);
}

ON_ALL(cancel_points, wanted_before_a_point)
{
    each_point(scope, reach_cancelled, 0);
}

/* What is no point. */

static void *lock_and_yield(void *arg)
{
    must(green_cancel(green_self()) == 0);
    must(green_mutex_lock(&mutex) == 0);
    must(green_yield() == 0);
    must(green_mutex_trylock(&mutex) == EBUSY);
    must(green_sem_post(&gate) == 0 && green_sem_trywait(&gate) == 0);
    must(green_cond_signal(&cond) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&passed, 1);
    green_testcancel();
    return arg;
}

ON_ALL(cancel_points, other_calls_are_none)
{
    check_cancelled(spawn_in(scope, lock_and_yield, NULL));
}

ON_ALL(cancel_points, a_mutex_is_waited_for)
{
    must(green_mutex_lock(&mutex) == 0);
    green_t thread = spawn_in(scope, lock_it, NULL);
    wait_for(is_parked(thread));
    cancel_in_vain(thread);
    must(green_mutex_unlock(&mutex) == 0);
    check_cancelled(thread);
}

static void *points_in_a_section(void *arg)
{
    must(green_cancel(green_self()) == 0);
    green_critical_enter();
    green_testcancel();
    green_critical_leave();
    atomic_fetch_add(&passed, 1);
    green_testcancel();
    return arg;
}

ON_ALL(cancel_points, a_section_has_none)
{
    check_cancelled(spawn_in(scope, points_in_a_section, NULL));
}

/* Before its first instruction. */
ON_ALL(cancel_points, a_thread_that_has_not_begun)
{
    green_t thread = spawn_in(scope, reach, (void *)&points[POINT_SEM_WAIT]);
    must(green_cancel(thread) == 0);
    check_cancelled(thread);
}
