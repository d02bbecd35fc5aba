/*
 * A scheduling policy of one's own: a lottery (after Waldspurger and Weihl, 1994), beside those of the library.
 *
 * Three threads that never yield have weights 1, 2 and 4, and priorities 1, 2 and 3.  Under each policy they compute for
 * as long; printed is who had how much of the processor.  Round robin gives all the same, strict priorities all to one,
 * fair shares and the lottery each its weight's.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <green/policy.h>
#include <green/sched.h>

#include "common.h"

enum { THREADS = 3, RUN_MS = 1500, SLICE_US = 1000 };

/* The policy: threads hold as many tickets as they weigh; one is drawn, and its holder runs. */
static struct {
    struct green_task *first;
    uint64_t tickets, random;
} lottery;

static void lottery_reset(void)
{
    lottery.first = NULL;
    lottery.tickets = 0;
    lottery.random = 88172645463325252U;
}

static void lottery_enqueue(struct green_task *task, enum green_why why)
{
    (void)why;
    task->next = lottery.first;
    lottery.first = task;
    lottery.tickets += task->weight;
}

static uint64_t lottery_draw(void)
{
    lottery.random ^= lottery.random << 13;
    lottery.random ^= lottery.random >> 7;
    lottery.random ^= lottery.random << 17;
    return lottery.random % lottery.tickets;
}

static struct green_task *lottery_pick(unsigned processor)
{
    struct green_task **link = &lottery.first, *winner;
    uint64_t ticket = lottery_draw();

    (void)processor;
    for (; ticket >= (*link)->weight; link = &(*link)->next)
        ticket -= (*link)->weight;
    winner = *link;
    *link = winner->next;
    lottery.tickets -= winner->weight;
    return winner;
}

static const struct green_policy lottery_policy = {
    .name = "lottery", .reset = lottery_reset, .enqueue = lottery_enqueue, .pick = lottery_pick};

/* The rest of this page is the comparison. */
struct result {
    unsigned long turns[THREADS];
};

static atomic_bool over;
static atomic_ulong turns[THREADS];

static void *compute(void *turn)
{
    while (!atomic_load_explicit(&over, memory_order_relaxed))
        atomic_fetch_add_explicit((atomic_ulong *)turn, 1, memory_order_relaxed);
    return NULL;
}

/* Round robin has neither. */
static void rank(green_t thread, int priority, unsigned weight)
{
    if (strcmp(green_policy_name(), "rr") == 0)
        return;
    MUST(green_setschedprio(thread, priority));
    MUST(green_setweight_np(thread, weight));
}

static void compete(const void *settings, void *result)
{
    struct green_config config = {.procs = 1, .slice_us = SLICE_US, .preempt = GREEN_ON};
    struct result *counts = result;
    green_t threads[THREADS];

    config.policy = *(const struct green_policy *const *)settings;
    MUST(green_init(&config));
    rank(green_self(), GREEN_PRIORITY_MAX, GREEN_WEIGHT_MAX); /* to stop them in time */
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread("compute", compute, &turns[i]);
        rank(threads[i], i + 1, 100U << i);
    }
    sleep_until(now_ns() + RUN_MS * UINT64_C(1000000));
    for (int i = 0; i < THREADS; i++)
        counts->turns[i] = atomic_load(&turns[i]);
    atomic_store(&over, true);
    for (int i = 0; i < THREADS; i++)
        MUST(green_join(threads[i], NULL));
}

static int show(const struct green_policy *policy)
{
    struct result result;
    unsigned long sum = 0;

    if (in_child(compete, &policy, &result, sizeof result) != 0)
        return 1;
    for (int i = 0; i < THREADS; i++)
        sum += result.turns[i];
    printf("%-10s", policy->name);
    for (int i = 0; i < THREADS; i++)
        printf("%11.1f %%", 100.0 * (double)result.turns[i] / (double)sum);
    putchar('\n');
    return 0;
}

int main(void)
{
    int failed = 0;

    printf("%-10s%13s%13s%13s\n", "weight", "1", "2", "4");
    printf("%-10s%13s%13s%13s\n", "priority", "1", "2", "3");
    failed += show(green_policy_by_name("rr"));
    failed += show(green_policy_by_name("priority"));
    failed += show(green_policy_by_name("fair"));
    failed += show(&lottery_policy);
    return failed;
}
