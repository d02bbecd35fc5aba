/* Mutex attributes, and what a mutex keeps of them. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "sync/mutex.h"
#include "sync/shared.h"

int green_mutexattr_init(green_mutexattr_t *attr)
{
    if (!attr)
        return EINVAL;
    memset(attr, 0, sizeof *attr);
    attr->__kind = GREEN_MUTEX_DEFAULT;
    attr->__ceiling = sched_get_priority_min(SCHED_FIFO);
    return 0;
}

int green_mutexattr_destroy(green_mutexattr_t *attr)
{
    return attr ? 0 : EINVAL;
}

static bool type_valid(int type)
{
    return type >= GREEN_MUTEX_NORMAL && type <= GREEN_MUTEX_ERRORCHECK;
}

static bool protocol_valid(int protocol)
{
    return protocol >= GREEN_PRIO_NONE && protocol <= GREEN_PRIO_PROTECT;
}

static bool robust_valid(int robust)
{
    return robust == GREEN_MUTEX_STALLED || robust == GREEN_MUTEX_ROBUST;
}

static bool ceiling_valid(int ceiling)
{
    return ceiling >= sched_get_priority_min(SCHED_FIFO) && ceiling <= sched_get_priority_max(SCHED_FIFO);
}

static int set(int *field, int value, bool valid)
{
    if (!valid)
        return EINVAL;
    *field = value;
    return 0;
}

static int get(const int *field, int *value)
{
    if (!value)
        return EINVAL;
    *value = *field;
    return 0;
}

int green_mutexattr_settype(green_mutexattr_t *attr, int type)
{
    return attr ? set(&attr->__kind, type, type_valid(type)) : EINVAL;
}

int green_mutexattr_gettype(const green_mutexattr_t *attr, int *type)
{
    return attr ? get(&attr->__kind, type) : EINVAL;
}

int green_mutexattr_setprotocol(green_mutexattr_t *attr, int protocol)
{
    return attr ? set(&attr->__protocol, protocol, protocol_valid(protocol)) : EINVAL;
}

int green_mutexattr_getprotocol(const green_mutexattr_t *attr, int *protocol)
{
    return attr ? get(&attr->__protocol, protocol) : EINVAL;
}

int green_mutexattr_setprioceiling(green_mutexattr_t *attr, int ceiling)
{
    return attr ? set(&attr->__ceiling, ceiling, ceiling_valid(ceiling)) : EINVAL;
}

int green_mutexattr_getprioceiling(const green_mutexattr_t *attr, int *ceiling)
{
    return attr ? get(&attr->__ceiling, ceiling) : EINVAL;
}

int green_mutexattr_setrobust(green_mutexattr_t *attr, int robust)
{
    return attr ? set(&attr->__robust, robust, robust_valid(robust)) : EINVAL;
}

int green_mutexattr_getrobust(const green_mutexattr_t *attr, int *robust)
{
    return attr ? get(&attr->__robust, robust) : EINVAL;
}

int green_mutexattr_setpshared(green_mutexattr_t *attr, int shared)
{
    return attr ? shared_set(&attr->__shared, shared) : EINVAL;
}

int green_mutexattr_getpshared(const green_mutexattr_t *attr, int *shared)
{
    return attr ? shared_get(&attr->__shared, shared) : EINVAL;
}

/* The owner's end, and his priority, are known in his own process alone. */
static bool sharable(const green_mutexattr_t *attr)
{
    return !attr->__robust && attr->__protocol == GREEN_PRIO_NONE;
}

static unsigned kind_of(const green_mutexattr_t *attr)
{
    static const unsigned protocols[] = {0, MUTEX_INHERIT, MUTEX_PROTECT};

    return (unsigned)attr->__kind | protocols[attr->__protocol] | (attr->__robust ? MUTEX_ROBUST : 0);
}

static void set_ceiling(green_mutex_t *mutex, int ceiling)
{
    const unsigned rest = mutex->__kind & ((1U << MUTEX_CEILING_SHIFT) - 1);

    __atomic_store_n(&mutex->__kind, rest | (unsigned)ceiling << MUTEX_CEILING_SHIFT, __ATOMIC_RELAXED);
}

int green_mutex_init(green_mutex_t *mutex, const green_mutexattr_t *attr)
{
    if (!mutex || (attr && (!type_valid(attr->__kind) || !protocol_valid(attr->__protocol) ||
                            !robust_valid(attr->__robust) || !ceiling_valid(attr->__ceiling) ||
                            !shared_valid(attr->__shared))))
        return EINVAL;
    if (attr && attr->__shared && !sharable(attr))
        return ENOTSUP;
    memset(mutex, 0, sizeof *mutex);
    mutex->__kind = attr ? kind_of(attr) : GREEN_MUTEX_DEFAULT;
    if (mutex->__kind & MUTEX_PROTECT)
        set_ceiling(mutex, attr->__ceiling);
    if (attr && attr->__shared)
        shared_mutex_init(mutex);
    return 0;
}

int green_mutex_getprioceiling(const green_mutex_t *mutex, int *ceiling)
{
    if (!mutex || !ceiling || !(mutex->__kind & MUTEX_PROTECT))
        return EINVAL;
    *ceiling = mutex_ceiling(mutex);
    return 0;
}

int green_mutex_setprioceiling(green_mutex_t *mutex, int ceiling, int *old)
{
    if (!mutex || !(mutex->__kind & MUTEX_PROTECT) || !ceiling_valid(ceiling))
        return EINVAL;
    int error = green_mutex_lock(mutex);
    if (error)
        return error;
    if (old)
        *old = mutex_ceiling(mutex);
    set_ceiling(mutex, ceiling);
    return green_mutex_unlock(mutex);
}
