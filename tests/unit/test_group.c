/*
 * Task groups: error numbers, waiting for all, the first failure, trees, and what tasks see of them.
 */
#include "group.h"

#include <pthread.h>

#include "crew.h"

TestSuite(group, .timeout = LIMIT);

ON_BOTH(group, bad_arguments)
{
    green_group_t *volatile none = NULL, **volatile nowhere = NULL;
    int (*volatile no_task)(void *) = NULL;
    const struct timespec *volatile no_time = NULL, late = {0, 1000000000}, now = {0, 0};
    green_group_t *group = make_group(NULL);
    green_attr_t attr;
    cr_assert_eq(green_group_create(nowhere, NULL), EINVAL);
    cr_assert_eq(green_group_destroy(none), EINVAL);
    cr_assert_eq(green_group_wait(none, NULL), EINVAL);
    cr_assert_eq(green_group_stop(none), EINVAL);
    cr_assert_eq(green_group_spawn(none, NULL, succeed, NULL), EINVAL);
    cr_assert_eq(green_group_spawn(group, NULL, no_task, NULL), EINVAL);
    green_attr_init(&attr);
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    cr_assert_eq(green_group_spawn(group, &attr, succeed, NULL), EINVAL);
    memset(&attr, 0, sizeof attr);
    cr_assert_eq(green_group_spawn(group, &attr, succeed, NULL), EINVAL, "never initialised");
    cr_assert_eq(green_group_setdeadline(none, CLOCK_MONOTONIC, &now), EINVAL);
    cr_assert_eq(green_group_setdeadline(group, CLOCK_MONOTONIC, no_time), EINVAL);
    cr_assert_eq(green_group_setdeadline(group, CLOCK_MONOTONIC, &late), EINVAL);
    cr_assert_eq(green_group_setdeadline(group, CLOCK_THREAD_CPUTIME_ID, &now), EINVAL);
    cr_assert_eq(green_group_stopped(NULL), 0, "main is no task");
    cr_assert_null(green_group_stop_chan(NULL));
    cr_assert_null(green_group_self());
    cr_assert_eq(wait_for_group(group), 0, "there was nothing to wait for");
    cr_assert_eq(green_group_destroy(group), 0);
}

static int wait_at(void *gate)
{
    must(green_sem_wait(gate) == 0);
    return 0;
}

ON_BOTH(group, waits_for_all)
{
    atomic_int done = 0;
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_group_t *group = make_group(NULL);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 100; i++)
            spawn_task(group, succeed, &done);
        spawn_task(group, wait_at, &gate);
        cr_assert_eq(green_group_destroy(group), EBUSY);
        green_sem_post(&gate);
        cr_assert_eq(wait_for_group(group), 0);
        cr_assert_eq(done, round * 100);
    }
    cr_assert_eq(green_group_stopped(group), 0);
    cr_assert_eq(green_group_destroy(group), 0);
}

ON_BOTH(group, the_first_failure_stops_the_rest)
{
    atomic_int stopped = 0;
    green_group_t *group = make_group(NULL);
    spawn_stayers(group, 20, &stopped);
    cr_assert_eq(green_group_stopped(group), 0);
    spawn_task(group, fail_with, (void *)(intptr_t)-7);
    cr_assert_eq(wait_for_group(group), -7);
    cr_assert_eq(stopped, 20);
    cr_assert(green_group_stopped(group));
    cr_assert_eq(green_group_spawn(group, NULL, succeed, NULL), ECANCELED);
    cr_assert_eq(wait_for_group(group), -7);
    cr_assert_eq(green_group_wait(group, NULL), 0);
    cr_assert_eq(green_group_destroy(group), 0);
}

ON_BOTH(group, stop)
{
    atomic_int stopped = 0;
    green_group_t *group = make_group(NULL);
    spawn_stayers(group, 20, &stopped);
    cr_assert_eq(green_group_stop(group), 0);
    cr_assert_eq(green_group_stop(group), 0);
    cr_assert_eq(wait_for_group(group), ECANCELED);
    cr_assert_eq(stopped, 20);
    cr_assert_eq(green_group_destroy(group), 0);
}

static int leave_by_exit(void *arg)
{
    green_exit(arg);
}

ON_BOTH(group, a_task_that_does_not_return_has_failed)
{
    atomic_int stopped = 0;
    green_attr_t attr;
    green_attr_init(&attr);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
        green_group_t *group = make_group(NULL);
        green_attr_setscope(&attr, scope);
        spawn_task(group, stay, &stopped);
        cr_assert_eq(green_group_spawn(group, &attr, leave_by_exit, NULL), 0);
        end_group(group, ECANCELED);
    }
    cr_assert_eq(stopped, 2);
}

/* One that knows nothing of groups is cancelled where it waits; what is on its stack is cleaned up. */
static atomic_int cleaned;

