/*
 * Stacks: slots of big slabs, a guard page below each.
 *
 * A slab is one MAP_NORESERVE mapping, so a stack costs the pages it has touched and no kernel mapping of its own.
 * Guards are MADV_GUARD_INSTALL where the kernel has it (6.13): they live in the page table and split no mapping.
 * Older kernels get mprotect, which splits the mapping twice and ends at about 32,000 stacks (vm.max_map_count):
 * EAGAIN.  Slots are never unmapped; a released one stays with its thread structure for the next thread of its size.
 */
#ifndef STACK_H
#define STACK_H

#include <stdbool.h>
#include <stddef.h>

struct stack {
    void *low; /* first usable byte; the guard ends here */
    size_t bytes;
    size_t guard; /* bytes below it that fault */
};

/* Sizes are powers of two from 16 KiB to 1 GiB, plus what the caller reserves at the top of each. */
enum { STACK_CLASSES = 17 };
#define STACK_CLASS_MIN ((size_t)16384)
#define STACK_CLASS_MAX (STACK_CLASS_MIN << (STACK_CLASSES - 1))

/* The smallest class whose stacks have at least so many bytes. */
unsigned stack_class(size_t bytes);

/* A new stack of a class with `reserve` more bytes at its top: 0, ENOMEM or EAGAIN. */
int stack_map(unsigned class, size_t reserve, struct stack *stack);

/* A mapping for one stack alone, of at least so many bytes each, the guard's and its own: 0, ENOMEM or EAGAIN. */
int stack_map_alone(size_t bytes, size_t guard, struct stack *stack);
void stack_unmap(const struct stack *stack);

size_t stack_page_bytes(void);

/* A stack that nobody is on: give back all pages but the few below `top` that every thread touches. */
void stack_trim(const struct stack *stack, const void *top);

/* True when the address lies in the guard of a stack. */
bool stack_in_guard(const struct stack *stack, const void *address);

/* In the child of a fork: start new slabs, as the old ones may have been in the middle of a change. */
void stack_fork_reset(void);

#endif
