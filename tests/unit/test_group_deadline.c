/*
 * Deadlines of task groups: whom they stop, and that an outer one holds for the groups below and not the other way round.
 */
#include "group.h"

TestSuite(group_deadline, .timeout = LIMIT);

ON_BOTH(group_deadline, a_deadline_stops_who_still_runs)
{
    const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        atomic_int stopped = 0;
        green_group_t *group = make_group(NULL);
        struct timespec when = time_after(clocks[i], 5000000);
        spawn_task(group, stay_on_channel, &stopped);
        spawn_task(group, stay, &stopped);
        cr_assert_eq(green_group_setdeadline(group, clocks[i], &when), 0);
        cr_assert_eq(wait_for_group(group), ETIMEDOUT);
        cr_assert(time_reached(clocks[i], when));
        cr_assert_eq(stopped, 2);
        cr_assert_eq(green_group_spawn(group, NULL, succeed, NULL), ECANCELED);
        cr_assert_eq(green_group_destroy(group), 0);
    }
}

ON_BOTH(group_deadline, a_deadline_that_nobody_needs)
{
    atomic_int done = 0;
    green_group_t *group = make_group(NULL);
    set_deadline(group, FOR_EVER_NS);
    spawn_task(group, succeed, &done);
    cr_assert_eq(wait_for_group(group), 0);
    set_deadline(group, 0);
    cr_assert_eq(wait_for_group(group), 0, "all had ended");
    cr_assert(green_group_stopped(group));
    cr_assert_eq(wait_for_group(group), 0);
    cr_assert_eq(green_group_spawn(group, NULL, succeed, &done), ECANCELED);
    cr_assert_eq(done, 1);
    cr_assert_eq(green_group_destroy(group), 0);
}

ON_BOTH(group_deadline, an_outer_deadline_holds_below)
{
    atomic_int stopped = 0;
    green_group_t *outer = make_group(NULL), *before = make_group(outer);
    set_deadline(before, FOR_EVER_NS);
    set_deadline(outer, FOR_EVER_NS / 2);
    green_group_t *after = make_group(outer);
    set_deadline(after, FOR_EVER_NS);
    spawn_task(before, stay_on_channel, &stopped);
    spawn_task(after, stay_on_channel, &stopped);
    set_deadline(outer, 5000000);
    cr_assert_eq(wait_for_group(before), ETIMEDOUT);
    cr_assert_eq(wait_for_group(after), ETIMEDOUT);
    cr_assert_eq(stopped, 2);
    cr_assert_eq(green_group_destroy(before), 0);
    cr_assert_eq(green_group_destroy(after), 0);
    cr_assert_eq(green_group_destroy(outer), 0);
}

ON_BOTH(group_deadline, an_outer_deadline_holds_for_groups_made_later)
{
    green_group_t *outer = make_group(NULL), *inner;
    set_deadline(outer, -1);
    inner = make_group(outer);
    set_deadline(inner, FOR_EVER_NS);
    cr_assert(green_group_stopped(inner));
    cr_assert_eq(green_group_spawn(inner, NULL, succeed, NULL), ECANCELED);
    end_group(inner, ETIMEDOUT);
    cr_assert_eq(green_group_destroy(outer), 0);
}

ON_BOTH(group_deadline, an_inner_deadline_does_not_hold_above)
{
    atomic_int stopped = 0;
    green_group_t *outer = make_group(NULL), *inner = make_group(outer);
    set_deadline(outer, FOR_EVER_NS);
    spawn_task(outer, stay_on_channel, &stopped);
    spawn_task(inner, stay_on_channel, &stopped);
    set_deadline(inner, 5000000);
    cr_assert_eq(wait_for_group(inner), ETIMEDOUT);
    cr_assert_eq(stopped, 1);
    cr_assert_eq(green_group_stopped(outer), 0);
    cr_assert_eq(green_group_stop(outer), 0);
    cr_assert_eq(wait_for_group(outer), ECANCELED);
    cr_assert_eq(stopped, 2);
    cr_assert_eq(green_group_destroy(inner), 0);
    cr_assert_eq(green_group_destroy(outer), 0);
}

static int shorten(void *arg)
{
    (void)arg;
    set_deadline(green_group_self(), 3000000);
    return stay_on_channel(NULL);
}

ON_BOTH(group_deadline, a_deadline_may_come_while_somebody_waits)
{
    green_group_t *group = make_group(NULL);
    set_deadline(group, FOR_EVER_NS);
    spawn_task(group, shorten, NULL);
    end_group(group, ETIMEDOUT);
}
