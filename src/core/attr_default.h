/* The attributes of threads that are created without.  See green_setattr_default_np(). */
#ifndef ATTR_DEFAULT_H
#define ATTR_DEFAULT_H

#include <stdatomic.h>
#include <stdbool.h>

#include <green.h>

/* The program has set them. */
extern _Atomic bool attr_default_set;

/* In the child of a fork. */
void attr_default_fork_reset(void);

/* attr.c: initialised, and nothing in it that no call would have set. */
bool attr_valid(const green_attr_t *attr);
/* A bound thread's: it is said so, or they ask for what only the kernel can give. */
bool attr_wants_kernel_thread(const green_attr_t *attr);

#endif