static void clean(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static int sleep_for_ever(void *arg)
{
    green_cleanup_push(clean, &cleaned);
    for (;;)
        green_sleep(1000);
    green_cleanup_pop(0);
    return arg != NULL;
}

static int receive_for_ever(void *arg)
{
    green_cleanup_push(clean, &cleaned);
    for (;;)
        must(green_chan_recv(arg, NULL) == 0);
    green_cleanup_pop(0);
    return 0;
}

static int select_for_ever(void *arg)
{
    struct green_case cases[20];
    for (int i = 0; i < 20; i++)
        cases[i] = (struct green_case){arg, GREEN_RECV, NULL, 0};
    green_cleanup_push(clean, &cleaned);
    for (;;)
        must(green_select(cases, 20, NULL) >= 0);
    green_cleanup_pop(0);
    return 0;
}

ON_BOTH(group, stopping_cancels_who_waits)
{
    green_attr_t attr;
    green_chan_t *chan;
    green_attr_init(&attr);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
        green_group_t *group = make_group(NULL);
        green_attr_setscope(&attr, scope);
        atomic_store(&cleaned, 0);
        must(green_chan_create(&chan, 0, 0) == 0);
        for (int i = 0; i < 4; i++) {
            must(green_group_spawn(group, &attr, sleep_for_ever, NULL) == 0);
            must(green_group_spawn(group, &attr, receive_for_ever, chan) == 0);
            must(green_group_spawn(group, &attr, select_for_ever, chan) == 0);
        }
        for (int i = 0; i < 100; i++)
            must(green_chan_send(chan, NULL) == 0);
        spawn_task(group, fail_with, (void *)3);
        cr_assert_eq(wait_for_group(group), 3);
        cr_assert_leq(cleaned, 12);
        cr_assert_geq(cleaned, 1, "some had begun");
        cr_assert_eq(green_chan_trysend(chan, NULL), EAGAIN);
        cr_assert_eq(green_chan_destroy(chan), 0);
        cr_assert_eq(green_group_destroy(group), 0);
    }
}

/* Groups under groups. */
ON_BOTH(group, stopping_goes_down_and_not_up)
{
    atomic_int above = 0, below = 0;
    green_group_t *top = make_group(NULL), *middle = make_group(top), *left = make_group(middle), *right = make_group(middle);
    spawn_task(top, stay, &above);
    spawn_task(middle, stay, &below);
    spawn_task(left, stay, &below);
    spawn_task(right, stay_on_channel, &below);
    cr_assert_eq(green_group_destroy(top), EBUSY);
    spawn_task(middle, fail_with, (void *)5);
    cr_assert_eq(wait_for_group(left), ECANCELED);
    cr_assert_eq(wait_for_group(right), ECANCELED);
    cr_assert_eq(wait_for_group(middle), 5);
    cr_assert_eq(below, 3);
    cr_assert_eq(above, 0);
    cr_assert_eq(green_group_stopped(top), 0);
    green_group_t *late = make_group(middle);
    cr_assert(green_group_stopped(late), "made under a stopped one");
    cr_assert_eq(green_group_spawn(late, NULL, succeed, NULL), ECANCELED);
    cr_assert_eq(wait_for_group(late), ECANCELED);
    cr_assert_eq(green_group_destroy(middle), EBUSY);
    cr_assert_eq(green_group_destroy(left), 0);
    cr_assert_eq(green_group_destroy(late), 0);
    cr_assert_eq(green_group_destroy(right), 0);
    cr_assert_eq(green_group_destroy(middle), 0);
    cr_assert_eq(green_group_stop(top), 0);
    cr_assert_eq(wait_for_group(top), ECANCELED);
    cr_assert_eq(above, 1);
    cr_assert_eq(green_group_destroy(top), 0);
}

/* A tree of tasks, each with a group of its own under that of its parent. */
static atomic_int leaves;

static int grow(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    green_group_t *outer = green_group_self(), *group = make_group(NULL);
    must(outer && green_group_wait(outer, NULL) == EDEADLK);
    if (depth == 0) {
        stay_on_channel(&leaves);
    } else {
        for (int i = 0; i < 3; i++)
            spawn_task(group, grow, (void *)(depth - 1));
    }
    int failure = wait_for_group(group);
    must(green_group_destroy(group) == 0);
    return failure;
}

static int stop_when_grown(void *arg)
{
    must(green_group_stop(arg) == 0);
    return 0;
}

ON_BOTH(group, tasks_make_groups_below_their_own)
{
    green_group_t *group = make_group(NULL);
    spawn_task(group, grow, (void *)3);
    while (stats_now().threads_live < 1 + 1 + 3 + 9 + 27)
        green_usleep(200);
    spawn_task(group, stop_when_grown, group);
    cr_assert_eq(wait_for_group(group), ECANCELED);
    cr_assert_leq(leaves, 27, "a branch may have been stopped while it grew");
    cr_assert_gt(leaves, 0);
    cr_assert_eq(green_group_destroy(group), 0);
}

static int spawn_more(void *arg)
{
    for (int i = 0; i < 50; i++)
        spawn_task(green_group_self(), succeed, arg);
    return 0;
}

