/*
 * Bound threads are scheduled by the kernel as they were asked to be: on which CPUs, by what policy.
 */
#include "bound.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(bound_sched, .timeout = LIMIT);

static cpu_set_t process_cpus(void)
{
    cpu_set_t cpus;
    must(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    return cpus;
}

static void *own_cpus(void *cpus)
{
    must(sched_getaffinity(0, sizeof(cpu_set_t), cpus) == 0);
    return cpus;
}

ON_BOTH(bound_sched, affinity_by_attribute)
{
    cpu_set_t all = process_cpus(), kept, found;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        green_attr_t attr = bound_attr();
        green_t thread;
        cpu_set_t one;
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof one, &one), 0);
        cr_assert_eq(green_attr_getaffinity_np(&attr, sizeof kept, &kept), 0);
        cr_assert(CPU_EQUAL(&kept, &one));
        cr_assert_eq(green_create(&thread, &attr, own_cpus, &found), 0);
        join_result(thread);
        cr_assert(CPU_EQUAL(&found, &one));
    }
    join_result(spawn_bound(own_cpus, &found));
    cr_assert(CPU_EQUAL(&found, &all));
}

ON_BOTH(bound_sched, affinity_attribute_is_checked)
{
    green_attr_t attr = bound_attr(), plain;
    char large[sizeof(cpu_set_t) + 8] = {0};
    cpu_set_t set;
    const cpu_set_t *volatile none = NULL;
    cr_assert_eq(green_attr_getaffinity_np(&attr, sizeof set, &set), 0);
    cr_assert_eq(CPU_COUNT(&set), CPU_SETSIZE);
    cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof set, none), EINVAL);
    large[sizeof large - 1] = 1;
    cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof large, (cpu_set_t *)(void *)large), EINVAL);
    CPU_ZERO(&set);
    cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof set, &set), 0);
    cr_assert_eq(create_error(&attr, nothing), EINVAL, "a thread that may run nowhere");
    CPU_SET(1, &set);
    green_attr_init(&plain);
    green_attr_setaffinity_np(&plain, sizeof set, &set);
    green_attr_setscope(&plain, GREEN_SCOPE_PROCESS);
    cr_assert_eq(create_error(&plain, nothing), ENOTSUP);
    cr_assert_eq(green_attr_setaffinity_np(&plain, 0, none), 0);
    cr_assert_eq(create_error(&plain, nothing), 0);
    cr_assert_eq(stats_now().threads_live, 1);
}

/* Set from outside, of one that runs and of one that perhaps does not yet. */
ON_BOTH(bound_sched, affinity_at_run_time)
{
    cpu_set_t all = process_cpus(), one, found;
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    green_sem_init(&gate, 0, 0);
    for (int i = 0; i < 50; i++) {
        green_t thread = spawn_bound(wait_at_gate, NULL);
        cr_assert_eq(green_setaffinity_np(thread, sizeof one, &one), 0);
        cr_assert_eq(green_getaffinity_np(thread, sizeof found, &found), 0);
        cr_assert(CPU_EQUAL(&found, &one));
        CPU_ZERO(&found);
        cr_assert_eq(green_setaffinity_np(thread, sizeof found, &found), EINVAL);
        green_sem_post(&gate);
        join_result(thread);
        cr_assert_eq(green_setaffinity_np(thread, sizeof all, &all), ESRCH);
    }
    cr_assert_eq(green_setaffinity_np(green_self(), sizeof all, &all), ENOTSUP);
    cr_assert_eq(green_getaffinity_np(green_self(), sizeof all, &all), ENOTSUP);
    found = process_cpus();
    cr_assert_eq(CPU_COUNT(&found), CPU_COUNT(&all), "the workers' CPUs are as they were");
}

/* One that has ended and has not been joined has a name, but no kernel thread. */
ON_BOTH(bound_sched, affinity_of_an_ended_thread)
{
    cpu_set_t all = process_cpus();
    green_t thread = spawn_bound(nothing, &all);
    wait_for(green_setaffinity_np(thread, sizeof all, &all) == ESRCH);
    cr_assert_eq(join_result(thread), &all);
}

static void *own_policy(void *scheduler)
{
    struct sched_param param;
    int *pair = scheduler;
    pair[0] = sched_getscheduler(0);
    must(sched_getparam(0, &param) == 0);
    pair[1] = param.sched_priority;
    return scheduler;
}

static green_attr_t scheduled(int policy, int priority)
{
    green_attr_t attr = bound_attr();
    struct sched_param param = {.sched_priority = priority};
    must(green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED) == 0);
    must(green_attr_setschedpolicy(&attr, policy) == 0);
    must(green_attr_setschedparam(&attr, &param) == 0);
    return attr;
}

/* What only the kernel can give makes a thread bound whose scope was not set. */
static void *scope_of_self(void *expected)
{
    green_attr_t attr;
    int scope;
    must(green_getattr_np(green_self(), &attr) == 0);
    must(green_attr_getscope(&attr, &scope) == 0);
    must(scope == (int)(intptr_t)expected);
    return expected;
}

static void check_scope(const green_attr_t *attr, int expected)
{
    green_t thread;
    cr_assert_eq(green_create(&thread, attr, scope_of_self, (void *)(intptr_t)expected), 0);
    join_result(thread);
}

