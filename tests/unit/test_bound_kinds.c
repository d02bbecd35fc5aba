/*
 * Bound threads beside multiplexed and foreign ones: what they contend for, create and join together.
 */
#include "bound.h"

#include <unistd.h>

TestSuite(bound_kinds, .timeout = LIMIT);

enum { EACH = 3 };

static void run_all_kinds(void *(*routine)(void *))
{
    struct foreigner foreigners[EACH];
    green_t bound[EACH], multiplexed[EACH];
    for (int i = 0; i < EACH; i++) {
        start_foreigner(&foreigners[i], routine, &foreigners[i]);
        bound[i] = spawn_bound(routine, &bound[i]);
        multiplexed[i] = spawn(routine, &multiplexed[i]);
    }
    for (int i = 0; i < EACH; i++) {
        cr_assert_eq(join_result(bound[i]), &bound[i]);
        cr_assert_eq(join_result(multiplexed[i]), &multiplexed[i]);
        end_foreigner(&foreigners[i]);
    }
}

ON_BOTH(bound_kinds, mutex)
{
    cr_assert_eq(contend_for_mutex(run_all_kinds), 3 * EACH * LOCKS_EACH);
}

ON_BOTH(bound_kinds, sem)
{
    cr_assert_eq(contend_for_sem(run_all_kinds), 2);
}

ON_BOTH(bound_kinds, cond)
{
    cr_assert_eq(contend_for_cond(run_all_kinds, 3 * EACH), 3 * EACH * MEETINGS);
}

ON_BOTH(bound_kinds, timed_waits)
{
    contend_in_vain(run_all_kinds);
}

/* Each kind creates and joins threads of both. */
static void *create_and_join(void *arg)
{
    for (int i = 0; i < 30; i++) {
        green_t bound = spawn_bound(echo, &i), multiplexed = spawn(echo, &arg);
        must(join_result(multiplexed) == &arg);
        must(join_result(bound) == &i);
    }
    return arg;
}

ON_BOTH(bound_kinds, create_and_join)
{
    run_all_kinds(create_and_join);
    wait_for(stats_now().threads_live == 1);
}

/* glibc signals every kernel thread that it knows, and waits for all of them. */
static void *be_myself(void *arg)
{
    for (int i = 0; i < 200; i++) {
        must(setuid(getuid()) == 0);
        spin_ns(5000);
    }
    return arg;
}

ON_BOTH(bound_kinds, setuid_while_threads_come_and_go)
{
    green_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = i % 2 ? spawn_bound(be_myself, NULL) : spawn(be_myself, NULL);
    create_and_join(NULL);
    for (int i = 0; i < 4; i++)
        join_result(threads[i]);
}
