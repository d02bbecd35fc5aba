/*
 * Policies: their names, and the parameters of threads under each; and a policy after fork.
 */
#include "policy.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(policy, .timeout = LIMIT);

static unsigned weight_of(green_t thread)
{
    unsigned weight = 0;
    must(green_getweight_np(thread, &weight) == 0);
    return weight;
}

Test(policy, names)
{
    cr_assert_str_eq(green_policy_by_name("rr")->name, "rr");
    cr_assert_str_eq(green_policy_by_name("priority")->name, "priority");
    cr_assert_str_eq(green_policy_by_name("fair")->name, "fair");
    cr_assert_null(green_policy_by_name("unfair"));
    cr_assert_null(green_policy_by_name(NULL));
    start(1);
    cr_assert_str_eq(green_policy_name(), getenv("GREEN_POLICY") ? getenv("GREEN_POLICY") : "rr");
}

Test(policy, half_a_policy_is_refused)
{
    static const struct green_policy half = {.name = "half"};
    struct green_config config = {.policy = &half};
    cr_assert_eq(green_init(&config), EINVAL);
}

static void check_how(green_t thread, int expected, int priority)
{
    struct sched_param param = {.sched_priority = -1};
    int how = -1;
    cr_assert_eq(green_getschedparam(thread, &how, &param), 0);
    cr_assert(how == expected && param.sched_priority == priority, "%d of %d", param.sched_priority, how);
}

/* `fifo`: what the policy says to SCHED_FIFO. */
static void check_parameters(int fifo)
{
    struct sched_param param = {.sched_priority = 7};
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    cr_assert_eq(priority_of(thread), 0);
    cr_assert_eq(weight_of(thread), GREEN_WEIGHT_DEFAULT);
    cr_assert_eq(green_setschedparam(thread, SCHED_RR, &param), 0);
    cr_assert_eq(priority_of(thread), 7);
    cr_assert_eq(green_setschedparam(thread, SCHED_FIFO, &param), fifo);
    check_how(thread, fifo ? SCHED_RR : SCHED_FIFO, 7);
    cr_assert_eq(green_setschedparam(thread, SCHED_OTHER, &param), EINVAL);
    cr_assert_eq(green_setschedparam(thread, SCHED_BATCH, &param), ENOTSUP);
    cr_assert_eq(green_setschedparam(thread, 4711, &param), EINVAL);
    cr_assert_eq(green_setschedparam(thread, -1, &param), EINVAL);
    cr_assert_eq(green_setschedprio(thread, 8), 0);
    check_how(thread, fifo ? SCHED_RR : SCHED_FIFO, 8);
    param.sched_priority = 0;
    cr_assert_eq(green_setschedparam(thread, SCHED_OTHER, &param), 0);
    check_how(thread, SCHED_OTHER, 0);
    cr_assert_eq(green_setschedprio(thread, 9), 0);
    check_how(thread, SCHED_RR, 9);
    cr_assert_eq(green_setschedparam(thread, SCHED_RR, NULL), EINVAL);
    cr_assert_eq(green_setschedprio(thread, 100), EINVAL);
    cr_assert_eq(green_setschedprio(thread, -1), EINVAL);
    cr_assert_eq(green_setweight_np(thread, 10000), 0);
    cr_assert_eq(weight_of(thread), 10000);
    cr_assert_eq(green_setweight_np(thread, 0), EINVAL);
    cr_assert_eq(green_setweight_np(thread, 10001), EINVAL);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(green_setschedprio(thread, 1), ESRCH);
    cr_assert_eq(green_setweight_np(thread, 1), ESRCH);
    thread = spawn(wait_at, &gate); /* in the same structure */
    cr_assert_eq(priority_of(thread), 0);
    cr_assert_eq(weight_of(thread), GREEN_WEIGHT_DEFAULT);
    green_sem_post(&gate);
    join_result(thread);
}

