/*
 * The kind of a read-write lock, as an attribute.  rwlock.c has what comes of it.
 */
#include <errno.h>
#include <stdbool.h>

#include <green/sync.h>

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
