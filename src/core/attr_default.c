/* The attributes of threads that are created without. */
#include <errno.h>

#include "core/attr_default.h"
#include "core/sched.h"

_Atomic bool attr_default_set;
static struct lock default_lock;
static green_attr_t defaults; /* guarded by default_lock; means something once attr_default_set */

void attr_default_fork_reset(void)
{
    default_lock.word = 0;
}

int green_getattr_default_np(green_attr_t *attr)
{
    int error = green_attr_init(attr);

    if (error || !atomic_load(&attr_default_set))
        return error;
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    lock_acquire(&default_lock, RANK_DEFAULTS);
    *attr = defaults;
    lock_release(&default_lock, RANK_DEFAULTS);
    leave(self);
    return 0;
}

int green_setattr_default_np(const green_attr_t *attr)
{
    if (!attr || !attr_valid(attr) || attr->__stack_addr)
        return EINVAL;
    struct thread *self = enter();
    if (!self)
        return ENOMEM;
    lock_acquire(&default_lock, RANK_DEFAULTS);
    defaults = *attr;
    lock_release(&default_lock, RANK_DEFAULTS);
    atomic_store(&attr_default_set, true);
    leave(self);
    return 0;
}
