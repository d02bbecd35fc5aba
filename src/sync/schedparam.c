/*
 * Priorities and weights: what a thread is told, and what a new one starts with.
 *
 * A thread with a kernel thread of its own is the kernel's to schedule, and so are its parameters; a multiplexed one's
 * are the policy's, which sees them in its task.  Round robin, the default policy, sees none: there every thread is of
 * SCHED_OTHER, and stays so.
 */
#include <errno.h>

#include "core/foreign.h"
#include "core/policy.h"
#include "core/table.h"
#include "sync/inherit.h"

/* A multiplexed thread's, as are all up to the weights; at depth > 0. */
static struct thread *find_multiplexed(green_t id, int *error)
{
    struct thread *thread = table_find(id);

    *error = !thread ? ESRCH : thread->kind == THREAD_MULTIPLEXED ? 0 : ENOTSUP;
    return *error ? NULL : thread;
}

/* A priority alone is told: a thread that had none is of SCHED_RR with one. */
enum { SCHED_KEPT = -1 };

static int kept(const struct thread *thread, int priority)
{
    const int how = atomic_load(&thread->how);

    return how == SCHED_OTHER && policy_on && priority != GREEN_PRIORITY_MIN ? SCHED_RR : how;
}

static int set_own(green_t id, int how, int priority)
{
    struct thread *self = enter();
    int error;

    if (!self)
        return ENOMEM;
    struct thread *thread = find_multiplexed(id, &error);
    if (thread && how == SCHED_KEPT)
        how = kept(thread, priority);
    if (thread)
        error = policy_parameters(how, priority);
    if (!error && policy_on && !inherit_set_own(thread, id, how, priority))
        error = ESRCH;
    if (!error)
        wake_for(self->worker->proc);
    leave(self);
    return error;
}

int green_setschedparam(green_t id, int how, const struct sched_param *param)
{
    if (!param || how < 0)
        return EINVAL;
    int error = kernel_setschedparam(id, how, param);
    return error == ENOTSUP ? set_own(id, how, param->sched_priority) : error;
}

int green_setschedprio(green_t id, int priority)
{
    int error = kernel_setschedprio(id, priority);

    return error == ENOTSUP ? set_own(id, SCHED_KEPT, priority) : error;
}

static int get_own(green_t id, int *how, struct sched_param *param)
{
    struct thread *self = enter();
    int error;

    if (!self)
        return ENOMEM;
    const struct thread *thread = find_multiplexed(id, &error);
    if (thread) {
        *how = atomic_load(&thread->how);
        param->sched_priority = policy_on ? thread->priority : 0;
    }
    leave(self);
    return error;
}

int green_getschedparam(green_t id, int *how, struct sched_param *param)
{
    if (!how || !param)
        return EINVAL;
    int error = kernel_getschedparam(id, how, param);
    return error == ENOTSUP ? get_own(id, how, param) : error;
}

static bool weight_valid(unsigned weight)
{
    return weight >= GREEN_WEIGHT_MIN && weight <= GREEN_WEIGHT_MAX;
}

/* Weights are the policy's alone. */
static struct thread *find_weighted(green_t id, int *error)
{
    struct thread *thread = find_multiplexed(id, error);

    if (!thread || policy_on)
        return thread;
    *error = ENOTSUP;
    return NULL;
}

int green_setweight_np(green_t id, unsigned weight)
{
    struct thread *self = enter();
    int error;

    if (!self)
        return ENOMEM;
    struct thread *thread = find_weighted(id, &error);
    if (thread && !weight_valid(weight))
        error = EINVAL;
    else if (thread && !policy_set_weight(thread, id, weight))
        error = ESRCH;
    if (!error)
        wake_for(self->worker->proc);
    leave(self);
    return error;
}

int green_getweight_np(green_t id, unsigned *weight)
{
    struct thread *self = enter();
    int error;

    if (!self)
        return ENOMEM;
    const struct thread *thread = find_weighted(id, &error);
    if (thread && weight)
        *weight = thread->weight;
    leave(self);
    return weight ? error : EINVAL;
}

int green_attr_setweight_np(green_attr_t *attr, unsigned weight)
{
    if (!attr || !weight_valid(weight))
        return EINVAL;
    attr->__weight = weight;
    return 0;
}

int green_attr_getweight_np(const green_attr_t *attr, unsigned *weight)
{
    if (!attr || !weight)
        return EINVAL;
    *weight = attr->__weight ? attr->__weight : GREEN_WEIGHT_DEFAULT;
    return 0;
}
