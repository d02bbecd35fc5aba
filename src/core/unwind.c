/*
 * The end of a thread that does not return from its function: green_exit(), and cancellation, which is the same with
 * another result.
 *
 * The stack is unwound by force, as NPTL does it: from the innermost frame to the outermost one every frame's cleanups
 * run (C++ destructors, __attribute__((cleanup)) in C compiled with exceptions), and nothing can stop it.  A
 * catch(...) runs, and must throw on.  In front of each frame the unwinder asks at_frame(), which runs the cleanup
 * handlers that were pushed by the frames inside of it; so all come in the reverse of the order in which they were made.
 * The handler runs further down on the stack, where the frame that pushed it is still whole.
 *
 * At the end of the stack nothing is left to be cleaned up, and the thread goes on from there: thread_finish() never
 * returns, so what the unwinder has above it does not matter.  Rejected: a jump back to the first frame, as NPTL
 * does, which needs one that can be returned to: a thread that simply returns from its function would pay for the
 * setjmp().
 *
 * A thread with a kernel thread of its own is unwound by libc, for which it is a thread like any other; its cleanup
 * handlers are then on libc's list (_pthread_cleanup_push, that of programs made for LinuxThreads), which libc's own
 * such function walks in the same way.
 *
 * libgcc_s is linked, not loaded when it is first needed as libc does: an asynchronous cancellation comes in a signal
 * handler.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include <green/cancel.h>

#include "base/annotate.h"
#include "base/plain.h"
#include "core/cancel.h"
#include "core/sched.h"

/* libc exports them, and has no declaration any more. */
extern void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *), void *arg);
extern void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer, int execute);

/*
 * The part that is libc's, when it is.  Not at the start: libc takes a buffer at the lowest address of its frame for one
 * that lies inside of it, and would call its routine before the frame's own cleanups, which call it again.
 */
static struct _pthread_cleanup_buffer *libc_buffer(struct __green_cleanup *cleanup)
{
    _Static_assert(sizeof *cleanup - offsetof(struct __green_cleanup, __routine) ==
                   sizeof(struct _pthread_cleanup_buffer), "libc's buffer begins as ours does");
    return (struct _pthread_cleanup_buffer *)(void *)&cleanup->__routine;
}

void green_cleanup_enter_np(struct __green_cleanup *cleanup, void (*routine)(void *), void *arg)
{
    struct thread *self = known_self();

    cleanup->__libc = !self || self->kind == THREAD_FOREIGN ? libc_buffer(cleanup) : NULL;
    if (cleanup->__libc) {
        _pthread_cleanup_push(cleanup->__libc, routine, arg);
        return;
    }
    cleanup->__routine = routine;
    cleanup->__arg = arg;
    cleanup->__below = self->cleanups;
    compiler_barrier();
    self->cleanups = cleanup;
}

void green_cleanup_leave_np(struct __green_cleanup *cleanup, int execute)
{
    if (cleanup->__libc) {
        _pthread_cleanup_pop(cleanup->__libc, execute);
        return;
    }
    self_thread->cleanups = cleanup->__below;
    compiler_barrier();
    if (execute)
        cleanup->__routine(cleanup->__arg);
}

static bool on_altstack(const struct thread *self, uintptr_t at)
{
    return at - (uintptr_t)self->altstack.ss_sp < self->altstack.ss_size;
}

/* A frame whose innermost address this is has been reached.  That of a handler may lie on the alternate stack. */
static bool is_inside(const struct thread *self, uintptr_t cleanup, uintptr_t frame)
{
    const bool on_other = on_altstack(self, cleanup);

    return on_other == on_altstack(self, frame) ? cleanup < frame : on_other;
}

static void run_cleanups(struct thread *self, uintptr_t frame)
{
    struct __green_cleanup *cleanup;

    while ((cleanup = self->cleanups) && is_inside(self, (uintptr_t)cleanup, frame)) {
        self->cleanups = cleanup->__below;
        cleanup->__routine(cleanup->__arg);
    }
}

static void finish(struct thread *self) __attribute__((noreturn));
static void finish(struct thread *self)
{
    run_cleanups(self, UINTPTR_MAX);
    thread_finish(self->result);
}

static _Unwind_Reason_Code at_frame(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                    struct _Unwind_Exception *exception, struct _Unwind_Context *context, void *arg)
{
    struct thread *self = arg;

    (void)version;
    (void)class;
    (void)exception;
    if (actions & _UA_END_OF_STACK)
        finish(self);
    run_cleanups(self, _Unwind_GetCFA(context));
    return _URC_NO_REASON;
}

/* A catch(...) has kept it. */
static void swallowed(_Unwind_Reason_Code reason, struct _Unwind_Exception *exception)
{
    static const char text[] = "libgreen: a thread's end was caught and not thrown on\n";

    (void)reason;
    (void)exception;
    if (plain_write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(EXIT_FAILURE);
    abort();
}

static void unwind(struct thread *self)
{
    annotate_no_return();
    memset(&self->unwinding, 0, sizeof self->unwinding);
    self->unwinding.exception_cleanup = swallowed;
    _Unwind_ForcedUnwind(&self->unwinding, at_frame, self);
}

/*
 * Again by a cleanup handler, it goes on from there; by a destructor of thread-specific data, there is nothing left to
 * unwind.
 */
void green_exit(void *result)
{
    struct thread *self = enter();

    if (!self || self->kind == THREAD_FOREIGN)
        foreign_exit(result);
    if (self->ending != ENDING_DESTROYS) {
        cancel_point_end(self);
        self->ending = ENDING_UNWINDS;
        self->result = result;
        self->depth = self->sections = 0; /* whatever it is in */
        unwind(self);
        finish(self); /* the unwinder has given up */
    }
    thread_finish(result);
}
