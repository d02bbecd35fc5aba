/* Thread attributes: plain data, checked when it is set and again by green_create(). */
#include <errno.h>
#include <string.h>

#include "core/attr_default.h"
#include "core/policy.h"
#include "core/sched.h"

bool attr_valid(const green_attr_t *attr)
{
    return attr->__stack_bytes >= GREEN_STACK_MIN && attr->__stack_bytes <= STACK_CLASS_MAX &&
           attr->__guard_bytes <= STACK_CLASS_MAX &&
           (attr->__detach_state == GREEN_CREATE_JOINABLE || attr->__detach_state == GREEN_CREATE_DETACHED) &&
           (attr->__scope == GREEN_SCOPE_PROCESS || attr->__scope == GREEN_SCOPE_SYSTEM) &&
           memchr(attr->__name, 0, sizeof attr->__name) && attr->__weight <= GREEN_WEIGHT_MAX;
}

int green_attr_init(green_attr_t *attr)
{
    if (!attr)
        return EINVAL;
    struct thread *self = enter(); /* GREEN_STACK is known once the library runs */
    if (self)
        leave(self);
    memset(attr, 0, sizeof *attr);
    attr->__stack_bytes = settings.stack_bytes;
    attr->__guard_bytes = stack_page_bytes();
    return 0;
}

int green_attr_destroy(green_attr_t *attr)
{
    if (!attr)
        return EINVAL;
    attr->__stack_bytes = 0; /* green_create() refuses it from now on */
    return 0;
}

int green_attr_setdetachstate(green_attr_t *attr, int state)
{
    if (!attr || (state != GREEN_CREATE_JOINABLE && state != GREEN_CREATE_DETACHED))
        return EINVAL;
    attr->__detach_state = state;
    return 0;
}

int green_attr_getdetachstate(const green_attr_t *attr, int *state)
{
    if (!attr || !state)
        return EINVAL;
    *state = attr->__detach_state;
    return 0;
}

int green_attr_setstacksize(green_attr_t *attr, size_t bytes)
{
    if (!attr || bytes < GREEN_STACK_MIN || bytes > STACK_CLASS_MAX)
        return EINVAL;
    attr->__stack_bytes = bytes;
    return 0;
}

int green_attr_getstacksize(const green_attr_t *attr, size_t *bytes)
{
    if (!attr || !bytes)
        return EINVAL;
    *bytes = attr->__stack_bytes;
    return 0;
}

int green_attr_setstack(green_attr_t *attr, void *low, size_t bytes)
{
    if (!low || (uintptr_t)low + bytes < bytes)
        return EINVAL;
    int error = green_attr_setstacksize(attr, bytes);
    if (!error)
        attr->__stack_addr = low;
    return error;
}

int green_attr_getstack(const green_attr_t *attr, void **low, size_t *bytes)
{
    if (!low)
        return EINVAL;
    int error = green_attr_getstacksize(attr, bytes);
    if (!error)
        *low = attr->__stack_addr;
    return error;
}

int green_attr_setguardsize(green_attr_t *attr, size_t bytes)
{
    if (!attr || bytes > STACK_CLASS_MAX)
        return EINVAL;
    attr->__guard_bytes = bytes;
    return 0;
}

int green_attr_getguardsize(const green_attr_t *attr, size_t *bytes)
{
    if (!attr || !bytes)
        return EINVAL;
    *bytes = attr->__guard_bytes;
    return 0;
}

int green_attr_setname_np(green_attr_t *attr, const char *name)
{
    if (!attr || !name)
        return EINVAL;
    if (strlen(name) >= sizeof attr->__name)
        return ERANGE;
    strcpy(attr->__name, name);
    return 0;
}

int green_attr_getname_np(const green_attr_t *attr, char *buffer, size_t bytes)
{
    if (!attr || !buffer)
        return EINVAL;
    if (strlen(attr->__name) >= bytes)
        return ERANGE;
    strcpy(buffer, attr->__name);
    return 0;
}

