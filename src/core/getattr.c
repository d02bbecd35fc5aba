/* The attributes that a thread has: what it was created with, and what came of it. */
#include <errno.h>
#include <pthread.h>

#include "core/foreign.h"
#include "core/kernel_thread.h"
#include "core/life.h"
#include "core/sched.h"
#include "core/table.h"

/* What the structure tells; true when the thread lived all the while. */
static bool copy(const struct thread *thread, green_t id, green_attr_t *attr)
{
    const char *top = thread->stack_top ? thread->stack_top : (char *)thread->stack.low + thread->stack.bytes;
    const bool detached = (uint32_t)life_of(thread) == LIFE_DETACHED;

    attr->__detach_state = detached ? GREEN_CREATE_DETACHED : GREEN_CREATE_JOINABLE;
    attr->__scope = thread->kind == THREAD_FOREIGN ? GREEN_SCOPE_SYSTEM : GREEN_SCOPE_PROCESS;
    attr->__stack_addr = thread->stack.low;
    attr->__stack_bytes = (size_t)(top - (char *)thread->stack.low);
    attr->__guard_bytes = thread->stack.guard;
    atomic_thread_fence(memory_order_acquire);
    return thread_id(thread) == id;
}

/* A kernel thread of the program's asks for itself: libc knows its stack. */
static void ask_libc(green_attr_t *attr)
{
    pthread_attr_t of_libc;

    if (kernel_thread_getattr(pthread_self(), &of_libc) != 0)
        return;
    pthread_attr_getstack(&of_libc, &attr->__stack_addr, &attr->__stack_bytes);
    pthread_attr_getguardsize(&of_libc, &attr->__guard_bytes);
    pthread_attr_destroy(&of_libc);
}

static int look(green_t id, green_attr_t *attr)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    const struct thread *thread = table_find(id);
    const bool found = thread && copy(thread, id, attr);
    const bool ask = found && thread == self && self->kind == THREAD_FOREIGN && !self->bound;
    leave(self);
    if (ask)
        ask_libc(attr);
    return found ? 0 : ESRCH;
}

int green_getattr_np(green_t id, green_attr_t *attr)
{
    struct sched_param param;
    int policy, error = green_attr_init(attr);

    if (error)
        return error;
    error = green_getschedparam(id, &policy, &param); /* a bound thread that is just starting has its stack after this */
    if (!error) {
        attr->__sched_policy = policy;
        attr->__sched_priority = param.sched_priority;
    } else if (error != ENOTSUP) {
        return error;
    }
    error = look(id, attr);
    if (!error)
        error = green_getname_np(id, attr->__name, sizeof attr->__name);
    if (!error && attr->__scope == GREEN_SCOPE_SYSTEM)
        attr->__has_cpus = (error = green_getaffinity_np(id, sizeof attr->__cpus, &attr->__cpus)) == 0;
    return error;
}
