/*
 * Policies of the program's own, and storms under every policy.
 */
#include "policy.h"

TestSuite(policy_own, .timeout = LIMIT);

/* A policy of ours: last in, first out; and it watches how it is called. */
static struct {
    struct green_task *top;
    atomic_int inside;
    unsigned long enqueued, picked, whys[GREEN_CHANGED + 1];
    uint64_t tickets;
    uint64_t ran;
} lifo;

static void lifo_enter(void)
{
    must(atomic_fetch_add(&lifo.inside, 1) == 0);
}

static void lifo_leave(void)
{
    atomic_fetch_sub(&lifo.inside, 1);
}

static void lifo_reset(void)
{
    lifo.top = NULL;
}

static void lifo_enqueue(struct green_task *task, enum green_why why)
{
    lifo_enter();
    task->next = lifo.top;
    lifo.top = task;
    lifo.enqueued++;
    lifo.tickets += task->weight;
    lifo.whys[why]++;
    lifo_leave();
}

static struct green_task *lifo_pick(unsigned processor)
{
    lifo_enter();
    struct green_task *task = lifo.top;
    must(task && processor < 1024);
    lifo.top = task->next;
    lifo.picked++;
    lifo.tickets -= task->weight; /* as when it was kept */
    lifo_leave();
    return task;
}

static void lifo_ran(struct green_task *task, uint64_t ns)
{
    lifo_enter();
    must(task->thread != 0 && task->ran_ns >= ns);
    lifo.ran += ns;
    lifo_leave();
}

static const struct green_policy lifo_policy = {
    .name = "lifo", .reset = lifo_reset, .enqueue = lifo_enqueue, .pick = lifo_pick, .ran = lifo_ran};

Test(policy_own, of_the_program)
{
    struct green_config config = {.procs = 1, .preempt = GREEN_OFF, .policy = &lifo_policy};
    green_t threads[3];
    start_config(&config);
    cr_assert_str_eq(green_policy_name(), "lifo");
    threads[0] = spawn(note_arg, "a");
    threads[1] = spawn(note_arg, "b");
    threads[2] = spawn(note_arg, "c");
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
    cr_assert_str_eq(noted(), "cba");
    cr_assert_eq(atomic_load(&lifo.inside), 0);
    cr_assert_eq(lifo.whys[GREEN_CREATED], 3);
    cr_assert_gt(lifo.whys[GREEN_WOKEN], 0, "main, by the end of whom it joined");
    cr_assert_eq(lifo.enqueued, lifo.picked);
    cr_assert_gt(lifo.ran, 0);
}

/* First in, first out, by the same functions but one: nobody starves in a storm. */
static void fifo_enqueue(struct green_task *task, enum green_why why)
{
    struct green_task **end = &lifo.top;
    lifo_enter();
    while (*end)
        end = &(*end)->next;
    task->next = NULL;
    *end = task;
    lifo.enqueued++;
    lifo.tickets += task->weight;
    lifo.whys[why]++;
    lifo_leave();
}

static const struct green_policy fifo_policy = {
    .name = "fifo", .reset = lifo_reset, .enqueue = fifo_enqueue, .pick = lifo_pick, .ran = lifo_ran};

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static uint64_t plain;
static atomic_ulong locked;
static _Atomic green_t stormers[STORM_THREADS];

static void work_step(unsigned index, uint64_t round)
{
    if (round % 4 == 0)
        must(green_setschedprio(green_self(), (int)((round / 4 + index) % 5)) == 0);
    if (round == 0)
        atomic_store(&stormers[index], green_self());
    green_t other = atomic_load(&stormers[(index + 1) % STORM_THREADS]);
    if (other && round % 8 == 1)
        must(green_setweight_np(other, (unsigned)(1 + (round + index) % 300)) != EINVAL); /* it may have ended */
    must(green_mutex_lock(&mutex) == 0);
    plain++;
    if (round % 16 == index)
        green_yield();
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&locked, 1);
    if (round % 32 == 0)
        join_result(spawn(wait_at, &(green_sem_t){.__value = 2}));
    if (round % 4 == 1)
        green_usleep(50);
}

static void check_storm(const struct green_policy *policy, unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON, .policy = policy};
    start_config(&config);
    main_at(9);
    storm(work_step);
    cr_assert_eq(plain, atomic_load(&locked));
    cr_assert_eq(stats_now().threads_live, 1);
}

#ifndef __SANITIZE_ADDRESS__ /* for whose locks an urgent thread spins, while their holder is not let run */
Test(policy_own, storm_priority_on_1)
{
    check_storm(green_policy_by_name("priority"), 1);
}

Test(policy_own, storm_priority_on_2)
{
    check_storm(green_policy_by_name("priority"), 2);
}
#endif

Test(policy_own, storm_fair_on_1)
{
    check_storm(green_policy_by_name("fair"), 1);
}

Test(policy_own, storm_fair_on_3)
{
    check_storm(green_policy_by_name("fair"), 3);
}

Test(policy_own, storm_of_the_programs_on_2)
{
    check_storm(&fifo_policy, 2);
    cr_assert_eq(lifo.enqueued, lifo.picked);
    cr_assert_eq(lifo.tickets, 0, "a weight changed while the policy kept the thread");
    cr_assert_gt(lifo.whys[GREEN_SLICE_OVER], 0);
    cr_assert_gt(lifo.whys[GREEN_YIELDED], 0);
}
