/*
 * The life of a thread: create, join, detach, exit, names for it, and what a stale id is answered.
 */
#include "unit.h"

#include <fenv.h>
#include <stdatomic.h>
#include <stdlib.h>

TestSuite(thread, .timeout = LIMIT);

static atomic_int ran;

static void *echo(void *arg)
{
    atomic_fetch_add(&ran, 1);
    return arg;
}

static void *exit_with(void *arg)
{
    green_exit(arg);
}

static void *wait_at(void *sem)
{
    must(green_sem_wait(sem) == 0);
    return sem;
}

ON_BOTH(thread, result_arrives_at_join)
{
    int value;
    cr_assert_eq(join_result(spawn(echo, &value)), &value);
    cr_assert_eq(join_result(spawn(exit_with, &value)), &value);
    cr_assert_eq(green_join(spawn(echo, NULL), NULL), 0);
    cr_assert_eq(ran, 2);
}

ON_BOTH(thread, create_refuses_null)
{
    green_t thread, *volatile none = NULL;
    void *(*volatile no_start)(void *) = NULL;
    cr_assert_eq(green_create(none, NULL, echo, NULL), EINVAL);
    cr_assert_eq(green_create(&thread, NULL, no_start, NULL), EINVAL);
}

static void *store_self(void *id)
{
    *(green_t *)id = green_self();
    return NULL;
}

ON_BOTH(thread, self_and_equal)
{
    green_t inside = 0, thread = spawn(store_self, &inside);
    join_result(thread);
    cr_assert(green_equal(inside, thread));
    cr_assert(!green_equal(inside, green_self()));
    cr_assert(green_equal(green_self(), green_self()));
    cr_assert_neq(thread, 0);
}

static int compare_ids(const void *a, const void *b)
{
    green_t x = *(const green_t *)a, y = *(const green_t *)b;
    return (x > y) - (x < y);
}

ON_BOTH(thread, ids_are_never_given_twice)
{
    enum { COUNT = 5000 };
    static green_t ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ids[i] = spawn(echo, NULL);
        join_result(ids[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(green_join(ids[i], NULL), ESRCH);
        cr_assert_eq(green_detach(ids[i]), ESRCH);
    }
    qsort(ids, COUNT, sizeof *ids, compare_ids);
    for (int i = 1; i < COUNT; i++)
        cr_assert_neq(ids[i - 1], ids[i]);
}

static void check_unknown(green_t id)
{
    char name[16];
    unsigned slice;
    cr_assert_eq(green_join(id, NULL), ESRCH);
    cr_assert_eq(green_detach(id), ESRCH);
    cr_assert_eq(green_setname_np(id, "stale"), ESRCH);
    cr_assert_eq(green_getname_np(id, name, sizeof name), ESRCH);
    cr_assert_eq(green_setslice_np(id, 1000), ESRCH);
    cr_assert_eq(green_getslice_np(id, &slice), ESRCH);
}

/* Whoever has the structure now is not meant, and notices nothing. */
ON_BOTH(thread, stale_ids_of_structures_in_use)
{
    enum { COUNT = 50 };
    green_t stale[COUNT], threads[COUNT];
    green_sem_t gate;
    char name[16];
    unsigned slice;
    int reused = 0;
    green_sem_init(&gate, 0, 0);
    for (int i = 0; i < COUNT; i++)
        join_result(stale[i] = spawn(echo, NULL));
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(wait_at, &gate);
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++)
            reused += (uint32_t)stale[i] == (uint32_t)threads[j];
        check_unknown(stale[i]);
    }
    cr_assert_gt(reused, 0, "else this shows nothing");
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(green_getname_np(threads[i], name, sizeof name), 0);
        cr_assert_str_eq(name, "");
        cr_assert_eq(green_getslice_np(threads[i], &slice), 0);
        cr_assert_eq(slice, 0);
        green_sem_post(&gate);
    }
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(join_result(threads[i]), &gate);
}

ON_BOTH(thread, unknown_ids)
{
    const green_t unknown[] = {0, 1ULL << 63, UINT64_MAX, (green_t)UINT32_MAX + 12345, green_self() + (1ULL << 40)};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        check_unknown(unknown[i]);
}

ON_BOTH(thread, detach)
{
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    cr_assert_eq(green_detach(thread), 0);
    cr_assert_eq(green_detach(thread), EINVAL);
    cr_assert_eq(green_join(thread, NULL), EINVAL);
    green_sem_post(&gate);
    wait_for(green_join(thread, NULL) == ESRCH);
    wait_for(stats_now().threads_live == 1);
}

ON_BOTH(thread, detach_after_the_end)
{
    green_t thread = spawn(echo, NULL);
    wait_for(ran == 1);
    cr_assert_eq(green_detach(thread), 0);
    wait_for(green_detach(thread) == ESRCH);
}

ON_BOTH(thread, created_detached)
{
    green_sem_t gate;
    green_attr_t attr;
    green_t thread;
    green_sem_init(&gate, 0, 0);
    green_attr_init(&attr);
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
    cr_assert_eq(green_join(thread, NULL), EINVAL);
    cr_assert_eq(green_detach(thread), EINVAL);
    green_sem_post(&gate);
    wait_for(green_join(thread, NULL) == ESRCH);
    wait_for(stats_now().threads_live == 1);
}

Test(thread, join_of_a_detached_one_does_not_run_it)
{
    green_attr_t attr;
    green_t thread;
    start_cooperative();
    green_attr_init(&attr);
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    cr_assert_eq(green_create(&thread, &attr, echo, NULL), 0);
    cr_assert_eq(green_join(thread, NULL), EINVAL);
    cr_assert_eq(green_detach(thread), EINVAL);
    cr_assert_eq(ran, 0);
    wait_for(green_join(thread, NULL) == ESRCH);
}

