/* Attributes of read-write locks.  rwlock.c has what comes of them. */
#include "sync/rwlockattr.h"

#include <errno.h>
#include <string.h>

#include "sync/shared.h"

int green_rwlockattr_init(green_rwlockattr_t *attr)
{
    if (!attr)
        return EINVAL;
    memset(attr, 0, sizeof *attr);
    attr->__kind = GREEN_RWLOCK_DEFAULT_NP;
    return 0;
}

int green_rwlockattr_destroy(green_rwlockattr_t *attr)
{
    return attr ? 0 : EINVAL;
}

int green_rwlockattr_setpshared(green_rwlockattr_t *attr, int shared)
{
    return attr ? shared_set(&attr->__shared, shared) : EINVAL;
}

int green_rwlockattr_getpshared(const green_rwlockattr_t *attr, int *shared)
{
    return attr ? shared_get(&attr->__shared, shared) : EINVAL;
}

static bool kind_valid(int kind)
{
    return kind >= GREEN_RWLOCK_PREFER_READER_NP && kind <= GREEN_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
}

int green_rwlockattr_setkind_np(green_rwlockattr_t *attr, int kind)
{
    if (!attr || !kind_valid(kind))
        return EINVAL;
    attr->__kind = kind;
    return 0;
}

int green_rwlockattr_getkind_np(const green_rwlockattr_t *attr, int *kind)
{
    if (!attr || !kind)
        return EINVAL;
    *kind = attr->__kind;
    return 0;
}

bool rwlockattr_valid(const green_rwlockattr_t *attr)
{
    return shared_valid(attr->__shared) && kind_valid(attr->__kind);
}
