/*
 * A pairing heap of deadlines, intrusive: inserting never allocates, so going to sleep cannot fail for want of
 * memory.
 *
 * insert and peek are O(1), remove is O(log n) amortised.  An array heap was rejected for the allocation, a timer
 * wheel for rounding deadlines to its ticks.
 */
#ifndef HEAP_H
#define HEAP_H

#include <stdint.h>

struct heap_node {
    uint64_t deadline;
    struct heap_node *child; /* first of the children, none earlier than this node */
    struct heap_node *next;  /* next sibling */
    struct heap_node *prev;  /* previous sibling, or the parent of a first child; NULL for the root */
};

struct heap {
    struct heap_node *root;
};

void heap_insert(struct heap *heap, struct heap_node *node);
void heap_remove(struct heap *heap, struct heap_node *node);

#endif
