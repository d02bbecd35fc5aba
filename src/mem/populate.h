/* Is memory there, and bring it: without a fault that the program would take.  See populate.c. */
#ifndef POPULATE_H
#define POPULATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Look from *at to `end`, whole pages.  True when the question is settled without waiting for anything: *error is 0
 * when all is mapped and readable, or ENOMEM.  False when something may have to be brought in from *at on.
 */
bool populate_look(uintptr_t *at, uintptr_t end, int *error);

/* Bring pages in, and wait for them.  At depth 0.  0, ENOMEM or EFAULT. */
int populate(uintptr_t at, uintptr_t end);

#endif
