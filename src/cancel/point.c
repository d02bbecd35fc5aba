/* Where libc's calls are cancellation points: what is rare.  See point.h. */
#include "cancel/point.h"

#include <unistd.h>

static bool wanted(const struct thread *self)
{
    return !self->ending && cancel_is(self, CANCEL_REQUESTED, CANCEL_REQUESTED | CANCEL_DISABLED);
}

/*
 * Not the child of a vfork(), which has its parent's memory and must not unwind its stack.  At depth 1 the thread stays on
 * its worker; a tick that comes meanwhile is taken when it ends, and not by the child.
 */
static bool is_thread_itself(struct thread *self)
{
    self->depth++;
    compiler_barrier();
    const bool itself = self->worker->tid == gettid();
    compiler_barrier();
    self->depth--;
    compiler_barrier();
    return itself;
}

long point_failed(struct thread *self, const long call[7], long result)
{
    static const _Atomic uint64_t never;
    const bool ended = result == -EINTR && call[0] != SYS_close;

    if ((result == ARCH_NOT_MADE || ended) && wanted(self) && is_thread_itself(self))
        green_exit(GREEN_CANCELED);
    if (result == ARCH_NOT_MADE) /* for a child, or a handler has disabled it */
        result = arch_syscall_unless(&never, call);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}