static void check_attributes(int fifo)
{
    struct sched_param param = {.sched_priority = 3};
    unsigned weight = 0;
    green_attr_t attr;
    green_t thread;
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_attr_init(&attr);
    cr_assert_eq(green_attr_getweight_np(&attr, &weight), 0);
    cr_assert_eq(weight, GREEN_WEIGHT_DEFAULT);
    cr_assert_eq(green_attr_setschedparam(&attr, &param), 0);
    cr_assert_eq(green_attr_setweight_np(&attr, 55), 0);
    cr_assert_eq(green_attr_setweight_np(&attr, 0), EINVAL);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
    cr_assert_eq(priority_of(thread), 0, "not explicit");
    cr_assert_eq(weight_of(thread), 55);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), EINVAL, "SCHED_OTHER has no priority 3");
    cr_assert_eq(green_attr_setschedpolicy(&attr, SCHED_FIFO), 0);
    cr_assert_eq(green_attr_setscope(&attr, GREEN_SCOPE_PROCESS), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), fifo);
    if (!fifo) {
        check_how(thread, SCHED_FIFO, 3);
        green_sem_post(&gate);
        join_result(thread);
    }
    cr_assert_eq(green_attr_setschedpolicy(&attr, SCHED_RR), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
    cr_assert_eq(priority_of(thread), 3);
    cr_assert_eq(weight_of(thread), 55);
    param.sched_priority = 100;
    cr_assert_eq(green_attr_setschedparam(&attr, &param), EINVAL);
    green_attr_setschedpolicy(&attr, SCHED_OTHER);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), EINVAL, "priority 3 of a policy that has none");
    green_sem_post(&gate);
    join_result(thread);
    main_at(4);
    thread = spawn(wait_at, &gate);
    cr_assert_eq(priority_of(thread), 4, "its creator's");
    green_sem_post(&gate);
    join_result(thread);
}

Test(policy, round_robin_has_no_parameters)
{
    struct sched_param param = {.sched_priority = 7};
    unsigned weight = 1;
    int how;
    green_attr_t attr;
    green_t thread;
    start_policy("rr", 1, TICK_US);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_RR, &param), ENOTSUP);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), EINVAL);
    cr_assert_eq(green_setschedprio(green_self(), 7), EINVAL);
    cr_assert_eq(green_setschedprio(green_self(), 0), 0);
    cr_assert_eq(green_getschedparam(green_self(), &how, &param), 0);
    cr_assert(how == SCHED_OTHER && param.sched_priority == 0);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), 0);
    cr_assert_eq(green_setweight_np(green_self(), 7), ENOTSUP);
    cr_assert_eq(green_getweight_np(green_self(), &weight), ENOTSUP);
    green_attr_init(&attr);
    green_attr_setweight_np(&attr, 7);
    cr_assert_eq(green_create(&thread, &attr, note_arg, "x"), ENOTSUP);
    green_attr_init(&attr);
    green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED);
    green_attr_setschedpolicy(&attr, SCHED_RR);
    green_attr_setscope(&attr, GREEN_SCOPE_PROCESS);
    cr_assert_eq(green_create(&thread, &attr, note_arg, "x"), ENOTSUP);
}

/* Whoever has a kernel thread of its own is the kernel's, whatever the policy. */
static void *as_the_kernel_says(void *gate)
{
    struct sched_param param;
    int how = -1;
    must(green_getschedparam(green_self(), &how, &param) == 0 && how == sched_getscheduler(0));
    must(green_setschedparam(green_self(), SCHED_BATCH, &(struct sched_param){0}) == 0);
    must(sched_getscheduler(0) == SCHED_BATCH);
    must(green_setschedprio(green_self(), 5) == EINVAL);
    must(green_setschedprio(green_self(), 0) == 0);
    must(sched_getscheduler(0) == SCHED_BATCH);
    must(green_setweight_np(green_self(), 5) == ENOTSUP);
    return wait_at(gate);
}

Test(policy, bound_threads_are_the_kernels)
{
    green_attr_t attr;
    green_sem_t gate;
    green_t thread;
    start_policy("priority", 1, TICK_US);
    main_at(5);
    green_sem_init(&gate, 0, 0);
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    cr_assert_eq(green_create(&thread, &attr, as_the_kernel_says, &gate), 0);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(priority_of(green_self()), 5);
}

Test(policy, parameters_with_priority)
{
    start_policy("priority", 1, TICK_US);
    check_parameters(0);
    check_attributes(0);
}

Test(policy, parameters_with_fair)
{
    start_policy("fair", 2, TICK_US);
    check_parameters(ENOTSUP);
    check_attributes(ENOTSUP);
}

/* On one processor: with more, AddressSanitizer's allocator may be locked by another kernel thread at the fork. */
Test(policy, survives_fork)
{
    static const char name = 'c';
    green_sem_t gate;
    start_policy("priority", 1, TICK_US);
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_at(3, wait_at, &gate);
    pid_t child = fork();
    if (child == 0) {
        join_result(spawn_at(5, note_arg, (void *)(uintptr_t)&name));
        _exit(noted()[0] == 'c' ? 7 : 8);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %#x", (unsigned)status);
    green_sem_post(&gate);
    join_result(thread);
}