ON_BOTH(thread, joining_oneself)
{
    cr_assert_eq(green_join(green_self(), NULL), EDEADLK);
}

struct pair {
    green_t ids[2];
    int errors[2];
    green_sem_t go, done;
};

static void *join_the_other(void *arg)
{
    struct pair *pair = arg;
    green_sem_wait(&pair->go);
    int me = green_equal(green_self(), pair->ids[0]) ? 0 : 1;
    pair->errors[me] = green_join(pair->ids[1 - me], NULL);
    green_sem_post(&pair->done);
    return NULL;
}

/* Whoever comes second is told; it then ends, and the first one's join succeeds. */
ON_BOTH(thread, joining_each_other)
{
    for (int round = 0; round < 200; round++) {
        struct pair pair = {.ids = {0, 0}};
        green_sem_init(&pair.go, 0, 0);
        green_sem_init(&pair.done, 0, 0);
        for (int i = 0; i < 2; i++)
            pair.ids[i] = spawn(join_the_other, &pair);
        for (int i = 0; i < 2; i++)
            green_sem_post(&pair.go);
        for (int i = 0; i < 2; i++)
            green_sem_wait(&pair.done);
        int joiner = pair.errors[0] == 0 ? 0 : 1;
        cr_assert_eq(pair.errors[joiner], 0);
        cr_assert_eq(pair.errors[1 - joiner], EDEADLK);
        join_result(pair.ids[joiner]);
    }
}

struct target {
    green_t thread;
    green_sem_t refused;
    atomic_int joined;
};

static void *join_target(void *arg)
{
    struct target *target = arg;
    int error = green_join(target->thread, NULL);
    must(error == 0 || error == EINVAL);
    if (error == EINVAL)
        green_sem_post(&target->refused);
    else
        atomic_fetch_add(&target->joined, 1);
    return NULL;
}

ON_BOTH(thread, second_joiner_is_refused)
{
    green_sem_t gate;
    struct target target = {.joined = 0};
    green_t joiners[3];
    green_sem_init(&gate, 0, 0);
    green_sem_init(&target.refused, 0, 0);
    target.thread = spawn(wait_at, &gate);
    for (int i = 0; i < 3; i++)
        joiners[i] = spawn(join_target, &target);
    green_sem_wait(&target.refused);
    green_sem_wait(&target.refused);
    cr_assert_eq(target.joined, 0);
    cr_assert_eq(green_detach(target.thread), EINVAL, "somebody is joining it");
    green_sem_post(&gate);
    for (int i = 0; i < 3; i++)
        join_result(joiners[i]);
    cr_assert_eq(target.joined, 1);
}

ON_BOTH(thread, names)
{
    char name[16], small[3];
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    const char *volatile none = NULL;
    cr_assert_eq(green_setname_np(thread, "other"), 0);
    cr_assert_eq(green_getname_np(thread, name, sizeof name), 0);
    cr_assert_str_eq(name, "other");
    cr_assert_eq(green_setname_np(green_self(), "own"), 0);
    cr_assert_eq(green_getname_np(green_self(), name, sizeof name), 0);
    cr_assert_str_eq(name, "own");
    cr_assert_eq(green_setname_np(thread, "sixteen letters!"), ERANGE);
    cr_assert_eq(green_getname_np(thread, small, sizeof small), ERANGE);
    cr_assert_eq(green_setname_np(thread, none), EINVAL);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(green_getname_np(thread, name, sizeof name), ESRCH);
}

ON_BOTH(thread, ten_thousand_at_once)
{
    enum { COUNT = 10000 };
    static green_t threads[COUNT];
    green_sem_t gate;
    green_attr_t attr;
    green_sem_init(&gate, 0, 0);
    green_attr_init(&attr);
    green_attr_setstacksize(&attr, GREEN_STACK_MIN);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(green_create(&threads[i], &attr, wait_at, &gate), 0, "number %d", i);
    struct green_stats stats = stats_now();
    cr_assert_eq(stats.threads_live, COUNT + 1);
    cr_assert_geq(stats.stacks_mapped, COUNT);
    for (int i = 0; i < COUNT; i++)
        green_sem_post(&gate);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(join_result(threads[i]), &gate);
    cr_assert_eq(stats_now().threads_live, 1);
}

ON_BOTH(thread, stacks_are_used_again)
{
    for (int i = 0; i < 20000; i++)
        join_result(spawn(echo, NULL));
    cr_assert_geq(stats_now().threads_created, 20000);
    cr_assert_lt(stats_now().stacks_mapped, 1000);
}

static void *tree(void *depth)
{
    uintptr_t level = (uintptr_t)depth, sum = 1;
    if (level == 0)
        return (void *)sum;
    green_t left = spawn(tree, (void *)(level - 1)), right = spawn(tree, (void *)(level - 1));
    sum += (uintptr_t)join_result(left);
    sum += (uintptr_t)join_result(right);
    return (void *)sum;
}

ON_BOTH(thread, tree_of_threads)
{
    cr_assert_eq((uintptr_t)join_result(spawn(tree, (void *)12)), (1 << 13) - 1);
}

static void *rounding(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)fegetround();
}

ON_BOTH(thread, floating_point_environment_is_inherited)
{
    cr_assert_eq(fesetround(FE_UPWARD), 0);
    green_t thread = spawn(rounding, NULL);
    fesetround(FE_TONEAREST);
    cr_assert_eq((intptr_t)join_result(thread), FE_UPWARD);
    cr_assert_eq((intptr_t)join_result(spawn(rounding, NULL)), FE_TONEAREST);
}