int green_attr_setscope(green_attr_t *attr, int scope)
{
    if (!attr || (scope != GREEN_SCOPE_PROCESS && scope != GREEN_SCOPE_SYSTEM))
        return EINVAL;
    attr->__scope = scope;
    attr->__scope_set = 1;
    return 0;
}

bool attr_wants_kernel_thread(const green_attr_t *attr)
{
    return attr->__scope == GREEN_SCOPE_SYSTEM ||
           (!attr->__scope_set &&
            (attr->__has_cpus || (attr->__inherit_sched == GREEN_EXPLICIT_SCHED &&
                                  policy_parameters(attr->__sched_policy, attr->__sched_priority) == ENOTSUP)));
}

int green_attr_getscope(const green_attr_t *attr, int *scope)
{
    if (!attr || !scope)
        return EINVAL;
    *scope = attr->__scope;
    return 0;
}

int green_attr_setinheritsched(green_attr_t *attr, int inherit)
{
    if (!attr || (inherit != GREEN_INHERIT_SCHED && inherit != GREEN_EXPLICIT_SCHED))
        return EINVAL;
    attr->__inherit_sched = inherit;
    return 0;
}

int green_attr_getinheritsched(const green_attr_t *attr, int *inherit)
{
    if (!attr || !inherit)
        return EINVAL;
    *inherit = attr->__inherit_sched;
    return 0;
}

int green_attr_setschedpolicy(green_attr_t *attr, int policy)
{
    if (!attr || (policy != SCHED_OTHER && policy != SCHED_FIFO && policy != SCHED_RR))
        return EINVAL;
    attr->__sched_policy = policy;
    return 0;
}

int green_attr_getschedpolicy(const green_attr_t *attr, int *policy)
{
    if (!attr || !policy)
        return EINVAL;
    *policy = attr->__sched_policy;
    return 0;
}

/* Which the attributes' policy has is asked by green_create(): the policy may be set after it. */
static bool some_policy_has(int priority)
{
    return priority >= GREEN_PRIORITY_MIN && priority <= GREEN_PRIORITY_MAX;
}

int green_attr_setschedparam(green_attr_t *attr, const struct sched_param *param)
{
    if (!attr || !param || !some_policy_has(param->sched_priority))
        return EINVAL;
    attr->__sched_priority = param->sched_priority;
    return 0;
}

int green_attr_getschedparam(const green_attr_t *attr, struct sched_param *param)
{
    if (!attr || !param)
        return EINVAL;
    param->sched_priority = attr->__sched_priority;
    return 0;
}

/* Bytes of a set that name no CPU. */
static bool all_zero(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

int green_attr_setaffinity_np(green_attr_t *attr, size_t bytes, const cpu_set_t *cpus)
{
    if (!attr || (bytes > 0 && !cpus))
        return EINVAL;
    attr->__has_cpus = false;
    if (bytes == 0)
        return 0;
    const size_t kept = bytes < sizeof attr->__cpus ? bytes : sizeof attr->__cpus;
    if (!all_zero((const char *)cpus + kept, bytes - kept))
        return EINVAL;
    memset(&attr->__cpus, 0, sizeof attr->__cpus);
    memcpy(&attr->__cpus, cpus, kept);
    attr->__has_cpus = true;
    return 0;
}

int green_attr_getaffinity_np(const green_attr_t *attr, size_t bytes, cpu_set_t *cpus)
{
    if (!attr || !cpus)
        return EINVAL;
    const size_t kept = bytes < sizeof attr->__cpus ? bytes : sizeof attr->__cpus;
    if (!attr->__has_cpus) {
        memset(cpus, 0xff, bytes);
        return 0;
    }
    if (!all_zero((const char *)&attr->__cpus + kept, sizeof attr->__cpus - kept))
        return EINVAL;
    memset(cpus, 0, bytes);
    memcpy(cpus, &attr->__cpus, kept);
    return 0;
}
