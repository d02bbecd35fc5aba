/* See rwlockattr.c. */
#ifndef RWLOCKATTR_H
#define RWLOCKATTR_H

#include <stdbool.h>

#include <green/sync.h>

/* False of one that was never initialised. */
bool rwlockattr_valid(const green_rwlockattr_t *attr);

#endif
