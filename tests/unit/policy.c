/*
 * What the tests of policies share: see policy.h.
 */
#include "policy.h"

char order[ORDER_MAX];
atomic_uint order_length;

void note(char who)
{
    order[atomic_fetch_add(&order_length, 1)] = who;
}

void start_policy(const char *name, unsigned procs, unsigned slice_us)
{
    struct green_config config = {.procs = procs, .slice_us = slice_us, .preempt = GREEN_ON};
    config.policy = green_policy_by_name(name);
    if (procs == 1) /* or the processor of a thread that waits for a page, or for memory, goes to one less urgent */
        config.monitor = GREEN_MONITOR_OFF;
    cr_assert(config.policy);
    start_config(&config);
    cr_assert_str_eq(green_policy_name(), name);
}

void main_at(int priority)
{
    must(green_setschedprio(green_self(), priority) == 0);
}

int priority_of(green_t thread)
{
    struct sched_param param = {.sched_priority = -1};
    int policy = -1;
    must(green_getschedparam(thread, &policy, &param) == 0);
    must(policy == SCHED_RR);
    return param.sched_priority;
}

void *wait_at(void *gate)
{
    green_sem_wait(gate);
    return NULL;
}

void *note_arg(void *who)
{
    note(*(const char *)who);
    return NULL;
}