ON_BOTH(bound_sched, bound_for_what_the_kernel_gives)
{
    cpu_set_t all = process_cpus();
    green_attr_t attr;
    green_attr_init(&attr);
    green_attr_setschedpolicy(&attr, SCHED_FIFO);
    check_scope(&attr, GREEN_SCOPE_PROCESS);
    green_attr_setschedpolicy(&attr, SCHED_OTHER);
    green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED);
    check_scope(&attr, GREEN_SCOPE_PROCESS);
    green_attr_setaffinity_np(&attr, sizeof all, &all);
    check_scope(&attr, GREEN_SCOPE_SYSTEM);
    green_attr_init(&attr);
    green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED);
    green_attr_setschedpolicy(&attr, SCHED_FIFO);
    green_attr_setschedparam(&attr, &(struct sched_param){.sched_priority = 0});
    cr_assert_eq(create_error(&attr, nothing), EINVAL, "the kernel's answer");
    green_attr_setscope(&attr, GREEN_SCOPE_PROCESS);
    cr_assert_eq(create_error(&attr, nothing), ENOTSUP);
}

static void policy_of_new(const green_attr_t *attr, int found[2])
{
    green_t thread;
    must(green_create(&thread, attr, own_policy, found) == 0);
    join_result(thread);
}

/* SCHED_BATCH is allowed to everybody: by it one sees what is inherited and what is not. */
static void *inherit_or_not(void *arg)
{
    struct sched_param param = {0};
    green_attr_t inherits = bound_attr(), explicit = scheduled(SCHED_OTHER, 0);
    int found[2], policy;
    must(green_setschedparam(green_self(), SCHED_BATCH, &param) == 0);
    must(green_getschedparam(green_self(), &policy, &param) == 0 && policy == SCHED_BATCH);
    must(sched_getscheduler(0) == SCHED_BATCH);
    policy_of_new(&inherits, found);
    must(found[0] == SCHED_BATCH);
    policy_of_new(&explicit, found);
    must(found[0] == SCHED_OTHER && found[1] == 0);
    return arg;
}

ON_BOTH(bound_sched, policy_is_inherited_or_explicit)
{
    join_result(spawn_bound(inherit_or_not, NULL));
    cr_assert_eq(sched_getscheduler(0), SCHED_OTHER);
}

static bool may_be_realtime(void)
{
    struct sched_param param = {.sched_priority = 1}, normal = {0};
    bool may = sched_setscheduler(0, SCHED_FIFO, &param) == 0;
    must(sched_setscheduler(0, SCHED_OTHER, &normal) == 0);
    return may;
}

/* Where the machine allows it: where it does not, that is what must be said. */
ON_BOTH(bound_sched, realtime_by_attribute)
{
    static const int policies[] = {SCHED_FIFO, SCHED_RR};
    bool may = may_be_realtime();
    for (int i = 0; i < 2; i++) {
        green_attr_t attr = scheduled(policies[i], 3);
        int found[2];
        if (may) {
            policy_of_new(&attr, found);
            cr_assert_eq(found[0], policies[i]);
            cr_assert_eq(found[1], 3);
        } else {
            cr_assert_eq(create_error(&attr, nothing), EPERM);
        }
    }
}

ON_BOTH(bound_sched, realtime_needs_privilege)
{
    struct rlimit none = {0, 0};
    green_attr_t attr = scheduled(SCHED_FIFO, 3);
    struct sched_param param = {.sched_priority = 3};
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_bound(wait_at_gate, NULL);
    cr_assert_eq(setrlimit(RLIMIT_RTPRIO, &none), 0);
    if (geteuid() == 0)
        cr_assert_eq(setuid(65534), 0);
    cr_assert_eq(create_error(&attr, nothing), EPERM);
    cr_assert_eq(green_setschedparam(thread, SCHED_FIFO, &param), EPERM);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(stats_now().threads_live, 1);
}

ON_BOTH(bound_sched, scheduling_is_checked)
{
    green_attr_t attr = bound_attr(), plain;
    struct sched_param param = {.sched_priority = -1}, *volatile none = NULL;
    int value = -1;
    cr_assert_eq(green_attr_getinheritsched(&attr, &value), 0);
    cr_assert_eq(value, GREEN_INHERIT_SCHED);
    cr_assert_eq(green_attr_getschedpolicy(&attr, &value), 0);
    cr_assert_eq(value, SCHED_OTHER);
    cr_assert_eq(green_attr_getschedparam(&attr, &param), 0);
    cr_assert_eq(param.sched_priority, 0);
    cr_assert_eq(green_attr_setinheritsched(&attr, 2), EINVAL);
    cr_assert_eq(green_attr_setschedpolicy(&attr, 99), EINVAL);
    cr_assert_eq(green_attr_setschedparam(&attr, none), EINVAL);
    cr_assert_eq(green_attr_setschedparam(&attr, &(struct sched_param){.sched_priority = 100}), EINVAL);
    cr_assert_eq(green_attr_setschedparam(&attr, &(struct sched_param){.sched_priority = -1}), EINVAL);
    attr = scheduled(SCHED_FIFO, 0);
    cr_assert_eq(create_error(&attr, nothing), EINVAL);
    attr = scheduled(SCHED_OTHER, 1);
    cr_assert_eq(create_error(&attr, nothing), EINVAL);
    green_attr_init(&plain);
    green_attr_setinheritsched(&plain, GREEN_EXPLICIT_SCHED);
    cr_assert_eq(create_error(&plain, nothing), 0, "SCHED_OTHER, 0: as every multiplexed thread");
    param.sched_priority = 0;
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), 0);
    param.sched_priority = 1;
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), EINVAL);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, none), EINVAL);
    cr_assert_eq(green_setschedparam(0, SCHED_OTHER, &param), ESRCH);
}
