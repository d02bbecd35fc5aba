/*
 * Deadlines of any number: a wheel of slots of 262 us each for 268 ms, and a pairing heap on either side of it.
 *
 * A deadline within the wheel is on its slot's list, in no order: to insert and to remove it costs no more with a hundred
 * thousand others than with one, and touches its neighbours on the list only.  When a slot's time comes, its deadlines
 * go to the heap `near`, which keeps them in their exact order until they pass: that heap is small, and whom it touches
 * will run in a moment.  What is later than the wheel is in the heap `far` until the wheel reaches it.
 *
 * On its way to `near` every node of a list would be waited for, as of a hundred thousand none is in a cache.  So each
 * names, by `child`, the one that came SLOT_SKIP before it, which is fetched in advance.  That one may have left since.
 *
 * Rejected: a pairing heap alone, where whoever is removed from among a hundred thousand touches twenty threads that are
 * in no cache; an array heap for its allocation, as going to sleep must not fail; and a wheel alone, for rounding
 * deadlines to its slots.
 */
#ifndef DEADLINES_H
#define DEADLINES_H

#include "base/heap.h"

enum { SLOT_SHIFT = 18, SLOTS = 1024, SLOT_SKIP = 5 };

/*
 * Where a deadline is follows from its slot's number, deadline >> SLOT_SHIFT: below `next` it is near, below
 * next + SLOTS in the wheel, else far.  All zero is empty.
 */
struct deadlines {
    uint64_t next;
    struct heap near;
    struct heap far;
    uint64_t used[SLOTS / 64]; /* a bit for each slot that is not empty */
    struct deadlines_slot {
        struct heap_node *first;             /* a list by next and prev; the first has no prev */
        uint64_t earliest;                   /* no deadline of the slot is earlier; only while it is used */
        struct heap_node *newest[SLOT_SKIP]; /* who came last, by turns */
        uint64_t inserts;
    } slots[SLOTS];
};

/* node->deadline is set; below UINT64_MAX. */
void deadlines_insert(struct deadlines *all, struct heap_node *node);
void deadlines_remove(struct deadlines *all, struct heap_node *node);

/* Remove the first; NULL when it has not come by `now`. */
struct heap_node *deadlines_pop(struct deadlines *all, uint64_t now);

/* The first: none is earlier, and there may be none so early when some were removed.  UINT64_MAX: there are none. */
uint64_t deadlines_first(const struct deadlines *all);

#endif
