/* The wheel and the heaps of deadlines, beside an array that is searched through. */
#include <stdlib.h>

#include "base/base.h"
#include "base/deadlines.h"
#include "unit.h"

enum { NODES = 500, STEPS = 200000 };

static struct deadlines all;
static struct heap_node nodes[NODES];
static bool queued[NODES];

static uint64_t random_number(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 33;
}

/* Microseconds to hours, many of them equal, and some past. */
static uint64_t random_deadline(uint64_t *state, uint64_t now)
{
    static const uint64_t spans[] = {1000, 300000, 5000000, 100000000, 400000000, 20000000000, 4000000000000};
    const uint64_t span = spans[random_number(state) % 7], back = random_number(state) % 8 == 0 ? 50000000 : 0;

    return now - back + random_number(state) % 64 * (span / 64);
}

static int first_queued(void)
{
    int first = -1;

    for (int i = 0; i < NODES; i++)
        if (queued[i] && (first < 0 || nodes[i].deadline < nodes[first].deadline))
            first = i;
    return first;
}

/* All that have come, in order, and no other. */
static void pop_all(uint64_t now)
{
    struct heap_node *node;
    int first;

    while ((node = deadlines_pop(&all, now))) {
        first = first_queued();
        cr_assert(first >= 0 && node->deadline == nodes[first].deadline && node->deadline <= now);
        cr_assert(queued[node - nodes]);
        queued[node - nodes] = false;
    }
    first = first_queued();
    cr_assert(first < 0 || nodes[first].deadline > now);
}

static void check_first(void)
{
    const int first = first_queued();

    if (first < 0)
        cr_assert(deadlines_first(&all) == UINT64_MAX);
    else
        cr_assert(deadlines_first(&all) <= nodes[first].deadline);
}

Test(deadlines, pop_in_order_whatever_is_inserted_and_removed)
{
    uint64_t state = 42, now = clock_now();

    for (int step = 0; step < STEPS; step++) {
        const size_t at = random_number(&state) % NODES;
        if (queued[at]) {
            deadlines_remove(&all, &nodes[at]);
            queued[at] = false;
        } else {
            nodes[at].deadline = random_deadline(&state, now);
            deadlines_insert(&all, &nodes[at]);
            queued[at] = true;
        }
        if (random_number(&state) % 16 == 0) {
            now += random_number(&state) % 8 == 0 ? 300000000 : random_number(&state) % 3000000;
            pop_all(now);
            check_first();
        }
    }
    pop_all(UINT64_MAX);
    cr_assert_eq(deadlines_first(&all), UINT64_MAX);
}

Test(deadlines, first_is_exact_unless_something_was_removed)
{
    const uint64_t now = clock_now();

    nodes[0].deadline = now + 3600000000000;
    deadlines_insert(&all, &nodes[0]);
    cr_assert_eq(deadlines_first(&all), nodes[0].deadline);
    nodes[1].deadline = now + 50000000;
    deadlines_insert(&all, &nodes[1]);
    cr_assert_eq(deadlines_first(&all), nodes[1].deadline);
    nodes[2].deadline = now + 49000000;
    deadlines_insert(&all, &nodes[2]);
    cr_assert_eq(deadlines_first(&all), nodes[2].deadline);
    cr_assert_null(deadlines_pop(&all, now + 48000000));
    cr_assert_eq(deadlines_pop(&all, now + 49000000), &nodes[2]);
    cr_assert_eq(deadlines_first(&all), nodes[1].deadline);
    deadlines_remove(&all, &nodes[1]);
    cr_assert_eq(deadlines_first(&all), nodes[0].deadline);
    deadlines_remove(&all, &nodes[0]);
    cr_assert_eq(deadlines_first(&all), UINT64_MAX);
}
