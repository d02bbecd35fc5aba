/*
 * Once: one runs it, all wait for it, and who leaves it early leaves it to the next.
 */
#include "unit.h"

#include <stdatomic.h>

enum { CALLERS = 50 };

TestSuite(once, .timeout = LIMIT);

static green_once_t once = GREEN_ONCE_INIT;
static green_once_t inner = GREEN_ONCE_INIT;
static atomic_int begun, ended;

static void slow_routine(void)
{
    atomic_fetch_add(&begun, 1);
    green_usleep(2000);
    spin_ns(500000);
    atomic_fetch_add(&ended, 1);
}

static void *call_once(void *arg)
{
    must(green_once(&once, slow_routine) == 0);
    must(atomic_load(&ended) == 1);
    return arg;
}

ON_BOTH(once, runs_once_and_all_wait)
{
    green_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        threads[i] = spawn(call_once, NULL);
    for (int i = 0; i < CALLERS; i++)
        join_result(threads[i]);
    cr_assert_eq(begun, 1);
    cr_assert_eq(green_once(&once, slow_routine), 0);
    cr_assert_eq(begun, 1);
}

static void outer_routine(void)
{
    must(green_once(&inner, slow_routine) == 0);
    must(atomic_load(&ended) == 1);
}

ON_BOTH(once, nests)
{
    cr_assert_eq(green_once(&once, outer_routine), 0);
    cr_assert_eq(green_once(&inner, slow_routine), 0);
    cr_assert_eq(begun, 1);
}

ON_BOTH(once, null)
{
    green_once_t *volatile none = NULL;
    void (*volatile nothing)(void) = NULL;
    cr_assert_eq(green_once(none, slow_routine), EINVAL);
    cr_assert_eq(green_once(&once, nothing), EINVAL);
}

static void leave_twice(void)
{
    if (atomic_fetch_add(&begun, 1) < 2) {
        green_usleep(1000);
        green_exit(NULL);
    }
    atomic_fetch_add(&ended, 1);
}

static void *call_leaving(void *arg)
{
    must(green_once(&once, leave_twice) == 0);
    return arg;
}

/* The first two end inside the routine; the third finishes it, and only then do the others go on. */
ON_BOTH(once, exit_leaves_it_to_the_next)
{
    green_t threads[CALLERS];
    int returned = 0, here;
    for (int i = 0; i < CALLERS; i++)
        threads[i] = spawn(call_leaving, &here);
    for (int i = 0; i < CALLERS; i++)
        returned += join_result(threads[i]) == &here;
    cr_assert_eq(returned, CALLERS - 2);
    cr_assert_eq(begun, 3);
    cr_assert_eq(ended, 1);
}
