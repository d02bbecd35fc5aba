/*
 * What the tests of policies share: see policy.h.
 */
#include "policy.h"

static _Atomic char order[ORDER_MAX];
atomic_uint order_length;

void note(char who)
{
    atomic_store(&order[atomic_fetch_add(&order_length, 1)], who);
}

/* On one processor, too, to C and to ThreadSanitizer nothing keeps a plain string from changing while it is read. */
const char *noted(void)
{
    static char copy[ORDER_MAX];

    for (unsigned i = 0; i < ORDER_MAX; i++)
        copy[i] = atomic_load(&order[i]);
    return copy;
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
    must(policy == (param.sched_priority ? SCHED_RR : SCHED_OTHER));
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
