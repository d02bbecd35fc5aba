/* Objects whose waiters are threads of this process cannot be shared with others. */
#ifndef SHARED_H
#define SHARED_H

#include <errno.h>

#include <green/sync.h>

/* What a setpshared() returns that keeps nothing, as there is but one value. */
static inline int shared_set(const void *attr, int shared)
{
    if (!attr || (shared != GREEN_PROCESS_PRIVATE && shared != GREEN_PROCESS_SHARED))
        return EINVAL;
    return shared == GREEN_PROCESS_SHARED ? ENOTSUP : 0;
}

static inline int shared_get(const void *attr, int *shared)
{
    if (!attr || !shared)
        return EINVAL;
    *shared = GREEN_PROCESS_PRIVATE;
    return 0;
}

#endif
