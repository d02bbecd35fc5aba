/*
 * libc's calls that block in the kernel, as cancellation points of green threads.
 *
 * A program that was ported by renaming its pthread_ calls has threads in libc's read() or sleep(), and cancels them
 * there.  So each of these calls stands here under libc's name.  For a thread that can be cancelled, multiplexed or
 * bound, at depth 0, it is a system call that a request prevents, ends, or comes too late for: see core/cancel.h.  For
 * all others it is libc's: kernel threads of the program's own, which libc's pthread_cancel() ends; the library's; and
 * threads at depth > 0, that have cancellation disabled, or that end.  Signal handlers may call what they could before:
 * libc's functions are looked up when the library is loaded.
 *
 * A request ends a call only when that has no result: it was not made, or the kernel gave it up for a signal (EINTR).
 * So nothing is lost: no byte, descriptor, or child's status.  close() is not ended once it was made, as it has then
 * closed.
 *
 * The names are weak: a program in C may have a function of that name, which POSIX has reserved and C has not.
 *
 * Rejected: libc's own cancellation of the kernel thread, which takes the kernel thread for the thread and would end a
 * worker; and the asynchronous type for as long as a call lasts, as libc had it up to 2.40, which loses what a call
 * that has just come back brings.
 */
#ifndef POINT_H
#define POINT_H

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/cancel.h"
#include "core/monitor.h"
#include "mem/interpose.h"

/* The calling thread, if it can be cancelled in a call of libc's. */
static inline struct thread *point_self(void)
{
    struct thread *self = self_thread;

    return self && self->depth == 0 && (self->kind != THREAD_FOREIGN || self->bound) && !self->ending &&
                   cancel_is(self, 0, CANCEL_DISABLED)
               ? self
               : NULL;
}

/* The call gave no result: end for a request, or errno.  Perhaps it is made in here. */
long point_failed(struct thread *self, const long call[7], long result);

/* The result, or -1 and errno; does not return when the thread is cancelled. */
static inline __attribute__((always_inline)) long point_call(struct thread *self, const long call[7])
{
    atomic_store_explicit(&self->cancellable, true, memory_order_relaxed);
    compiler_barrier(); /* who requests it looks at that afterwards */
    const long result = arch_syscall_unless(&self->cancel, call);
    compiler_barrier();
    atomic_store_explicit(&self->cancellable, false, memory_order_relaxed);
    return likely(result >= 0 || result < ARCH_NOT_MADE) ? result : point_failed(self, call, result);
}

/* The arguments of a system call: its number, then words. */
#define W(argument) ((long)(argument))
#define CALL(...) ((const long[7]){__VA_ARGS__})

/* libc's function of that name. */
#define POINT_LIBC(name) \
    static __typeof__(&name) libc_##name; \
    static __attribute__((constructor)) void find_##name(void) \
    { \
        libc_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
    }
#define LIBC(name) \
    ({ \
        if (unlikely(!libc_##name)) \
            find_##name(); /* another library's constructor calls, before ours */ \
        libc_##name; \
    })

#define POINT_API GREEN_API __attribute__((weak))

/* A function that is the system call with its arguments. */
#define POINT(type, name, parameters, arguments, ...) \
    POINT_LIBC(name) \
    POINT_API type name parameters \
    { \
        struct thread *self = point_self(); \
        if (unlikely(!self)) \
            return LIBC(name) arguments; \
        return (type)point_call(self, CALL(__VA_ARGS__)); \
    }

/*
 * A mask that the kernel is to have during the call, and its bytes.  Where no monitor takes the processor from a thread
 * that blocks, it stays open to the tick's signal: else nobody else would run, a thread that cancels this one included.
 */
enum { KERNEL_SET_BYTES = 8 };

static inline const void *point_mask(const sigset_t *mask, uint64_t *copy)
{
    if (!mask || monitor_runs())
        return mask;
    memcpy(copy, mask, sizeof *copy);
    *copy &= ~(UINT64_C(1) << (settings.signal - 1));
    return copy;
}

#endif
