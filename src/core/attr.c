/* Thread attributes: plain data, checked when it is set and again by green_create(). */
#include <errno.h>
#include <string.h>

#include "core/sched.h"

int green_attr_init(green_attr_t *attr)
{
    if (!attr)
        return EINVAL;
    struct thread *self = enter(); /* GREEN_STACK is known once the library runs */
    if (self)
        leave(self);
    memset(attr, 0, sizeof *attr);
    attr->__stack_bytes = settings.stack_bytes;
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