ON_BOTH(group, tasks_spawn_in_their_own)
{
    atomic_int done = 0;
    green_group_t *group = make_group(NULL);
    for (int i = 0; i < 5; i++)
        spawn_task(group, spawn_more, &done);
    cr_assert_eq(wait_for_group(group), 0);
    cr_assert_eq(done, 250);
    cr_assert_eq(green_group_destroy(group), 0);
}

/* A task that selects between work and its end. */
static int select_work(void *arg)
{
    green_chan_t **chans = arg;
    long job;
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    for (;;) {
        struct green_case cases[] = {{chans[0], GREEN_RECV, &job, 0},
                                     {green_group_stop_chan(NULL), GREEN_RECV, NULL, 0}};
        if (green_select(cases, 2, NULL) == 1)
            return 0;
        must(green_chan_send(chans[1], &job) == 0);
    }
}

ON_BOTH(group, selecting_on_its_end)
{
    green_chan_t *chans[2];
    green_group_t *group = make_group(NULL);
    for (int i = 0; i < 2; i++)
        must(green_chan_create(&chans[i], sizeof(long), 0) == 0);
    for (int i = 0; i < 5; i++)
        spawn_task(group, select_work, chans);
    for (long i = 0; i < 100; i++) {
        long back;
        must(green_chan_send(chans[0], &i) == 0 && green_chan_recv(chans[1], &back) == 0);
        cr_assert_eq(back, i);
    }
    green_group_stop(group);
    end_group(group, ECANCELED);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(green_chan_destroy(chans[i]), 0);
}

/* Waiting ends after the last destructor of the tasks' threads. */
static pthread_key_t key;
static atomic_int destroyed;

static void slowly_destroyed(void *value)
{
    (void)value;
    green_usleep(2000);
    atomic_fetch_add(&destroyed, 1);
}

static int with_value(void *arg)
{
    must(pthread_setspecific(key, &destroyed) == 0);
    return succeed(arg);
}

ON_BOTH(group, destructors_are_waited_for)
{
    green_attr_t bound;
    green_group_t *group = make_group(NULL);
    must(pthread_key_create(&key, slowly_destroyed) == 0);
    green_attr_init(&bound);
    green_attr_setscope(&bound, GREEN_SCOPE_SYSTEM);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(green_group_spawn(group, i % 2 ? &bound : NULL, with_value, NULL), 0);
    cr_assert_eq(wait_for_group(group), 0);
    cr_assert_eq(destroyed, 20);
    cr_assert_eq(green_group_destroy(group), 0);
}

/* A group that is used for long does not keep the stacks of what has ended. */
Test(group, ended_tasks_do_not_pile_up, .timeout = LIMIT)
{
    atomic_int done = 0;
    start_cooperative();
    green_group_t *group = make_group(NULL);
    uint64_t before = stats_now().stacks_mapped;
    for (int i = 0; i < 5000; i++) {
        spawn_task(group, succeed, &done);
        while (done <= i)
            green_yield();
    }
    cr_assert_lt(stats_now().stacks_mapped - before, 500);
    end_group(group, 0);
}

/* Threads of every kind use groups, and wait for each other's. */
static green_group_t *shared;
static atomic_int shared_done;

static void use_groups(unsigned index)
{
    for (int round = 0; round < 50; round++) {
        atomic_int done = 0;
        green_group_t *own = make_group(shared);
        for (int i = 0; i < 5; i++) {
            spawn_task(own, succeed, &done);
            spawn_task(shared, succeed, &shared_done);
        }
        bool fails = (index + (unsigned)round) % 3 == 0;
        if (fails)
            spawn_task(own, fail_with, (void *)9);
        must(wait_for_group(own) == (fails ? 9 : 0));
        must(done == 5);
        must(green_group_destroy(own) == 0);
    }
    must(wait_for_group(shared) == 0);
}

ON_BOTH(group, threads_of_every_kind)
{
    shared = make_group(NULL);
    crew_of_all_kinds(3, use_groups, NULL);
    cr_assert_eq(shared_done, 9 * 50 * 5);
    cr_assert_eq(green_group_destroy(shared), 0);
}

static void group_step(unsigned index, uint64_t round)
{
    atomic_int ended = 0;
    green_group_t *group = make_group(NULL);
    if (round % 2)
        set_deadline(group, (int64_t)(round % 16) * 20000);
    int wanted = 0, error = 0;
    while (wanted < 8 && (error = green_group_spawn(group, NULL, round % 4 == 1 ? stay : succeed, &ended)) == 0)
        wanted++;
    must(error == 0 || error == ECANCELED);
    if (index % 2 && round % 4 != 1)
        green_group_stop(group);
    wait_for_group(group);
    must(ended == wanted);
    must(green_group_destroy(group) == 0);
}

ON_BOTH(group, under_ticks)
{
    storm_of(STORM_THREADS, 1000, group_step);
}
