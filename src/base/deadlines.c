/* The deadlines.  See deadlines.h. */
#include "base/deadlines.h"

#include <stddef.h>

#include "base/base.h"

static uint64_t slot_of(const struct heap_node *node)
{
    return node->deadline >> SLOT_SHIFT;
}

static void slot_insert(struct deadlines *all, struct heap_node *node)
{
    const size_t at = slot_of(node) % SLOTS;
    const uint64_t bit = UINT64_C(1) << at % 64;
    struct deadlines_slot *slot = &all->slots[at];
    struct heap_node **turn = &slot->newest[slot->inserts++ % SLOT_SKIP];

    node->child = *turn;
    *turn = node;
    node->prev = NULL;
    node->next = slot->first;
    if (slot->first)
        slot->first->prev = node;
    if (!(all->used[at / 64] & bit) || node->deadline < slot->earliest)
        slot->earliest = node->deadline;
    all->used[at / 64] |= bit;
    slot->first = node;
}

static void slot_remove(struct deadlines *all, struct heap_node *node)
{
    const size_t at = slot_of(node) % SLOTS;

    if (node->next)
        node->next->prev = node->prev;
    if (node->prev)
        node->prev->next = node->next;
    else
        all->slots[at].first = node->next;
    if (!all->slots[at].first)
        all->used[at / 64] &= ~(UINT64_C(1) << at % 64);
}

/* The number of the first slot that is used, from `next` on; next + SLOTS when none is. */
static uint64_t first_used(const struct deadlines *all)
{
    const size_t start = all->next % SLOTS;
    uint64_t word = all->used[start / 64] & (~UINT64_C(0) << start % 64);

    for (size_t i = 0; i <= SLOTS / 64; i++) {
        const size_t at = (start / 64 + i) % (SLOTS / 64);
        if (i > 0)
            word = all->used[at];
        if (i == SLOTS / 64)
            word &= ~(~UINT64_C(0) << start % 64);
        if (word)
            return all->next + (at * 64 + (size_t)__builtin_ctzll(word) - start) % SLOTS;
    }
    return all->next + SLOTS;
}

/* All of the slot become near. */
static void slot_come(struct deadlines *all, uint64_t slot)
{
    struct heap_node *node = all->slots[slot % SLOTS].first;

    all->slots[slot % SLOTS].first = NULL;
    all->used[slot % SLOTS / 64] &= ~(UINT64_C(1) << slot % 64);
    while (node) {
        struct heap_node *next = node->next;
        __builtin_prefetch(node->child, 1); /* at worst in vain */
        heap_insert(&all->near, node);
        node = next;
    }
}

/* What is not far any more since `next` has changed. */
static void pull_far(struct deadlines *all)
{
    struct heap_node *node;

    while ((node = all->far.root) && slot_of(node) < all->next + SLOTS) {
        heap_remove(&all->far, node);
        if (slot_of(node) < all->next)
            heap_insert(&all->near, node);
        else
            slot_insert(all, node);
    }
}

/* Nothing is near or in the wheel, which may not have turned for a long time. */
static bool wheel_rests(const struct deadlines *all)
{
    return !all->near.root && first_used(all) == all->next + SLOTS;
}

static void turn(struct deadlines *all, uint64_t next)
{
    all->next = next;
    pull_far(all);
}

void deadlines_insert(struct deadlines *all, struct heap_node *node)
{
    if (slot_of(node) >= all->next + SLOTS && wheel_rests(all))
        turn(all, clock_now() >> SLOT_SHIFT);
    if (slot_of(node) < all->next)
        heap_insert(&all->near, node);
    else if (slot_of(node) < all->next + SLOTS)
        slot_insert(all, node);
    else
        heap_insert(&all->far, node);
}

void deadlines_remove(struct deadlines *all, struct heap_node *node)
{
    if (slot_of(node) < all->next)
        heap_remove(&all->near, node);
    else if (slot_of(node) < all->next + SLOTS)
        slot_remove(all, node);
    else
        heap_remove(&all->far, node);
}

/* The next slot comes only when nothing is near any more: when many deadlines are late, most stay in the wheel. */
struct heap_node *deadlines_pop(struct deadlines *all, uint64_t now)
{
    struct heap_node *node;

    while (!(node = all->near.root)) {
        const uint64_t slot = first_used(all);
        if (deadlines_first(all) > now || deadlines_first(all) == NEVER)
            return NULL;
        if (slot == all->next + SLOTS) {
            turn(all, slot_of(all->far.root));
        } else {
            slot_come(all, slot);
            turn(all, slot + 1);
        }
    }
    if (node->deadline > now)
        return NULL;
    heap_remove(&all->near, node);
    return node;
}

uint64_t deadlines_first(const struct deadlines *all)
{
    uint64_t slot;

    if (all->near.root)
        return all->near.root->deadline;
    if ((slot = first_used(all)) < all->next + SLOTS)
        return all->slots[slot % SLOTS].earliest;
    return all->far.root ? all->far.root->deadline : NEVER;
}
