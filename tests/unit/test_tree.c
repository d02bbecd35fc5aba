/*
 * Fork-join trees: depth first, so that memory follows depth and not breadth, and others in line are not passed over.
 */
#include "core/observe.h"
#include "unit.h"

#include <stdatomic.h>

TestSuite(tree, .timeout = LIMIT);

enum { ARITY = 10, DEPTH = 5, THREADS = 111110, BUCKETS = 64 };

/* Threads made and not yet joined, and the most there were. */
static atomic_ulong live, most;

static green_t spawn_counted(void *(*routine)(void *), void *arg)
{
    unsigned long now = atomic_fetch_add(&live, 1) + 1, before = atomic_load(&most);
    while (before < now && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    return spawn(routine, arg);
}

static intptr_t join_counted(green_t thread)
{
    intptr_t result = (intptr_t)join_result(thread);
    atomic_fetch_sub(&live, 1);
    return result;
}

/* The number of threads below one that has so many levels below it.  Children are joined from `levels` on, cyclically. */
static void *grow(void *arg)
{
    intptr_t levels = (intptr_t)arg, below = 0;
    green_t children[ARITY];
    if (levels == 0)
        return NULL;
    for (int i = 0; i < ARITY; i++)
        children[i] = spawn_counted(grow, (void *)(levels - 1));
    for (int i = 0; i < ARITY; i++)
        below += 1 + join_counted(children[(i + levels) % ARITY]);
    return (void *)below;
}

/*
 * A stretch of the tree that is left off, by a preemption or because it joins a thread that another processor has
 * taken, leaves DEPTH threads with ARITY children each.  Each processor works on one stretch; one that waits for
 * another is left off above it, so for each that is worked on or was preempted there are at most DEPTH more.
 */
static void holds_few_threads(unsigned procs)
{
    cr_assert_eq((intptr_t)grow((void *)DEPTH), THREADS);
    struct green_stats stats = stats_now();
    cr_assert_eq(stats.threads_created, THREADS);
    cr_assert_eq(stats.threads_live, 1);
    unsigned long stretches = (procs + stats.preemptions) * (DEPTH + 1);
    cr_assert_leq(atomic_load(&most), stretches * DEPTH * ARITY, "%lu at %lu preemptions", atomic_load(&most),
                  (unsigned long)stats.preemptions);
    cr_assert_leq(stats.stacks_mapped, atomic_load(&most) + procs * BUCKETS);
}

Test(tree, holds_few_threads_on_1)
{
    start_cooperative();
    holds_few_threads(1);
    cr_assert_leq(atomic_load(&most), DEPTH * ARITY, "strictly depth first");
}

Test(tree, holds_few_threads_on_2)
{
    struct green_config config = {.procs = 2, .preempt = GREEN_OFF};
    start_config(&config);
    holds_few_threads(2);
}

Test(tree, holds_few_threads_when_preempted)
{
    struct green_config config = {.procs = 1, .slice_us = 10000, .preempt = GREEN_ON};
    start_config(&config);
    holds_few_threads(1);
}

ON_BOTH(tree, is_complete_under_ticks)
{
    for (int i = 0; i < 5; i++)
        cr_assert_eq((intptr_t)grow((void *)4), 11110);
    cr_assert_eq(stats_now().threads_live, 1);
}

static _Atomic char order[32];
static atomic_int steps;

/* Whether the steps so far were those. */
static int is_order(const char *expected)
{
    for (size_t i = 0; i < sizeof order; i++) {
        if (atomic_load(&order[i]) != expected[i])
            return 0;
        if (!expected[i])
            return 1;
    }
    return 0;
}

static void *step(void *name)
{
    order[atomic_fetch_add(&steps, 1)] = *(char *)name;
    green_yield();
    order[atomic_fetch_add(&steps, 1)] = *(char *)name;
    return NULL;
}

static void spawn_steps(green_t threads[], const char *names)
{
    for (int i = 0; names[i]; i++)
        threads[i] = spawn(step, (void *)(names + i));
}

/* The one made last is next; the others stand in line, each behind those that came before it. */
Test(tree, line_is_first_come_first_served)
{
    green_t threads[4];
    start_cooperative();
    spawn_steps(threads, "a");
    green_yield();
    spawn_steps(threads + 1, "bcd");
    green_yield();
    cr_assert(is_order("adabc"), "a had come to the line before b and c");
    green_yield();
    cr_assert(is_order("adabcdbc"));
    for (int i = 0; i < 4; i++)
        join_result(threads[i]);
}

/* b runs first and goes to the end of the line when it yields; a, c and main keep their places. */
Test(tree, joined_thread_leaves_the_line)
{
    green_t threads[4];
    start_cooperative();
    spawn_steps(threads, "abcd");
    join_result(threads[1]);
    cr_assert(is_order("bdacb"));
    for (int i = 0; i < 4; i++)
        if (i != 1)
            join_result(threads[i]);
    cr_assert(is_order("bdacbdac"));
}

static void *nothing(void *arg)
{
    atomic_fetch_add(&steps, 1);
    return arg;
}

static void *join_it(void *thread)
{
    return (void *)(intptr_t)green_join(*(green_t *)thread, NULL);
}

/* Who may not join it makes it start all the same, once. */
ON_BOTH(tree, refused_joins_of_a_thread_that_has_not_started)
{
    for (int i = 1; i <= 1000; i++) {
        green_t detached = spawn(nothing, NULL), other = spawn(nothing, NULL);
        cr_assert_eq(green_detach(detached), 0);
        int error = green_join(detached, NULL);
        cr_assert(error == EINVAL || error == ESRCH);
        join_result(other);
        wait_for(atomic_load(&steps) == 2 * i);
    }
    wait_for(stats_now().threads_live == 1);
}

ON_BOTH(tree, one_of_two_joiners_is_told)
{
    for (int i = 1; i <= 1000; i++) {
        green_t target = spawn(nothing, NULL), a = spawn(join_it, &target), b = spawn(join_it, &target);
        intptr_t of_a = (intptr_t)join_result(a), of_b = (intptr_t)join_result(b);
        cr_assert((of_a == 0) != (of_b == 0));
        cr_assert(of_a + of_b == EINVAL || of_a + of_b == ESRCH);
        cr_assert_eq(atomic_load(&steps), i);
    }
}

static atomic_bool over;

/* A tree without an end: as one is complete, the next one grows. */
static void *grow_for_ever(void *arg)
{
    while (!atomic_load(&over))
        grow((void *)3);
    return arg;
}

/* On one processor, where the first preemption is the own one. */
static void hog_for_a_slice(uint64_t preemptions_before)
{
    while (stats_now().preemptions == preemptions_before)
        ;
}

/*
 * The thread that measures, and the preemptions there had been when it was next dispatched, or 0.  It could not count
 * them itself: when the machine is busy, the slice it comes back for may be over before it looks.
 */
static green_t measuring;
static atomic_ulong back_at;

static void note_return(unsigned proc, green_t thread, const char *name)
{
    (void)proc, (void)name;
    if (thread == measuring && atomic_load(&back_at) == 0)
        atomic_store(&back_at, stats_now().preemptions);
}

/*
 * How many slices end from the end of the own one, which is counted, until the next begins.  What `sample` looks at is
 * as it is when the own slice ends, as nobody else runs until then.
 */
static uint64_t slices_of_a_round(void (*sample)(void))
{
    measuring = green_self();
    switch_observe(note_return);
    green_critical_enter();
    sample();
    uint64_t before = stats_now().preemptions;
    atomic_store(&back_at, 0);
    green_critical_leave();
    hog_for_a_slice(before);
    return atomic_load(&back_at) - before;
}

static void sample_most(void)
{
    atomic_store(&most, atomic_load(&live));
}

/* For each thread that stands in line two slices may end: its own, and that of one which it made ready. */
Test(tree, line_does_not_wait_for_trees)
{
    enum { ROUNDS = 300, HOGS = 3 };
    start_unwatched(1);
    green_t root = spawn(grow_for_ever, NULL);
    start_hogs(HOGS);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t slices = slices_of_a_round(sample_most);
        cr_assert_leq(slices, 1 + 2 * (HOGS + 1 + atomic_load(&most)));
    }
    atomic_store(&over, true);
    stop_hogs();
    join_result(root);
}

static atomic_ulong live_then;

/* The library's count: a link of ours may be preempted when it has begun and when it is about to end. */
static void sample_live(void)
{
    atomic_store(&live_then, stats_now().threads_live);
}

/* One link of it: make the next one, and hog the processor for a slice. */
static void *chain(void *arg)
{
    if (atomic_load(&over))
        return arg;
    green_t next = spawn(chain, arg);
    must(green_detach(next) == 0);
    hog_for_a_slice(stats_now().preemptions);
    return arg;
}

/* At the end of each slice there is a thread that was made in it; who stood in line before does not wait for all. */
Test(tree, line_does_not_wait_for_a_chain)
{
    enum { ROUNDS = 100 };
    start_unwatched(1);
    green_t first = spawn(chain, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t slices = slices_of_a_round(sample_live);
        cr_assert_leq(slices, 1 + 2 * atomic_load(&live_then));
    }
    atomic_store(&over, true);
    join_result(first);
    wait_for(stats_now().threads_live == 1);
}
